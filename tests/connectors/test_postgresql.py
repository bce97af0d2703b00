"""A real PostgreSQL as a source: every type exact or refused, and its faults."""

import datetime as dt
import threading
from decimal import Decimal

import pyarrow as pa
import pytest
import zhixin_connectors.postgresql
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError, TransientSourceError

UTC = pa.timestamp("us", tz="UTC")
BAD = object()
SECOND_OF_JANUARY = dt.datetime(2024, 1, 2)  # noqa: DTZ001 (naive on purpose)
CASES = [
    ("smallint", "-32768", pa.int64(), -32768, None),
    ("bigint", "9223372036854775807", pa.int64(), 2**63 - 1, None),
    ("numeric", "5.000", pa.int64(), 5, None),
    ("numeric", "18446744073709551615", pa.uint64(), 2**64 - 1, None),
    ("numeric", "'NaN'", pa.decimal128(10, 2), BAD, "NaN"),
    ("numeric", "'Infinity'", pa.decimal128(10, 2), BAD, "Infinity"),
    ("numeric", "1e5", pa.decimal128(10, 2), Decimal("100000.00"), None),
    ("numeric", "0.1", pa.float64(), 0.1, None),
    ("real", "0.1", pa.float64(), 0.10000000149011612, None),
    ("real", "0.1", pa.string(), "0.1", None),
    ("double precision", "'-0'", pa.float64(), -0.0, None),
    ("double precision", "1e22", pa.float64(), 1e22, None),
    ("double precision", "1e15", pa.int64(), 10**15, None),
    ("double precision", "1e15", pa.decimal128(20, 2), Decimal(10**15), None),
    ("double precision", "1e22", pa.int64(), BAD, "1e+22"),
    ("double precision", "'NaN'", pa.float64(), BAD, "NaN"),
    ("double precision", "'-Infinity'", pa.int64(), BAD, "-Infinity"),
    ("money", "'12.50'", pa.string(), "$12.50", None),
    ("boolean", "true", pa.bool_(), True, None),
    ("boolean", "true", pa.string(), "true", None),
    ("boolean", "true", pa.int64(), BAD, "t"),
    ("text", "'é" + "x" * 5 + "'", pa.string(), "éxxxxx", None),
    ("text", "''", pa.string(), "", None),
    ("text", "E'a\\n\"b\",\\\\.'", pa.string(), 'a\n"b",\\.', None),
    ("text", "'YWJj'", pa.binary(), BAD, "YWJj"),
    ("char(5)", "'ab'", pa.string(), "ab   ", None),
    ("bytea", "'\\x00ff'", pa.binary(), b"\x00\xff", None),
    ("bytea", "'\\x'", pa.binary(), b"", None),
    ("date", "'0001-01-01'", pa.date32(), dt.date(1, 1, 1), None),
    ("date", "'-infinity'", pa.date32(), BAD, "-infinity"),
    ("date", "'0044-03-15 BC'", pa.date32(), BAD, "0044-03-15 BC"),
    ("time", "'24:00'", pa.time64("us"), BAD, "24:00:00"),
    ("time", "'23:59:59.999999'", pa.time64("us"), dt.time(23, 59, 59, 999999), None),
    ("timetz", "'09:00+08'", pa.time64("us"), BAD, "09:00:00+08"),
    ("timestamp", "'2024-01-01 24:00'", pa.timestamp("us"), SECOND_OF_JANUARY, None),
    ("timestamp", "'2024-01-01'", UTC, BAD, "2024-01-01 00:00:00"),
    ("timestamp", "'10000-01-01'", pa.timestamp("us"), BAD, "10000-01-01 00:00:00"),
    ("timestamptz", "'2024-01-01 08:00+08'", UTC, dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None),
    ("timestamptz", "'2024-01-01 08:00+08'", pa.timestamp("us"), BAD, "2024-01-01 00:00:00+00"),
    ("timestamptz", "'infinity'", UTC, BAD, "infinity"),
    ("interval", "'1 mon 1 day 02:00'", pa.string(), "1 mon 1 day 02:00:00", None),
    ("uuid", "'12345678-1234-5678-1234-567812345678'", pa.string(),
     "12345678-1234-5678-1234-567812345678", None),
    ("jsonb", "'{\"b\":1,\"a\":[1.50]}'", pa.string(), '{"a": [1.50], "b": 1}', None),
    ("jsonb", "'[1,null]'", pa.list_(pa.int64()), [1, None], None),
    ("int4range", "'[1,4]'", pa.string(), "[1,5)", None),
    ("inet", "'10.0.0.1/8'", pa.string(), "10.0.0.1/8", None),
    ("bit(3)", "B'101'", pa.string(), "101", None),
    ("int[]", "'{1,NULL,3}'", pa.list_(pa.int64()), [1, None, 3], None),
    ("int[]", "'{}'", pa.list_(pa.int64()), [], None),
    ("int[]", "'[0:1]={7,8}'", pa.list_(pa.int64()), [7, 8], None),
    ("int[]", "'{{1,2},{3,4}}'", pa.list_(pa.int64()), BAD, "{{1,2},{3,4}}"),
    ("int[]", "'{{1,2},{3,4}}'", pa.list_(pa.list_(pa.int64())), [[1, 2], [3, 4]], None),
    ("text[]", """'{"a b",NULL,"NULL","x\\"y","{}",""}'""", pa.list_(pa.string()),
     ["a b", None, "NULL", 'x"y', "{}", ""], None),
    ("numeric[]", "'{1.5,2.25}'", pa.list_(pa.decimal128(5, 1)), BAD, "{1.5,2.25}"),
    ("timestamptz[]", "'{2024-01-01 08:00+08}'", pa.list_(UTC),
     [dt.datetime(2024, 1, 1, tzinfo=dt.UTC)], None),
]  # fmt: skip


