r"""A text file's bytes, whatever its encoding, as UTF-8 without a byte order mark.

The encoding is the declared one, never guessed. Bytes that are not valid in it do not stop the
file: each is carried as one escape character (``columns.py``) and rejects its own record only.
"""

from __future__ import annotations

import codecs
import threading
from typing import IO

from zhixin_errors import PermanentSourceError

from zhixin_connectors.columns import escape_byte

__all__ = ["Utf8Stream"]

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHUNK = 1 << 20
_HANDLER = "zhixin-escape"
_seen = threading.local()


class Utf8Stream:
    """Reads like a file: decodes, escapes and encodes again, chunk by chunk.

    Args:
        source: the file's bytes.
        encoding: a Python codec's name.
        place: source and object, for messages.
        tail: bytes to serve after the last, on a line of their own.
        skip: characters at the beginning to leave out (after the byte order mark).
    """

    def __init__(
        self, source: IO[bytes], encoding: str, place: str, *, tail: bytes = b"", skip: int = 0
    ) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)(_HANDLER)
        self._encoding = encoding
        self._place = place
        self._tail = tail
        self._skip = skip
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
                f"source {self._place} begins with the byte order mark of UTF-16, and UTF-8 was "
                "declared",
                code="encoding",
                hint="declare zhixin.encoding: utf-16",
            )
        _seen.invalid = False
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeError:  # what is not valid raises none: this is the whole file's
            raise PermanentSourceError(
                f"source {self._place} has no byte order mark, and {self._encoding} needs one",
                code="encoding",
                hint=f"declare zhixin.encoding: {self._encoding}-le, or {self._encoding}-be",
            ) from None
        self.invalid = self.invalid or _seen.invalid
        if text and not self._started:
            text = text.removeprefix("\ufeff")
            self._started = True
        if self._skip:
            left_out = min(self._skip, len(text))
            self._skip -= left_out
            text = text[left_out:]
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
