"""A real PostgreSQL as a source: names, queries, order, and what stops a reading."""

import threading

import pyarrow as pa
import pytest
import zhixin_connectors.postgresql
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError, TransientSourceError

UTC = pa.timestamp("us", tz="UTC")


def test_a_domain_and_an_enum_are_read_as_what_they_are(postgresql, take):
    url, run = postgresql
    run("CREATE DOMAIN age AS int CHECK (VALUE > 0); CREATE TYPE mood AS ENUM ('好', '坏')")
    run("CREATE TABLE t (a age, m mood); INSERT INTO t VALUES (5, '坏')")
    table, _, _ = take(url, "t", {"a": pa.int64(), "m": pa.string()})
    assert table.to_pylist() == [{"a": 5, "m": "坏"}]
    seen = {column.name: column.type for column in open_source(url).describe("t").columns}
    assert seen["m"] == pa.string()


def test_a_type_that_sqlalchemy_does_not_know_is_described_without_a_warning(postgresql):
    url, run = postgresql
    run("CREATE TYPE pair AS (a int, b text); CREATE TABLE t (id int, p pair, g xid8)")
    run("INSERT INTO t VALUES (1, ROW(1, 'x'), '5')")
    source = open_source(url)
    assert [column.name for column in source.columns("t")] == ["id", "p", "g"]
    assert [table.name for table in source.tables()] == ["t"]
    types = {column.name: column.type for column in source.describe("t").columns}
    assert types["p"] == pa.string()


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


def test_order_by_sorts_what_is_read_as_text_by_its_bytes_too(postgresql, take):
    url, run = postgresql
    run("CREATE TYPE mood AS ENUM ('b', 'a'); CREATE TABLE t (m mood, u uuid)")
    run("INSERT INTO t VALUES ('b', gen_random_uuid()), ('a', gen_random_uuid()), ('b', NULL)")
    table, _, _ = take(url, "t", {"m": pa.string(), "u": pa.string()}, order_by=("m", "u"))
    assert table["m"].to_pylist() == ["a", "b", "b"]  # not as the enum has them
    assert [u is None for u in table["u"].to_pylist()] == [False, False, True]


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


def test_one_snapshot_is_read_by_a_query_that_looks_twice(postgresql, take):
    """A function's statements would each have a snapshot of their own at a lower isolation."""
    import psycopg

    url, run = postgresql
    run("""CREATE TABLE t (id int); CREATE FUNCTION looks() RETURNS TABLE (n bigint)
           LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT count(*) FROM t;
           PERFORM pg_sleep(0.3); RETURN QUERY SELECT count(*) FROM t; END $$""")
    written, stop = [], threading.Event()

    def write():
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO t VALUES (1)")
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = len(written)
        first, second = take(url, "SELECT n FROM looks()", {"n": pa.int64()})[0]["n"].to_pylist()
        during = len(written) - before
    finally:
        stop.set()
        writer.join(20)
    assert first == second
    assert during > 5


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
        (("owner", "owner"), "SELECT gone AS id FROM t", PermanentSourceError, "no such column"),
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


def test_a_table_of_another_schema_is_named_with_it(postgresql, take):
    url, run = postgresql
    run("CREATE SCHEMA registry; CREATE TABLE registry.许可 (id int)")
    with pytest.raises(PermanentSourceError, match="no table or view 许可") as fault:
        take(url, "许可", {"id": pa.int64()})
    assert fault.value.hint == "did you mean registry.许可?"


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
