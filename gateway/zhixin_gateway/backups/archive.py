"""The archive of a backup: a tar whose last member says what must be in it (docs/formats.md 11).

::

    log/checkpoint, log/tile/0/000.p/8, log/log.sqlite, …, zhixin.toml, keys/statement.pem, …
    zhixin-backup.json
                    {"type":"zhixin/backup/v1","member":…,"made_at":…,"zhixin":…,"files":[
                     {"path":…,"bytes":…,"sha256":…,"mode":…},…],"folders":[{"path":…,"mode":…},…],
                     "left_out":[{"path":…,"why":…},…],…}

Written and read as a stream: memory does not grow with the home. It is as secret as the home, mode
0600, and appears by one rename. A member that the manifest does not name is not put back; one that
it names and that is missing, or is another by a byte, refuses the whole.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.datasets.directory import sync_folder

__all__ = ["DAMAGED", "MANIFEST", "TYPE", "ArchiveWriter", "unpack"]

TYPE = "zhixin/backup/v1"
MANIFEST = "zhixin-backup.json"
DAMAGED = "backup-damaged"
_CHUNK = 1024 * 1024
_MAX_MANIFEST_BYTES = 1024 * 1024 * 1024
_NO_NAME = {errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
"""Of a name that is too long, or is a file's and a folder's too."""


class _Hashed(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


class ArchiveWriter:
    """Writes an archive beside its place; `finish` lets it appear.

    Args:
        path: where it shall appear.

    Raises:
        ConfigError: there is something already.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} is there already: a backup is never overwritten")
        self.path = path
        self.staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        handle = os.open(self.staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(handle, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - closed by finish
        self._files: dict[str, dict[str, Any]] = {}
        self._folders: dict[str, dict[str, Any]] = {}
        self._left_out: list[dict[str, str]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def add(self, name: str, path: Path, mode: int | None = None) -> None:
        """Add a file as it is now.

        Args:
            name: its path in the archive.
            path: where it lies.
            mode: its permissions; the file's own by default.

        Raises:
            FileNotFoundError: it is gone.
            ConfigError: it became shorter while it was read.
        """
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            info = tarfile.TarInfo(name)
            info.size = found.st_size
            info.mode = (found.st_mode if mode is None else mode) & 0o777
            info.mtime = int(found.st_mtime)
            hashed = _Hashed(file)
            try:
                self._tar.addfile(info, hashed)
            except OSError as fault:
                if fault.errno is not None:
                    raise
                raise ConfigError(
                    f"{path} changed while it was read", code="busy", hint="try again"
                ) from fault
        self._files[name] = {
            "path": name,
            "bytes": info.size,
            "sha256": hashed.digest.hexdigest(),
            "mode": f"{info.mode:03o}",
        }

    def add_folder(self, name: str, path: Path) -> None:
        """Add a folder, so that it is there also where it is empty."""
        mode = path.stat().st_mode & 0o777
        self._folders[name] = {"path": name, "mode": f"{mode:03o}"}

    def leave_out(self, name: str, why: str) -> None:
        """Say that something is not in the archive, and nothing under it."""
        self._left_out.append({"path": name, "why": why})
        for known in [known for known in self._files if _is_under(known, name)]:
            del self._files[known]

    @property
    def left_out(self) -> list[dict[str, str]]:
        """What is not in it, and why."""
        return self._left_out

    def finish(self, told: dict[str, Any]) -> tuple[int, int]:
        """Write the manifest and let the archive appear.

        Args:
            told: what else the manifest says.

        Returns:
            How many files it holds, and their bytes.
        """
        manifest = {
            "type": TYPE,
            **told,
            "files": list(self._files.values()),
            "folders": list(self._folders.values()),
            "left_out": self._left_out,
        }
        data = json.dumps(manifest, sort_keys=True).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(data), 0o600
        self._tar.addfile(info, io.BytesIO(data))
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.staged.rename(self.path)
        sync_folder(self.path.parent)
        return len(self._files), sum(int(each["bytes"]) for each in self._files.values())

    def abandon(self) -> None:
        """Leave nothing; after `finish` there is nothing to leave."""
        with suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()
        self.staged.unlink(missing_ok=True)


def unpack(archive: Path, folder: Path) -> dict[str, Any]:
    """Put an archive's files into a fresh folder, each held to the manifest.

    Args:
        archive: the archive.
        folder: an empty folder; what fails leaves it to the caller to remove.

    Returns:
        The manifest.

    Raises:
        FormatError: `backup-damaged`: the file at fault is named.
    """
    found: dict[str, tuple[int, str]] = {}
    manifest: dict[str, Any] | None = None
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for info in tar:
                name = _checked_name(info, found)
                content = tar.extractfile(info)
                if content is None:
                    raise _damaged(f"{name!r} can't be read")
                if manifest is not None:
                    raise _damaged("something stands after its manifest")
                if name == MANIFEST:
                    manifest = _read_manifest(content)
                else:
                    found[name] = _write(folder / name, content)
        if manifest is None:
            raise _damaged("it ends before its manifest: it was cut off, or is damaged on the way")
        _hold(folder, manifest, found)
    except (tarfile.TarError, EOFError, UnicodeError, ValueError) as fault:
        raise _damaged(f"it can't be read to its end ({fault})") from fault
    except OSError as fault:
        if fault.errno in _NO_NAME:
            raise _damaged("it has a name that no file of a home can have") from fault
        raise
    return manifest


def _checked_name(info: tarfile.TarInfo, found: dict[str, tuple[int, str]]) -> str:
    path = PurePosixPath(info.name)
    if (
        not info.isreg()
        or info.issparse()  # as long as its header says, whatever the archive holds
        or path.is_absolute()
        or not path.parts
        or ".." in path.parts
        or "\0" in info.name
        or str(path) != info.name
        or info.name in found
    ):
        raise _damaged(f"{info.name!r} is no file of a home")
    return info.name


def _read_manifest(content: IO[bytes]) -> dict[str, Any]:
    data = content.read(_MAX_MANIFEST_BYTES)
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise _damaged("its manifest can't be read") from fault
    if not isinstance(manifest, dict) or manifest.get("type") != TYPE:
        raise _damaged(f"its manifest is not of the type {TYPE}")
    if type(manifest.get("entries", 0)) is not int:
        raise _damaged("its manifest does not say how many entries it holds")
    return manifest


def _write(path: Path, content: IO[bytes]) -> tuple[int, str]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _hold(folder: Path, manifest: dict[str, Any], found: dict[str, tuple[int, str]]) -> None:
    """Hold what was unpacked to the manifest, and give everything its permissions."""
    named = set()
    for path, mode, item in _items(manifest, "files"):
        if path not in found:
            raise _damaged(f"{path} is missing")
        if found[path] != (item.get("bytes"), item.get("sha256")):
            raise _damaged(f"{path} is not what was backed up")
        (folder / path).chmod(mode)
        named.add(path)
    for path in found.keys() - named:
        (folder / path).unlink()
    folders = sorted(_items(manifest, "folders"), key=lambda each: each[0], reverse=True)
    for path, mode, _ in folders:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise _damaged(f"{path!r} is no folder of a home")
        (folder / path).mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / path).chmod(mode | 0o700)
    for each in sorted(folder.rglob("*"), reverse=True):
        if each.is_dir():
            if not any(each.iterdir()) and str(each.relative_to(folder)) not in {
                path for path, _, _ in folders
            }:
                each.rmdir()
                continue
            sync_folder(each)
    sync_folder(folder)


def _items(manifest: dict[str, Any], what: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    items = manifest.get(what)
    for item in items if isinstance(items, list) else [None]:
        if not isinstance(item, dict):
            raise _damaged(f"its manifest names no {what}")
        path, mode = item.get("path"), item.get("mode")
        if not isinstance(path, str) or not isinstance(mode, str):
            raise _damaged(f"its manifest names no {what}")
        try:
            yield path, int(mode, 8) & 0o777, item
        except ValueError as fault:
            raise _damaged(f"its manifest gives {path} no permissions") from fault


def _is_under(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + "/")


def _damaged(what: str) -> FormatError:
    return FormatError(
        f"the backup is refused: {what}",
        code=DAMAGED,
        hint="nothing was put back; take another backup, or fetch this one again",
    )
