r"""Canonical text of records, ``zhixin/record/v1``, vectorised.

Section 2.2 of the formats. One record is one JSON array in JCS, an element per field::

    ["2013-01-01T05:00:00.000000Z","UA","1545",null,"0.1",["a",null],{"a":"-0.01","b":"\"\u0000"}]

:func:`texts` turns a batch of records into their texts, :func:`invalid_mask` tells which records
hold a value that has none (NaN, the year 10000, 24:00, invalid UTF-8), and
:func:`check_values` holds a text that somebody else wrote to the form.

Every column becomes *elements*: a string array without nulls whose item is the JSON element of
the value. Where values repeat within a batch, only the distinct ones are written, and then taken:
this is what makes pure pyarrow fast enough.
"""

from __future__ import annotations

import binascii
import json
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from zhixin_errors import FormatError

from zhixin_gateway.datasets import native
from zhixin_gateway.datasets.arrow import Array, is_binary, is_string, pc, to_mask, value_bytes
from zhixin_gateway.datasets.domain import invalid_rows, invalid_values
from zhixin_gateway.datasets.sizes import text_bounds
from zhixin_gateway.datasets.values import check_values, number_text, parse_values

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MAX_RECORD_BYTES",
    "check_values",
    "invalid_mask",
    "number_text",
    "parse_values",
    "pieces",
    "texts",
    "too_long_mask",
]

MAX_RECORD_BYTES = 64 * 1024 * 1024
"""A record whose text is longer is a reject."""

_SCALAR_BYTES = 64
_ESCAPE_BYTES = 6
_PIECE_BYTES = 16 * 1024 * 1024
_REPEATS = 2
"""Values are written once each where at most one in so many is distinct."""

_MUST_ESCAPE = '["\\\\\\x00-\\x1f]'
_ESCAPED = np.zeros(256, dtype=bool)
_ESCAPED[:0x20] = True
_ESCAPED[[0x22, 0x5C]] = True
_SCAN_BYTES = 1 << 20


def texts(batch: pa.RecordBatch) -> pa.LargeStringArray:
    """Write the canonical text of every record of a batch.

    Args:
        batch: records of the manifest's Arrow types; of more than a few megabytes, cut it with
            :func:`pieces` first to keep memory bounded.

    Returns:
        One text a record, in their order, without nulls.

    Raises:
        FormatError: a value has no canonical form; :func:`invalid_mask` says whose.
    """
    kernel = native.load()
    return _texts(batch) if kernel is None else _kernel_texts(kernel, batch)


def _kernel_texts(kernel: Any, batch: pa.RecordBatch) -> pa.LargeStringArray:  # noqa: ANN401
    try:
        run, edges = kernel.texts(*native.given(batch))
    except kernel.Refused as error:
        raise native.refusal(error) from error
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(run)]
    written: Any = pa.Array.from_buffers(pa.large_string(), batch.num_rows, buffers, null_count=0)
    return cast("pa.LargeStringArray", written)


def _texts(batch: pa.RecordBatch) -> pa.LargeStringArray:
    invalid = invalid_rows(batch)
    if invalid is not None:
        row = int(np.argmax(invalid))
        raise FormatError(f"record {row} of the batch holds a value that has no canonical form")
    columns = [_elements(column) for column in batch.columns]
    return _wrapped("[", columns, "]", [","] * (len(columns) - 1))


def invalid_mask(batch: pa.RecordBatch) -> pa.BooleanArray:
    """Tell which records hold a value that has no canonical form (true: it is a reject)."""
    invalid = invalid_rows(batch)
    if invalid is None:
        invalid = np.zeros(batch.num_rows, dtype=bool)
    return pa.array(invalid, pa.bool_())


def too_long_mask(batch: pa.RecordBatch, limit: int = MAX_RECORD_BYTES) -> pa.BooleanArray:
    """Tell which records' texts exceed the limit (true: it is a reject).

    Args:
        batch: records without a value that :func:`invalid_mask` names.
        limit: the most bytes of one text.
    """
    if 2 + sum(_most_bytes(column) for column in batch.columns) <= limit:
        return pa.array(np.zeros(batch.num_rows, dtype=bool))
    masks = [pc.greater(pc.binary_length(texts(piece)), limit) for piece in pieces(batch)]
    return pa.concat_arrays(masks) if masks else pa.array([], pa.bool_())


