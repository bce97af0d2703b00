"""Where the parts of a version go while it is made: the seam between writing and a store.

A sink makes files whose bytes are durable once closed, and puts parts of the version before under
new names where the store can do so without moving their bytes. :class:`LocalSink` is a folder; an
object store's sink has the same shape. Which records go where is the writer's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from zhixin_errors import ConfigError

from zhixin_gateway.datasets.directory import sync_folder
from zhixin_gateway.filedigests import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from zhixin_gateway.datasets.manifest import PartEntry

__all__ = ["LocalSink", "PartFile", "PartSink", "is_stated"]

_BUFFER_BYTES = 1024 * 1024


class PartFile(Protocol):
    """One file while it is written."""

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; how many.

        Raises:
            ConfigError: the store refuses.
        """
        ...

    def close(self) -> None:
        """Make the file durable under its name.

        Raises:
            ConfigError: the store refuses.
        """
        ...

    def abandon(self) -> None:
        """Leave no file; safe whatever happened before, and raises nothing."""
        ...


class PartSink(Protocol):
    """Takes the files of one version; may be used from two threads for different names."""

    def create(self, name: str) -> PartFile:
        """Begin a file.

        Raises:
            ConfigError: the store refuses.
        """
        ...

    def carry(self, entry: PartEntry, name: str) -> bool:
        """Put a part of the version before under this name, without moving its bytes if possible.

        Returns:
            False where it is not there, or not what was stated: nothing lies under the name then.

        Raises:
            ConfigError: the store refuses.
        """
        ...

    def open(self, name: str) -> BinaryIO:
        """Open what was written, to read it back; seekable.

        Raises:
            ConfigError: it can't be read.
        """
        ...

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        ...

    def sync(self) -> None:
        """Make all names durable."""
        ...

    def below(self, folder: str) -> PartSink:
        """A sink of its own for files that are no part of the version yet.

        Several processes may each have one. Its files are named ``folder/name`` here, for
        `rename`. What it makes after `clear` of the folder above never lies in the version.

        Args:
            folder: a name, or one below a folder that was made so.

        Raises:
            ConfigError: the store refuses; or the folder above was cleared meanwhile.
        """
        ...

    def clear(self, folder: str) -> None:
        """Take away what lies in a folder that `below` made, and the folder."""
        ...


class LocalSink:
    """A folder of this machine.

    Args:
        folder: where files go; it must be there.
        previous: the directory of the version before, whose parts may be carried over; None: none.
    """

    def __init__(self, folder: Path, previous: Path | None = None) -> None:
        """Write nothing yet."""
        self._folder = folder
        self._previous = previous

    def create(self, name: str) -> PartFile:
        """Begin a file; one of that name is replaced."""
        return _LocalFile(self._folder / name)

    def carry(self, entry: PartEntry, name: str) -> bool:
        """Link a part of the version before, and hold what then lies here to its digest.

        Where the file system can't link it is copied.
        """
        if self._previous is None:
            return False
        source, target = self._previous / entry.path, self._folder / name
        with _writing(target):
            try:
                kept = stat.S_ISREG(source.lstat().st_mode)
                if kept:
                    _linked_or_copied(source, target)
                    with target.open("rb", buffering=0) as file:
                        kept = is_stated(file, entry)
            except FileNotFoundError:
                return False
            if not kept:
                target.unlink(missing_ok=True)
        return kept

    def open(self, name: str) -> BinaryIO:
        """Open what was written, to read it back."""
        path = self._folder / name
        try:
            return path.open("rb")
        except OSError as error:
            raise ConfigError(f"can't read {path}: {_reason(error)}") from error

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        with _writing(self._folder / name):
            (self._folder / name).unlink(missing_ok=True)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        with _writing(self._folder / new):
            (self._folder / old).replace(self._folder / new)

    def sync(self) -> None:
        """Bring the folder's names to the disk."""
        with _writing(self._folder):
            sync_folder(self._folder)

    def below(self, folder: str) -> LocalSink:
        """A folder of this one; only the last of its names is made."""
        path = self._folder / folder
        with _writing(path):
            path.mkdir(exist_ok=True)
        return LocalSink(path, self._previous)

    def clear(self, folder: str) -> None:
        """Remove a folder of this one, whoever still writes into it."""
        path = self._folder / folder
        with _writing(path):
            for last in (False, False, True):  # it may grow while it is emptied
                if path.exists():
                    shutil.rmtree(path, ignore_errors=not last)


class _LocalFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        with _writing(path):
            path.unlink(missing_ok=True)  # it may be a link to what another version holds
            self._file: Any = path.open("xb", buffering=_BUFFER_BYTES)

    def write(self, data: bytes | memoryview) -> int:
        with _writing(self._path):
            self._file.write(data)
        return len(data)

    def close(self) -> None:
        with _writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._file.raw.close()  # a full disk refuses to flush, and leaves it open
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _linked_or_copied(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links, or too many of them
        copy = _LocalFile(target)
        try:
            with source.open("rb") as read:
                shutil.copyfileobj(read, copy, _BUFFER_BYTES)
            copy.close()
        except BaseException:
            copy.abandon()
            raise


def is_stated(file: BinaryIO, entry: PartEntry) -> bool:
    """Whether a file has the bytes that were stated of a part; no more of it is read than that.

    Args:
        file: at its begin, unbuffered.
        entry: what the version's manifest says of the part.

    Raises:
        ConfigError: it can't be read.
    """
    digest, seen = hashlib.sha256(), 0
    for chunk in chunks(file, entry.path):
        seen += len(chunk)
        if seen > entry.size_bytes:
            return False
        digest.update(chunk)
    return seen == entry.size_bytes and digest.digest() == entry.sha256


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"can't write {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
