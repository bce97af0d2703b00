"""Spans of a field, by a database or by us: each record in one, none in two; bounds, snapshots."""

import datetime as dt
import sqlite3
from itertools import pairwise

import pyarrow as pa
import pytest
from zhixin_connectors.postgresql import Selection
from zhixin_connectors.protocol import Extracted, Misfit, ReadRequest, Span
from zhixin_connectors.registry import open_source
from zhixin_connectors.spans import bounds, exported_snapshot, inside, spanned
from zhixin_connectors.testing import take
from zhixin_errors import PermanentSourceError, TransientSourceError

UTC = pa.timestamp("us", tz="UTC")
NAIVE = pa.timestamp("us")
INTEGERS = [-(2**63), -1, 0, 1, 2**53 + 1, 2**63 - 1]
TEXTS = [
    "",
    " ",
    "A",
    "B",
    "a",
    "ab",
    "b",
    "É",
    "é",
    "丂",
    "\U0002a6d6",
    "\uffff",
    "a'b",
    "a\\b",
    "%s",
]
DAYS = ["0001-01-01", "1969-12-31", "2024-02-29", "9999-12-31"]
MOMENTS = ["0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2024-01-05 09:30:00.5",
           "2024-01-05 09:30:00.500001", "9999-12-31 23:59:59.999999"]  # fmt: skip
# (type in the database, wanted type, values of it, values that are misfits)
POSTGRESQL = [
    ("bigint", pa.int64(), INTEGERS, []),
    ("int", pa.int64(), [-5, 0, 7, 2**31 - 1], []),
    ("bigint", pa.uint64(), [0, 5, 2**63 - 1], [-1]),
    ("numeric", pa.uint64(), [0, 2**63, 2**64 - 1], ["NaN", "1.5", -1]),
    ("numeric", pa.decimal128(38, 2), ["-9e35", "-0.01", 0, "0.01", "1.25"], ["NaN", "0.001"]),
    ("float8", pa.float64(), ["-1.5e300", "-0", "0.1", "5e-324", "1e22"], ["NaN", "infinity"]),
    ("real", pa.float64(), ["-1.5", "0.1", "16777216"], ["NaN", "-infinity"]),
    ("date", pa.date32(), DAYS, ["infinity", "-infinity", "0044-03-15 BC"]),
    ("timestamp", NAIVE, MOMENTS, ["infinity", "-infinity", "10000-01-01"]),
    ("timestamptz", UTC, [f"{m}+00" for m in MOMENTS], ["infinity", "-infinity"]),
    ('text COLLATE "en-x-icu"', pa.string(), TEXTS, []),
    ("char(5)", pa.string(), ["a", "ab", "b"], []),
    ("text", pa.int64(), ["5", "10", "9"], ["x", ""]),
    ("timestamp", UTC, ["2024-01-05 09:30"], []),
]
MARIADB = [
    ("bigint", pa.int64(), INTEGERS, []),
    ("bigint unsigned", pa.uint64(), [0, 5, 2**63, 2**64 - 1], []),
    ("decimal(40,3)", pa.decimal128(38, 2), ["-1.25", 0, "1.25", "9.99"], ["0.001"]),
    ("double", pa.float64(), ["-1.5e300", "0.1", "1e22"], []),
    ("date", pa.date32(), DAYS, ["0000-00-00", "2024-06-00"]),
    ("datetime(6)", NAIVE, MOMENTS, ["0000-00-00 00:00:00"]),
    ("timestamp(6) NULL", UTC, ["1971-01-01 00:00:00", "2024-01-05 09:30:00.500001"], []),
    ("varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", pa.string(), TEXTS, []),
    ("varchar(20) CHARACTER SET gbk", pa.string(), ["a", "B", "丂", "一"], []),
    ("text", pa.int64(), ["5", "10", "9"], ["x", ""]),
]
SQLITE = [
    ("INTEGER", pa.int64(), INTEGERS, ["x", 1.5, b"5"]),
    ("", pa.int64(), ["5", 5, 6, "7"], ["x"]),
    ("TEXT", pa.string(), TEXTS, []),
    ("INTEGER", pa.decimal128(3, 0), [1, 5], [100000]),
    ("NUMERIC", pa.string(), ["!", "a", "b", 5, 5.5, "é"], []),
    ("TEXT COLLATE NOCASE", pa.string(), ["A", "a", "b", "B"], []),
    ("TEXT", NAIVE, MOMENTS, ["infinity", "2024-13-45 00:00:00"]),
    ("REAL", pa.float64(), [-1.5, 0.1, 1e22], ["x"]),
]


