"""SHA-256 of a version's part files, several at once, and begun as early as can be.

A shallow verification is hashing, and little else: `DirectoryAhead` begins with it while the rest
of the gate is still being imported, before anything is known of the directory but the names that
parts have. It decides nothing. A digest counts only for a file that the manifest lists, that the
directory was seen to hold, and that is still the one that was hashed; for any other the gate hashes
anew. What is hashed is a regular file, opened as the gate opens it, and no more of it than a part
may have.

It imports neither Arrow nor anything else that takes time.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.sidebyside import cores

__all__ = [
    "CHUNK_BYTES",
    "Digested",
    "DirectoryAhead",
    "FileDigests",
    "chunks",
    "open_regular",
]

CHUNK_BYTES = 1 << 20
"""What is hashed at once stays in the processor's cache: more is slower."""

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe must not make us wait
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True, slots=True)
class Digested:
    """What a file's bytes come to.

    Attributes:
        size_bytes: how many there are; of more than were allowed, one more than that at least.
        sha256: their digest, 32 bytes; says nothing of a file with too many.
    """

    size_bytes: int
    sha256: bytes


def open_regular(path: Path, name: str) -> BinaryIO:
    """Open a regular file, never through a link, and never wait for a pipe.

    Args:
        path: where it lies.
        name: how messages name it.

    Raises:
        FormatError: it is not there, or not a regular file.
        ConfigError: it can't be read.
    """
    try:
        if stat.S_ISLNK(path.lstat().st_mode):
            raise FormatError(f"{name} is a link: want a regular file")
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError as error:
        raise FormatError(f"{name} is not there") from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link put there just now, or a socket
            raise FormatError(f"{name} is not a regular file") from error
        raise ConfigError(f"{name} can't be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FormatError(f"{name} is not a regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def chunks(file: BinaryIO, name: str) -> Iterator[memoryview]:
    """A file's bytes, piece by piece in one buffer.

    Raises:
        ConfigError: it can't be read.
    """
    view = memoryview(bytearray(CHUNK_BYTES))
    try:
        while count := file.readinto(view):  # type: ignore[attr-defined]
            yield view[:count]
    except OSError as error:
        raise ConfigError(f"{name} can't be read: {error.strerror}") from error


class FileDigests:
    """Files hashed side by side, in the order of their names; use it as a context manager.

    Args:
        open_file: opens one.
        names: which; the first that can't be hashed ends them.
        limit: the most bytes of one that are hashed.
        threads: how many at once.
    """

    def __init__(
        self,
        open_file: Callable[[str], BinaryIO],
        names: Iterable[str],
        limit: int,
        threads: int | None = None,
    ) -> None:
        self._open = open_file
        self._names = iter(names)
        self._limit = limit
        self._news = threading.Condition()
        self._begun: set[str] = set()
        self._found: dict[str, Digested] = {}
        self._ended = False  # no further file is begun
        self._closed = False  # nobody waits for what is being hashed
        self._working = threads or cores()
        self._threads = [
            threading.Thread(target=self._work, name="zhixin-digest", daemon=True)
            for _ in range(self._working)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> FileDigests:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def take(self, name: str) -> Digested | None:
        """Wait for a file's digest.

        Returns:
            What its bytes come to; None where it was not among the names, or can't be read: who
            needs it opens it again, and sees why.
        """
        with self._news:
            while name not in self._found:
                if not self._working or (self._ended and name not in self._begun):
                    return None
                self._news.wait()
            return self._found.pop(name)

    def close(self) -> None:
        """Stop hashing: no thread is left."""
        self._ended = self._closed = True
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        try:
            while (name := self._next()) is not None:
                found = self._hashed(name)
                with self._news:
                    self._begun.discard(name)
                    if found is None:
                        self._ended = True
                    else:
                        self._found[name] = found
                    self._news.notify_all()
        finally:
            with self._news:
                self._working -= 1
                self._news.notify_all()

    def _next(self) -> str | None:
        with self._news:
            name = None if self._ended else next(self._names, None)
            if name is not None:
                self._begun.add(name)
            return name

    def _hashed(self, name: str) -> Digested | None:
        digest, seen = hashlib.sha256(), 0
        try:
            with self._open(name) as file:
                for chunk in chunks(file, name):
                    seen += len(chunk)
                    if seen > self._limit:
                        break
                    if self._closed:
                        return None
                    digest.update(chunk)
        except (FormatError, ConfigError, OSError):
            return None
        return Digested(seen, digest.digest())


class DirectoryAhead:
    """The parts of a directory, hashed before anything is known of them.

    Args:
        path: the directory.
        names: what parts are called, in order; the first that is not there ends them.
        limit: the most bytes that a part may have.
    """

    def __init__(self, path: Path, names: Iterable[str], limit: int) -> None:
        self._path = Path(os.path.abspath(path))  # noqa: PTH100 - where the gate looks, to the word
        self._seen: dict[str, os.stat_result] = {}
        self._digests = FileDigests(self._open, names, limit)

    def __enter__(self) -> DirectoryAhead:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._digests.close()

    def take(self, name: str) -> Digested | None:
        """Wait for a part's digest.

        Returns:
            What its bytes come to; None where it was not hashed, or is another file by now, or has
            changed since it was opened.
        """
        found = self._digests.take(name)
        try:
            now = (self._path / name).lstat()
        except OSError:
            return None
        return found if found and _same(now, self._seen[name]) else None

    def _open(self, name: str) -> BinaryIO:
        file = open_regular(self._path / name, name)
        self._seen[name] = os.fstat(file.fileno())
        return file


def _same(now: os.stat_result, then: os.stat_result) -> bool:
    return (now.st_dev, now.st_ino, now.st_mode, now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (
        then.st_dev,
        then.st_ino,
        then.st_mode,
        then.st_size,
        then.st_mtime_ns,
        then.st_ctime_ns,
    )
