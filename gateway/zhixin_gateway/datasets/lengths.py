"""Lengths of strings in a Parquet page, added up without making the strings.

Two encodings hide how long values are: a dictionary, where an index stands for a value of any
length, and DELTA_BYTE_ARRAY, where a value repeats the beginning of the one before::

    DELTA_BINARY_PACKED prefix lengths ‖ DELTA_LENGTH_BYTE_ARRAY suffixes
    header   varint block size, varint miniblocks, varint count, zigzag first value
    block    zigzag least delta, a byte of bit width per miniblock, the miniblocks' packed bits

Both are read here from one decompressed page, which is at most 256 MiB.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from zhixin_errors import VerificationError

from zhixin_gateway.datasets.footer import PageKind

if TYPE_CHECKING:
    from zhixin_gateway.datasets.footer import Chunk, Page

__all__ = ["longest_value", "prefix_bytes"]

_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_MAX_BLOCK = 1 << 20
_MINIBLOCK = 32
"""Values of a miniblock: a multiple of so many, so that none costs more than it should."""


def longest_value(data: memoryview, chunk: Chunk, page: Page) -> int:
    """The most bytes of a value of a dictionary page.

    Raises:
        VerificationError: the page does not hold the values that it says (``record``).
    """
    raw = _inflated(data, chunk, page)
    at = longest = 0
    size_at = struct.Struct("<I").unpack_from
    try:
        for _ in range(page.values):
            (size,) = size_at(raw, at)
            at += 4 + size
            longest = max(longest, size)
    except struct.error as error:
        raise _fault("a dictionary page ends within a value") from error
    if at > len(raw):
        raise _fault("a dictionary page ends within a value")
    return longest


def prefix_bytes(data: memoryview, chunk: Chunk, page: Page, *, nested: bool) -> int:
    """How many bytes the values of a DELTA_BYTE_ARRAY page repeat, all together.

    Args:
        data: the whole file.
        chunk: the page's column chunk.
        page: its header.
        nested: whether the column lies within a list, so that it has repetition levels.

    Raises:
        VerificationError: the page is not in that form (``record``).
    """
    raw = _inflated(data, chunk, page)
    start = 0
    if page.kind == PageKind.DATA:
        for _ in range(2 if nested else 1):
            start += 4 + int.from_bytes(raw[start : start + 4], "little")
    return _Packed(raw, start).total(page.values)


def _inflated(data: memoryview, chunk: Chunk, page: Page) -> memoryview:
    """A page's bytes, decompressed; of a page of version 2 without its levels."""
    levels = page.level_bytes or 0
    raw = data[page.start + levels : page.start + page.size_bytes]
    size = page.uncompressed_bytes - levels
    if chunk.codec == 0 or not page.compressed:
        return raw
    codec = _CODECS.get(chunk.codec)
    if codec is None:
        raise _fault("a page that would have to be measured has an unknown compression")
    try:
        inflated: Any = pa.decompress(pa.py_buffer(raw), size, codec=codec)  # type: ignore[call-overload]
        return memoryview(inflated).cast("B")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _fault("a page can't be decompressed") from error


class _Packed:
    """A run of DELTA_BINARY_PACKED 32-bit integers."""

    def __init__(self, raw: memoryview, at: int) -> None:
        self._raw = raw
        self._at = at

    def total(self, most: int) -> int:
        """The sum of all, none of which may be negative; at most so many."""
        block, miniblocks, count = self._varint(), self._varint(), self._varint()
        last = self._zigzag()
        if count == 0:
            return 0
        if not 0 < miniblocks <= block <= _MAX_BLOCK or block % miniblocks or count > most:
            raise _fault("lengths that are not in their form")
        size = block // miniblocks
        if size % _MINIBLOCK:
            raise _fault("lengths that are not in their form")
        total, left = _length(last), count - 1
        while left > 0:
            least = self._zigzag()
            widths = bytes(self._take(miniblocks))
            for width in widths:
                if left <= 0:
                    break
                deltas = self._miniblock(width, size)[: min(size, left)]
                lengths = (last + np.cumsum(deltas + least)) & 0xFFFFFFFF
                if int(lengths.max()) > 0x7FFFFFFF:
                    raise _fault("a negative length")
                total += int(lengths.sum())
                last, left = int(lengths[-1]), left - len(deltas)
        return total

    def _miniblock(self, width: int, size: int) -> Any:  # noqa: ANN401 - a numpy array
        if width > 32:
            raise _fault("lengths of more than 32 bits")
        if width == 0:
            return np.zeros(size, dtype=np.int64)
        packed = np.frombuffer(self._take(width * size // 8), dtype=np.uint8)
        bits = np.unpackbits(packed, bitorder="little")[: width * size].reshape(-1, width)
        return bits.astype(np.int64) @ (np.int64(1) << np.arange(width, dtype=np.int64))

    def _take(self, size: int) -> memoryview:
        if size > len(self._raw) - self._at:
            raise _fault("lengths that end early")
        self._at += size
        return self._raw[self._at - size : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 64:
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise _fault("an integer of more than 10 bytes")

    def _zigzag(self) -> int:
        """A 32-bit integer; a decoder keeps no more bits either."""
        raw = self._varint()
        value = (raw >> 1) ^ -(raw & 1)
        return (value + 2**31) % 2**32 - 2**31


def _length(value: int) -> int:
    if value < 0:
        raise _fault("a negative length")
    return value


def _fault(why: str) -> VerificationError:
    return VerificationError(f"a part beyond its bounds: {why}", code="record")