def check(url, wanted, values):
    """Spans between any two values: what lies in them, and every record once."""
    source = open_source(url)
    schema = pa.schema([("id", pa.int64()), ("v", wanted)])
    whole, misfits, raw = take(source, "t", schema)
    assert whole.num_rows == len(values) + 1
    assert len(misfits) == whole["v"].null_count - 1
    edges = list(dict.fromkeys(whole["v"].drop_null().sort()))
    texts = dict(zip(whole["id"].to_pylist(), raw["v"].to_pylist(), strict=True))
    parts = [Span("v", a, b, nulls=a is None) for a, b in pairwise([None, *edges, None])]
    others = [Span("v"), *(Span("v", a, b, low_open=True) for a, b in pairwise(edges))]
    rows = []
    for span in parts + others:
        table, _, own = take(source, "t", schema, span=span)
        assert own["v"].to_pylist() == [texts[row] for row in table["id"].to_pylist()]
        said = whole.filter(inside(whole["v"].combine_chunks(), span))
        said = said.filter(said["v"].is_valid())["id"].to_pylist()
        assert sorted(table.filter(table["v"].is_valid())["id"].to_pylist()) == said, span
        rows += table["id"].to_pylist() if span in parts else []
    assert sorted(rows) == list(range(len(values) + 1))


@pytest.mark.parametrize("case", POSTGRESQL, ids=lambda case: f"{case[0]}-{case[1]}")
def test_postgresql_selects_a_span(postgresql, case):
    url, run = postgresql
    kind, wanted, good, bad = case
    rows = ", ".join(f"({n}, {literal(v)})" for n, v in enumerate([*good, *bad, None]))
    run(f"CREATE TABLE t (id int, v {kind}); INSERT INTO t VALUES {rows}")
    check(url, wanted, [*good, *bad])


@pytest.mark.parametrize("case", MARIADB, ids=lambda case: f"{case[0]}-{case[1]}")
def test_mariadb_selects_a_span(mariadb, case):
    url, run = mariadb
    kind, wanted, good, bad = case
    run(f"SET NAMES utf8mb4; CREATE TABLE t (id int, v {kind})")
    run("INSERT INTO t VALUES (%s, %s)", list(enumerate([*good, *bad, None])))
    check(url, wanted, [*good, *bad])


@pytest.mark.parametrize("case", SQLITE, ids=lambda case: f"{case[0]}-{case[1]}")
def test_sqlite_selects_a_span(tmp_path, case):
    kind, wanted, good, bad = case
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute(f"CREATE TABLE t (id INTEGER, v {kind})")
        connection.executemany("INSERT INTO t VALUES (?, ?)", enumerate([*good, *bad, None]))
    connection.close()
    check(f"sqlite:///{tmp_path}/a.db", wanted, [*good, *bad])


def literal(value):
    return (
        "NULL"
        if value is None
        else "E'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"
    )


def test_a_batch_is_filtered_with_its_misfits_and_raw_texts():
    schema = pa.schema([("n", pa.int64()), ("s", pa.string())])
    texts = pa.RecordBatch.from_pydict({"n": ["1", "x", "3", "y", None], "s": list("abcde")})
    batch = pa.record_batch([pa.array([1, None, 3, None, None]), texts.column("s")], schema=schema)
    misfits = [Misfit(1, "n", "not an integer", "x"), Misfit(3, "n", "not an integer", "y")]
    given = [Extracted(batch, misfits, 0, texts.take), Extracted(batch, misfits, 5, texts.take)]

    def read(**span):
        request = ReadRequest("t", schema, span=Span("n", **span))
        return list(spanned(iter(given), request, "beads"))

    three = read(low=pa.scalar(2))
    assert [each.first_row for each in three] == [0, 1]
    assert [each.batch["s"].to_pylist() for each in three] == [["c"], ["c"]]
    assert [list(each.misfits) for each in three] == [[], []]
    odd = read(high=pa.scalar(1), nulls=True)
    assert [each.batch["s"].to_pylist() for each in odd] == [["b", "d", "e"]] * 2
    assert [[(m.row, m.raw) for m in each.misfits] for each in odd] == [[(0, "x"), (1, "y")]] * 2
    assert odd[1].raw_texts([1, 0])["n"].to_pylist() == ["y", "x"]
    assert odd[1].first_row == 3


def test_a_record_that_is_a_misfit_as_a_whole_counts_as_one_without_a_value():
    schema = pa.schema([("n", pa.int64())])
    batch = pa.record_batch([pa.array([1, 3, 3])], schema=schema)
    given = Extracted(batch, [Misfit(1, "", "a value without a name", "3 9")], 0, batch.take)

    def read(**span):
        request = ReadRequest("t", schema, span=Span("n", **span))
        return [
            (each.batch["n"].to_pylist(), [misfit.row for misfit in each.misfits])
            for each in spanned(iter([given]), request, "beads")
        ]

    assert read(low=pa.scalar(2)) == [([3], [])]
    assert read(high=pa.scalar(2), nulls=True) == [([1, 3], [1])]


