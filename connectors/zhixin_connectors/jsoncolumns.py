"""Records of JSON as batches of the wanted types, whatever they came in: lines, a file, pages.

::

    {"id": 5, "name": "甲"}     a record; a member that is null or absent is null
    {"id": 5, "id": 6}  [5]  5  no record: a misfit of the whole, with its own text
    "5"  5  5.0  5e0            all are 5 under integer: a text goes through the grammar of texts
    true                        under boolean alone
    [1, 2]  {"a": 1}            under list and struct; under string its own text

A wanted member that no record of the first thousand has is a missing column, unless
``zhixin.optional`` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors._arrow import no_misfit, pc
from zhixin_connectors.cast import Cast
from zhixin_connectors.checks import check_columns
from zhixin_connectors.columns import (
    INVALID,
    ArrowColumn,
    extracted,
    null_words,
    unescape,
    with_whole_misfits,
)
from zhixin_connectors.describe import Declared
from zhixin_connectors.grammar import Reading, Unfit, json_text, parse_json
from zhixin_connectors.jsontext import JsonRecord, Number, is_text, member_texts
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.protocol import Extracted, ReadRequest, SeenColumn

__all__ = ["JsonRow", "batches", "declared", "row_of", "seen_columns"]

_PEEKED = 1_000
_BATCH_ROWS = 1 << 14  # a record of Python values takes about ten times its text
_BATCH_CHARACTERS = 1 << 24
_KINDS = {
    type(None): "",
    bool: "boolean",
    Number: "number",
    str: "string",
    list: "array",
    dict: "object",
}


class JsonRow(NamedTuple):
    """A record: its members, or the reason why it is none."""

    members: dict[str, Any]
    text: str
    reason: str = ""


def row_of(record: JsonRecord) -> JsonRow:
    """A value of a list or line as a record."""
    if not isinstance(record.value, dict):
        return JsonRow({}, record.text, "not a JSON object")
    if record.twice:
        return JsonRow({}, record.text, "a member stands in it twice")
    return JsonRow(record.value, record.text)


def seen_columns(rows: Iterator[JsonRow]) -> list[SeenColumn]:
    """The members that the first records have, in the order in which they appear.

    A name with a lone surrogate is no text, and so no column of anybody's.
    """
    kinds: dict[str, set[str]] = {}
    for row in islice(rows, _PEEKED):
        for name, value in row.members.items():
            kinds.setdefault(name, set()).add(_KINDS[type(value)])
    return [
        SeenColumn(name, " or ".join(sorted(own - {""})))
        for name, own in kinds.items()
        if is_text(name)
    ]


def declared(seen: SeenColumn) -> Declared:
    """What the kinds of a member's values say of its type: a text is no number."""
    if seen.source_type == "boolean":
        return Declared(pa.bool_(), "boolean")
    if seen.source_type == "string":
        return Declared(pa.string(), "string", text=True)
    return Declared(None, seen.source_type)


def batches(
    rows: Iterator[JsonRow],
    place: str,
    request: ReadRequest,
    options: SourceOptions,
    escaped: Callable[[], bool],
) -> Iterator[Extracted]:
    """Cast records, batch by batch.

    Args:
        rows: in the source's order.
        place: source and object, for messages.
        request: what is wanted of them.
        options: null words, zone and binary form.
        escaped: whether bytes that are not valid were met so far.

    Raises:
        PermanentSourceError: none of the first records has a wanted member.
    """
    peeked = list(islice(rows, _PEEKED))
    if any(not row.reason for row in peeked):
        wanted = [name for name in request.schema.names if name not in options.optional]
        check_columns(
            [column.name for column in seen_columns(iter(peeked))],
            wanted,
            place,
            hint="mend the source or the contract; a member that may be absent from all records "
            "is named in zhixin.optional",
        )
    first_row = 0
    for part in _parts(_chained(peeked, rows), min(request.batch_rows, _BATCH_ROWS)):
        yield _extracted(part, request.schema, options, first_row, escaped=escaped())
        first_row += len(part)


def _chained(peeked: list[JsonRow], rows: Iterator[JsonRow]) -> Iterator[JsonRow]:
    yield from peeked
    peeked.clear()
    yield from rows


