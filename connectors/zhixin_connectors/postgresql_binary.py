r"""PostgreSQL's values in binary, as ADBC hands them over, and the server's own text of each.

Types whose binary form says everything come so; any other column is selected as the text that the
server's own output function gives, and read as such. What lies beyond the wanted type (an infinite
date, a NaN) is read from its text too, so that every misfit is the same as the text reader's::

    int4, float4 … bool, bytea, text, varchar, char(n), name, date, time, timestamp, timestamptz
    "id"    pg_catalog.textin(pg_catalog.numeric_out("amount"))    …

An infinite or a very late time wraps round where ADBC moves it from the year 2000 to 1970, and is
found again by wrapping it back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors._arrow import Array, no_misfit, pc
from zhixin_connectors.cast import Cast, each_in_years, in_years
from zhixin_connectors.columns import ArrowColumn, SourceColumn, null_words
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.postgresql import Selection
from zhixin_connectors.postgresql_values import BOOL, TEXTS, Kind, column
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.sqlspans import order_kind
from zhixin_connectors.typed import cast_typed

__all__ = ["BinaryColumn", "as_text", "form", "is_binary", "select"]

_BYTEA, _FLOAT4, _FLOAT8, _DATE, _TIME = 17, 700, 701, 1082, 1083
_TIMESTAMP, _TIMESTAMPTZ = 1114, 1184
_DIGITS = {21: 5, 23: 10, 20: 19}
_CHAR = 18  # its byte may be of any encoding
_TAKEN = {
    **dict.fromkeys(_DIGITS, ("number", "float")),
    _FLOAT4: ("float",),
    _FLOAT8: ("float",),
    _DATE: ("date",),
    _TIMESTAMP: ("timestamp", "instant"),
    _TIMESTAMPTZ: ("instant",),
}
_OTHERS: dict[int, Callable[[pa.DataType], bool]] = {
    BOOL: pt.is_boolean,
    _BYTEA: pt.is_binary,
    _TIME: pt.is_time,
}
_WORDS = {"t", "f", "nan", "infinity", "-infinity"}
_DAY_US = 86_400_000_000
_EPOCH_DAYS, _EPOCH_US = 10_957, 946_684_800_000_000  # from 1970 to 2000


_FORMS = {
    21: "int2", 23: "int4", 20: "int8", _FLOAT4: "float4", _FLOAT8: "float8", BOOL: "bool",
    _BYTEA: "bytes", _DATE: "date", _TIME: "time", _TIMESTAMP: "timestamp",
    _TIMESTAMPTZ: "instant",
}  # fmt: skip


def select(
    selection: Selection, request: ReadRequest, options: SourceOptions
) -> tuple[str, list[Callable[[Any], SourceColumn]]]:
    """The statement that asks for each column in binary or as text, and what reads each."""
    makers, expressions = [], []
    for wanted in request.schema:
        kind, name = selection.kinds[wanted.name], selection.column(wanted.name)
        binary = is_binary(kind, wanted.type, options.null)
        expressions.append(name if binary else as_text(name, kind, wanted.type))
        makers.append(_maker(kind, wanted.type, options, binary=binary))
    return selection.select(expressions), makers


def _maker(
    kind: Kind, wanted: pa.DataType, options: SourceOptions, *, binary: bool
) -> Callable[[Any], SourceColumn]:
    if binary and kind.oid not in TEXTS:
        return lambda own: BinaryColumn(own, kind=kind)
    return lambda own: column(null_words(ArrowColumn(own), options.null), kind, wanted)


def form(kind: Kind, wanted: pa.DataType, null: Sequence[str]) -> str:
    """How the server sends a column of :func:`select`'s: ``int4`` or ``instant``, else ``text``."""
    return _FORMS.get(kind.oid, "text") if is_binary(kind, wanted, null) else "text"


def is_binary(kind: Kind, wanted: pa.DataType, null: Sequence[str]) -> bool:
    """Whether a column is asked for in binary.

    Args:
        kind: its type.
        wanted: the field's.
        null: texts that stand for null; where one may be a value's, the values are read as texts.
    """
    if kind.oid in TEXTS:
        return kind.oid != _CHAR
    if any(re.search(r"\d|^\\x", word) or word.lower() in _WORDS for word in null):
        return False
    if pt.is_decimal(wanted) and kind.oid in _DIGITS:
        room: Any = wanted
        return bool(room.precision - room.scale >= _DIGITS[kind.oid])
    if kind.oid in _OTHERS:
        return _OTHERS[kind.oid](wanted)
    return order_kind(wanted) in _TAKEN.get(kind.oid, ())


def as_text(name: str, kind: Kind, wanted: pa.DataType) -> str:
    """The expression for the text that the text reader gets of a column."""
    if kind.oid == BOOL and pt.is_string(wanted):
        return f"{name}::text"  # true, and not t
    return f"pg_catalog.textin({kind.output}({name}))"


