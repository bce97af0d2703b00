"""What every connector does, whatever it reads: one set of tests for all of them."""

import datetime as dt
import sqlite3
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zhixin_connectors.protocol import Connector, ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError

ROWS = 2_500
WANTED = pa.schema(
    [
        ("number", pa.int64()),
        ("amount", pa.decimal128(12, 2)),
        ("rate", pa.float64()),
        ("open", pa.bool_()),
        ("name", pa.string()),
        ("day", pa.date32()),
        ("clock", pa.time64("us")),
        ("local", pa.timestamp("us")),
        ("instant", pa.timestamp("us", tz="UTC")),
    ]
)
NAMES = ["甲", "", "O'Neil", 'a "b"', "line\nend", "x,y", " pad ", "NA", "\\N", "é\u0301", None]


def record(row):
    instant = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=row, microseconds=row)
    if row % 7 == 6:
        return [row, *[None] * 8]
    return [
        row - 1_000,
        Decimal(row * 37 - 5_000) / 100,
        row / 7,
        row % 2 == 0,
        NAMES[row % len(NAMES)],
        instant.date(),
        instant.time(),
        instant.replace(tzinfo=None),
        instant,
    ]


EXPECTED = pa.Table.from_pylist(
    [dict(zip(WANTED.names, record(row), strict=True)) for row in range(ROWS)], WANTED
)


