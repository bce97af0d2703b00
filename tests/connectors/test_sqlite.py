"""SQLite as a source: any value in any column, and files that are not there."""

import datetime as dt
import sqlite3
from contextlib import closing
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_connectors import sql
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import ConfigError, PermanentSourceError, TransientSourceError

from tests.connectors.random_tables import SCALARS, VALUES, canonical, element, read_content, tables


@pytest.fixture
def database(tmp_path):
    """(url, run)."""

    def run(statement, rows=None):
        with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
            if rows is None:
                connection.executescript(statement)
            else:
                connection.executemany(statement, rows)
            connection.commit()

    return f"sqlite:///{tmp_path / 't.db'}", run


def test_text_that_is_not_utf8_rejects_its_own_record_and_reading_goes_on(database, take):
    url, run = database
    run("CREATE TABLE t (id INTEGER, s TEXT)")
    run("INSERT INTO t VALUES (?, ?)", [(n, f"x{n}") for n in range(3_000)])
    run("INSERT INTO t VALUES (3000, CAST(x'61ff' AS TEXT)), (3001, 'é')")
    table, misfits, raw = take(url, "t", {"id": pa.int64(), "s": pa.string()})
    assert table["id"].to_pylist() == list(range(3_002))
    assert misfits == [(3_000, "s", "not valid in the source's encoding", "a\\xff")]
    assert raw["s"].to_pylist()[-2:] == ["a\\xff", "é"]


def test_names_are_quoted_and_a_percent_sign_is_itself(database, take):
    url, run = database
    run('CREATE TABLE "or""der" ("a b" TEXT, "50%" TEXT, "select" TEXT)')
    run("""INSERT INTO "or""der" VALUES ('1', '2', '3')""")
    names = ["50%", "a b", "select"]
    table, _, _ = take(url, 'or"der', dict.fromkeys(names, pa.string()))
    assert table.to_pylist() == [{"50%": "2", "a b": "1", "select": "3"}]


def test_a_query_and_a_query_file_are_read(database, take, tmp_path, monkeypatch):
    url, run = database
    run("CREATE TABLE t (id INTEGER, s TEXT); INSERT INTO t VALUES (1, '5%'), (2, 'b')")
    query = "SELECT id + 1 AS next FROM t WHERE s LIKE '5%';"
    assert take(url, query, {"next": pa.int64()})[0]["next"].to_pylist() == [2]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "open.sql").write_text("-- those with a percent sign\n" + query)
    assert take(url, "open.sql", {"next": pa.int64()})[0]["next"].to_pylist() == [2]
    (tmp_path / "bad.sql").write_text("DELETE FROM t")
    for name, words in (("bad.sql", "holds no SELECT"), ("none.sql", "can't be read")):
        with pytest.raises(PermanentSourceError, match=words):
            take(url, name, {"next": pa.int64()})


def test_a_query_cannot_write(database, take):
    url, run = database
    run("CREATE TABLE t (id INTEGER)")
    with pytest.raises(PermanentSourceError):
        take(url, "WITH x AS (SELECT 1) INSERT INTO t SELECT 1", {"id": pa.int64()})


def test_order_by_sorts_texts_by_their_bytes(database, take):
    url, run = database
    run("CREATE TABLE t (s TEXT COLLATE NOCASE); INSERT INTO t VALUES ('b'), ('B'), ('a'), ('é')")
    table, _, _ = take(url, "t", {"s": pa.string()}, order_by=("s",))
    assert table["s"].to_pylist() == ["B", "a", "b", "é"]


def test_one_snapshot_is_read_while_others_write(database):
    url, run = database
    run("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER)")
    run("INSERT INTO t VALUES (?)", [(n,) for n in range(5_000)])
    request = ReadRequest("t", pa.schema([("id", pa.int64())]), batch_rows=500)
    seen = 0
    for each in open_source(url).read(request):
        run("INSERT INTO t VALUES (-1); DELETE FROM t WHERE id > 4000")
        seen += each.batch.num_rows
    assert seen == 5_000


def test_one_snapshot_is_read_where_a_text_makes_it_begin_again(database):
    """Bytes that are no UTF-8 stop the driver: the second statement sees what the first did."""
    url, run = database
    run("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER, s TEXT)")
    run("INSERT INTO t VALUES (?, 'x')", [(n,) for n in range(5_000)])
    run("INSERT INTO t VALUES (5000, CAST(x'ff' AS TEXT))")
    request = ReadRequest("t", pa.schema([("id", pa.int64()), ("s", pa.string())]), batch_rows=500)
    seen = []
    for each in open_source(url).read(request):
        run("DELETE FROM t WHERE id < 300; INSERT INTO t VALUES (-1, 'y')")
        seen += each.batch["id"].to_pylist()
    assert seen == list(range(5_001))


