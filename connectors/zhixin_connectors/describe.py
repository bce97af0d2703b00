"""What a table holds, for `source infer`: types that its values fit, and what a person should know.

Two looks at the same first rows: as texts, for columns whose source declares no type (or one that
its values contradict), then as the proposed types, to count. A guess is cautious: a text with a
leading zero is a code and no number, 0 and 1 are integers, NA is a word until somebody says that it
means null. Where not all rows were read, the description says so.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors._arrow import Array, no_misfit, pc
from zhixin_connectors.cast import cast_texts
from zhixin_connectors.dateforms import DateForm
from zhixin_connectors.forms import form_of
from zhixin_connectors.grammar import Reading
from zhixin_connectors.protocol import (
    ColumnDescription,
    Connector,
    ReadRequest,
    TableDescription,
)
from zhixin_connectors.typed import raw_texts

__all__ = ["Declared", "describe"]

_MOST_BYTES = 1 << 27
_MOST_DISTINCT = 20
_MOST_COUNTED = 15  # digits; the old identity numbers have as many, cards 16, the new ones 18
_WORDS = ["NA", "N/A", "n/a", "NULL", "null", "None", "nan", "NaN", "-", ".", "?"]
_UTC = pa.timestamp("us", tz="UTC")
_TIMES = (pa.date32(), pa.timestamp("us"), _UTC, pa.time64("us"))
_CODE = r"^[+-]?0[0-9]"
_INTEGER = r"^-?(?:0|[1-9][0-9]*)$"
_FLOAT = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
_BOOLEANS = ["true", "false", "True", "False", "TRUE", "FALSE"]


class Declared(NamedTuple):
    """What a source declares of a column; ``type`` is None where it declares none that holds."""

    type: pa.DataType | None = None
    source_type: str = ""
    nullable: bool | None = None
    text: bool = False  # declared as text: a number in it is a text
    narrow: pa.DataType | None = None  # proposed where no value that was seen contradicts it
    odd: str = ""  # what becomes of values that ``type`` can't say, for which it stands


@dataclass
class _Rows:
    table: pa.Table
    misfits: dict[str, int]
    complete: bool
    reasons: dict[str, str]  # of each column's first misfit


def describe(
    source: Connector,
    table: str,
    declared: Mapping[str, Declared],
    *,
    rows: int,
    primary_key: tuple[str, ...] = (),
    options: Mapping[str, Any] | None = None,
    dates: DateForm | None = None,
) -> TableDescription:
    """Look at the first rows of a table.

    Args:
        source: where to read it.
        table: its name there.
        declared: its columns, in order.
        rows: read at most these.
        primary_key: what the source declares.
        options: that the contract must repeat for the same reading.
        dates: the declared form of dates.
    """
    texts = _read(source, table, pa.schema([pa.field(n, pa.string()) for n in declared]), rows)
    types: dict[str, pa.DataType] = {}
    remarks: dict[str, str] = {}
    for name, own in declared.items():
        column, reason = texts.table.column(name).combine_chunks(), texts.reasons.get(name, "")
        types[name], remarks[name] = _propose(own, column, reason)
        if dates is not None and pt.is_string(types[name]) and _are_dates(column, dates):
            types[name], remarks[name] = pa.date32(), ""
    schema = pa.schema([pa.field(name, types[name]) for name in declared])
    seen = _read(source, table, schema, rows)
    columns = [_column(name, own, seen, remarks[name]) for name, own in declared.items()]
    return TableDescription(
        table, columns, primary_key, seen.table.num_rows, seen.complete, dict(options or {})
    )


def _read(source: Connector, table: str, schema: pa.Schema, rows: int) -> _Rows:
    batches: list[pa.RecordBatch] = []
    misfits = dict.fromkeys(schema.names, 0)
    reasons: dict[str, str] = {}
    left, size, complete = rows, 0, True
    stream = source.read(ReadRequest(table, schema))
    for extracted in stream:
        if left <= 0 or size > _MOST_BYTES:
            complete = False
            break
        batch = extracted.batch.slice(0, left)
        complete = batch.num_rows == extracted.batch.num_rows
        for misfit in extracted.misfits:
            if misfit.row < batch.num_rows and misfit.field:
                misfits[misfit.field] += 1
                reasons.setdefault(misfit.field, misfit.reason)
        batches.append(batch)
        left -= batch.num_rows
        size += batch.nbytes
        if not complete:
            break
    if isinstance(stream, Generator):
        stream.close()
    return _Rows(pa.Table.from_batches(batches, schema), misfits, complete, reasons)


def _are_dates(column: Array, dates: DateForm) -> bool:
    """Whether nearly all texts are dates in the declared form."""
    values = len(column) - column.null_count
    misfits = cast_texts(column, pa.date32(), Reading(dates=dates)).misfits
    return bool(values) and len(misfits) * 10 <= int(values)


def _propose(own: Declared, column: Array, reason: str) -> tuple[pa.DataType, str]:
    values = len(column) - column.null_count
    if own.narrow is not None and not cast_texts(column, own.narrow, Reading()).misfits:
        seen = "all values seen fit it, others may not" if values else "no value was seen"
        return own.narrow, f"guessed from {own.source_type}: {seen}"
    if own.type is not None and not own.text:
        return _declared(own, column, values)
    if reason.startswith("a binary") and not values:
        return pa.binary(), ""
    if not values:
        why = f"no value seen is a text ({reason})" if reason else "no value was seen"
        return pa.string(), f"{why}: check the type"
    if own.text:
        times = _times(column)
        return (times, "") if times else (pa.string(), _would_be(column))
    return _guess(column)


def _declared(own: Declared, column: Array, values: int) -> tuple[pa.DataType, str]:
    wanted = own.type or pa.string()
    scalar = not (pt.is_nested(wanted) or pt.is_binary(wanted) or pt.is_string(wanted))
    bad = len(cast_texts(column, wanted, Reading(binary="")).misfits) if scalar else 0
    if not bad:
        return wanted, ""
    if own.odd:
        return wanted, own.odd
    if bad * 10 <= values:
        return wanted, f"declared {own.source_type}"
    remark = f"declared {own.source_type}, and {bad:,} of {values:,} values are not of that type"
    guessed, more = _guess(column)
    return guessed, f"{remark}; {more}" if more else remark


def _guess(column: Array) -> tuple[pa.DataType, str]:
    """The narrowest type that all texts fit."""
    if no_misfit(pc.is_in(column.drop_null(), value_set=pa.array(_BOOLEANS))):
        return pa.bool_(), ""
    if pc.any(pc.match_substring_regex(column, _CODE), min_count=0).as_py():
        times = _times(column)
        return (times, "") if times else (pa.string(), _codes(column))
    digits = _long_digits(column)
    if digits:
        return pa.string(), f"kept as text: numbers of {digits} digits each name things"
    found = _numbers(column) or _times(column)
    return (found, "") if found else (pa.string(), _would_be(column))


def _long_digits(column: Array) -> int:
    """The length of numbers that are all equally long and too long to count with; else 0."""
    values = column.drop_null()
    length = len(str(values[0])) if len(values) > 1 else 0
    if length < _MOST_COUNTED or not no_misfit(
        pc.match_substring_regex(values, f"^[0-9]{{{length}}}$")
    ):
        return 0
    return length


def _codes(column: Array) -> str:
    numbers = no_misfit(pc.match_substring_regex(column, r"^[+-]?[0-9.]+$"))
    return "kept as text: some values have leading zeros" if numbers else ""


def _numbers(column: Array) -> pa.DataType | None:
    if no_misfit(pc.match_substring_regex(column, _INTEGER)):
        for wanted in (pa.int64(), pa.uint64(), pa.decimal128(38, 0)):
            if _fits(column, wanted):
                return wanted
        return None
    if not no_misfit(pc.match_substring_regex(column, _FLOAT)):
        return None
    plain = no_misfit(pc.match_substring_regex(column, r"^-?[0-9.]+$"))
    significant = pc.replace_substring_regex(column, r"^-?[0.]*|\.|[eE].*", "")
    digits = pc.max(pc.utf8_length(significant)).as_py()
    if digits > 17 and plain:
        scale = _scale(column)
        wide = pa.decimal128(38, scale) if scale <= 38 else None
        return wide if wide and _fits(column, wide) else None
    return pa.float64() if _fits(column, pa.float64()) else None


def _fits(column: Array, wanted: pa.DataType) -> bool:
    return not any(
        cast_texts(part, wanted, Reading()).misfits for part in (column.slice(0, 100), column)
    )


def _scale(column: Array) -> int:
    fraction = pc.replace_substring_regex(column, r"^[^.]*\.?", "")
    return int(pc.max(pc.utf8_length(fraction)).as_py())


def _times(column: Array) -> pa.DataType | None:
    for wanted in _TIMES:
        if _fits(column, wanted):
            return wanted
    return None


def _would_be(column: Array) -> str:
    """Whether a text column would be of another type but for its form or a word for null."""
    word = pc.is_in(column, value_set=pa.array(_WORDS))
    words = sorted(pc.unique(column.filter(word)).drop_null().to_pylist())
    rest = column.filter(pc.invert(word)).drop_null()
    other = (_numbers(rest) or _times(rest)) if len(rest) else None
    means_null = f"if {', '.join(words)} means null: add it to zhixin.null"
    if other is None:
        near = _nearly(rest)
        return f"{near}, {means_null}" if near and words else near
    if re.match(_CODE, str(rest[0])):
        return ""
    if words:
        return f"{_word(other)}, {means_null}"
    return f"kept as text as declared; all values seen would do as {_word(other)}"


def _nearly(column: Array) -> str:
    """What all but a few texts are, and those few would have to be rejected."""
    values = len(column)
    long = pc.max(pc.utf8_length(column)).as_py() or 0
    if (
        long >= _MOST_COUNTED
        or pc.any(pc.match_substring_regex(column, _CODE), min_count=0).as_py()
    ):  # such a number names a thing
        kinds: tuple[pa.DataType, ...] = _TIMES
    else:
        kinds = (pa.int64(), pa.float64(), *_TIMES)
    for wanted in kinds:
        sample = cast_texts(column.slice(0, 100), wanted, Reading()).misfits
        if len(sample) * 2 > min(values, 100):
            continue
        bad = len(cast_texts(column, wanted, Reading()).misfits)
        if bad * 10 <= values:
            return f"{_word(wanted)}, but for {bad:,} of {values:,} values, which that would reject"
    return ""


def _word(wanted: pa.DataType) -> str:
    words = {
        "int64": "integer",
        "uint64": "unsigned",
        "double": "float",
        "date32[day]": "date",
        "timestamp[us]": "timestamp",
        "timestamp[us, tz=UTC]": "timestamptz",
        "time64[us]": "time",
    }
    return words.get(str(wanted), "decimal")


def _column(name: str, own: Declared, seen: _Rows, remark: str) -> ColumnDescription:
    column: Array = seen.table.column(name).combine_chunks()
    kind = column.type
    misfits = seen.misfits[name]
    low = high = distinct = unique = None
    values = column.drop_null()
    if not pt.is_nested(kind):
        different = pc.unique(values)
        unique = len(different) == len(column) > 0
        if 0 < len(different) <= _MOST_DISTINCT and not pt.is_binary(kind):
            distinct = _texts(different.sort() if not pt.is_boolean(kind) else different)
    if len(values) and not (pt.is_nested(kind) or pt.is_binary(kind) or pt.is_boolean(kind)):
        bounds = pc.min_max(values)
        low, high = _texts(pa.array([bounds["min"].as_py(), bounds["max"].as_py()], kind))
    return ColumnDescription(
        name,
        kind,
        nullable=own.nullable,
        nulls=column.null_count - misfits,
        misfits=misfits,
        minimum=low,
        maximum=high,
        distinct=distinct,
        lengths=_lengths(values),
        form=form_of(values) if pt.is_string(kind) else "",
        unique=unique,
        source_type=own.source_type,
        remark=remark,
    )


def _lengths(values: Array) -> tuple[int, int] | None:
    if not pt.is_string(values.type) or not len(values):
        return None
    bounds = pc.min_max(pc.utf8_length(values))
    return bounds["min"].as_py(), bounds["max"].as_py()


def _texts(values: Array) -> list[str]:
    shown = [text or "" for text in raw_texts(values, range(len(values)))]
    if pt.is_timestamp(values.type):
        return [text.replace(" ", "T") for text in shown]
    return shown