def pieces(batch: pa.RecordBatch, piece_bytes: int = _PIECE_BYTES) -> Iterator[pa.RecordBatch]:
    """Cut a batch into runs of records that hold few enough bytes to be written as texts at once.

    Yields:
        Slices that together are the batch; each is one record, or about ``piece_bytes`` at most.
    """
    if not batch.num_rows:
        return
    if batch.nbytes <= piece_bytes or batch.num_rows == 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from pieces(batch.slice(0, half), piece_bytes)
    yield from pieces(batch.slice(half), piece_bytes)


def _most_bytes(column: Array) -> int:
    """A bound on the longest element of a column, with its comma, from lengths alone."""
    if is_string(column.type) or is_binary(column.type):
        return _SCALAR_BYTES + _ESCAPE_BYTES * (pc.max(pc.binary_length(column)).as_py() or 0)
    if pa.types.is_nested(column.type) or pa.types.is_dictionary(column.type):
        return text_bounds(pa.record_batch([column], names=["_"])).high
    return _SCALAR_BYTES


# --- elements: JSON, with quotes, nulls as `null` ---------------------------------------------


def _elements(array: Array) -> pa.LargeStringArray:
    if isinstance(array, pa.ListArray):
        return _list_elements(array)
    if isinstance(array, pa.StructArray):
        return _struct_elements(array)
    if isinstance(array, pa.DictionaryArray):
        if invalid_values(array.dictionary) is None:
            return _taken(array)
        array = array.dictionary_decode()  # no record shows what can't be written
    if len(array) >= 64:
        coded = _encoded(array)
        if coded is not None:
            return _taken(coded)
    return _quoted(array)


def _encoded(array: Array) -> pa.DictionaryArray[Any, Any] | None:
    """Encode a column by its distinct values, where these are few."""
    keys = array
    if pa.types.is_floating(array.type):
        # Arrow's dictionary takes 0 and -0, which differ here, by their bits; make sure of it.
        keys = array.view(pa.int64())
    sample = keys.slice(0, 1024)
    if len(pc.unique(sample)) * _REPEATS > len(sample) and len(array) <= 1024:
        return None
    coded: pa.DictionaryArray[Any, Any] = pc.dictionary_encode(keys)
    if len(coded.dictionary) * _REPEATS > len(array):
        return None
    if keys is not array:
        coded = pa.DictionaryArray.from_arrays(coded.indices, coded.dictionary.view(array.type))
    return coded


def _taken(array: pa.DictionaryArray[Any, Any]) -> pa.LargeStringArray:
    written = _quoted(array.dictionary)
    indices = array.indices
    if indices.null_count:
        written = pa.concat_arrays([written, pa.array(["null"], pa.large_string())])
        indices = pc.fill_null(indices, len(written) - 1)
    return written.take(indices)


def _quoted(array: Array) -> pa.LargeStringArray:
    plain = _plain(array)
    if plain.type != pa.large_string():
        plain = plain.cast(pa.large_string())
    quote = pa.scalar('"', pa.large_string())
    quoted: pa.LargeStringArray
    quoted = pc.binary_join_element_wise(quote, plain, quote, pa.scalar("", pa.large_string()))
    if quoted.null_count:
        quoted = pc.fill_null(quoted, "null")
    return quoted


def _list_elements(array: pa.ListArray[Any]) -> pa.LargeStringArray:
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    offsets = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(lengths.to_numpy(zero_copy_only=False), out=offsets[1:])
    edges: Any = pa.array(offsets)
    items = pa.LargeListArray.from_arrays(edges, _elements(array.flatten()))
    joined: Any = pc.binary_join(items, pa.scalar(",", pa.large_string()))
    whole = _wrapped("[", [joined], "]", [])
    return _nulled(whole, array)