CASES = [
    ("INTEGER", "'abc'", pa.int64(), None, "abc"),
    ("INTEGER", "'12'", pa.int64(), 12, None),
    ("INTEGER", "1.0", pa.int64(), 1, None),
    ("INTEGER", "1.5", pa.int64(), None, "1.5"),
    ("INTEGER", "9223372036854775808", pa.uint64(), None, "9223372036854776000"),  # a REAL
    ("TEXT", "'18446744073709551615'", pa.uint64(), 2**64 - 1, None),
    ("INTEGER", "-9223372036854775808", pa.int64(), -(2**63), None),
    ("INTEGER", "x'31'", pa.int64(), None, "\\x31"),
    ("BOOLEAN", "TRUE", pa.bool_(), True, None),
    ("BOOLEAN", "2", pa.bool_(), None, "2"),
    ("BOOLEAN", "'yes'", pa.bool_(), None, "yes"),
    ("REAL", "5", pa.float64(), 5.0, None),
    ("REAL", "5", pa.string(), "5", None),
    ("REAL", "9007199254740993", pa.float64(), 9007199254740992.0, None),
    ("REAL", "1e400", pa.float64(), None, "inf"),
    ("REAL", "-1e400", pa.decimal128(5, 2), None, "-inf"),
    ("REAL", "'1e400'", pa.string(), "inf", None),
    ("NUMERIC", "'1e400x'", pa.float64(), None, "1e400x"),
    ("NUMERIC", "0.1", pa.decimal128(5, 2), Decimal("0.10"), None),
    ("NUMERIC", "0.125", pa.decimal128(5, 2), None, "0.125"),
    ("TEXT", "12", pa.string(), "12", None),
    ("TEXT", "1.50", pa.string(), "1.5", None),
    ("TEXT", "'12345678901234567890.123456789012345678'", pa.decimal128(38, 18),
     Decimal("12345678901234567890.123456789012345678"), None),
    ("TEXT", "char(97, 0, 98)", pa.string(), "a\0b", None),
    ("TEXT", "x'00ff'", pa.string(), None, "\\x00ff"),
    ("BLOB", "x'00ff'", pa.binary(), b"\x00\xff", None),
    ("BLOB", "'a'", pa.binary(), None, "a"),
    ("TEXT", "''", pa.int64(), None, ""),
    ("DATE", "'2024-01-05'", pa.date32(), dt.date(2024, 1, 5), None),
    ("DATE", "2460314.5", pa.date32(), None, "2460314.5"),
    ("DATE", "1704412800", pa.date32(), None, "1704412800"),
    ("DATETIME", "1704412800", pa.timestamp("us"), None, "1704412800"),
    ("DATETIME", "'2024-01-05 09:30:00'", pa.timestamp("us"),
     dt.datetime(2024, 1, 5, 9, 30), None),  # noqa: DTZ001
    ("DATETIME", "'2024-01-05 24:00:00'", pa.timestamp("us"), None, "2024-01-05 24:00:00"),
    ("TIMESTAMP", "'2024-01-05T09:30:00+08:00'", pa.timestamp("us", tz="UTC"),
     dt.datetime(2024, 1, 5, 1, 30, tzinfo=dt.UTC), None),
    ("JSON", "'[1, 9007199254740993]'", pa.list_(pa.int64()), [1, 2**53 + 1], None),
]  # fmt: skip


@pytest.mark.parametrize("form", ["", "WITHOUT ROWID", "VIEW"])
def test_each_value_is_read_as_what_it_is_whatever_the_column_says(database, take, form):
    url, run = database
    columns = ", ".join(f"c{n} {case[0]}" for n, case in enumerate(CASES))
    table = form if form != "VIEW" else ""
    run(f"CREATE TABLE held (k INTEGER PRIMARY KEY, {columns}) {table}")
    run("CREATE VIEW t AS SELECT * FROM held")
    run(f"INSERT INTO held VALUES (1, {', '.join(case[1] for case in CASES)})")
    run("INSERT INTO held (k) VALUES (2)")
    wanted = {f"c{n}": case[2] for n, case in enumerate(CASES)}
    read, misfits, raw = take(url, "t" if form == "VIEW" else "held", wanted)
    for n, (kind, put, _, value, text) in enumerate(CASES):
        assert read[f"c{n}"].to_pylist() == [value, None], (kind, put)
        assert [m[3] for m in misfits if m[1] == f"c{n}"] == ([] if text is None else [text])
        assert text is None or raw[f"c{n}"].to_pylist() == [text, None]


