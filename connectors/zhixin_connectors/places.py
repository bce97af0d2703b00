"""Where the files of a source lie: a path, a folder, a pattern, or any URL that pyarrow.fs opens.

::

    /data/silo                     a folder: its files are the tables
    /data/a.csv  csv:/data/a.dat   one file; the scheme says the format where the name does not
    /data/2026-*.csv               a pattern: all files that match are one table
    s3://bucket/silo?region=cn-north-1   gs://…  hdfs://…  abfs://…  the same on other file systems

A table is named by its path in the folder: a file, a folder of parts, a pattern (``*``, ``?``,
``[…]`` within a name, ``**`` for any folders), or what lies inside of a file (``daily.zip/a.csv``,
``book.xlsx/Sheet1``). Files of one table come in the order of their paths, none twice, and the list
is made once: a file that changes between that moment and the end of its reading is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
from zhixin_errors import ConfigError, PermanentSourceError, TransientSourceError

from zhixin_connectors.objectstore import REMOTE_SCHEMES, open_filesystem

__all__ = ["REMOTE_SCHEMES", "Place", "SourceFile", "open_place"]

_GLOB = re.compile(r"[*?\[]")
_MARKERS = {"_SUCCESS", "_metadata", "_common_metadata"}
_MAX_NAMED = 20
_HEAD_BYTES = 16


@dataclass(frozen=True)
class SourceFile:
    """A file as it was when the list was made.

    Args:
        name: its path in the source; what messages call it.
        inside: what is meant inside of it, where the object goes on after its name.
        source: the source's name, for messages.
    """

    name: str
    source: str
    filesystem: pafs.FileSystem = field(repr=False)
    path: str = field(repr=False)
    size: int = 0
    stamp: tuple[int, ...] = field(default=(), repr=False)
    inside: str = ""

    @property
    def place(self) -> str:
        """What messages call it."""
        return f"{self.source}, {self.name}"

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Its bytes as they lie there; seekable.

        Raises:
            TransientSourceError: it is gone, or its bytes do not come.
            PermanentSourceError: no permission.
        """
        with self.telling():
            stream = self.filesystem.open_input_file(self.path)
        with stream:
            yield cast("IO[bytes]", stream)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Turn what a file system raises into an error that names the file."""
        try:
            yield
        except FileNotFoundError:
            raise TransientSourceError(
                f"source {self.place} is gone since the files were listed", code="source-changed"
            ) from None
        except PermissionError:
            raise PermanentSourceError(
                f"source {self.place}: no permission to read it", code="permission-denied"
            ) from None
        except (OSError, pa.ArrowException):
            raise TransientSourceError(
                f"source {self.place} could not be read to its end",
                hint="is the file system still there? the next run reads it anew",
            ) from None

    @cached_property
    def head(self) -> bytes:
        """Its first bytes, enough to know what kind of file it is."""
        with self.open() as stream, self.telling():
            return stream.read(_HEAD_BYTES)

    def check_unchanged(self) -> None:
        """Refuse a file that is not what it was when the list was made.

        Raises:
            TransientSourceError: another size, time or inode; its records may be of two moments.
        """
        with self.telling():
            now = _stamp(self.filesystem, self.path)
        if now != self.stamp:
            raise TransientSourceError(
                f"source {self.place} changed while it was read",
                code="source-changed",
                hint="run again when nobody writes to it; a whole file is best renamed into place",
            )


def open_place(url: str, name: str) -> Place:
    """What an address names; nothing is reached yet.

    Raises:
        ConfigError: the address has no path, or holds credentials.
    """
    parts = urlsplit(url) if url.split(":", 1)[0].lower() in REMOTE_SCHEMES else None
    if parts is None:
        path = re.sub(r"^file:", "", url, flags=re.IGNORECASE)
        if url != path and path.startswith("//"):
            path = unquote(urlsplit(url).path)
        if not path:
            raise ConfigError("the source has no path", hint="write file:/path/to/folder")
        return Place(name, Path(path).expanduser().absolute().as_posix())
    if parts.username or parts.password:
        raise ConfigError(
            f"source {name}: its address holds a user or a password",
            hint="the file system takes them from the environment, such as AWS_ACCESS_KEY_ID",
        )
    # A pattern is no URL to pyarrow: the file system is opened for the part before it.
    root = unquote(parts.netloc + parts.path).rstrip("/")
    opened = parts._replace(path=_GLOB.split(parts.path, maxsplit=1)[0]).geturl()
    return Place(name, root, lambda: open_filesystem(opened, f"source {name}: its address")[0])


@dataclass
class Place:
    """A source's root: a folder, a file or a pattern, on some file system.

    Args:
        name: the source's name, for messages.
        root: path in the file system, without a slash at its end.
        connect: gives the file system; the local one if it is not given.
    """

    name: str
    root: str
    connect: Callable[[], pafs.FileSystem] = pafs.LocalFileSystem
    _opened: pafs.FileSystem | None = field(default=None, init=False, repr=False)

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The file system, opened when it is first used."""
        if self._opened is None:
            try:
                self._opened = self.connect()
            except (OSError, pa.ArrowException, ImportError):
                raise TransientSourceError(
                    f"source {self.name}: its file system can't be reached",
                    hint="check the address, the network and the credentials in the environment",
                ) from None
        return self._opened

    def kind(self) -> str:
        """``folder``, ``file``, ``pattern``; raises where nothing is there."""
        root = self.root
        info = self._info(root)
        if info.type == pafs.FileType.Directory:
            return "folder"
        if info.type == pafs.FileType.File:
            return "file"
        if _GLOB.search(root):
            return "pattern"
        raise PermanentSourceError(
            f"source {self.name}: there is no such file or folder",
            hint="check the path, or url in [sources] of zhixin.toml",
        )

    def all(self) -> list[SourceFile]:
        """Every file below, hidden ones apart, in the order of their paths."""
        kind = self.kind()
        if kind == "file":
            return [self._file(self.root, Path(self.root).name)]
        if kind == "pattern":
            return self._matching(self.root)
        return [
            self._file(each.path, self._relative(each.path))
            for each in self._below(self.root, recursive=True)
        ]

    def files(self, table: str) -> list[SourceFile]:
        """The files of a table: at least one, in the order of their paths, none twice.

        Raises:
            PermanentSourceError: there is none, or the name leads out of the folder.
        """
        kind = self.kind()
        if kind == "file":
            return [self._whole(table)]
        if kind == "pattern":
            own = Path(self.root).name
            if table not in {"", ".", own, own.split(".")[0], self.root}:
                raise self._missing(table, [own])
            return self._matching(self.root)
        inside = os.path.normpath(table or ".")
        if inside.startswith(("/", "..")):
            raise PermanentSourceError(
                f"source {self.name}: {table} lies outside of its folder",
                hint="physicalName is a path within the source's folder",
            )
        return self._named(table, inside)

    def _named(self, table: str, inside: str) -> list[SourceFile]:
        path = self._join(inside)
        info = self._info(path)
        if info.type == pafs.FileType.Directory:
            self._check_no_log(path, table)
            return self._once([self._file(each.path) for each in self._below(path)], table)
        if info.type == pafs.FileType.File:
            return [self._file(path)]
        parts = inside.split("/")
        for end in range(len(parts) - 1, 0, -1):
            ahead = self._join("/".join(parts[:end]))
            if self._info(ahead).type == pafs.FileType.File:
                return [replace(self._file(ahead), inside="/".join(parts[end:]))]
        if _GLOB.search(inside):
            return self._matching(path)
        there = self.all()
        meant = [each for each in there if each.name.startswith(f"{inside}.")]
        if len(meant) != 1:
            raise self._missing(table, [each.name for each in there])
        return meant

    def _check_no_log(self, folder: str, table: str) -> None:
        """Refuse a Delta table: which of its files are in force stands in its log alone."""
        if self._info(f"{folder}/_delta_log").type == pafs.FileType.Directory:
            raise PermanentSourceError(
                f"source {self.name}: {table} is a Delta table, and not a folder of files",
                hint="export its current state, or name the files by a pattern",
            )

    def _whole(self, table: str) -> SourceFile:
        own = Path(self.root).name
        file = self._file(self.root, own)
        if table in {"", ".", own, own.split(".")[0]}:
            return file
        return replace(file, inside=table.removeprefix(f"{own}/"))

    def _matching(self, pattern: str) -> list[SourceFile]:
        before = _GLOB.split(pattern, maxsplit=1)[0].rpartition("/")[0]
        before = before or ("/" if pattern.startswith("/") else "")
        rest = pattern[len(before) :].lstrip("/")
        wanted = rest.split("/")
        found = [
            self._file(each.path)
            for each in self._below(before, recursive="/" in rest or "**" in rest)
            if _matches(each.path[len(before) :].lstrip("/").split("/"), wanted)
        ]
        return self._once(found, rest)

    def _once(self, files: Sequence[SourceFile], table: str) -> list[SourceFile]:
        """Each file once, though it may have several names (links)."""
        seen: dict[tuple[object, ...], SourceFile] = {}
        for each in files:
            seen.setdefault(each.stamp[2:] or (each.path,), each)
        if not seen:
            raise PermanentSourceError(
                f"source {self.name}: no file matches {table}",
                code="object-missing",
                hint="`zhixin source tables` lists what is there",
            )
        return list(seen.values())

    def _below(self, folder: str, *, recursive: bool = False) -> list[pafs.FileInfo]:
        selector = pafs.FileSelector(folder, allow_not_found=True, recursive=recursive)
        with self._telling():
            shown = [
                each
                for each in self.filesystem.get_file_info(selector)
                if each.type == pafs.FileType.File and not _hidden(each.path[len(folder) :])
            ]
            return sorted(shown, key=lambda each: each.path)

    def _info(self, path: str) -> pafs.FileInfo:
        with self._telling():
            return self.filesystem.get_file_info(path)

    def _file(self, path: str, name: str = "") -> SourceFile:
        with self._telling():
            stamp = _stamp(self.filesystem, path)
        return SourceFile(
            name or self._relative(path), self.name, self.filesystem, path, stamp[0], stamp
        )

    def _join(self, inside: str) -> str:
        """A path in the file system; on some a root has no slash before it, or is empty."""
        if inside == ".":
            return self.root
        return f"{self.root.rstrip('/')}/{inside}" if self.root else inside

    def _relative(self, path: str) -> str:
        folder = _GLOB.split(self.root, maxsplit=1)[0]
        folder = folder if folder == self.root else folder.rpartition("/")[0]
        return path.removeprefix(folder).lstrip("/")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except PermissionError:
            raise PermanentSourceError(
                f"source {self.name}: no permission to read it", code="permission-denied"
            ) from None
        except UnicodeDecodeError:
            raise PermanentSourceError(
                f"source {self.name}: the folder holds a file whose name is not UTF-8",
                hint="rename it, or move it out of the folder",
            ) from None
        except (OSError, pa.ArrowException):
            raise TransientSourceError(
                f"source {self.name}: its file system does not answer",
                hint="check the address, the network and the credentials in the environment",
            ) from None

    def _missing(self, table: str, there: Sequence[str]) -> PermanentSourceError:
        listed = ", ".join(there[:_MAX_NAMED]) or "nothing that can be read"
        return PermanentSourceError(
            f"source {self.name} has no {table}", hint=f"there is {listed}", code="object-missing"
        )


def _stamp(filesystem: pafs.FileSystem, path: str) -> tuple[int, ...]:
    """Size and time; on this machine's disks device and inode too."""
    if isinstance(filesystem, pafs.LocalFileSystem):
        own = Path(path).stat()
        return own.st_size, own.st_mtime_ns, own.st_dev, own.st_ino
    info = cast("Any", filesystem.get_file_info(path))
    if info.type != pafs.FileType.File:
        raise FileNotFoundError(path)
    return info.size, info.mtime_ns or 0


def _hidden(path: str) -> bool:
    """Whether it is hidden, or what Spark leaves beside its parts."""
    return any(part.startswith(".") or part in _MARKERS for part in path.split("/"))


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """By segments: ``*`` stays within a name, ``**`` is any folders, none too."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[skipped:], pattern[1:]) for skipped in range(len(path)))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])
