r"""A batch of a source, column by column, on its way to ``protocol.Extracted``.

A source column is either one Arrow array (a CSV's texts, a Parquet column) or, where a database
holds values of several kinds in one column, one Arrow array a kind. Both keep what the source gave,
so that the quarantine can show the raw text of any row, whatever rule rejected it.

Bytes that are not valid in their encoding are carried as U+10FF00 + byte (private use, at the very
end of Unicode), because Arrow strings must be valid; a text with one is a misfit, shown ``\xff``.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple, Protocol, cast

import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors._arrow import Array, nulls, pc
from zhixin_connectors.cast import Cast, cast_texts
from zhixin_connectors.grammar import Reading
from zhixin_connectors.protocol import Extracted, Misfit
from zhixin_connectors.typed import cast_typed, is_text, plain, raw_texts

__all__ = [
    "INVALID",
    "ArrowColumn",
    "Doubtful",
    "FloatColumn",
    "SourceColumn",
    "escape_byte",
    "escaped_text",
    "extracted",
    "from_values",
    "null_words",
    "unescape",
    "with_whole_misfits",
]

INVALID = "not valid in the source's encoding"
_ESCAPE = 0x10FF00
_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile("[\U0010ff00-\U0010ffff]")


class Doubtful(NamedTuple):
    """A value of which the driver, or we, can't tell what the database holds."""

    raw: str
    reason: str