def _struct_elements(array: pa.StructArray) -> pa.LargeStringArray:
    members = array.flatten()
    names = [field.name for field in array.type]
    order = sorted(range(len(names)), key=lambda at: names[at].encode("utf-16-be"))
    labels = [json.dumps(names[at], ensure_ascii=False) + ":" for at in order]
    columns = [_elements(members[at]) for at in order]
    whole = _wrapped("{" + labels[0], columns, "}", ["," + label for label in labels[1:]])
    return _nulled(whole, array)


def _wrapped(
    before: str, columns: list[pa.LargeStringArray], after: str, between: list[str]
) -> pa.LargeStringArray:
    large = pa.large_string()
    parts: list[Any] = [pa.scalar(before, large), columns[0]]
    for separator, column in zip(between, columns[1:], strict=True):
        parts += [pa.scalar(separator, large), column]
    parts += [pa.scalar(after, large), pa.scalar("", large)]
    joined: pa.LargeStringArray = pc.binary_join_element_wise(*parts)
    return joined


def _nulled(whole: pa.LargeStringArray, array: Array) -> pa.LargeStringArray:
    if not array.null_count:
        return whole
    filled: pa.LargeStringArray
    filled = pc.if_else(array.is_valid(), whole, pa.scalar("null", pa.large_string()))
    return filled


# --- plain: the canonical form of scalars, escaped but without quotes, nulls as nulls ----------


def _plain(array: Array) -> Array:
    arrow = array.type
    if is_string(arrow):
        return _escaped(array)
    if pa.types.is_floating(arrow):
        return _float_plain(array)
    if pa.types.is_decimal(arrow):
        return _decimal_plain(array)
    if is_binary(arrow):
        return pa.array([_base64(value) for value in array.to_pylist()], pa.large_string())
    if pa.types.is_timestamp(arrow):
        return _timestamp_plain(array, zoned=arrow.tz is not None)
    return array.cast(pa.string())


def _base64(value: bytes | None) -> str | None:
    return None if value is None else binascii.b2a_base64(value, newline=False).decode("ascii")


def _escaped(array: Array) -> Array:
    if not _may_escape(array):
        return array
    dirty = pa.array(to_mask(pc.match_substring_regex(array, _MUST_ESCAPE)))
    clean = [json.dumps(text, ensure_ascii=False)[1:-1] for text in array.filter(dirty).to_pylist()]
    wide = array.cast(pa.large_string())
    escaped: Array = pc.replace_with_mask(wide, dirty, pa.array(clean, pa.large_string()))
    return escaped


def _may_escape(array: Array) -> bool:
    """Look for a byte that JSON escapes in what the array shows of its buffer."""
    shown, _ = value_bytes(array)
    return any(
        bool(_ESCAPED[shown[at : at + _SCAN_BYTES]].any())
        for at in range(0, len(shown), _SCAN_BYTES)
    )


def _float_plain(array: Array) -> Array:
    """Write shortest digits by Arrow where its layout is ECMAScript's, else one by one."""
    values = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False)
    size = np.abs(values)
    written = array.cast(pa.string())
    written = pc.replace_substring_regex(written, r"\.0$", "")
    odd = (size >= 1e15) | ((size < 1e-4) & (size != 0))
    odd |= to_mask(pc.match_substring(written, "e"))
    return _corrected(written, odd, [number_text(value) for value in values[odd].tolist()])


def _decimal_plain(array: Array) -> Array:
    """Write decimals by Arrow where it needs no exponent, else one by one."""
    written = array.cast(pa.string())
    odd = to_mask(pc.match_substring(written, "E"))
    values = array.filter(pa.array(odd)).to_pylist() if odd.any() else []
    return _corrected(written, odd, [f"{value:f}" for value in values])


def _corrected(written: Array, odd: np.ndarray[Any, Any], right: list[str]) -> Array:
    if not right:
        return written
    corrected: Array
    corrected = pc.replace_with_mask(written, pa.array(odd), pa.array(right, written.type))
    return corrected


def _timestamp_plain(array: Array, *, zoned: bool) -> Array:
    written: Array = array.view(pa.int64()).view(pa.timestamp("us")).cast(pa.string())
    written = pc.binary_replace_slice(written, start=10, stop=11, replacement="T")
    if zoned:
        written = pc.binary_join_element_wise(written, "Z", "")
    return written
