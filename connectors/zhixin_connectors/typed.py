"""Arrow columns of any type as the wanted types: what Parquet and drivers hand over.

pyarrow's own cast is used only where it is exact or raises; it is not for a float under decimal (it
rounds), for a naive timestamp under timestamptz (it takes UTC), for a timestamp under date (it
cuts). Where it raises, the column goes by way of its texts, which are exact, through ``cast.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors._arrow import Array, no_misfit, nulls, pc
from zhixin_connectors.cast import Cast, as_instants, cast_texts, in_years, refuse_all
from zhixin_connectors.grammar import Reading

__all__ = ["cast_typed", "is_text", "plain", "raw_texts"]

_FLOAT_INTEGERS = float(2**53)  # below it a float says which integer it is
_DAY_US = 86_400_000_000


def cast_typed(column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    """A column of any Arrow type as the wanted type."""
    column = plain(column)
    source = column.type
    if pt.is_null(source):
        return Cast(nulls(len(column), wanted), [])
    if is_text(source):
        return cast_texts(column, wanted, reading)
    for accepts, cast in _CASTS:
        if accepts(wanted):
            return cast(column, wanted, reading)
    return refuse_all(column, wanted, "the wanted type has no reader")


def is_text(source: pa.DataType) -> bool:
    """Whether the type is one of Arrow's string types."""
    return pt.is_string(source) or pt.is_large_string(source) or pt.is_string_view(source)