def written(value):
    """As a text file writes it; None is an unquoted empty field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def make_csv(folder, _server):
    lines = [",".join(WANTED.names), *(",".join(map(written, record(n))) for n in range(ROWS))]
    (folder / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder), "people.csv"


def make_parquet(folder, _server):
    pq.write_table(EXPECTED, folder / "people.parquet", row_group_size=700)
    return str(folder), "people.parquet"


def make_sqlite(folder, _server):
    database = sqlite3.connect(folder / "people.db")
    database.execute(
        "CREATE TABLE people (number INTEGER, amount TEXT, rate REAL, open BOOLEAN, name TEXT, "
        "day DATE, clock TIME, local TIMESTAMP, instant TEXT, secret TEXT)"
    )
    stored = [
        [v if isinstance(v, (int, float, str)) or v is None else written(v) for v in record(n)]
        for n in range(ROWS)
    ]
    database.executemany("INSERT INTO people VALUES (?,?,?,?,?,?,?,?,?,'hidden')", stored)
    database.commit()
    database.close()
    return f"sqlite:///{folder / 'people.db'}", "people"


def make_postgresql(_folder, url):
    columns = (
        "number bigint, amount numeric(12,2), rate double precision, open boolean, name text, "
        "day date, clock time, local timestamp, instant timestamptz, secret text DEFAULT 'hidden'"
    )
    import psycopg

    statement = f"COPY stored ({', '.join(WANTED.names)}) FROM STDIN"
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS stored CASCADE")
        connection.execute(f"CREATE TABLE stored (place serial, {columns})")
        connection.execute("CREATE VIEW people AS SELECT * FROM stored ORDER BY place")
        with connection.cursor().copy(statement) as copy:
            for row in range(ROWS):
                copy.write_row(record(row))
    return url, "people"


MAKERS = {
    "csv": make_csv,
    "parquet": make_parquet,
    "sqlite": make_sqlite,
    "postgresql": make_postgresql,
}


@pytest.fixture(params=MAKERS, scope="module")
def silo(request, tmp_path_factory):
    """(connector, object) holding EXPECTED."""
    kind = request.param
    server = request.getfixturevalue("postgresql_url") if kind == "postgresql" else ""
    url, name = MAKERS[kind](tmp_path_factory.mktemp(kind), server)
    return open_source(url), name


def test_is_a_connector_that_answers(silo):
    source, name = silo
    assert isinstance(source, Connector)
    source.check()
    assert name in [table.name for table in source.tables()]
    assert "hidden" not in source.name


def test_tells_the_columns_in_their_order_without_reading(silo):
    source, name = silo
    seen = source.columns(name)
    there = [column.name for column in seen]
    assert [each for each in there if each in EXPECTED.column_names] == EXPECTED.column_names
    assert [bool(column.source_type) for column in seen] == ["csv" not in source.name] * len(seen)


def test_gives_equal_batches_whatever_the_source(silo, take):
    table, misfits, raw = take(silo[0], silo[1], WANTED)
    assert misfits == []
    assert table.equals(EXPECTED)
    assert raw.column("name").to_pylist() == EXPECTED.column("name").to_pylist()
    assert raw.column("number").to_pylist() == [str(n) for n in EXPECTED["number"].to_pylist()]


def test_gives_the_wanted_columns_in_the_wanted_order(silo, take):
    schema = pa.schema([WANTED.field("name"), WANTED.field("number")])
    table, _, _ = take(silo[0], silo[1], schema)
    assert table.equals(EXPECTED.select(["name", "number"]))


def test_keeps_to_the_wanted_size_of_batches(silo):
    source, name = silo
    request = ReadRequest(name, WANTED, batch_rows=600)
    sizes = [each.batch.num_rows for each in source.read(request)]
    assert max(sizes) <= 600
    assert sum(sizes) == ROWS


def test_a_misfit_is_null_with_reason_and_raw_text(silo, take):
    table, misfits, raw = take(silo[0], silo[1], {"name": pa.int64(), "day": pa.string()})
    names = EXPECTED.column("name").to_pylist()
    assert table.column("name").null_count == ROWS
    bad = [row for row, name in enumerate(names) if name is not None]
    assert [(row, field) for row, field, _, _ in misfits] == [(row, "name") for row in bad]
    assert [text for *_, text in misfits] == [names[row] for row in bad]
    assert raw.column("name").to_pylist() == names
    assert table.column("day").to_pylist() == [
        None if day is None else str(day) for day in EXPECTED.column("day").to_pylist()
    ]


def test_gives_raw_texts_of_chosen_rows_in_their_order(silo):
    source, name = silo
    first = next(iter(source.read(ReadRequest(name, WANTED))))
    raw = first.raw_texts(pa.array([5, 2, 5]))
    assert raw.schema.names == WANTED.names
    assert raw.column("number").to_pylist() == ["-995", "-998", "-995"]
    assert first.raw_texts([]).num_rows == 0


def test_null_words_are_null_only_where_declared(silo, take):
    source, name = silo
    options = {"zhixin.null": ["甲", ""], "zhixin.nullQuoted": True}
    table, _, _ = take(source, name, {"name": pa.string()}, options=options)
    words = [None if value in {"甲", ""} else value for value in EXPECTED["name"].to_pylist()]
    assert table.column("name").to_pylist() == words


def test_refuses_a_missing_column_before_any_record(silo):
    source, name = silo
    schema = pa.schema([("number", pa.int64()), ("Name", pa.string())])
    with pytest.raises(PermanentSourceError, match="no column Name") as refusal:
        next(iter(source.read(ReadRequest(name, schema))))
    assert refusal.value.code == "column-missing"
    assert refusal.value.details["missing"] == ["Name"]
    assert "name" in refusal.value.details["surplus"]
    assert name.split(".")[0] in str(refusal.value)


def test_refuses_an_object_that_is_not_there(silo):
    source, _ = silo
    with pytest.raises(PermanentSourceError) as refusal:
        next(iter(source.read(ReadRequest("peoples", WANTED))))
    assert "peoples" in str(refusal.value)
    assert "people" in str(refusal.value.hint)


def test_an_extraction_that_is_left_early_can_be_begun_again(silo):
    source, name = silo
    for _ in range(2):
        stream = source.read(ReadRequest(name, WANTED, batch_rows=100))
        assert next(stream).first_row == 0
        stream.close()


def test_describes_the_types_that_the_values_have(silo):
    source, name = silo
    seen = source.describe(name)
    assert (seen.rows, seen.complete) == (ROWS, True)
    types = {column.name: column.type for column in seen.columns}
    described = {field.name: field.type for field in WANTED} | {"amount": types["amount"]}
    assert {k: v for k, v in types.items() if k not in {"secret", "place"}} == described
    columns = {column.name: column for column in seen.columns}
    assert columns["number"].minimum == "-1000"
    assert columns["open"].nulls == ROWS // 7
    assert columns["name"].distinct is not None
    assert columns["name"].misfits == 0


def test_describes_the_first_rows_and_says_so(silo):
    source, name = silo
    seen = source.describe(name, rows=100)
    assert (seen.rows, seen.complete) == (100, False)
