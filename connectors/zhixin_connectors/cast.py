"""Source columns as the wanted types, in bulk: exact, or null and a reason.

Three steps, each for what the one before left over:

1. the whole column at once, by pyarrow's own cast, where that is known to be exact for the texts
   that a mask (an RE2 expression) lets through;
2. what the mask lets through in bulk, the other rows one by one by ``grammar.parse_text``;
3. all rows one by one, each different text once.

Steps 1 and 2 take only texts of which step 3 says the same: a property test holds that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors._arrow import Array, no_misfit, nulls, pc
from zhixin_connectors.grammar import Reading, Unfit, localise, parse_text

__all__ = ["Cast", "as_instants", "cast_texts", "each_in_years", "in_years", "refuse_all"]

_INT = r"^-?[0-9]{1,18}(?:\.0*)?$"
_UINT = r"^[0-9]{1,19}(?:\.0*)?$"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]" + _CLOCK
_NAIVE = _TIMESTAMP + "$"
_AWARE = _TIMESTAMP + r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = f"^{_CLOCK}$"
_FLOAT = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_ZERO = r"^[+-]?[0.]+(?:[eE][+-]?[0-9]+)?$"
_TRUE = ("true", "True", "TRUE", "t", "1")
_FALSE = ("false", "False", "FALSE", "f", "0")

_UTC_US = pa.timestamp("us", tz="UTC")
_NAIVE_US = pa.timestamp("us")
_FIRST_US, _END_US = -62_135_596_800_000_000, 253_402_300_800_000_000  # years 0001 to 9999
_FIRST_DAY, _END_DAY = -719_162, 2_932_897
_ZONE_FIRST_US, _ZONE_END_US = 0, 2_145_916_800_000_000  # 1970 to 2037: pyarrow's zones are right


class Cast(NamedTuple):
    """A column of the wanted type; ``misfits`` are (row, reason) in row order, their cells null."""

    array: Array
    misfits: list[tuple[int, str]]


def cast_texts(texts: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    """Read texts (a ``pa.string()`` array, nulls stay null) as the wanted type."""
    if pt.is_string(wanted):
        return Cast(texts, [])
    bulk = _BULK.get(_kind(wanted, reading))
    if bulk is None:
        return _one_by_one(texts, wanted, reading)
    whole = _try(bulk.convert, texts, wanted, reading) if bulk.unmasked else None
    if whole is not None:
        return Cast(whole, [])
    fits = pc.match_substring_regex(texts, bulk.mask(wanted))
    clean = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
    converted = _try(bulk.convert, clean, wanted, reading)
    if converted is None:
        return _one_by_one(texts, wanted, reading)
    odd = pc.indices_nonzero(pc.invert(fits))  # nulls are neither
    if not len(odd):
        return Cast(converted, [])
    rest = _one_by_one(texts.take(odd), wanted, reading)
    mask = pc.fill_null(pc.invert(fits), False)
    rows = odd.to_pylist()
    return Cast(
        pc.replace_with_mask(converted, mask, rest.array),
        [(rows[row], reason) for row, reason in rest.misfits],
    )


def refuse_all(column: Array, wanted: pa.DataType, reason: str) -> Cast:
    """Every value is a misfit."""
    rows = pc.indices_nonzero(column.is_valid()).to_pylist()
    return Cast(nulls(len(column), wanted), [(row, reason) for row in rows])


def in_years(array: Array) -> bool:
    """Whether dates or microsecond timestamps lie in the years 0001 to 9999."""
    return _within(array, *_years(array))


def each_in_years(array: Array) -> Array:
    """Which dates or microsecond timestamps lie in the years 0001 to 9999."""
    first, end = _years(array)
    numbers = array.view(pa.int32() if pt.is_date32(array.type) else pa.int64())
    return pc.and_(pc.greater_equal(numbers, first), pc.less(numbers, end))


def _years(array: Array) -> tuple[int, int]:
    return (_FIRST_DAY, _END_DAY) if pt.is_date32(array.type) else (_FIRST_US, _END_US)


def as_instants(naive: Array, reading: Reading) -> Cast:
    """Local microsecond timestamps as UTC, by the zone of ``reading``."""
    if reading.zone is None:
        return refuse_all(naive, _UTC_US, "no offset from UTC, and the contract names no time zone")
    if _within(naive, _ZONE_FIRST_US, _ZONE_END_US):
        instants = _try(_assume_zone, naive, _UTC_US, reading)
        if instants is not None:
            return Cast(instants, [])
    misfits: list[tuple[int, str]] = []
    values: list[object] = []
    for row, local in enumerate(naive.to_pylist()):
        try:
            values.append(None if local is None else localise(local, reading.zone))
        except Unfit as unfit:
            values.append(None)
            misfits.append((row, str(unfit)))
    return Cast(pa.array(values, _UTC_US), misfits)


def _one_by_one(texts: Array, wanted: pa.DataType, reading: Reading) -> Cast:
    encoded = texts.dictionary_encode()
    values: list[object] = []
    reasons: dict[int, str] = {}
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            values.append(parse_text(text, wanted, reading))
        except Unfit as unfit:
            values.append(None)
            reasons[code] = str(unfit)
    array = pa.array(values, wanted).take(encoded.indices)
    if not reasons:
        return Cast(array, [])
    bad = pc.is_in(encoded.indices, value_set=pa.array(list(reasons), encoded.indices.type))
    rows = pc.indices_nonzero(bad)
    codes = encoded.indices.take(rows).to_pylist()
    return Cast(array, [(row, reasons[c]) for row, c in zip(rows.to_pylist(), codes, strict=True)])


class _Bulk(NamedTuple):
    mask: Callable[[pa.DataType], str]
    convert: Callable[[Array, pa.DataType, Reading], Array | None]
    unmasked: bool = False  # convert itself takes nothing that the mask would not


def _try(
    convert: Callable[[Array, pa.DataType, Reading], Array | None],
    column: Array,
    wanted: pa.DataType,
    reading: Reading,
) -> Array | None:
    try:
        return convert(column, wanted, reading)
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError):
        return None


def _integers(texts: Array, wanted: pa.DataType, _reading: Reading) -> Array | None:
    if _holds(texts, b"xX"):  # pyarrow reads 0x10 as sixteen
        return None
    if _holds(texts, b"."):  # 5.000 is five
        texts = pc.replace_substring_regex(texts, r"^(-?[0-9]+)\.0*$", r"\1")
    return pc.cast(texts, wanted)


def _floats(texts: Array, wanted: pa.DataType, _reading: Reading) -> Array | None:
    values = pc.cast(texts, wanted)
    if not no_misfit(pc.is_finite(values)):
        return None
    zero = pc.equal(values, 0.0)
    if pc.any(zero, min_count=0).as_py():
        zeros = texts.filter(zero)
        if not no_misfit(pc.match_substring_regex(zeros, _ZERO)):
            return None
    large = pc.greater_equal(pc.abs(values), float(2**53))
    return None if pc.any(large, min_count=0).as_py() else values


def _decimals(texts: Array, wanted: pa.DataType, _reading: Reading) -> Array:
    return pc.cast(texts, wanted)


def _booleans(texts: Array, _wanted: pa.DataType, _reading: Reading) -> Array | None:
    true = pc.is_in(texts, value_set=pa.array(_TRUE))
    known = pc.is_in(texts, value_set=pa.array((*_TRUE, *_FALSE)))
    if not no_misfit(pc.or_(known, texts.is_null())):
        return None
    return pc.if_else(texts.is_valid(), true, pa.scalar(None, pa.bool_()))


def _dates(texts: Array, wanted: pa.DataType, _reading: Reading) -> Array | None:
    values = pc.cast(texts, wanted)
    return values if in_years(values) else None


def _timestamps(texts: Array, wanted: pa.DataType, _reading: Reading) -> Array | None:
    values = pc.cast(texts, wanted)
    return values if in_years(values) else None


def _local_timestamps(texts: Array, _wanted: pa.DataType, reading: Reading) -> Array | None:
    values = pc.cast(texts, _NAIVE_US)
    if not _within(values, _ZONE_FIRST_US, _ZONE_END_US):
        return None
    return _assume_zone(values, _UTC_US, reading)


def _assume_zone(naive: Array, _wanted: pa.DataType, reading: Reading) -> Array:
    zone = reading.zone.key if reading.zone else "UTC"
    return pc.cast(pc.assume_timezone(naive, zone, ambiguous="raise", nonexistent="raise"), _UTC_US)


def _times(texts: Array, wanted: pa.DataType, _reading: Reading) -> Array:
    stamped = pc.binary_join_element_wise(pa.scalar("1970-01-01T"), texts, pa.scalar(""))
    return pc.cast(pc.cast(stamped, _NAIVE_US), wanted)


def _within(array: Array, first: int, end: int) -> bool:
    numbers = array.view(pa.int32() if pt.is_date32(array.type) else pa.int64())
    bounds = pc.min_max(numbers)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    return low is None or (first <= low and high < end)


def _holds(texts: Array, characters: bytes) -> bool:
    """Whether the texts' buffer holds one of these bytes (also outside of a slice)."""
    buffer = texts.buffers()[2]
    data = buffer.to_pybytes() if buffer is not None else b""
    return any(byte in data for byte in characters)