def plain(column: Array) -> Array:
    """Without dictionary, run-end or extension encoding, strings as ``pa.string()``."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pt.is_dictionary(column.type):
        return plain(column.dictionary_decode())
    if pt.is_run_end_encoded(column.type):
        return plain(pc.run_end_decode(column))
    if isinstance(column.type, pa.UuidType):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
    if isinstance(column, pa.ExtensionArray):
        return plain(column.storage)
    if is_text(column.type) and not pt.is_string(column.type):
        return column.cast(pa.string())
    return column


def raw_texts(column: Array, rows: Sequence[int]) -> list[str | None]:
    """The values of chosen rows as text, for the quarantine: whole, never rounded."""
    chosen = plain(column.take(pa.array(rows, pa.int64())))
    if is_text(chosen.type):
        return list(chosen.to_pylist())
    if pt.is_null(chosen.type):
        return [None] * len(chosen)
    return list(_texts(chosen).to_pylist())


def _bytes_text(value: bytes) -> str:
    r"""Bytes that are no text, as PostgreSQL writes them: ``\x00ff``."""
    return "\\x" + value.hex()


def _texts(column: Array) -> Array:
    """Every value's text: the canonical one where the value has one."""
    source = column.type
    if pt.is_floating(source):
        wide = pc.cast(column, pa.float64()).to_pylist()
        return pa.array([None if v is None else _float_text(v) for v in wide], pa.string())
    if pt.is_decimal(source):
        return pa.array(
            [None if v is None else format(v, "f") for v in column.to_pylist()], pa.string()
        )
    if _is_bytes(source):
        values = [None if v is None else _bytes_text(v) for v in column.to_pylist()]
        return pa.array(values, pa.string())
    try:
        return pc.cast(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values = [None if not scalar.is_valid else _scalar_text(scalar) for scalar in column]
        return pa.array(values, pa.string())


def _float_text(value: float) -> str:
    """As ECMAScript writes it up to 1e21; beyond that, and for small ones, as Python does."""
    if abs(value) < 1e21 and math.isfinite(value) and value == int(value):
        return _written_out(value).removesuffix(".0")
    return repr(value)


def _scalar_text(scalar: Any) -> str:  # noqa: ANN401 (a pa.Scalar of any type)
    try:
        return json.dumps(scalar.as_py(), ensure_ascii=False, default=str)
    except (ValueError, OverflowError, TypeError):  # beyond Python's dates, or nanoseconds
        return str(scalar)


def _is_bytes(source: pa.DataType) -> bool:
    return (
        pt.is_binary(source)
        or pt.is_large_binary(source)
        or pt.is_fixed_size_binary(source)
        or pt.is_binary_view(source)
    )


def _safe(column: Array, wanted: pa.DataType) -> Array | None:
    try:
        return pc.cast(column, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _by_text(column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    return cast_texts(_texts(column), wanted, reading)


def _exact_or_by_text(column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    cast = _safe(column, wanted)
    return Cast(cast, []) if cast is not None else _by_text(column, wanted, reading)


def _to_number(column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    source = column.type
    if pt.is_floating(source):
        wide = pc.cast(column, pa.float64())
        small = no_misfit(pc.less(pc.abs(wide), _FLOAT_INTEGERS))
        cast = _safe(wide, wanted) if small and not pt.is_decimal(wanted) else None
        return Cast(cast, []) if cast is not None else _floats_by_text(wide, wanted, reading)
    if pt.is_integer(source) or pt.is_decimal(source):
        return _exact_or_by_text(column, wanted, reading)
    return refuse_all(column, wanted, f"a {_word(source)}, and a number was wanted")


def _floats_by_text(wide: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    """By the shortest text of the double, written out: here an exponent is no rounding."""
    texts: list[str | None] = []
    unsure: list[tuple[int, str]] = []
    for row, value in enumerate(wide.to_pylist()):
        if value is not None and math.isfinite(value) and int(value) != int(Decimal(repr(value))):
            unsure.append((row, "a float too large to say which integer it is"))
            value = None  # noqa: PLW2901
        texts.append(None if value is None else _written_out(value))
    cast = cast_texts(pa.array(texts, pa.string()), wanted, reading)
    return Cast(cast.array, sorted(cast.misfits + unsure))


def _written_out(value: float) -> str:
    return format(Decimal(repr(value)), "f") if math.isfinite(value) else repr(value)


def _to_float(column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    source = column.type
    if pt.is_floating(source):
        wide = pc.cast(column, pa.float64())
        finite = pc.is_finite(wide)
        if no_misfit(finite):
            return Cast(wide, [])
        rows = pc.indices_nonzero(pc.invert(finite)).to_pylist()
        cleaned = pc.if_else(finite, wide, pa.scalar(None, pa.float64()))
        return Cast(cleaned, [(row, "not a finite number") for row in rows])
    if pt.is_integer(source):
        return _exact_or_by_text(column, wanted, reading)
    if pt.is_decimal(source):
        return _by_text(column, wanted, reading)
    return refuse_all(column, wanted, f"a {_word(source)}, and a number was wanted")


def _to_boolean(column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    if pt.is_boolean(column.type):
        return Cast(column, [])
    if pt.is_integer(column.type):
        return _by_text(column, wanted, reading)
    return refuse_all(column, wanted, f"a {_word(column.type)}, and a boolean was wanted")


def _to_string(column: Array, wanted: pa.DataType, _reading: Reading) -> Cast:
    source = column.type
    if _is_bytes(source) or pt.is_nested(source) or pt.is_duration(source):  # 5 of what unit?
        return refuse_all(column, wanted, f"a {_word(source)}, and a string was wanted")
    return Cast(_texts(column), [])


def _to_binary(column: Array, wanted: pa.DataType, _reading: Reading) -> Cast:
    if _is_bytes(column.type):
        return Cast(pc.cast(column, wanted), [])
    return refuse_all(column, wanted, f"a {_word(column.type)}, and binary was wanted")


def _to_date(column: Array, wanted: pa.DataType, _reading: Reading) -> Cast:
    source = column.type
    if pt.is_date32(source) and in_years(column):
        return Cast(column, [])
    if pt.is_date(source) or (pt.is_timestamp(source) and source.tz is None):
        return _by_text(column, wanted, Reading())  # our own text: no declared form is asked for
    return refuse_all(column, wanted, f"a {_word(source)}, and a date was wanted")


def _to_time(column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    if not pt.is_time(column.type):
        return refuse_all(column, wanted, f"a {_word(column.type)}, and a time was wanted")
    cast = _safe(column, wanted)
    if cast is not None:
        clock = cast.view(pa.int64())
        below = pc.and_(pc.greater_equal(clock, 0), pc.less(clock, _DAY_US))
        if no_misfit(below):
            return Cast(cast, [])
    return _by_text(column, wanted, reading)


def _to_timestamp(column: Array, wanted: Any, reading: Reading) -> Cast:  # noqa: ANN401
    source = column.type
    if not pt.is_timestamp(source):
        return refuse_all(column, wanted, f"a {_word(source)}, and a timestamp was wanted")
    if source.tz is not None and wanted.tz is None:
        reason = "has an offset from UTC, and the wanted type has none"
        return refuse_all(column, wanted, reason)
    if source.tz is not None:
        column = pc.cast(column, pa.timestamp(source.unit, tz="UTC"))
    cast = _safe(column, pa.timestamp("us", tz=column.type.tz))
    if cast is None or not in_years(cast):
        return _by_text(column, wanted, reading)
    return as_instants(cast, reading) if source.tz is None and wanted.tz else Cast(cast, [])


def _to_list(column: Array, wanted: Any, reading: Reading) -> Cast:  # noqa: ANN401
    source = column.type
    if not (
        pt.is_list(source)
        or pt.is_large_list(source)
        or pt.is_fixed_size_list(source)
        or pt.is_list_view(source)
        or pt.is_large_list_view(source)
    ):
        return refuse_all(column, wanted, f"a {_word(source)}, and a list was wanted")
    items = cast_typed(pc.list_flatten(column), wanted.value_type, reading)
    parents = pc.list_parent_indices(column)
    reasons: dict[int, str] = {}
    if items.misfits:
        owners = parents.take(pa.array([row for row, _ in items.misfits])).to_pylist()
        for owner, (_, reason) in zip(owners, items.misfits, strict=True):
            reasons.setdefault(owner, f"an element is {_as_element(reason)}")
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    ends = pc.cumulative_sum(pc.cast(lengths, pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    missing = column.is_null()
    array = pa.ListArray.from_arrays(offsets, items.array, type=wanted, mask=missing)
    return _without(Cast(array, sorted(reasons.items())))


def _to_struct(column: Array, wanted: Any, reading: Reading) -> Cast:  # noqa: ANN401
    source = column.type
    if not pt.is_struct(source):
        return refuse_all(column, wanted, f"a {_word(source)}, and a struct was wanted")
    fields = [wanted.field(index) for index in range(wanted.num_fields)]
    given = sorted(source.field(index).name for index in range(source.num_fields))
    if given != sorted(field.name for field in fields):
        return refuse_all(column, wanted, "a struct with other members than the wanted type")
    reasons: dict[int, str] = {}
    members = []
    missing = column.is_null()
    for field in fields:
        child = pc.if_else(missing, None, plain(pc.struct_field(column, [field.name])))
        cast = cast_typed(child, field.type, reading)
        members.append(cast.array)
        for row, reason in cast.misfits:
            reasons.setdefault(row, f"member {field.name} is {_as_element(reason)}")
    array = pa.StructArray.from_arrays(members, fields=fields, mask=missing)
    return _without(Cast(array, sorted(reasons.items())))


def _without(cast: Cast) -> Cast:
    """Null the misfits' cells (of nested types, which ``replace_with_mask`` does not take)."""
    if not cast.misfits:
        return cast
    bad = {row for row, _ in cast.misfits}
    rows = pa.array([None if row in bad else row for row in range(len(cast.array))], pa.int64())
    return Cast(cast.array.take(rows), cast.misfits)


def _as_element(reason: str) -> str:
    return reason if reason.startswith(("not ", "a ", "an ")) else f"no value of its type: {reason}"


def _word(source: pa.DataType) -> str:
    if _is_bytes(source):
        return "binary value"
    return str(source).split("[", 1)[0].split("(", 1)[0].split("<", 1)[0]


_CASTS: list[tuple[Callable[[pa.DataType], bool], Callable[[Array, Any, Reading], Cast]]] = [
    (lambda wanted: pt.is_integer(wanted) or pt.is_decimal(wanted), _to_number),
    (pt.is_floating, _to_float),
    (pt.is_string, _to_string),
    (pt.is_boolean, _to_boolean),
    (pt.is_date, _to_date),
    (pt.is_time, _to_time),
    (pt.is_timestamp, _to_timestamp),
    (pt.is_binary, _to_binary),
    (pt.is_list, _to_list),
    (pt.is_struct, _to_struct),
]