def _parts(rows: Iterator[JsonRow], most: int) -> Iterator[list[JsonRow]]:
    part: list[JsonRow] = []
    size = 0
    for row in rows:
        part.append(row)
        size += len(row.text)
        if len(part) >= most or size > _BATCH_CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _extracted(
    rows: list[JsonRow], schema: pa.Schema, options: SourceOptions, first_row: int, *, escaped: bool
) -> Extracted:
    readings = [Reading(options.timezone, options.binary, options.dates)] * len(schema)
    null = frozenset(options.null)
    columns = [_JsonColumn(rows, name, null, escaped) for name in schema.names]
    read = extracted(columns, schema, readings, first_row)
    none = ((place, row.reason, unescape(row.text)) for place, row in enumerate(rows) if row.reason)
    return with_whole_misfits(read, none)


@dataclass(frozen=True)
class _JsonColumn:
    """One member of a batch's records."""

    rows: Sequence[JsonRow]
    name: str
    null: frozenset[str]
    escaped: bool

    def cast(self, wanted: pa.DataType, reading: Reading) -> Cast:
        """As the wanted type."""
        if pt.is_list(wanted) or pt.is_struct(wanted):
            values, misfits = self._one_by_one(self._nested, wanted, reading)
            return Cast(pa.array(values, wanted), misfits)
        texts = self._at_once(wanted)
        if texts is not None:
            return texts.cast(wanted, reading)
        values, misfits = self._one_by_one(self._scalar, wanted, reading)
        done = ArrowColumn(pa.array(values, pa.string()), self.escaped).cast(wanted, reading)
        return Cast(done.array, sorted(done.misfits + misfits))

    def raw(self, rows: Sequence[int]) -> list[str | None]:
        """The texts of chosen rows: a string's contents, else the source's own JSON."""
        return [self._raw(place) for place in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def _at_once(self, wanted: pa.DataType) -> ArrowColumn | None:
        """A column of nothing but strings, or numbers; None where a value needs a look."""
        values = [row.members.get(self.name) for row in self.rows]
        kinds = set(map(type, values)) - {type(None)}
        if kinds - {str} and (kinds - {Number} or pt.is_binary(wanted)):
            return None
        try:
            texts = ArrowColumn(pa.array(values, pa.string()), self.escaped)
        except UnicodeEncodeError:
            return None
        if Number not in kinds:
            return null_words(texts, list(self.null))
        as_written = pt.is_floating(wanted) or pt.is_string(wanted)
        exponents = pc.match_substring_regex(texts.array, "[eE]")
        return texts if as_written or no_misfit(pc.invert(exponents)) else None

    def _one_by_one(
        self, read: Callable[..., Any], wanted: pa.DataType, reading: Reading
    ) -> tuple[list[Any], list[tuple[int, str]]]:
        values: list[Any] = []
        misfits: list[tuple[int, str]] = []
        for place in range(len(self.rows)):
            value = self._value(place)
            try:
                values.append(None if value is None else read(place, value, wanted, reading))
            except Unfit as unfit:
                values.append(None)
                misfits.append((place, str(unfit)))
        return values, misfits

    def _value(self, place: int) -> Any:  # noqa: ANN401 - whatever JSON has
        value = self.rows[place].members.get(self.name)
        return None if type(value) is str and value in self.null else value

    def _scalar(self, place: int, value: object, wanted: pa.DataType, _reading: Reading) -> str:
        if pt.is_string(wanted) and isinstance(value, (dict, list)):
            return self._own_text(place)
        return json_text(value, wanted)

    def _nested(self, place: int, value: object, wanted: pa.DataType, reading: Reading) -> object:
        if self.escaped and unescape(own := self._own_text(place)) != own:
            raise Unfit(INVALID)
        return parse_json(value, wanted, reading)

    def _raw(self, place: int) -> str | None:
        value = self._value(place)
        if value is None:
            return None
        shown = isinstance(value, Number) or (isinstance(value, str) and is_text(value))
        text = str(value) if shown else self._own_text(place)
        return unescape(text) if self.escaped else text

    def _own_text(self, place: int) -> str:
        return member_texts(self.rows[place].text)[self.name]
