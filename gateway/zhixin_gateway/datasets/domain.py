"""Which values of the Arrow types have a canonical form at all.

Section 2.2 of the formats: a float is finite; a date or timestamp lies in the years 0001 to 9999;
a time lies below 24:00; a decimal has at most the type's digits; a string is UTF-8. All else that
an Arrow array of the type can hold is a reject, and in a published part a fault (``record``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zhixin_gateway.datasets.arrow import Array, is_string, pc, to_mask

__all__ = ["invalid_rows", "invalid_values"]

Mask = npt.NDArray[np.bool_]

_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_DAY_US = 86_400_000_000
_FIRST_US, _LAST_US = _FIRST_DAY * _DAY_US, (_LAST_DAY + 1) * _DAY_US - 1


def invalid_rows(batch: pa.RecordBatch) -> Mask | None:
    """Find the records that hold a value without a canonical form.

    Returns:
        A mask with true for each, or None where all records are good.
    """
    found: Mask | None = None
    for column in batch.columns:
        mask = invalid_values(column)
        if mask is not None:
            found = mask if found is None else found | mask
    return found


def invalid_values(array: Array) -> Mask | None:
    """The same of one column or dictionary; a null is valid whatever lies behind it."""
    arrow = array.type
    mask: Mask | None = None
    if isinstance(array, pa.DictionaryArray):
        mask = _invalid_coded(array)
    elif isinstance(array, pa.ListArray):
        mask = _invalid_list(array)
    elif isinstance(array, pa.StructArray):
        mask = _any(invalid_values(member) for member in array.flatten())
    elif pa.types.is_floating(arrow):
        mask = to_mask(pc.invert(pc.is_finite(array)))
    elif pa.types.is_decimal(arrow):
        mask = _invalid_decimal(array)
    elif is_string(arrow):
        mask = _invalid_string(array)
    elif pa.types.is_date32(arrow):
        mask = _outside(array.view(pa.int32()), _FIRST_DAY, _LAST_DAY)
    elif pa.types.is_time64(arrow):
        mask = _outside(array.view(pa.int64()), 0, _DAY_US - 1)
    elif pa.types.is_timestamp(arrow):
        mask = _outside(array.view(pa.int64()), _FIRST_US, _LAST_US)
    return mask if mask is not None and mask.any() else None


def _any(masks: Any) -> Mask | None:  # noqa: ANN401 - an iterable of masks or None
    found: Mask | None = None
    for mask in masks:
        if mask is not None:
            found = mask if found is None else found | mask
    return found


def _outside(array: Array, first: int, last: int) -> Mask | None:
    span = pc.min_max(array)
    least, most = span["min"].as_py(), span["max"].as_py()
    if least is None or (least >= first and most <= last):
        return None
    return to_mask(pc.or_(pc.less(array, first), pc.greater(array, last)))


def _invalid_coded(array: pa.DictionaryArray[Any, Any]) -> Mask | None:
    bad = invalid_values(array.dictionary)
    if bad is None:
        return None
    return to_mask(pa.array(bad).take(array.indices))


def _invalid_list(array: pa.ListArray[Any]) -> Mask | None:
    bad = invalid_values(array.flatten())
    if bad is None:
        return None
    # Not Arrow's parent indices: they count what lies behind a null list, and `flatten` does not.
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    parents = np.repeat(np.arange(len(array)), lengths)
    mask: Mask = np.zeros(len(array), dtype=np.bool_)
    mask[parents[bad]] = True
    return mask


def _invalid_decimal(array: Array) -> Mask | None:
    """Compare the 128-bit integers with the largest of so many digits, in two halves."""
    data = array.buffers()[1]
    if data is None or not len(array):
        return None
    words = np.frombuffer(memoryview(data), dtype="<u8", count=2 * (array.offset + len(array)))
    low, high = words[2 * array.offset :: 2], words[2 * array.offset + 1 :: 2].view("<i8")
    most = 10**array.type.precision - 1
    mask: Mask = _below(_halves(most), (high, low)) | _below((high, low), _halves(-most))
    if array.null_count:
        mask &= array.is_valid().to_numpy(zero_copy_only=False)
    return mask


def _halves(value: int) -> tuple[np.int64, np.uint64]:
    return np.int64(value >> 64), np.uint64(value & (2**64 - 1))


def _below(left: tuple[Any, Any], right: tuple[Any, Any]) -> Mask:
    below: Mask = (left[0] < right[0]) | ((left[0] == right[0]) & (left[1] < right[1]))
    return below


def _invalid_string(array: Array) -> Mask | None:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        wide = pa.types.is_large_string(array.type)
        raw = array.view(pa.large_binary() if wide else pa.binary())
        return np.array([_not_utf8(value) for value in raw.to_pylist()], dtype=np.bool_)
    return None


def _not_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False
