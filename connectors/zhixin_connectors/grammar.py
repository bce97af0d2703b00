"""Which texts say a value of a type exactly (docs/formats.md 2.2): the cast's slow, obvious half.

::

    integer    5  -5  +5  007  5.000            never 1e3 (a spreadsheet rounded), 1,200, ５, 0x10
    unsigned   the same, not below zero
    decimal    5  1.10  .5  5.                  at most the type's digits; more only if zeros
    float      5  0.1  1e-7  -0                 the nearest double; an integer only if it is exact
    boolean    true false True False TRUE FALSE t f 1 0
    date       2024-01-05                       or a timestamp of just midnight without an offset;
                                                with a declared form that alone (dateforms.py)
    time       09:30  09:30:00  09:30:00.123456 below 24:00; further digits only if zeros
    timestamp  2024-01-05 09:30:00.5            'T' or space; a date alone has no time: refused
    timestamptz 2024-01-05T09:30:00+08:00       Z, +08, +0800, +08:00; without: ``zone`` names it
    string     itself
    binary     base64 with padding, or hex
    list, struct  JSON

Nothing is trimmed, repaired or guessed. :func:`parse_text` gives a Python value or raises
:class:`Unfit` with a reason that holds nothing of the text. ``cast.py`` does the same in bulk.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors.dateforms import DateForm
from zhixin_connectors.jsontext import JsonReader, NotJsonError, Number, is_text, plain_number

__all__ = ["Reading", "Unfit", "json_text", "localise", "parse_json", "parse_text"]

_NUMBER = re.compile(r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})\Z")
_CLOCK = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
_TIME = re.compile(_CLOCK + r"\Z")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]" + _CLOCK + r"(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?\Z"
)
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "0"), False),
}
_MAX_DIGITS = 4000  # beyond this Python refuses to convert, and no type reaches it


class Unfit(Exception):
    """A text can't say the type; ``str()`` is the reason."""


@dataclass(frozen=True)
class Reading:
    r"""How texts are read.

    Args:
        zone: of times without an offset, for timestamptz; None refuses them.
        binary: base64, hex, pg (``\x`` and hex), or empty where a text is no binary value.
        dates: the declared form of texts that are dates; ISO 8601's if there is none.
    """

    zone: ZoneInfo | None = None
    binary: str = "base64"
    dates: DateForm | None = None


def parse_text(text: str, wanted: pa.DataType, reading: Reading) -> object:
    """The value that a text says.

    Raises:
        Unfit: it says none exactly.
    """
    for accepts, parse in _PARSERS:
        if accepts(wanted):
            return parse(text, wanted, reading)
    raise Unfit("the wanted type has no reader")


