"""How long the texts of records are at least and at most, without writing them.

Reading must know that a part's texts stay within 256 MiB before its values are expanded. What
takes memory is strings and binaries: their part of the text is counted exactly, escapes included,
on dictionaries as well as on plain arrays. Of numbers two bounds are enough: only where a part ends
up between the bounds are its texts written to be counted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from zhixin_gateway.datasets.arrow import Array, is_binary, pc, value_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

    Weights = npt.NDArray[np.int64] | None

__all__ = ["Bounds", "text_bounds"]

_QUOTES = 2
_NULL = 4
_FLOAT_CHARS = 24  # -1.2345678901234567e-308
_SCAN_BYTES = 1 << 22
_FIXED = {
    pa.date32(): 10,
    pa.time64("us"): 15,
    pa.timestamp("us"): 26,
    pa.timestamp("us", tz="UTC"): 27,
}

_EXTRA = np.zeros(256, dtype=np.uint8)
_EXTRA[:0x20] = 5
_EXTRA[[0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x22, 0x5C]] = 1
"""Bytes that JSON's escape of each byte adds."""


class Bounds(NamedTuple):
    """The least and the most bytes."""

    low: int
    high: int

    def plus(self, other: Bounds) -> Bounds:
        """Both sums."""
        return Bounds(self.low + other.low, self.high + other.high)


def text_bounds(batch: pa.RecordBatch) -> Bounds:
    """Bound the bytes of a batch's texts, each with its newline.

    Args:
        batch: of the manifest's types; strings and binaries may be dictionary-encoded.
    """
    exact = batch.num_rows * (batch.num_columns + 2)
    total = Bounds(exact, exact)
    for column in batch.columns:
        total = total.plus(_bounds(column))
    return total


def _bounds(array: Array) -> Bounds:
    nulls = array.null_count * _NULL
    total = Bounds(nulls, nulls)
    if isinstance(array, pa.StructArray):
        valid = len(array) - array.null_count
        labels = [len(json.dumps(f.name, ensure_ascii=False).encode()) + 2 for f in array.type]
        exact = valid * (sum(labels) + 1)
        total = total.plus(Bounds(exact, exact))
        shown = array.drop_null() if array.null_count else array
        for member in shown.flatten():
            total = total.plus(_bounds(member))
        return total
    if isinstance(array, pa.ListArray):
        items = array.flatten()
        filled = int(pc.sum(pc.greater(pc.list_value_length(array), 0)).as_py() or 0)
        exact = (len(array) - array.null_count) * 2 + len(items) - filled
        return total.plus(Bounds(exact, exact)).plus(_bounds(items))
    return total.plus(_scalars(array))


def _scalars(array: Array) -> Bounds:
    valid = len(array) - array.null_count
    if not valid:
        return Bounds(0, 0)
    if isinstance(array, pa.DictionaryArray):
        return _coded(array)
    quotes = valid * _QUOTES
    low, high = _chars(array, valid)
    return Bounds(quotes + low, quotes + high)


def _chars(array: Array, valid: int) -> tuple[int, int]:
    arrow = array.type
    if arrow in _FIXED:
        return valid * _FIXED[arrow], valid * _FIXED[arrow]
    if pa.types.is_boolean(arrow):
        exact = valid * 5 - pc.sum(array).as_py()
        return exact, exact
    if pa.types.is_integer(arrow):
        span = pc.min_max(array)
        least, most = span["min"].as_py(), span["max"].as_py()
        longest = max(len(str(least)), len(str(most)))
        return valid * (len(str(least)) if least >= 0 else 1), valid * longest
    if pa.types.is_floating(arrow):
        return valid, valid * _FLOAT_CHARS
    if isinstance(arrow, pa.Decimal128Type):
        shortest = arrow.scale + 2 if arrow.scale else 1
        return valid * shortest, valid * (arrow.precision + 3)
    exact = int(_lengths(array).sum())
    return exact, exact


def _coded(array: pa.DictionaryArray[Any, Any]) -> Bounds:
    """Strings behind a dictionary: each value's length once, added up by how often it is there."""
    indices = array.indices.drop_null()
    data: Any = indices.buffers()[1]
    shown = np.frombuffer(memoryview(data), dtype=f"i{indices.type.byte_width}")
    shown = shown[indices.offset : indices.offset + len(indices)]
    exact = int(_lengths(array.dictionary)[shown].sum()) + len(indices) * _QUOTES
    return Bounds(exact, exact)


def _lengths(array: Array) -> npt.NDArray[np.int64]:
    """Characters of each value's element without quotes; a null has none.

    By the buffers: Arrow's own ways to numpy import pandas where it is there, for half a second.
    """
    shown, edges = value_bytes(array)
    lengths: npt.NDArray[np.int64] = np.diff(edges)
    if is_binary(array.type):
        lengths = (lengths + 2) // 3 * 4
    else:
        extra = _escape_bytes(shown, edges)
        lengths = lengths if extra is None else lengths + extra
    validity = array.buffers()[0]
    if array.null_count and validity is not None:
        bits = np.unpackbits(np.frombuffer(memoryview(validity), np.uint8), bitorder="little")
        lengths[bits[array.offset : array.offset + len(array)] == 0] = 0
    return lengths


def _escape_bytes(shown: npt.NDArray[np.uint8], edges: npt.NDArray[np.int64]) -> Weights:
    """What escapes add to each value, or None where nothing needs one."""
    if not any(
        _EXTRA[shown[at : at + _SCAN_BYTES]].any() for at in range(0, len(shown), _SCAN_BYTES)
    ):
        return None
    filled = np.flatnonzero(np.diff(edges) > 0)
    extra = np.zeros(len(edges) - 1, dtype=np.int64)
    extra[filled] = np.add.reduceat(_EXTRA[shown], edges[filled], dtype=np.int64)
    return extra