@dataclass(frozen=True)
class BinaryColumn(ArrowColumn):
    """Values of a type that is no text."""

    kind: Kind = field(kw_only=True)

    def read(self, column_: Array, wanted: pa.DataType, reading: Reading) -> Cast:
        """As the wanted type; what it can't say is read from the server's text."""
        beyond = _beyond(column_, self.kind.oid)
        if beyond is None:
            return cast_typed(column_, wanted, reading)
        rows = pc.indices_nonzero(beyond)
        texts = pa.array(_texts(column_.take(rows), self.kind.oid), pa.string())
        odd = column(ArrowColumn(texts), self.kind, wanted).cast(wanted, reading)
        clean = pc.if_else(beyond, pa.scalar(None, column_.type), column_)
        cast = cast_typed(clean, wanted, reading)
        numbers = rows.to_pylist()
        misfits = [(numbers[row], reason) for row, reason in odd.misfits]
        return Cast(
            pc.replace_with_mask(cast.array, pc.fill_null(beyond, False), odd.array),
            sorted(cast.misfits + misfits),
        )

    def raw(self, rows: Sequence[int]) -> list[str | None]:
        """The server's texts of chosen rows."""
        return _texts(self.array.take(pa.array(rows, pa.int64())), self.kind.oid)


def _beyond(array: Array, oid: int) -> Array | None:
    """Which values are none of the manifest's types; None where all are."""
    if oid in {_FLOAT4, _FLOAT8}:
        inside = pc.is_finite(array)
    elif oid in {_DATE, _TIMESTAMP, _TIMESTAMPTZ}:
        if in_years(array):
            return None
        inside = each_in_years(array)
    elif oid == _TIME:
        inside = pc.less(array.view(pa.int64()), _DAY_US)
    else:
        return None
    return None if no_misfit(inside) else pc.invert(inside)


def _texts(array: Array, oid: int) -> list[str | None]:
    """As the server writes them under its default settings."""
    if oid in {_DATE, _TIME, _TIMESTAMP, _TIMESTAMPTZ}:
        array = array.view(pa.int32() if oid == _DATE else pa.int64())
    write = _WRITERS.get(oid, str)
    return [None if value is None else write(value) for value in array.to_pylist()]


def _date(days: int) -> str:
    days = (days - _EPOCH_DAYS + 2**31) % 2**32 - 2**31
    if abs(days) >= 2**31 - 1:
        return "infinity" if days > 0 else "-infinity"
    return "{}{}".format(*_day(days))


def _day(days: int) -> tuple[str, str]:
    """A day counted from 2000 in the Gregorian calendar, and what stands after it of one BC."""
    eras, day = divmod(days, 146_097)  # 400 years each
    first = np.datetime64("2000-01-01") + np.timedelta64(day, "D")
    year, _, rest = str(first).partition("-")
    number = int(year) + 400 * eras
    return (f"{number:04d}-{rest}", "") if number > 0 else (f"{1 - number:04d}-{rest}", " BC")


def _clock(microseconds: int) -> str:
    minutes, micros = divmod(microseconds, 60_000_000)
    seconds, micros = divmod(micros, 1_000_000)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    return f"{text}.{micros:06d}".rstrip("0") if micros else text


def _timestamp(microseconds: int, zone: str = "") -> str:
    since = (microseconds - _EPOCH_US + 2**63) % 2**64 - 2**63
    if since in {2**63 - 1, -(2**63)}:
        return "infinity" if since > 0 else "-infinity"
    days, clock = divmod(since, _DAY_US)
    day, era = _day(days)
    return f"{day} {_clock(clock)}{zone}{era}"


def _instant(microseconds: int) -> str:
    return _timestamp(microseconds, "+00")


def _float8(value: float) -> str:
    return _float(value, 53, -1074, 15)


def _float4(value: float) -> str:
    return _float(value, 24, -149, 6)


def _float(value: float, bits: int, least: int, places: int) -> str:
    """As Ryu in the server writes it: the shortest digits that lie between its two neighbours.

    Unlike Python's they are never just half-way to a neighbour, though that would be read back.
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    sign = "-" if np.signbit(value) else ""
    if value == 0:
        return f"{sign}0"
    figures, exponent = _shortest(abs(value), bits, least)
    point = len(figures) + exponent - 1  # of the number as d.ddd x 10^point
    if -5 < point < places:
        return sign + format(Decimal((0, tuple(map(int, figures)), exponent)), "f")
    fraction = f".{figures[1:]}" if len(figures) > 1 else ""
    return f"{sign}{figures[0]}{fraction}e{'-' if point < 0 else '+'}{abs(point):02d}"


def _shortest(value: float, bits: int, least: int) -> tuple[str, int]:
    """Digits and the exponent of the last of them."""
    exact = Fraction(value)
    power = exact.numerator.bit_length() - exact.denominator.bit_length()
    power -= exact < Fraction(2) ** power
    step = Fraction(2) ** max(power - bits + 1, least)
    narrow = exact == Fraction(2) ** power and power - bits + 1 > least
    low, high = exact - step / (4 if narrow else 2), exact + step / 2
    exponent = len(str(int(exact))) if exact >= 1 else 1 - len(str(int(1 / exact)))
    while True:
        exponent -= 1
        unit = Fraction(10) ** exponent
        below = exact // unit
        near = [n for n in (below, below + 1) if low < n * unit < high and n > 0]
        if near:
            best = min(near, key=lambda n: (abs(n * unit - exact), n % 2))
            figures = str(best)
            bare = figures.rstrip("0")
            return bare, exponent + len(figures) - len(bare)


_WRITERS: dict[int, Callable[[Any], str]] = {
    BOOL: lambda value: "t" if value else "f",
    _BYTEA: lambda value: "\\x" + value.hex(),
    _FLOAT4: _float4,
    _FLOAT8: _float8,
    _DATE: _date,
    _TIME: _clock,
    _TIMESTAMP: _timestamp,
    _TIMESTAMPTZ: _instant,
}
