"""The gate's only input: one version's directory, or one file (docs/formats.md 2.1).

Everything is looked at without following links, opened once, and read within a limit that the
caller states; what was opened is checked again to be a regular file, so that nothing can be put in
its place between the look and the read. Parts are hashed in one pass of bounded memory, or copied
privately while they are hashed, so that what is decoded are the bytes that were hashed.

It knows no format: it answers with bytes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from zhixin_errors import ConfigError, FormatError, VerificationError

from zhixin_gateway.filedigests import CHUNK_BYTES, Digested, chunks, open_regular
from zhixin_gateway.sidebyside import Stop

__all__ = [
    "Digests",
    "Kind",
    "LocalDirectory",
    "VersionFiles",
    "copy_part",
    "hash_part",
    "read_file",
]

Kind = Literal["file", "link", "folder", "special"]

COPY_IN_MEMORY_BYTES = 32 << 20
"""A part up to this size is copied to memory, a larger one to an unlinked temporary file."""


class VersionFiles(Protocol):
    """A version's files, wherever they lie; several threads may open some at once."""

    def entries(self) -> dict[str, Kind]:
        """Every name that is there, hidden ones too, and what it is."""
        ...

    def open(self, name: str) -> BinaryIO:
        """A regular file's bytes, never through a link, to be read from begin to end.

        Raises:
            FormatError: it is not there, or not a regular file.
        """
        ...

    def open_anywhere(self, name: str) -> BinaryIO:
        """The same, to be read in any order: for hints alone, nothing of it is held to a digest."""
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
        return open_regular(self.path / name, name)

    def open_anywhere(self, name: str) -> BinaryIO:
        """The same: a file can be read in any order."""
        return self.open(name)


def _kind(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return "link"
    if entry.is_file(follow_symlinks=False):
        return "file"
    return "folder" if entry.is_dir(follow_symlinks=False) else "special"


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
    pieces = []
    try:
        while count > 0 and (chunk := file.read(min(count, CHUNK_BYTES))):
            pieces.append(chunk)
            count -= len(chunk)
    except OSError as error:
        raise ConfigError(f"{name} can't be read: {error.strerror}") from error
    return b"".join(pieces)


class Digests(Protocol):
    """Digests of parts that are taken by somebody else, such as several at once."""

    def take(self, name: str) -> Digested | None:
        """Wait for a part's; None: it has to be taken here."""
        ...


def hash_part(
    files: VersionFiles, name: str, size: int, sha256: bytes, digests: Digests | None = None
) -> None:
    """Hold a part's bytes to what is stated of them.

    Args:
        files: where it lies.
        name: its file name.
        size: bytes stated.
        sha256: 32 bytes stated.
        digests: where its digest may be found, of bytes that were read from ``files``.

    Raises:
        VerificationError: ``part-digest``.
        ConfigError: it can't be read.
    """
    found = digests.take(name) if digests else None
    if found is None:
        for _ in _digested(files, name, size, sha256, Stop()):
            pass
        return
    _check_size(name, found.size_bytes, size)
    _check_sha256(name, found.sha256, sha256)


def _digested(
    files: VersionFiles, name: str, size: int, sha256: bytes, stop: Stop
) -> Iterator[memoryview]:
    """The part's bytes in chunks; after the last, it has raised unless they are those stated."""
    digest, seen = hashlib.sha256(), 0
    try:
        opened = files.open(name)
    except FormatError as error:
        raise VerificationError(
            f"{error.message}, but it was when the directory was listed", code="part-digest"
        ) from error
    with opened as file:
        for chunk in chunks(file, name):
            stop.check()
            seen += len(chunk)
            if seen > size:
                break
            digest.update(chunk)
            yield chunk
    _check_size(name, seen, size)
    _check_sha256(name, digest.digest(), sha256)


def _check_size(name: str, seen: int, size: int) -> None:
    if seen != size:
        found = f"more than {size}" if seen > size else str(seen)
        raise VerificationError(
            f"{name} has {found} bytes, want the {size} that its owner stated", code="part-digest"
        )


def _check_sha256(name: str, found: bytes, sha256: bytes) -> None:
    if found != sha256:
        raise VerificationError(
            f"{name} has other bytes than its owner stated: its SHA-256 is {found.hex()}, "
            f"want {sha256.hex()}",
            code="part-digest",
        )


@contextmanager
def copy_part(
    files: VersionFiles, name: str, size: int, sha256: bytes, stop: Stop
) -> Iterator[memoryview | BinaryIO]:
    """A private copy of a part, made while it is hashed; nobody else can reach it.

    Args:
        files: where it lies.
        name: its file name.
        size: bytes stated.
        sha256: 32 bytes stated.
        stop: whether it is still wanted.

    Yields:
        The bytes in memory, or a file unlinked from the temporary folder where they are many.

    Raises:
        VerificationError: ``part-digest``: the bytes are not those stated.
        ConfigError: it can't be read, or not be copied.
    """
    if size <= COPY_IN_MEMORY_BYTES:
        held, at = bytearray(size), 0
        for chunk in _digested(files, name, size, sha256, stop):
            held[at : at + len(chunk)] = chunk
            at += len(chunk)
        yield memoryview(held).toreadonly()
        return
    with tempfile.TemporaryFile(prefix="zhixin-part-") as copy:
        try:
            for chunk in _digested(files, name, size, sha256, stop):
                copy.write(chunk)
            copy.flush()
        except OSError as error:
            raise ConfigError(
                f"{name} can't be copied to the temporary folder: {error.strerror}",
                hint="set TMPDIR to a folder with more room",
            ) from error
        yield copy