class SourceColumn(Protocol):
    """What a source gave of one field for one batch."""

    def cast(self, wanted: pa.DataType, reading: Reading) -> Cast:
        """As the wanted type."""
        ...

    def raw(self, rows: Sequence[int]) -> list[str | None]:
        """The texts of chosen rows."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class ArrowColumn:
    """One Arrow array.

    Args:
        array: of any Arrow type.
        escaped: texts may hold escaped bytes.
    """

    array: Array
    escaped: bool = False

    def cast(self, wanted: pa.DataType, reading: Reading) -> Cast:
        """As the wanted type; texts that hold escaped bytes are misfits."""
        column = plain(self.array)
        if not (self.escaped and is_text(column.type)):
            return self.read(column, wanted, reading)
        broken = pc.match_substring_regex(column, _ESCAPED.pattern)
        rows = pc.indices_nonzero(broken).to_pylist()
        clean = pc.if_else(broken, pa.scalar(None, pa.string()), column)
        read = self.read(clean, wanted, reading)
        invalid = [(row, INVALID) for row in rows]
        return Cast(read.array, sorted(read.misfits + invalid))

    def read(self, column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
        """As the wanted type, without escaped bytes: what kinds of columns differ in."""
        return cast_typed(column, wanted, reading)

    def raw(self, rows: Sequence[int]) -> list[str | None]:
        """The texts of chosen rows."""
        texts = raw_texts(self.array, rows)
        if not self.escaped:
            return texts
        return [None if text is None else unescape(text) for text in texts]

    def __len__(self) -> int:
        return len(self.array)


@dataclass(frozen=True)
class FloatColumn(ArrowColumn):
    """Texts of a database's floats: there an exponent is how they are written.

    Args:
        narrow: the texts are the shortest that tell 32-bit floats apart.
    """

    narrow: bool = False

    def read(self, column: Array, wanted: pa.DataType, reading: Reading) -> Cast:
        """As the wanted type."""
        if pt.is_string(wanted):
            return Cast(column, [])
        if pt.is_floating(wanted) and not self.narrow:
            return cast_texts(column, wanted, reading)
        own = pc.cast(column, pa.float32() if self.narrow else pa.float64())
        return cast_typed(own, wanted, reading)


@dataclass(frozen=True)
class _DoubtfulColumn(ArrowColumn):
    """Raw texts of doubtful values, each a misfit for its own reason."""

    reasons: Sequence[str] = ()

    def cast(self, wanted: pa.DataType, reading: Reading) -> Cast:  # noqa: ARG002
        """Whatever is wanted."""
        valid = self.array.is_valid().to_pylist()
        misfits = [(row, self.reasons[row]) for row, there in enumerate(valid) if there]
        return Cast(nulls(len(self.array), wanted), misfits)


@dataclass(frozen=True)
class _MixedColumn:
    """Values of several kinds: for each kind its rows, in order, and their array."""

    length: int
    groups: list[tuple[list[int], ArrowColumn]]

    def cast(self, wanted: pa.DataType, reading: Reading) -> Cast:
        places: list[int | None] = [None] * self.length
        arrays: list[Array] = []
        misfits: list[tuple[int, str]] = []
        start = 0
        for rows, column in self.groups:
            read = column.cast(wanted, reading)
            arrays.append(read.array)
            misfits.extend((rows[row], reason) for row, reason in read.misfits)
            for place, row in enumerate(rows, start):
                places[row] = place
            start += len(rows)
        array = pa.concat_arrays(arrays).take(pa.array(places, pa.int64()))
        return Cast(array, sorted(misfits))

    def raw(self, rows: Sequence[int]) -> list[str | None]:
        texts: dict[int, str | None] = {}
        wanted = set(rows)
        for owned, column in self.groups:
            inside = [(place, row) for place, row in enumerate(owned) if row in wanted]
            raws = column.raw([place for place, _ in inside])
            texts.update((row, raw) for (_, row), raw in zip(inside, raws, strict=True))
        return [texts.get(row) for row in rows]

    def __len__(self) -> int:
        return self.length


def from_values(values: Sequence[object], null: Sequence[str] = ()) -> SourceColumn:
    """A column of a database driver's Python values, whatever kinds they are of.

    Args:
        values: a batch's, None for null.
        null: texts that stand for null.
    """
    column = _from_values(values)
    if isinstance(column, ArrowColumn):
        return null_words(column, null)
    groups = [(rows, null_words(own, null)) for rows, own in column.groups]
    return _MixedColumn(column.length, groups)


def _from_values(values: Sequence[object]) -> ArrowColumn | _MixedColumn:
    kinds = {_kind_of_type(kind) for kind in set(map(type, values))} - {""}
    if not kinds:
        return ArrowColumn(pa.nulls(len(values)))
    if len(kinds) == 1 and not kinds & {"datetime", "time"}:
        return _BUILDERS[kinds.pop()](values)
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        if value is not None:
            rows.setdefault(_kind(value), []).append(row)
    if len(rows) == 1:
        return _BUILDERS[next(iter(rows))](values)
    return _MixedColumn(
        len(values),
        [(own, _BUILDERS[kind]([values[row] for row in own])) for kind, own in rows.items()],
    )


def null_words(column: ArrowColumn, words: Sequence[str]) -> ArrowColumn:
    """The column with null for each text that is one of the words."""
    array = plain(column.array)
    if not words or not is_text(array.type):
        return column
    word = pc.is_in(array, value_set=pa.array(words, pa.string()))
    return replace(column, array=pc.if_else(word, pa.scalar(None, pa.string()), array))


def extracted(
    columns: Sequence[SourceColumn],
    schema: pa.Schema,
    readings: Sequence[Reading],
    first_row: int,
) -> Extracted:
    """Cast a batch's columns, in the schema's order."""
    arrays: list[Array] = []
    found: list[tuple[int, int, str]] = []
    for place, (column, field, reading) in enumerate(zip(columns, schema, readings, strict=True)):
        read = column.cast(field.type, reading)
        arrays.append(read.array)
        found.extend((row, place, reason) for row, reason in read.misfits)
    found.sort()
    raws = {
        place: iter(columns[place].raw([row for row, at, _ in found if at == place]))
        for place in {place for _, place, _ in found}
    }
    misfits = [
        Misfit(row, schema.field(place).name, reason, next(raws[place]) or "")
        for row, place, reason in found
    ]
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    return Extracted(batch, misfits, first_row, raw_reader(columns, schema))


def with_whole_misfits(batch: Extracted, whole: Iterable[tuple[int, str, str]]) -> Extracted:
    """Add misfits of whole records, each before those of its fields.

    Args:
        batch: without such.
        whole: row, reason and text of each record.
    """
    more = [Misfit(row, "", reason, text) for row, reason, text in whole]
    if not more:
        return batch
    misfits = sorted([*more, *batch.misfits], key=lambda misfit: misfit.row)
    return replace(batch, misfits=misfits)


def raw_reader(
    columns: Sequence[SourceColumn], schema: pa.Schema
) -> Callable[[Sequence[int]], pa.RecordBatch]:
    """What ``Extracted.raw_texts`` calls."""
    names = schema.names

    def read(rows: Sequence[int]) -> pa.RecordBatch:
        texts = [pa.array(column.raw(rows), pa.string()) for column in columns]
        return pa.RecordBatch.from_arrays(texts, names=names)

    return read


def escape_byte(byte: int) -> str:
    """The character that carries a byte which is not valid in its encoding."""
    return chr(_ESCAPE + byte)


def unescape(text: str) -> str:
    r"""Show escaped bytes as ``\xff``."""
    return _ESCAPED.sub(lambda found: f"\\x{ord(found.group()) - _ESCAPE:02x}", text)


_KINDS: list[tuple[type, str]] = [
    (type(None), ""),
    (Doubtful, "doubtful"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "float"),
    (str, "text"),
    (bytes, "binary"),
    (bytearray, "binary"),
    (memoryview, "binary"),
    (Decimal, "decimal"),
    (dt.datetime, "datetime"),
    (dt.date, "date"),
    (dt.time, "time"),
    (dt.timedelta, "interval"),
    (uuid.UUID, "uuid"),
    (dict, "json"),
    (list, "json"),
]


def _kind_of_type(kind: type) -> str:
    for base, name in _KINDS:
        if issubclass(kind, base):
            return name
    return "other"


def _kind(value: object) -> str:
    kind = _kind_of_type(type(value))
    if kind in {"datetime", "time"} and value.tzinfo is not None:  # type: ignore[attr-defined]
        return f"{kind} with offset"
    return kind


def _integers(values: Sequence[object]) -> ArrowColumn:
    try:
        return ArrowColumn(pa.array(values, pa.int64()))
    except OverflowError:
        return _by(str)(values)


def _strings(values: Sequence[object]) -> ArrowColumn:
    try:
        return ArrowColumn(pa.array(values, pa.string()))
    except UnicodeEncodeError:
        return ArrowColumn(_by(escaped_text)(values).array, escaped=True)


def escaped_text(value: object) -> str:
    """A text decoded with surrogateescape; other lone surrogates are no text either."""
    return _SURROGATES.sub(lambda found: escape_byte(ord(found.group()) & 0xFF), str(value))


def _by(text: Callable[[object], str]) -> Callable[[Sequence[object]], ArrowColumn]:
    def build(values: Sequence[object]) -> ArrowColumn:
        return ArrowColumn(
            pa.array([None if value is None else text(value) for value in values], pa.string())
        )

    return build


def _of(wanted: pa.DataType) -> Callable[[Sequence[object]], ArrowColumn]:
    return lambda values: ArrowColumn(pa.array(values, wanted))


def _bytes(values: Sequence[object]) -> ArrowColumn:
    data = [None if value is None else bytes(value) for value in values]  # type: ignore[call-overload]
    return ArrowColumn(pa.array(data, pa.binary()))


def _decimal_text(value: object) -> str:
    return format(cast("Decimal", value), "f")


def _clock_text(value: object) -> str:
    return cast("dt.time", value).isoformat()


def _interval_text(value: object) -> str:
    """As MySQL writes a TIME, which its drivers give as a duration: 25:30:00, -00:30:00."""
    length = cast("dt.timedelta", value)
    size = abs(length)
    minutes, seconds = divmod(size.days * 86_400 + size.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours:02d}:{minutes:02d}:{seconds:02d}"
    if size.microseconds:
        text += f".{size.microseconds:06d}"
    return f"-{text}" if length < dt.timedelta() else text


def _doubtful(values: Sequence[object]) -> ArrowColumn:
    unknown = "a value of the driver's that has no exact text"
    known = [
        value
        if value is None or isinstance(value, Doubtful)
        else Doubtful(f"({type(value).__name__})", unknown)
        for value in values
    ]
    raws = pa.array([each and each.raw for each in known], pa.string())
    return _DoubtfulColumn(raws, reasons=[each.reason if each else "" for each in known])


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


_BUILDERS: dict[str, Callable[[Sequence[object]], ArrowColumn]] = {
    "boolean": _of(pa.bool_()),
    "integer": _integers,
    "float": _of(pa.float64()),
    "text": _strings,
    "binary": _bytes,
    "decimal": _by(_decimal_text),
    "datetime": _of(pa.timestamp("us")),
    "datetime with offset": _of(pa.timestamp("us", tz="UTC")),
    "date": _of(pa.date32()),
    "time": _of(pa.time64("us")),
    "time with offset": _by(_clock_text),
    "interval": _by(_interval_text),
    "json": _by(_json_text),
    "uuid": _by(str),
    "doubtful": _doubtful,
    "other": _doubtful,
}