def test_each_type_is_exact_or_a_misfit_with_the_servers_text(postgresql, take):
    url, run = postgresql
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(CASES))
    run(f"CREATE TABLE torture ({columns})")
    run(f"INSERT INTO torture VALUES ({', '.join(case[1] for case in CASES)})")
    run("INSERT INTO torture SELECT")
    wanted = {f"c{n}": case[2] for n, case in enumerate(CASES)}
    table, misfits, raw = take(url, "torture", wanted)
    for n, (kind, _, _, value, text) in enumerate(CASES):
        read = table[f"c{n}"].to_pylist()
        assert read == [None if value is BAD else value, None], kind
        assert repr(read[0]) == repr(value) or value is BAD or not isinstance(value, float)
        found = [m for m in misfits if m[1] == f"c{n}"]
        assert [(m[0], m[3]) for m in found] == ([(0, text)] if value is BAD else []), kind
        assert text is None or raw[f"c{n}"].to_pylist() == [text, None]


def test_a_domain_and_an_enum_are_read_as_what_they_are(postgresql, take):
    url, run = postgresql
    run("CREATE DOMAIN age AS int CHECK (VALUE > 0); CREATE TYPE mood AS ENUM ('好', '坏')")
    run("CREATE TABLE t (a age, m mood); INSERT INTO t VALUES (5, '坏')")
    table, _, _ = take(url, "t", {"a": pa.int64(), "m": pa.string()})
    assert table.to_pylist() == [{"a": 5, "m": "坏"}]
    seen = {column.name: column.type for column in open_source(url).describe("t").columns}
    assert seen["m"] == pa.string()


def test_other_schemas_views_and_odd_names_are_read(postgresql, take):
    url, run = postgresql
    run('CREATE SCHEMA "a b"; CREATE TABLE "a b"."T%s" ("x""y" int, "50%" int)')
    run('INSERT INTO "a b"."T%s" VALUES (1, 2)')
    table, _, _ = take(url, "a b.T%s", {'x"y': pa.int64(), "50%": pa.int64()})
    assert table.to_pylist() == [{'x"y': 1, "50%": 2}]
    assert [table.name for table in open_source(url).tables()] == ["a b.T%s"]


def test_a_query_with_a_name_twice_is_refused(postgresql, take):
    url, _ = postgresql
    with pytest.raises(PermanentSourceError, match="a more than once"):
        take(url, "SELECT 1 AS a, 2 AS a, 3 AS b", {"b": pa.int64()})


def test_one_nullable_column_keeps_its_nulls(postgresql, take):
    url, run = postgresql
    run("CREATE TABLE t (s text); INSERT INTO t VALUES ('a'), (NULL), (''), (NULL)")
    assert take(url, "t", {"s": pa.string()})[0]["s"].to_pylist() == ["a", None, "", None]


def test_order_by_sorts_texts_by_their_bytes(postgresql, take):
    url, run = postgresql
    run('CREATE TABLE t (s text COLLATE "en-x-icu", n int)')
    run("INSERT INTO t VALUES ('b', 1), ('B', 2), ('a', 3)")
    table, _, _ = take(url, "t", {"s": pa.string(), "n": pa.int64()}, order_by=("s", "n"))
    assert table["s"].to_pylist() == ["B", "a", "b"]


