"""What every connector must do, as a class of tests: for packages of others, and for our own.

::

    from zhixin_connectors.testing import ConnectorCase, ConnectorTests

    class TestAbacus(ConnectorTests):
        @pytest.fixture(scope="module")
        def source(self, tmp_path_factory):
            …                                   # hold records() as "people" in your source
            return ConnectorCase(connector, "people")

A subclass gives one fixture, ``source``: a connector and the name of an object in it that holds
:func:`records`, the same for everybody. Attributes say what the kind of source can't do. Needs
pytest, and nothing else of ours than this package.
"""
# ruff: noqa: S101, ANN401 - tests

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from zhixin_errors import PermanentSourceError, SourceError

from zhixin_connectors.protocol import Connector, Extracted, ReadRequest, Span

__all__ = [
    "EXPECTED",
    "RECORDS",
    "WANTED",
    "ConnectorCase",
    "ConnectorTests",
    "records",
    "take",
    "text_of",
]

RECORDS = 2_500
_TYPES: dict[str, pa.DataType] = {
    "number": pa.int64(),
    "amount": pa.decimal128(12, 2),
    "rate": pa.float64(),
    "open": pa.bool_(),
    "name": pa.string(),
    "day": pa.date32(),
    "clock": pa.time64("us"),
    "local": pa.timestamp("us"),
    "instant": pa.timestamp("us", tz="UTC"),
}
WANTED = pa.schema(_TYPES)
_NAMES = ["甲", "", "O'Neil", 'a "b"', "line\nend", "x,y", " pad ", "NA", "\\N", "é\u0301", None]


@dataclass(frozen=True)
class ConnectorCase:
    """What a subclass hands over.

    Args:
        connector: opened as a user would open it.
        object: the name of what holds :func:`records`.
        secrets: texts that may stand in no name, error or representation: a password, a host.
        options: ``zhixin.*`` options that reading it needs.
    """

    connector: Connector
    object: str
    secrets: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def records() -> list[dict[str, Any]]:
    """The records that a source under test must hold, in their order.

    Every seventh has nothing but its ``number``, which is then the row's own.
    """
    return [dict(zip(WANTED.names, _record(row), strict=True)) for row in range(RECORDS)]


def text_of(value: object) -> str | None:
    """A value as a text source may write it; None for null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value)


def take(
    connector: Connector, name: str, schema: pa.Schema, **request: Any
) -> tuple[pa.Table, list[tuple[int, str, str, str]], pa.Table]:
    """Read a whole object and hold each batch to the protocol.

    Returns:
        the records, the misfits as (row, field, reason, raw), and the raw texts.
    """
    batches, misfits, raws = [], [], []
    expected = 0
    for each in connector.read(ReadRequest(name, schema, **request)):
        _check(each, schema, expected)
        expected += each.batch.num_rows
        misfits += [(each.first_row + m.row, m.field, m.reason, m.raw) for m in each.misfits]
        batches.append(each.batch)
        raws.append(each.raw_texts(range(each.batch.num_rows)))
    texts = pa.schema([(name, pa.string()) for name in schema.names])
    return pa.Table.from_batches(batches, schema), misfits, pa.Table.from_batches(raws, texts)


def _check(each: Extracted, schema: pa.Schema, first_row: int) -> None:
    assert isinstance(each, Extracted), "read yields Extracted"
    assert each.first_row == first_row, "batches follow on without a gap"
    assert each.batch.schema.equals(schema), "a batch has the wanted schema"
    each.batch.validate(full=True)
    places = {name: place for place, name in enumerate(schema.names)}
    order = [(misfit.row, places.get(misfit.field, -1)) for misfit in each.misfits]
    assert order == sorted(order), "misfits come in the order of rows, then of fields"
    for misfit in each.misfits:
        assert misfit.reason, "a misfit has a reason"
        if misfit.field:
            assert each.batch.column(misfit.field)[misfit.row].as_py() is None, "its cell is null"


def _record(row: int) -> list[Any]:
    if row % 7 == 6:
        return [row, *[None] * 8]
    instant = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=row, microseconds=row)
    return [
        row - 1_000,
        Decimal(row * 37 - 5_000) / 100,
        row / 7,
        row % 2 == 0,
        _NAMES[row % len(_NAMES)],
        instant.date(),
        instant.time(),
        instant.replace(tzinfo=None),
        instant,
    ]


def _lies(value: Any, span: Span) -> bool:
    if value is None:
        return span.nulls
    low, high = (None if end is None else end.as_py() for end in (span.low, span.high))
    above = low is None or low < value or (low == value and not span.low_open)
    return above and (high is None or value < high)


def _by_number(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records in the order of their numbers, which are unique."""
    return sorted(found, key=lambda record: int(record["number"]))


EXPECTED = pa.Table.from_pylist(records(), WANTED)