def test_strict_tables_and_generated_columns(database, take):
    url, run = database
    run("CREATE TABLE s (a, b INT, c TEXT AS (b || '!') STORED, d INT AS (b * 2))")
    run("CREATE TABLE strict_one (a ANY, b INTEGER, c REAL, d BLOB) STRICT")
    run("INSERT INTO s (a, b) VALUES (x'00', 5)")
    run("INSERT INTO strict_one VALUES ('007', 5, 5, x'00')")
    table, misfits, _ = take(url, "s", {"c": pa.string(), "d": pa.int64(), "b": pa.int64()})
    assert table.to_pylist() == [{"c": "5!", "d": 10, "b": 5}]
    kinds = {"a": pa.string(), "b": pa.int64(), "c": pa.float64(), "d": pa.binary()}
    table, more, _ = take(url, "strict_one", kinds)
    assert table.to_pylist() == [{"a": "007", "b": 5, "c": 5.0, "d": b"\0"}]
    assert misfits == more == []


def test_a_locked_database_is_worth_a_retry(database, take, monkeypatch):
    url, run = database
    run("CREATE TABLE t (id INTEGER)")
    monkeypatch.setattr(sql, "_LOCK_WAIT_S", 0.1)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TransientSourceError, match="locked"):
            take(url, "t", {"id": pa.int64()})


def test_a_database_that_is_not_there_does_not_come_into_being(tmp_path):
    with pytest.raises(PermanentSourceError, match="no such SQLite file"):
        open_source(f"sqlite:///{tmp_path / 'none.db'}").check()
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(ConfigError, match="is a file"):
        open_source("sqlite://").check()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "t.db").write_text("id,name\n" * 1_000)
    with pytest.raises(PermanentSourceError, match="no database"):
        open_source(f"sqlite:///{tmp_path / 't.db'}").check()


def test_large_texts_make_smaller_batches(database):
    url, run = database
    run("CREATE TABLE t (s TEXT)")
    run("INSERT INTO t VALUES (?)", [("x" * 100_000,) for _ in range(1_200)])
    request = ReadRequest("t", pa.schema([("s", pa.string())]))
    sizes = [each.batch.num_rows for each in open_source(url).read(request)]
    assert sum(sizes) == 1_200
    assert len(sizes) > 1


values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.binary(max_size=6),
)


@given(column=st.lists(values, max_size=10))
def test_every_value_comes_back_as_its_text_or_is_a_misfit(tmp_path_factory, column):
    path = tmp_path_factory.mktemp("sqlite") / "t.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (v)")
        connection.executemany("INSERT INTO t VALUES (?)", [(value,) for value in column])
        connection.commit()
    source = open_source(f"sqlite:///{path}")
    rows = 0
    for wanted in (pa.int64(), pa.float64(), pa.string(), pa.binary()):
        for each in source.read(ReadRequest("t", pa.schema([("v", wanted)]))):
            bad = {misfit.row for misfit in each.misfits}
            for row, read in enumerate(each.batch["v"].to_pylist()):
                value = column[row]
                assert (read is None) == (value is None or row in bad)
                same = isinstance(value, str) or wanted == pa.string() or read == value
                assert read is None or same
            rows += each.batch.num_rows
    assert rows == 4 * len(column)


DECLARED = {"boolean": "BOOLEAN", "integer": "INTEGER", "float": "REAL", "binary": "BLOB"}


def stored(value, kind):
    """A value as people keep it in SQLite: what has no class of its own there is text."""
    if value is None or str(kind) in DECLARED:
        return value
    return canonical(value, kind) if isinstance(kind, str) else element(value, kind)


FLOATS = VALUES["float"].map(lambda value: value + 0.0)  # SQLite keeps -0.0 as 0


@settings(max_examples=60)
@given(table=tables((*SCALARS, "list", "struct"), {"float": FLOATS}))
def test_random_values_come_back_to_the_byte(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("sqlite") / "t.db"
    kinds = list(table.types.items())
    columns = ", ".join(
        '"{}" {}'.format(name.replace('"', '""'), DECLARED.get(str(kind), "TEXT"))
        for name, kind in kinds
    )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
        for row in table.rows:
            values = [stored(value, kind) for value, (_, kind) in zip(row, kinds, strict=True)]
            connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", values)
        connection.commit()
    assert read_content(f"sqlite:///{path}", "t", table, order_by=("id",)) == table.content, table