def test_describes_keys_and_declared_types(postgresql):
    url, run = postgresql
    run("CREATE TABLE t (a int, b text, n numeric, m numeric(5,2), at timestamptz, x bytea, "
        "l int[], PRIMARY KEY (b, a))")  # fmt: skip
    run("INSERT INTO t VALUES (1, 'x', 1.125, 2.5, now(), '\\x00', '{1}')")
    seen = open_source(url).describe("t")
    assert seen.primary_key == ("b", "a")
    types = [column.type for column in seen.columns]
    assert types == [
        pa.int64(),
        pa.string(),
        pa.float64(),
        pa.decimal128(5, 2),
        UTC,
        pa.binary(),
        pa.list_(pa.int64()),
    ]
    assert [column.nullable for column in seen.columns][:3] == [False, False, True]


def test_one_snapshot_is_read_while_others_write(postgresql):
    url, run = postgresql
    run("CREATE TABLE t AS SELECT generate_series(1, 50000) AS id")
    request = ReadRequest("t", pa.schema([("id", pa.int64())]), batch_rows=5_000)
    seen = []
    for each in open_source(url).read(request):
        run("INSERT INTO t VALUES (-1); DELETE FROM t WHERE id > 49000")
        seen += each.batch["id"].to_pylist()
    assert seen == list(range(1, 50_001))


def test_a_connection_lost_while_reading_is_worth_a_retry(postgresql):
    url, run = postgresql
    run("CREATE TABLE t AS SELECT generate_series(1, 3000000) AS id, repeat('x', 100) AS s")
    schema = pa.schema([("id", pa.int64()), ("s", pa.string())])
    stream = open_source(url).read(ReadRequest("t", schema, batch_rows=100))
    next(stream)
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE 'COPY%' AND pid <> pg_backend_pid()")  # fmt: skip
    with pytest.raises(TransientSourceError) as fault:
        for _ in stream:
            pass
    assert "t" in str(fault.value)


def test_a_lock_is_worth_a_retry(postgresql, take, monkeypatch):
    url, run = postgresql
    run("CREATE TABLE t (id int)")
    monkeypatch.setitem(zhixin_connectors.postgresql._SETTINGS, "lock_timeout", "100ms")
    held, done = threading.Event(), threading.Event()

    def hold():
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE t")
            held.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    try:
        with pytest.raises(TransientSourceError, match="lock"):
            take(url, "t", {"id": pa.int64()})
    finally:
        done.set()
        thread.join()


SECRET = "a b@c:/d"


@pytest.mark.parametrize(
    ("change", "table", "kind", "words"),
    [
        (("a%20b", "wrong"), "t", PermanentSourceError, "login was refused"),
        (("owner:", "nobody:"), "t", PermanentSourceError, "login was refused"),
        (("one_case", "other_case"), "t", PermanentSourceError, "no such database"),
        (("one_case", "one_case?sslmode=require"), "t", PermanentSourceError, "TLS was refused"),
        (("127.0.0.1:", "127.0.0.1:1"), "t", TransientSourceError, "reached"),
        (("owner", "owner"), "hidden", PermanentSourceError, "no table or view hidden"),
        (
            ("owner", "owner"),
            "SELECT id / 0 AS id FROM t",
            PermanentSourceError,
            "a value of a record",
        ),
        (("owner", "owner"), "SELECT id FROM nowhere", PermanentSourceError, "no such table"),
        (
            ("owner", "owner"),
            "SELECT 'geheim'::int AS id",
            PermanentSourceError,
            "a value of a record",
        ),
        (("owner", "owner"), "SELECT FROM WHERE", PermanentSourceError, "not valid"),
    ],
)
def test_a_fault_names_source_and_object_and_keeps_secrets(
    postgresql, take, change, table, kind, words
):
    url, run = postgresql
    run("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    wrong = url.replace(*change)
    if "127.0.0.1:1" in wrong and "127.0.0.1:1" not in url:
        wrong = "postgresql://owner:a%20b%40c%3A%2Fd@127.0.0.1:1/one_case"
    with pytest.raises(kind, match=words) as fault:
        take(wrong, table, {"id": pa.int64()})
    said = f"{fault.value} {fault.value.hint} {fault.value.details} {fault.value.__cause__}"
    for secret in (SECRET, "a%20b", "wrong", "127.0.0.1", "geheim", "owner:"):
        assert secret not in said
    assert "postgresql" in str(fault.value)


def test_no_permission_is_said_as_such(postgresql, take):
    url, run = postgresql
    run("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'pw'")
    run("CREATE TABLE t (id int)")
    limited = url.replace("owner:a%20b%40c%3A%2Fd", "reader:pw")
    with pytest.raises(PermanentSourceError, match="no permission") as fault:
        take(limited, "t", {"id": pa.int64()})
    assert "GRANT" in str(fault.value.hint).upper()
    run("GRANT SELECT ON t TO reader")
    assert take(limited, "t", {"id": pa.int64()})[0].num_rows == 0