def localise(naive: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The instant of a local time, refused where the clocks make it none or two."""
    first, second = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        ahead = (first.utcoffset() or dt.timedelta()) < (second.utcoffset() or dt.timedelta())
        raise Unfit(
            "this local time does not exist: the clocks went forward"
            if ahead
            else "this local time happened twice: the clocks went back"
        )
    try:
        return first.astimezone(dt.UTC)
    except OverflowError:
        raise Unfit("not within the years 0001 to 9999") from None


def _decimal(text: str, what: str) -> Decimal:
    found = _NUMBER.match(text)
    if not found:
        raise Unfit(
            f"exponent notation under {what}: digits may have been lost"
            if _FLOAT.match(text)
            else f"not {what}"
        )
    if len(text) > _MAX_DIGITS:
        raise Unfit(f"not {what}: too many digits")
    return Decimal(text)


def _parse_integer(text: str, wanted: pa.DataType, _reading: Reading) -> int:
    number = _decimal(text, "an integer")
    if number != number.to_integral_value():
        raise Unfit("not an integer: it has a fraction")
    unsigned = pt.is_unsigned_integer(wanted)
    low, high = (0, 2**64 - 1) if unsigned else (-(2**63), 2**63 - 1)
    value = int(number)
    if not low <= value <= high:
        raise Unfit("below zero" if unsigned and value < 0 else "beyond 64 bits")
    return value


def _parse_decimal(text: str, wanted: pa.DataType, _reading: Reading) -> Decimal:
    number = _decimal(text, "a decimal number")
    precision, scale = wanted.precision, wanted.scale  # type: ignore[attr-defined]
    sign, digits, exponent = number.as_tuple()
    plain = "".join(map(str, digits)).lstrip("0")
    fraction = -int(exponent)
    kept = plain.rstrip("0") if fraction > 0 else plain
    fraction -= len(plain) - len(kept) if fraction > 0 else 0
    if not kept:
        return Decimal(0)
    if fraction > scale:
        raise Unfit(f"more than {scale} decimals")
    if len(kept) - fraction > precision - scale:
        raise Unfit(f"more than {precision - scale} digits before the point")
    return Decimal((sign, tuple(map(int, kept)), -fraction))


def _parse_float(text: str, _wanted: pa.DataType, _reading: Reading) -> float:
    if not _FLOAT.match(text):
        special = text.lstrip("+-").lower() in {"nan", "inf", "infinity"}
        raise Unfit("not a finite number" if special else "not a number")
    value = float(text)
    if math.isinf(value):
        raise Unfit("beyond the range of a 64-bit float")
    mantissa = re.split("[eE]", text)[0]
    if value == 0 and re.search("[1-9]", mantissa):
        raise Unfit("below the range of a 64-bit float")
    whole = len(text) <= _MAX_DIGITS and re.fullmatch("[+-]?[0-9]+", text)
    if whole and abs(value) >= 2**53 and int(text) not in {int(value), int(Decimal(repr(value)))}:
        raise Unfit("an integer that a 64-bit float can't say exactly")
    return value


def _parse_boolean(text: str, _wanted: pa.DataType, _reading: Reading) -> bool:
    if text not in _BOOLEANS:
        raise Unfit("not a boolean")
    return _BOOLEANS[text]


def _date(text: str) -> dt.date:
    found = _DATE.match(text)
    if not found:
        raise Unfit("not a date")
    try:
        return dt.date(*map(int, found.groups()))
    except ValueError:
        raise Unfit("not a day of the calendar's years 0001 to 9999") from None


def _clock(hour: str, minute: str, second: str | None, fraction: str | None) -> dt.time:
    digits = fraction or ""
    if digits[6:].strip("0"):
        raise Unfit("finer than a microsecond")
    try:
        return dt.time(int(hour), int(minute), int(second or 0), int(digits[:6].ljust(6, "0")))
    except ValueError:
        raise Unfit("not a time below 24:00") from None


def _parse_date(text: str, _wanted: pa.DataType, reading: Reading) -> dt.date:
    if reading.dates is not None:
        return _declared_date(text, reading.dates)
    found = _TIMESTAMP.match(text)
    if not found:
        return _date(text)
    day, *clock, offset = found.groups()
    if offset or _clock(*clock) != dt.time():
        raise Unfit("not a date: it has a time of day")
    return _date(day)


def _declared_date(text: str, form: DateForm) -> dt.date:
    try:
        day = form.parse(text)
    except ValueError:
        raise Unfit("not a day of the calendar's years 0001 to 9999") from None
    if day is None:
        raise Unfit(f"not a date of the form {form.text}")
    return day


def _parse_time(text: str, _wanted: pa.DataType, _reading: Reading) -> dt.time:
    found = _TIME.match(text)
    if not found:
        raise Unfit("not a time of day")
    return _clock(*found.groups())


def _parse_timestamp(text: str, wanted: pa.DataType, reading: Reading) -> dt.datetime:
    aware = wanted.tz is not None  # type: ignore[attr-defined]
    found = _TIMESTAMP.match(text)
    if not found:
        raise Unfit("a date without a time of day" if _DATE.match(text) else "not a timestamp")
    day, *clock, offset = found.groups()
    naive = dt.datetime.combine(_date(day), _clock(*clock))
    if not aware:
        if offset:
            raise Unfit("has an offset from UTC, and the wanted type has none")
        return naive
    if offset:
        return _shift(naive, offset)
    if reading.zone is None:
        raise Unfit("no offset from UTC, and the contract names no time zone")
    return localise(naive, reading.zone)


def _shift(naive: dt.datetime, offset: str) -> dt.datetime:
    digits = offset[1:].replace(":", "").ljust(4, "0") if offset != "Z" else "0000"
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise Unfit("not an offset from UTC")
    delta = dt.timedelta(hours=hours, minutes=minutes)
    try:
        moved = naive + delta if offset[0] == "-" else naive - delta
    except OverflowError:
        raise Unfit("not within the years 0001 to 9999") from None
    return moved.replace(tzinfo=dt.UTC)


def _parse_string(text: str, _wanted: pa.DataType, _reading: Reading) -> str:
    return text


def _parse_binary(text: str, _wanted: pa.DataType, reading: Reading) -> bytes:
    if not reading.binary:
        raise Unfit("a text, and binary was wanted")
    try:
        if reading.binary == "base64":
            value = base64.b64decode(text, validate=True)
            if base64.b64encode(value).decode() == text:
                return value
            raise Unfit("not base64 with padding")
        digits = text.removeprefix("\\x") if reading.binary == "pg" else text
        if re.fullmatch("(?:[0-9a-fA-F]{2})*", digits):
            return bytes.fromhex(digits)
    except (binascii.Error, ValueError):
        pass
    raise Unfit("not base64 with padding" if reading.binary == "base64" else "not hex")


def _parse_nested(text: str, wanted: pa.DataType, reading: Reading) -> object:
    try:
        record = JsonReader().parse(text)
    except NotJsonError as error:
        raise Unfit(str(error)) from None
    if record.twice:
        raise Unfit("a JSON object with a member twice")
    return parse_json(record.value, wanted, reading)


def parse_json(value: object, wanted: pa.DataType, reading: Reading) -> object:
    """The value that a value of JSON says, as ``jsontext`` reads it.

    Raises:
        Unfit: it says none exactly.
    """
    return _element(value, wanted, replace(reading, binary=reading.binary or "base64"))


def json_text(value: object, wanted: pa.DataType) -> str:
    """The text by which a scalar of JSON goes through the grammar.

    Raises:
        Unfit: a value of JSON of this kind is none of the wanted type.
    """
    if isinstance(value, bool):
        if not pt.is_boolean(wanted):
            raise Unfit("a boolean, and another type was wanted")
        return "true" if value else "false"
    if isinstance(value, Number):
        if pt.is_binary(wanted):
            raise Unfit("a number, and binary was wanted")
        if pt.is_floating(wanted) or pt.is_string(wanted):
            return str(value)
        try:
            return plain_number(value)
        except NotJsonError as error:
            raise Unfit(str(error)) from None
    if not isinstance(value, str):
        raise Unfit("a JSON array or object where a scalar was wanted")
    if not is_text(value):
        raise Unfit("a lone surrogate is no text")
    return value


def _element(value: object, wanted: pa.DataType, reading: Reading) -> object:
    if value is None:
        return None
    if pt.is_list(wanted):
        if not isinstance(value, list):
            raise Unfit("not a JSON array")
        return [_element(item, wanted.value_type, reading) for item in value]
    if pt.is_struct(wanted):
        return _struct(value, wanted, reading)
    return parse_text(json_text(value, wanted), wanted, reading)


def _struct(value: object, wanted: pa.DataType, reading: Reading) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Unfit("not a JSON object")
    fields = [wanted.field(index) for index in range(wanted.num_fields)]
    if set(value) != {field.name for field in fields}:
        raise Unfit("the JSON object has other members than the wanted type")
    return {field.name: _element(value[field.name], field.type, reading) for field in fields}


_PARSERS: list[
    tuple[Callable[[pa.DataType], bool], Callable[[str, pa.DataType, Reading], object]]
] = [
    (pt.is_string, _parse_string),
    (pt.is_integer, _parse_integer),
    (pt.is_floating, _parse_float),
    (pt.is_decimal, _parse_decimal),
    (pt.is_boolean, _parse_boolean),
    (pt.is_date, _parse_date),
    (pt.is_timestamp, _parse_timestamp),
    (pt.is_time, _parse_time),
    (pt.is_binary, _parse_binary),
    (lambda wanted: pt.is_list(wanted) or pt.is_struct(wanted), _parse_nested),
]
