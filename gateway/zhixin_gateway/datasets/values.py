"""Reading canonical values that somebody else wrote, one by one.

Section 2.2 of the formats, from the other side: a record proof brings a record's text as JSON, and
it is taken only where every element is the one canonical form of a value of its field's type::

    integer "-12"        not "-012", "+1", "-0", or beyond 64 bits
    decimal(5,2) "0.50"  not ".5", "0.5", "-0.00"
    float "1e-7"         not "0.0000001", "1E-7", "NaN"
    date "2024-02-29"    not "2023-02-29"

Messages name the field and the type, never what stands there.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from zhixin_errors import FormatError

from zhixin_gateway.datasets.types import type_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from zhixin_ledger.encoding import Json

__all__ = ["check_values", "number_text", "parse_values"]

_BOOLEAN = re.compile("true|false")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_UNSIGNED = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,37})(\.[0-9]{1,38})?", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,30})?(e[+-][1-9][0-9]{0,2})?", re.ASCII)
_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})"
_DATE_ALONE = re.compile(_DATE, re.ASCII)
_TIME_ALONE = re.compile(_TIME, re.ASCII)
_TIMESTAMP = re.compile(f"{_DATE}T{_TIME}(Z?)", re.ASCII)


def check_values(values: Json, schema: pa.Schema, what: str = "values") -> None:
    """Hold a record's text, as JSON, to the canonical form.

    Args:
        values: an array with one element a field.
        schema: the fields.
        what: the place, for messages.

    Raises:
        FormatError: it is no canonical text of a record of these fields.
    """
    _read(values, schema, what)


def parse_values(values: Json, schema: pa.Schema, what: str = "values") -> pa.RecordBatch:
    """Read a record's text, as JSON, into a batch of one record.

    Raises:
        FormatError: as :func:`check_values`.
    """
    read = _read(values, schema, what)
    columns = [pa.array([value], f.type) for value, f in zip(read, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def number_text(value: float) -> str:
    """Write a finite double as ECMAScript's Number::toString does, but -0 for negative zero.

    Raises:
        FormatError: it is not finite.
    """
    if not math.isfinite(value):
        raise FormatError("a float that is not finite has no canonical form")
    if value == 0:
        return "-0" if math.copysign(1.0, value) < 0 else "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    return sign + _placed(digits.rstrip("0"), point)


def _placed(digits: str, point: int) -> str:
    """Place the decimal point: the value is 0.DIGITS times ten to the power of ``point``."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    power = point - 1
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{mantissa}e{'+' if power > 0 else '-'}{abs(power)}"


def _read(values: Json, schema: pa.Schema, what: str) -> list[Any]:
    if not isinstance(values, list) or len(values) != len(schema):
        raise FormatError(f"{what}: want an array of {len(schema)} elements, one a field")
    return [
        _value(value, field.type, f"{what}: field {field.name[:80]!r}")
        for value, field in zip(values, schema, strict=True)
    ]


def _value(value: Json, arrow: pa.DataType, place: str) -> Any:  # noqa: ANN401 - as the type says
    if value is None:
        return None
    if isinstance(arrow, pa.ListType):
        if not isinstance(value, list):
            raise FormatError(f"{place}: want an array")
        return [_value(item, arrow.value_type, place) for item in value]
    if isinstance(arrow, pa.StructType):
        names = [member.name for member in arrow]
        if not isinstance(value, dict) or value.keys() != set(names):
            raise FormatError(f"{place}: want an object with exactly the struct's members")
        return {member.name: _value(value[member.name], member.type, place) for member in arrow}
    if not isinstance(value, str):
        raise FormatError(f"{place}: want a string or null")
    try:
        return _scalar(value, arrow)
    except (ValueError, OverflowError, FormatError) as error:
        raise FormatError(
            f"{place}: not the canonical form of a value of type {type_json(arrow)}"
        ) from error


def _scalar(text: str, arrow: pa.DataType) -> Any:  # noqa: ANN401 - as the type says
    if isinstance(arrow, pa.Decimal128Type):
        return _decimal(text, arrow)
    return _READERS[arrow](text)


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError
    return match


def _within(value: int, first: int, last: int) -> int:
    if not first <= value <= last:
        raise ValueError
    return value


def _same(value: Any, text: str, written: str) -> Any:  # noqa: ANN401 - handed through
    if written != text:
        raise ValueError
    return value


def _boolean(text: str) -> bool:
    return _matched(_BOOLEAN, text)[0] == "true"


def _integer(text: str) -> int:
    return _within(int(_matched(_INTEGER, text)[0]), -(2**63), 2**63 - 1)


def _unsigned(text: str) -> int:
    return _within(int(_matched(_UNSIGNED, text)[0]), 0, 2**64 - 1)


def _decimal(text: str, arrow: pa.Decimal128Type[Any, Any]) -> Decimal:
    match = _matched(_DECIMAL, text)
    fraction = match[2] or ""
    unscaled = int(match[1] + fraction[1:])
    if len(fraction) != (arrow.scale + 1 if arrow.scale else 0):
        raise ValueError
    if unscaled >= 10**arrow.precision or (unscaled == 0 and text.startswith("-")):
        raise ValueError
    return Decimal(text)


def _float(text: str) -> float:
    value = float(_matched(_NUMBER, text)[0])
    return float(_same(value, text, number_text(value)))


def _binary(text: str) -> bytes:
    value = base64.b64decode(text, validate=True)
    return bytes(_same(value, text, base64.b64encode(value).decode("ascii")))


def _date(text: str) -> dt.date:
    return dt.date(*map(int, _matched(_DATE_ALONE, text).groups()))


def _time(text: str) -> dt.time:
    hour, minute, second, micros = map(int, _matched(_TIME_ALONE, text).groups())
    return dt.time(hour, minute, second, micros)


def _timestamp(text: str) -> dt.datetime:
    return _instant(text, "")


def _timestamptz(text: str) -> dt.datetime:
    return _instant(text, "Z")


def _instant(text: str, zone: str) -> dt.datetime:
    *numbers, given = _matched(_TIMESTAMP, text).groups()
    year, month, day, hour, minute, second, micros = map(int, numbers)
    _same(None, given, zone)
    utc = dt.UTC if zone else None
    return dt.datetime(year, month, day, hour, minute, second, micros, tzinfo=utc)


_READERS: dict[pa.DataType, Callable[[str], Any]] = {
    pa.bool_(): _boolean,
    pa.int64(): _integer,
    pa.uint64(): _unsigned,
    pa.float64(): _float,
    pa.string(): str,
    pa.binary(): _binary,
    pa.date32(): _date,
    pa.time64("us"): _time,
    pa.timestamp("us"): _timestamp,
    pa.timestamp("us", tz="UTC"): _timestamptz,
}