def _decimal_mask(wanted: Any) -> str:  # noqa: ANN401 (Decimal128 or Decimal256)
    before, after = wanted.precision - wanted.scale, wanted.scale
    return rf"^[+-]?0{{0,9}}[0-9]{{{min(1, before)},{before}}}(?:\.[0-9]{{0,{after}}}0{{0,9}})?$"


def _kind(wanted: pa.DataType, reading: Reading) -> str:
    if pt.is_timestamp(wanted):
        if wanted.tz is None:
            return "timestamp"
        return "timestamptz" if reading.zone is None else "local"
    if pt.is_date(wanted) and reading.dates is not None:
        return ""
    for kind, accepts in _KINDS.items():
        if accepts(wanted):
            return kind
    return ""


_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "integer": pt.is_int64,
    "unsigned": pt.is_uint64,
    "float": pt.is_float64,
    "decimal": pt.is_decimal,
    "boolean": pt.is_boolean,
    "date": pt.is_date32,
    "time": pt.is_time64,
}
_BULK = {
    "integer": _Bulk(lambda _: _INT, _integers, unmasked=True),
    "unsigned": _Bulk(lambda _: _UINT, _integers, unmasked=True),
    "float": _Bulk(lambda _: _FLOAT, _floats, unmasked=True),
    "decimal": _Bulk(_decimal_mask, _decimals),
    "boolean": _Bulk(lambda _: "^(?:true|True|TRUE|t|1|false|False|FALSE|f|0)$", _booleans),
    "date": _Bulk(lambda _: _DATE, _dates, unmasked=True),
    "time": _Bulk(lambda _: _TIME, _times),
    "timestamp": _Bulk(lambda _: _NAIVE, _timestamps),
    "timestamptz": _Bulk(lambda _: _AWARE, _timestamps),
    "local": _Bulk(lambda _: _NAIVE, _local_timestamps),
}