class ConnectorTests:
    """Subclass it, name the class ``Test…``, and give the fixture ``source``."""

    lists_objects: ClassVar[bool] = True  # whether tables() names the objects that there are
    knows_objects: ClassVar[bool] = True  # whether an object that is not there gets a hint
    takes_null_words: ClassVar[bool] = True  # whether the option zhixin.null is heard
    empty_is_null: ClassVar[bool] = False  # whether it can't tell the empty text from null
    further_columns: ClassVar[frozenset[str]] = frozenset()  # that your source has besides

    @pytest.fixture(scope="module")
    def source(self) -> ConnectorCase:
        """A connector to a source that holds :func:`records`."""
        raise NotImplementedError("give a fixture named source that returns a ConnectorCase")

    def test_is_a_connector_that_answers(self, source: ConnectorCase) -> None:
        """All methods are there, and it can be reached."""
        assert isinstance(source.connector, Connector)
        assert source.connector.name
        source.connector.check()
        source.connector.check()

    def test_lists_what_can_be_read(self, source: ConnectorCase) -> None:
        """In the order of names."""
        names = [table.name for table in source.connector.tables()]
        assert names == sorted(names)
        if self.lists_objects:
            assert source.object in names

    def test_tells_its_columns(self, source: ConnectorCase) -> None:
        """All of them, also those that nobody wants."""
        names = [column.name for column in source.connector.columns(source.object)]
        assert len(set(names)) == len(names)
        assert set(names) - self.further_columns == set(WANTED.names)

    def test_gives_every_record_exactly(self, source: ConnectorCase) -> None:
        """Equal to those of every other connector, with their raw texts."""
        table, misfits, raw = self._take(source, WANTED)
        assert misfits == []
        assert table.num_rows == RECORDS
        assert table.equals(self._expected)
        assert raw.column("name").to_pylist() == self._expected.column("name").to_pylist()
        numbers = [str(number) for number in self._expected.column("number").to_pylist()]
        assert raw.column("number").to_pylist() == numbers

    def test_gives_the_wanted_columns_in_the_wanted_order(self, source: ConnectorCase) -> None:
        """And nothing else."""
        schema = pa.schema([WANTED.field("name"), WANTED.field("number")])
        table, _, _ = self._take(source, schema)
        assert table.equals(self._expected.select(["name", "number"]))

    def test_keeps_to_the_wanted_size_of_batches(self, source: ConnectorCase) -> None:
        """A batch is never larger; all together are the whole."""
        sizes = [each.batch.num_rows for each in self._read(source, WANTED, batch_rows=600)]
        assert max(sizes) <= 600
        assert sum(sizes) == RECORDS

    def test_reads_the_same_again(self, source: ConnectorCase) -> None:
        """A relationship or a retry reads a second time."""
        first, second = (self._take(source, WANTED)[0] for _ in range(2))
        assert first.equals(second)

    def test_takes_the_order_as_a_hint(self, source: ConnectorCase) -> None:
        """Sorted or not: the same records."""
        table, _, _ = self._take(source, WANTED, order_by=("number",))
        assert sorted(map(str, table.to_pylist())) == sorted(map(str, self._expected.to_pylist()))

    def test_gives_the_records_of_a_span(self, source: ConnectorCase) -> None:
        """Each end is in it or not as the protocol says; nulls where they are asked for."""
        for name in ("number", "amount", "name", "instant"):
            values = self._expected[name].drop_null().sort()
            one, other = (values[len(values) * part // 5] for part in (1, 3))
            spans = [
                Span(name, high=one, nulls=True),
                Span(name, one, other),
                Span(name, other, low_open=True),
            ]
            for span in spans:
                rows = 0
                found: list[dict[str, Any]] = []
                for each in self._read(source, WANTED, span=span):
                    assert (each.first_row, list(each.misfits)) == (rows, [])
                    rows += each.batch.num_rows
                    found += each.batch.to_pylist()
                    texts = each.raw_texts([each.batch.num_rows - 1])
                    assert texts["name"].to_pylist() == [found[-1]["name"]]
                wanted = [row for row in self._expected.to_pylist() if _lies(row[name], span)]
                assert _by_number(found) == _by_number(wanted)

    def test_knows_how_many_records_there_are_or_says_nothing(self, source: ConnectorCase) -> None:
        """About."""
        known = source.connector.count(source.object)
        assert known is None or known >= 0

    def test_a_misfit_is_null_with_reason_and_raw_text(self, source: ConnectorCase) -> None:
        """A value that the wanted type can't say stops nothing and is not changed."""
        schema = pa.schema([("name", pa.int64()), ("number", pa.int64())])
        table, misfits, raw = self._take(source, schema)
        names = self._expected.column("name").to_pylist()
        bad = [row for row, name in enumerate(names) if name is not None]
        assert table.column("name").null_count == RECORDS
        assert table.column("number").equals(self._expected.column("number"))
        assert [(row, name) for row, name, _, _ in misfits] == [(row, "name") for row in bad]
        assert [text for *_, text in misfits] == [names[row] for row in bad]
        assert raw.column("name").to_pylist() == names

    def test_words_for_null_are_null_where_the_contract_says_so(
        self, source: ConnectorCase
    ) -> None:
        """And nowhere else: NA is a word."""
        if not self.takes_null_words:
            return
        options = {**source.options, "zhixin.null": ["甲", ""], "zhixin.nullQuoted": True}
        schema = pa.schema([WANTED.field("name")])
        table, _, _ = take(source.connector, source.object, schema, options=options)
        names = self._expected.column("name").to_pylist()
        wanted = [None if name in {"甲", ""} else name for name in names]
        assert table.column("name").to_pylist() == wanted

    def test_a_reason_holds_nothing_of_the_value(self, source: ConnectorCase) -> None:
        """Reasons are shown to those who may not see records."""
        _, misfits, _ = self._take(source, pa.schema([("name", pa.int64())]))
        reasons = {reason for _, _, reason, _ in misfits}
        assert 0 < len(reasons) < 5
        assert not any("甲" in reason or "O'Neil" in reason for reason in reasons)

    def test_gives_raw_texts_of_chosen_rows_in_their_order(self, source: ConnectorCase) -> None:
        """Also of a row twice, and of none."""
        first = next(self._read(source, WANTED))
        raw = first.raw_texts(pa.array([5, 2, 5]))
        assert raw.schema.names == WANTED.names
        assert raw.column("number").to_pylist() == ["-995", "-998", "-995"]
        assert first.raw_texts([]).num_rows == 0

    def test_refuses_a_missing_column_before_any_record(self, source: ConnectorCase) -> None:
        """By its name; a name of other letters' case is another."""
        schema = WANTED.append(pa.field("Name", pa.string()))
        with pytest.raises(PermanentSourceError, match="Name") as refusal:
            next(self._read(source, schema))
        self._check_refusal(refusal.value, source)
        assert refusal.value.code == "column-missing"

    def test_refuses_an_object_that_is_not_there(self, source: ConnectorCase) -> None:
        """By its name, and names the source."""
        near = source.object.split(".", maxsplit=1)[0]
        request = ReadRequest(f"{near}s", WANTED, options=source.options)
        with pytest.raises(PermanentSourceError) as refusal:
            next(iter(source.connector.read(request)))
        self._check_refusal(refusal.value, source)
        assert source.connector.name in str(refusal.value)
        if self.knows_objects:
            assert near in str(refusal.value.hint)

    def test_an_extraction_that_is_left_early_can_be_begun_again(
        self, source: ConnectorCase
    ) -> None:
        """Nothing stays locked or open."""
        for _ in range(2):
            stream = self._read(source, WANTED, batch_rows=100)
            assert next(stream).first_row == 0
            stream.close()  # type: ignore[attr-defined]
        assert self._take(source, WANTED)[0].num_rows == RECORDS

    def test_two_extractions_do_not_disturb_each_other(self, source: ConnectorCase) -> None:
        """Each is its own snapshot."""
        one, other = (self._read(source, WANTED, batch_rows=1_000) for _ in range(2))
        sizes = [sum(each.batch.num_rows for pair in zip(one, other, strict=True) for each in pair)]
        assert sizes == [2 * RECORDS]

    def test_describes_the_types_that_the_values_have(self, source: ConnectorCase) -> None:
        """What it proposes reads every value; nothing is invented."""
        seen = source.connector.describe(source.object)
        columns = {column.name: column for column in seen.columns}
        assert set(columns) - self.further_columns == set(WANTED.names)
        assert columns["number"].type == pa.int64()
        assert columns["name"].type == pa.string()
        assert all(columns[name].misfits == 0 for name in WANTED.names)
        assert (seen.rows, seen.complete) == (RECORDS, True)

    def test_describes_the_first_rows_and_says_so(self, source: ConnectorCase) -> None:
        """A sample is called one."""
        seen = source.connector.describe(source.object, rows=100)
        assert (seen.rows, seen.complete) == (100, False)

    def test_shows_no_secret(self, source: ConnectorCase) -> None:
        """Neither in its name nor where somebody looks at it."""
        shown = f"{source.connector.name} {source.connector!r}"
        assert not [secret for secret in source.secrets if secret in shown]

    @property
    def _expected(self) -> pa.Table:
        if not self.empty_is_null:
            return EXPECTED
        names = pa.array([name or None for name in EXPECTED["name"].to_pylist()], pa.string())
        return EXPECTED.set_column(WANTED.get_field_index("name"), WANTED.field("name"), names)

    def _read(
        self, source: ConnectorCase, schema: pa.Schema, **request: Any
    ) -> Iterator[Extracted]:
        wanted = ReadRequest(source.object, schema, options=source.options, **request)
        return iter(source.connector.read(wanted))

    def _take(
        self, source: ConnectorCase, schema: pa.Schema, **request: Any
    ) -> tuple[pa.Table, list[tuple[int, str, str, str]], pa.Table]:
        return take(source.connector, source.object, schema, options=source.options, **request)

    def _check_refusal(self, error: SourceError, source: ConnectorCase) -> None:
        """A sentence, a code and no secret; it survives the way from one process to another."""
        said = f"{error.message} {error.hint} {error.details}"
        assert not [secret for secret in source.secrets if secret in said]
        assert error.code
        assert "\n" not in error.message
        assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own
