"""A file's bytes, unpacked: what it is packed with is told by its first bytes, not by its name.

::

    1f 8b           gzip     28 b5 2f fd     zstd
    BZh             bzip2    04 22 4d 18     lz4, framed
    fd 37 7a 58 5a  xz       50 4b 03 04     zip: its one member, or the one that the object names

Nothing is unpacked beyond what is asked for, so memory does not depend on how much there is. A file
that is cut off or damaged raises :class:`Damaged` where it breaks, after the bytes before it. One
that becomes more than 500 times its size (beyond a GiB) is refused: tables do not, bombs do.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import IO, Any, cast

import pyarrow as pa
from zhixin_errors import PermanentSourceError, ZhixinError

from zhixin_connectors.places import SourceFile

__all__ = ["Damaged", "OpenStream", "members", "packing", "unpacked"]

OpenStream = Callable[[], AbstractContextManager[IO[bytes]]]

_FREE_BYTES = 1 << 30
_MOST_TIMES = 500
_XZ_BYTES = 1 << 28  # memory that an .xz may ask for
_CHUNK = 1 << 20
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


class Damaged(Exception):
    """The packed bytes are cut off or damaged; ``str()`` says how, in words for the message."""


def packing(beginning: bytes) -> str:
    """What a file is packed with, by its first bytes; empty if with nothing."""
    return next((name for magic, name in _MAGIC.items() if beginning.startswith(magic)), "")


def members(file: SourceFile) -> list[str]:
    """The names of the files in a .zip, in their order there.

    Raises:
        PermanentSourceError: it is damaged.
    """
    with ExitStack() as stack:
        archive = _archive(file, stack.enter_context(file.open()), stack)
        return [each.filename for each in archive.infolist() if not each.is_dir()]


@contextmanager
def unpacked(file: SourceFile) -> Iterator[IO[bytes]]:
    """Open a file and unpack it as it is read.

    Raises:
        PermanentSourceError: a .zip that holds several files, none of which was named.
        Damaged: by the stream's ``read``.
    """
    kind = packing(file.head)
    with ExitStack() as stack:
        raw = io.BufferedReader(_Raw(file, stack.enter_context(file.open())), _CHUNK)
        if kind:
            opened = _open_zip(file, raw, stack) if kind == "zip" else _OPENERS[kind](raw)
            yield cast("IO[bytes]", io.BufferedReader(_Unpacked(opened, file), _CHUNK))
        else:
            yield raw


def _open_zip(file: SourceFile, raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    archive = _archive(file, raw, stack)
    names = [each.filename for each in archive.infolist() if not each.is_dir()]
    meant = [name for name in names if name == file.inside] if file.inside else names
    if file.inside and len(meant) > 1:
        raise PermanentSourceError(
            f"{file.name} holds {file.inside} {len(meant)} times",
            hint="pack it anew: which of them is meant nobody can tell",
        )
    if len(meant) != 1:
        raise PermanentSourceError(
            f"source {file.place} holds {len(names)} files, and one is wanted"
            if not file.inside
            else f"source {file.place} holds no {file.inside}",
            code="object-missing",
            hint=f"name it as {file.name}/{names[0]}" if names else "it is empty",
        )
    info = archive.getinfo(meant[0])
    if info.flag_bits & 1:
        raise PermanentSourceError(f"source {file.place} is encrypted", hint="unpack it first")
    try:
        return stack.enter_context(archive.open(info))
    except NotImplementedError:
        raise PermanentSourceError(
            f"source {file.place} is packed in a way that is not known here",
            hint="unpack it first",
        ) from None


def _archive(file: SourceFile, raw: IO[bytes], stack: ExitStack) -> zipfile.ZipFile:
    try:
        return stack.enter_context(zipfile.ZipFile(raw))
    except (zipfile.BadZipFile, ValueError, OSError):
        raise PermanentSourceError(
            f"source {file.place} is damaged: its list of files can't be read",
            code="file-damaged",
        ) from None


class _Raw(io.RawIOBase):
    """The file itself; what its file system raises says which file."""

    def __init__(self, file: SourceFile, stream: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._stream = stream

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 (a writable buffer)
        with self._file.telling():
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with self._file.telling():
            self._stream.seek(offset, whence)
            return self._stream.tell()


class _Unpacked(io.RawIOBase):
    """Counts what comes out, and turns every codec's own error into one."""

    def __init__(self, stream: IO[bytes], file: SourceFile) -> None:
        super().__init__()
        self._stream = stream
        self._most = max(_FREE_BYTES, file.size * _MOST_TIMES)
        self._done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 (a writable buffer)
        try:
            data = self._stream.read(len(buffer))
        except ZhixinError:
            raise
        except _FAULTS:
            raise Damaged("it can't be unpacked any further: cut off or damaged") from None
        self._done += len(data)
        if self._done > self._most:
            raise Damaged(f"it unpacks to more than {_MOST_TIMES} times its size, as no table does")
        buffer[: len(data)] = data
        return len(data)


class _Streamed(io.RawIOBase):
    """bzip2 and xz, several streams one after another, with a bound on the memory of xz."""

    def __init__(self, source: IO[bytes], make: Callable[[], Any]) -> None:
        super().__init__()
        self._source = source
        self._make = make
        self._codec = make()
        self._data = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while True:
            if self._codec.eof:
                rest = self._codec.unused_data.lstrip(b"\0") or self._source.read(_CHUNK).lstrip(
                    b"\0"
                )
                if not rest:
                    return b""
                self._codec, self._data = self._make(), rest
            elif self._codec.needs_input and not self._data:
                self._data = self._source.read(_CHUNK)
                if not self._data:
                    raise EOFError
            out: bytes = self._codec.decompress(self._data, size)
            self._data = b""
            if out:
                return out


_OPENERS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    "gzip": lambda raw: cast("IO[bytes]", gzip.GzipFile(fileobj=raw)),
    "bzip2": lambda raw: cast("IO[bytes]", _Streamed(raw, bz2.BZ2Decompressor)),
    "xz": lambda raw: cast(
        "IO[bytes]", _Streamed(raw, lambda: lzma.LZMADecompressor(memlimit=_XZ_BYTES))
    ),
    "zstd": lambda raw: cast("IO[bytes]", pa.CompressedInputStream(cast("Any", raw), "zstd")),
    "lz4": lambda raw: cast("IO[bytes]", pa.CompressedInputStream(cast("Any", raw), "lz4")),
}
