"""What a disk holds after a loss of power, worked out from a trace of what a process did.

POSIX promises only this: the bytes of a file last once the file is synced, and a name in a folder
once the folder is. Everything else may or may not have reached the disk. The trace is the shim's.
Four ways in which it goes are made of it:

    lost        nothing but what was synced is there
    names       every name is there, but of bytes only what was synced
    bytes       all bytes are there, but of names only what was synced
    scattered   of each write and each change of a name that was not synced, chance decides,
                and a write may be torn at a sector
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SAID, WRITE, SYNC, RENAME, UNLINK, CREATE, TRUNCATE, MKDIR, RMDIR = range(9)
NAMES = ("said", "write", "fsync", "rename", "unlink", "create", "truncate", "mkdir", "rmdir")
WAYS = ("lost", "names", "bytes", "scattered")
_SECTOR = 512


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trace; paths are relative to the world."""

    op: int
    path: str
    other: str
    offset: int
    data: bytes


def read_trace(path: Path, root: Path) -> list[Step]:
    """Read a trace of what was done under `root`."""
    raw, at, steps = path.read_bytes(), 0, []
    while at < len(raw):
        op, *lengths = struct.unpack_from("<5Q", raw, at)
        at += 40
        parts = []
        for length in (lengths[0], lengths[1], lengths[3]):
            parts.append(raw[at : at + length])
            at += length
        names = [os.path.relpath(os.path.normpath(name), root) if name else "" for name in
                 (os.fsdecode(parts[0]), os.fsdecode(parts[1]))]  # fmt: skip
        steps.append(Step(op, names[0], names[1], lengths[2], parts[2]))
    return steps


@dataclass
class _File:
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)  # since the last sync

    def write(self, offset: int, data: bytes | None) -> None:
        _apply(self.data, offset, data)
        self.waiting.append((offset, data))


@dataclass
class _Folder:
    names: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)


def _apply(data: bytearray, offset: int, new: bytes | None) -> None:
    """Write at a place, or with None set the length."""
    end = offset if new is None else offset + len(new)
    if end > len(data):
        data.extend(bytes(end - len(data)))
    if new is None:
        del data[offset:]
    else:
        data[offset:end] = new


class Disk:
    """A folder's files and names, as they are and as they would last.

    Args:
        base: the folder as it was before the first step; all of it lasts.
    """

    def __init__(self, base: Path) -> None:
        self._root = _load(base)

    def take(self, step: Step) -> None:
        """Carry out a step."""
        if step.op == SYNC:
            self._sync(step.path)
            return
        folder, name = self._place(step.path)
        if step.op == MKDIR:
            folder.names[name] = _Folder()
        elif step.op == CREATE:
            folder.names[name] = _File()
        elif step.op in (UNLINK, RMDIR):
            del folder.names[name]
        elif step.op == RENAME:
            target, new = self._place(step.other)
            target.names[new] = folder.names.pop(name)
        else:
            file = folder.names[name]
            assert isinstance(file, _File)
            file.write(step.offset, None if step.op == TRUNCATE else step.data)

    def _sync(self, path: str) -> None:
        folder, name = self._place(path)
        item = folder.names[name] if name != "." else folder
        if isinstance(item, _Folder):
            item.synced = dict(item.names)
        else:
            item.synced, item.waiting = bytes(item.data), []

    def _place(self, path: str) -> tuple[_Folder, str]:
        *folders, name = Path(path).parts or (".",)
        at = self._root
        for part in folders:
            item = at.names[part]
            assert isinstance(item, _Folder)
            at = item
        return at, name

    def after(self, way: str, seed: int = 0) -> Iterator[tuple[str, bytes | None]]:
        """Give every file's path and bytes after the loss; of a folder, None."""
        yield from _after(self._root, "", way, random.Random(seed))


def _load(path: Path) -> _Folder:
    made = _Folder()
    for item in sorted(path.iterdir()):
        if item.is_dir():
            made.names[item.name] = _load(item)
        else:
            data = item.read_bytes()
            made.names[item.name] = _File(bytearray(data), data)
    made.synced = dict(made.names)
    return made


def _after(
    folder: _Folder, path: str, way: str, chance: random.Random
) -> Iterator[tuple[str, bytes | None]]:
    for name, item in sorted(_names(folder, way, chance).items()):
        place = f"{path}/{name}" if path else name
        if isinstance(item, _Folder):
            yield place, None
            yield from _after(item, place, way, chance)
        else:
            yield place, _bytes(item, way, chance)


def _names(folder: _Folder, way: str, chance: random.Random) -> dict[str, _File | _Folder]:
    if way == "lost" or way == "bytes":
        return folder.synced
    if way == "names":
        return folder.names
    made = {}
    for name in sorted(folder.names.keys() | folder.synced.keys()):
        now, before = folder.names.get(name), folder.synced.get(name)
        kept = now if now is before or chance.random() < 0.5 else before
        if kept is not None:
            made[name] = kept
    return made


def _bytes(file: _File, way: str, chance: random.Random) -> bytes:
    if way == "bytes":
        return bytes(file.data)
    if way != "scattered":
        return file.synced
    data = bytearray(file.synced)
    for offset, new in file.waiting:
        draw = chance.random()
        if new is not None and draw < 0.2:
            _apply(data, offset, new[: chance.randrange(len(new) + 1) // _SECTOR * _SECTOR])
        elif draw < 0.6:
            _apply(data, offset, new)
    return bytes(data)


def lay(files: Iterator[tuple[str, bytes | None]], root: Path) -> None:
    """Write such files into a new folder."""
    root.mkdir(parents=True)
    for path, data in files:
        if data is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(data)
