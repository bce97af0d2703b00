"""The gate's only input: one version's directory, or one file (docs/formats.md 2.1).

Everything is looked at without following links, opened once, and read within a limit that the
caller states; what was opened is checked again to be a regular file, so that nothing can be put in
its place between the look and the read. Parts are hashed in one pass of bounded memory, or copied
privately while they are hashed, so that what is decoded are the bytes that were hashed.

It knows no format: it answers with bytes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from zhixin_errors import ConfigError, FormatError, VerificationError

__all__ = [
    "Kind",
    "LocalDirectory",
    "VersionFiles",
    "copy_part",
    "hash_part",
    "read_file",
]

Kind = Literal["file", "link", "folder", "special"]

CHUNK_BYTES = 1 << 20
COPY_IN_MEMORY_BYTES = 32 << 20
"""A part up to this size is copied to memory, a larger one to an unlinked temporary file."""

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe must not make us wait
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class VersionFiles(Protocol):
    """A version's files, wherever they lie."""

    def entries(self) -> dict[str, Kind]:
        """Every name that is there, hidden ones too, and what it is."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A regular file's bytes, never through a link.

        Raises:
            FormatError: it is not there, or not a regular file.
        """
        ...


class LocalDirectory:
    """A version directory on this machine.

    Args:
        path: may itself be reached through links; nothing in it may be one.

    Raises:
        ConfigError: there is no such directory.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            found = "is a file, not a directory" if path.exists() else "does not exist"
            raise ConfigError(
                f"{path} {found}",
                hint="give the folder of a version, such as HOME/store/bts.gov.example/flights/3; "
                "`zhixin cat` takes a name and verifies it too",
            )
        self.path = path

    def entries(self) -> dict[str, Kind]:
        """Every name that is there, hidden ones too, and what it is."""
        try:
            with os.scandir(self.path) as listing:
                return {entry.name: _kind(entry) for entry in listing}
        except OSError as error:
            raise ConfigError(f"{self.path} can't be listed: {error.strerror}") from error

    def open(self, name: str) -> BinaryIO:
        """A regular file's bytes, never through a link."""
        return _open(self.path / name, name)


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return "link"
    if entry.is_file(follow_symlinks=False):
        return "file"
    return "folder" if entry.is_dir(follow_symlinks=False) else "special"


def _open(path: Path, name: str) -> BinaryIO:
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


def read_file(files: VersionFiles, name: str, limit: int) -> bytes:
    """A small file's bytes.

    Args:
        files: where it lies.
        name: its name.
        limit: the most bytes that it may have.

    Raises:
        FormatError: it is not there, not regular, or longer.
        ConfigError: it can't be read.
    """
    with files.open(name) as file:
        data = _read_up_to(file, limit + 1, name)
    if len(data) > limit:
        raise FormatError(f"{name} is longer than {limit} bytes")
    return data


def _read_up_to(file: BinaryIO, count: int, name: str) -> bytes:
    chunks = []
    try:
        while count > 0 and (chunk := file.read(min(count, CHUNK_BYTES))):
            chunks.append(chunk)
            count -= len(chunk)
    except OSError as error:
        raise ConfigError(f"{name} can't be read: {error.strerror}") from error
    return b"".join(chunks)


def _stream(file: BinaryIO, name: str) -> Iterator[memoryview]:
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    try:
        while count := file.readinto(view):  # type: ignore[attr-defined]
            yield view[:count]
    except OSError as error:
        raise ConfigError(f"{name} can't be read: {error.strerror}") from error


def _digested(files: VersionFiles, name: str, size: int, sha256: bytes) -> Iterator[memoryview]:
    """The part's bytes in chunks; after the last, it has raised unless they are those stated."""
    digest, seen = hashlib.sha256(), 0
    try:
        opened = files.open(name)
    except FormatError as error:
        raise VerificationError(
            f"{error.message}, but it was when the directory was listed", code="part-digest"
        ) from error
    with opened as file:
        for chunk in _stream(file, name):
            seen += len(chunk)
            if seen > size:
                break
            digest.update(chunk)
            yield chunk
    if seen != size:
        found = f"more than {size}" if seen > size else str(seen)
        raise VerificationError(
            f"{name} has {found} bytes, want the {size} that its owner stated", code="part-digest"
        )
    if digest.digest() != sha256:
        raise VerificationError(
            f"{name} has other bytes than its owner stated: its SHA-256 is {digest.hexdigest()}, "
            f"want {sha256.hex()}",
            code="part-digest",
        )


def hash_part(files: VersionFiles, name: str, size: int, sha256: bytes) -> None:
    """Hold a part's bytes to what is stated of them.

    Args:
        files: where it lies.
        name: its file name.
        size: bytes stated.
        sha256: 32 bytes stated.

    Raises:
        VerificationError: ``part-digest``.
        ConfigError: it can't be read.
    """
    for _ in _digested(files, name, size, sha256):
        pass


@contextmanager
def copy_part(
    files: VersionFiles, name: str, size: int, sha256: bytes
) -> Iterator[memoryview | BinaryIO]:
    """A private copy of a part, made while it is hashed; nobody else can reach it.

    Args:
        files: where it lies.
        name: its file name.
        size: bytes stated.
        sha256: 32 bytes stated.

    Yields:
        The bytes in memory, or a file unlinked from the temporary folder where they are many.

    Raises:
        VerificationError: ``part-digest``: the bytes are not those stated.
        ConfigError: it can't be read, or not be copied.
    """
    if size <= COPY_IN_MEMORY_BYTES:
        yield memoryview(b"".join(map(bytes, _digested(files, name, size, sha256))))
        return
    with tempfile.TemporaryFile(prefix="zhixin-part-") as copy:
        try:
            for chunk in _digested(files, name, size, sha256):
                copy.write(chunk)
            copy.flush()
        except OSError as error:
            raise ConfigError(
                f"{name} can't be copied to the temporary folder: {error.strerror}",
                hint="set TMPDIR to a folder with more room",
            ) from error
        yield copy
