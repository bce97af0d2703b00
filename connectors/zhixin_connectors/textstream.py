r"""A text file's bytes, whatever its encoding and compression, as UTF-8 without a byte order mark.

The encoding is the declared one, never guessed. Bytes that are not valid in it do not stop the
file: each is carried as one escape character (``columns.py``) and rejects its own record only.
"""

from __future__ import annotations

import codecs
import gzip
import threading
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from zhixin_errors import PermanentSourceError

from zhixin_connectors.columns import escape_byte

__all__ = ["UNREADABLE", "Utf8Stream", "open_bytes"]

UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHUNK = 1 << 20
_HANDLER = "zhixin-escape"
_seen = threading.local()


def open_bytes(path: Path, stack: ExitStack) -> IO[bytes]:
    """Open a file, unpacked if its name ends in .gz or .zip; ``stack`` closes it.

    Raises:
        PermanentSourceError: a .zip holds several files.
        OSError, zipfile.BadZipFile: it can't be opened.
    """
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", stack.enter_context(gzip.open(path, "rb")))
    if path.suffix.lower() != ".zip":
        return stack.enter_context(path.open("rb"))
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise PermanentSourceError(
            f"{path.name} holds {len(members)} files, and one is wanted",
            hint="unpack it, and name the file",
        )
    if members[0].flag_bits & 1:
        raise PermanentSourceError(f"{path.name} is encrypted", hint="unpack it first")
    return stack.enter_context(archive.open(members[0]))


class Utf8Stream:
    """Reads like a file: decodes, escapes and encodes again, chunk by chunk.

    Args:
        source: the file's bytes.
        encoding: a Python codec's name.
        tail: bytes to serve after the last, on a line of their own.
    """

    def __init__(self, source: IO[bytes], encoding: str, tail: bytes = b"") -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)(_HANDLER)
        self._encoding = encoding
        self._tail = tail
        self._buffer = bytearray()
        self._started = False
        self._ended = False
        self._last = "\n"
        self.invalid = False

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes, fewer only at the end; all that are left if it is negative."""
        while not self._ended and (size < 0 or len(self._buffer) < size):
            self._buffer += self._next().encode()
        taken = bytes(self._buffer) if size < 0 else bytes(self._buffer[:size])
        del self._buffer[: len(taken)]
        return taken

    def _next(self) -> str:
        data = self._source.read(_CHUNK)
        if not self._started and self._encoding == "utf-8" and data.startswith(_UTF16_MARKS):
            raise PermanentSourceError(
                "the file begins with the byte order mark of UTF-16, and UTF-8 was declared",
                hint="declare zhixin.encoding: utf-16",
            )
        _seen.invalid = False
        text = self._decoder.decode(data, final=not data)
        self.invalid = self.invalid or _seen.invalid
        if text and not self._started:
            text = text.removeprefix("\ufeff")
            self._started = True
        if text:
            self._last = text[-1]
        if not data:
            self._ended = True
            if self._tail:
                text += ("" if self._last in "\r\n" else "\n") + self._tail.decode()
        return text


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    _seen.invalid = True
    return "".join(map(escape_byte, error.object[error.start : error.end])), error.end


codecs.register_error(_HANDLER, _escape)
