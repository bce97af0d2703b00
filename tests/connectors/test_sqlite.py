"""SQLite as a source: any value in any column, and files that are not there."""

import sqlite3
from contextlib import closing

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