def test_bounds_are_the_least_and_the_greatest_value_and_how_many_have_none(
    postgresql, mariadb, tmp_path
):
    rows = "(5, '2024-01-05', NULL), (-3, '2023-12-31', 1), (NULL, NULL, NULL)"
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE t (n int, d date, e int)")
        connection.execute(f"INSERT INTO t VALUES {rows}")
    connection.close()
    for url, run in (postgresql, mariadb, (f"sqlite:///{tmp_path}/a.db", None)):
        if run:
            run(f"CREATE TABLE t (n int, d date, e int); INSERT INTO t VALUES {rows}")
        source = open_source(url)
        low, high, nulls = bounds(source, "t", pa.field("n", pa.int64()))
        assert (low, high, nulls) == (pa.scalar(-3), pa.scalar(5), 1)
        low, high, nulls = bounds(source, "SELECT * FROM t", pa.field("d", pa.date32()))
        assert (low.as_py(), high.as_py(), nulls) == (dt.date(2023, 12, 31), dt.date(2024, 1, 5), 1)
        assert bounds(source, "t", pa.field("e", pa.int64())).nulls == 2
        with pytest.raises(PermanentSourceError, match="no column x"):
            bounds(source, "t", pa.field("x", pa.int64()))
        with pytest.raises(PermanentSourceError, match="can't say") as refusal:
            bounds(source, "t", pa.field("d", pa.string()))
        assert refusal.value.code == "bounds-unknown"


def test_a_count_is_what_the_database_keeps(postgresql, mariadb):
    url, run = postgresql
    run("""CREATE TABLE t AS SELECT generate_series(1, 1000) AS n; CREATE VIEW v AS SELECT * FROM t;
           CREATE TABLE p (n int) PARTITION BY RANGE (n);
           CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
           INSERT INTO p SELECT 5 FROM t; CREATE TABLE new (n int)""")
    source = open_source(url)
    assert source.count("p") is None
    run("ANALYZE t; ANALYZE p1")
    counts = [source.count(name) for name in ("t", "p", "v", "new", "SELECT 1 AS n")]
    assert counts == [1000, 1000, None, None, None]
    url, run = mariadb
    run("CREATE TABLE t AS SELECT seq AS n FROM seq_1_to_1000; CREATE VIEW v AS SELECT * FROM t; "
        "ANALYZE TABLE t")  # fmt: skip
    assert open_source(url).count("t") == pytest.approx(1000, rel=0.2)
    assert open_source(url).count("v") is None


def test_an_exported_snapshot_is_read_by_others_and_ends(postgresql, tmp_path):
    url, run = postgresql
    run("CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    schema, source = pa.schema([("n", pa.int64())]), open_source(url)
    with exported_snapshot(source) as name:
        run("INSERT INTO t VALUES (101); UPDATE t SET n = -n WHERE n < 50")
        table, _, _ = take(open_source(url), "t", schema, snapshot=name)
        assert sorted(table["n"].to_pylist()) == list(range(1, 101))
        found = bounds(source, "t", pa.field("n", pa.int64()), snapshot=name)
        assert found == (pa.scalar(1), pa.scalar(100), 0)
        assert take(source, "t", schema)[0].num_rows == 101
    for gone in (name, "00000003-0000001B-1", "no snapshot's name"):
        with pytest.raises(TransientSourceError, match="snapshot to read from is gone") as fault:
            take(source, "t", schema, snapshot=gone)
        assert fault.value.code == "snapshot-gone"
    other = open_source(f"sqlite:///{tmp_path}/a.db")
    for refused in (
        lambda: exported_snapshot(other),
        lambda: take(other, "t", schema, snapshot="x"),
    ):
        with pytest.raises(PermanentSourceError) as refusal:
            refused()
        assert refusal.value.code == "snapshot-unsupported"
        assert "zhixin.immutable: true" in refusal.value.hint


def test_an_index_serves_a_span_and_the_order_of_a_key(postgresql):
    url, run = postgresql
    run("""CREATE TABLE t (n int PRIMARY KEY, s text COLLATE "C" UNIQUE, at timestamptz);
           INSERT INTO t SELECT n, n::text, now() + n * interval '1 s'
           FROM generate_series(1, 20000) n;
           CREATE INDEX ON t (at); ANALYZE t""")
    plans, own = [], Selection.select

    def watched(selection, expressions):
        statement = own(selection, expressions)
        plans.append("".join(row[0] for row in explained(url, statement)))
        return statement

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Selection, "select", watched)
        schema = pa.schema([("n", pa.int64()), ("s", pa.string()), ("at", UTC)])
        span = Span("n", pa.scalar(100, pa.int64()), pa.scalar(200, pa.int64()))
        assert take(open_source(url), "t", schema, span=span)[0].num_rows == 100
        since = pa.scalar(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=19_900), UTC)
        assert take(open_source(url), "t", schema, span=Span("at", since))[0].num_rows < 110
        for key in ("n", "s"):
            table, _, _ = take(open_source(url), "t", schema, order_by=(key,))
            assert table[key].to_pylist() == sorted(table[key].to_pylist())
    assert all("Index Scan" in plan and "Sort" not in plan for plan in plans), plans
    assert len(plans) == 4


def explained(url, statement):
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        return connection.execute(f"EXPLAIN {statement}").fetchall()
