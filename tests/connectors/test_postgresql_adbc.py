"""Binary columns, by the kernel and by ADBC, against the server's own texts: all the same."""

import _thread
import random
import struct
import threading
import time

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from zhixin_connectors import postgresql_adbc, postgresql_copy
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError, TransientSourceError

from tests.connectors.random_tables import SCALARS, tables, texts
from tests.connectors.relay import Relay
from tests.connectors.test_postgresql_random import column_type, parameter

VALUES = {
    "smallint": ["-32768", "0", "1", "32767"],
    "int": ["-2147483648", "-1", "0", "1", "2147483647"],
    "bigint": ["-9223372036854775808", "9007199254740993", "1", "9223372036854775807"],
    "real": ["0.1", "-0", "1e-45", "3.4028235e38", "NaN", "Infinity", "-Infinity", "1e6"],
    "float8": ["0.1", "-0", "5e-324", "1e23", "1e15", "NaN", "Infinity", "9007199254740993"],
    "numeric": ["NaN", "Infinity", "1.50", "-0.00", "1e30", "0.30000000000000000001"],
    "numeric(10,2)": ["0.00", "-99999999.99", "1.50"],
    "boolean": ["t", "f"],
    "text": ["", " ", "a\nb", "甲", "\U0010ffff", "\U0010ff41", "5", "t", "2024-01-05", "NaN"],
    "varchar(5)": ["ab ", "1.50", ""],
    "char(5)": ["ab", "", "12"],
    "name": ["a_name", "7"],
    '"char"': ["x", ""],
    "bytea": ["", "\\x00ff", "\\x3132"],
    "date": ["0001-01-01", "9999-12-31", "10000-01-01", "5874897-12-31", "0001-12-31 BC",
             "0044-03-15 BC", "4713-01-01 BC", "infinity", "-infinity", "1999-12-31"],
    "time": ["00:00", "24:00", "23:59:59.999999", "01:02:03.5"],
    "timetz": ["09:00+08"],
    "timestamp": ["0001-01-01", "9999-12-31 23:59:59.999999", "10000-01-01 00:00:00.1", "infinity",
                  "-infinity", "294276-12-31 23:59:59.999999", "4713-01-01 BC", "2024-01-05",
                  "2024-03-31 02:30", "1969-12-31 23:59:59.9", "1941-03-15 00:30"],
    "timestamptz": ["0001-01-01+00", "9999-12-31 23:59:59.999999+00", "infinity", "-infinity",
                    "294276-12-31 23:59:59+00", "0044-03-15 12:00+00 BC", "2024-01-05 08:00+08"],
    "interval": ["1 mon 02:00"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "jsonb": ['{"a":[1.50]}', "[1]"],
    "int[]": ["{1,NULL}", "{}"],
    "inet": ["10.0.0.1", "10.0.0.1/8"],
    "money": ["12.50"],
    "oid": ["4294967295"],
    "bit(3)": ["101"],
    "xml": ["<a>b</a>"],
    "age": ["5"],
    "mood": ["坏"],
}  # fmt: skip
WANTED = [
    pa.int64(), pa.uint64(), pa.float64(), pa.decimal128(38, 6), pa.decimal128(5, 2), pa.bool_(),
    pa.string(), pa.binary(), pa.date32(), pa.time64("us"), pa.timestamp("us"),
    pa.timestamp("us", tz="UTC"), pa.list_(pa.int64()),
]  # fmt: skip


def choose(monkeypatch, reader):
    monkeypatch.setattr(postgresql_copy, "is_installed", lambda: reader == "kernel")
    monkeypatch.setattr(postgresql_adbc, "is_installed", lambda: reader != "text")


@pytest.fixture(params=["kernel", "adbc"])
def reader(request, monkeypatch):
    choose(monkeypatch, request.param)


def all_three(monkeypatch, url, name, schema, **request):
    """What each of the readers gives, value by value, misfits and raw texts with it."""
    given = []
    for chosen in ("kernel", "adbc", "text"):
        choose(monkeypatch, chosen)
        batches, misfits, raws = [], [], []
        for each in open_source(url).read(ReadRequest(name, schema, **request)):
            batches.append(each.batch)
            misfits += [(each.first_row + m.row, *m[1:]) for m in each.misfits]
            raws.append(each.raw_texts(range(each.batch.num_rows)))
        table = pa.Table.from_batches(batches, schema)
        table.validate(full=True)
        floats = [n for n, kind in zip(schema.names, schema.types, strict=True) if kind == "double"]
        signed = {name: list(map(repr, table[name].to_pylist())) for name in floats}  # -0.0
        given.append((table, signed, misfits, pa.Table.from_batches(raws) if raws else None))
    return given


def assert_same(given):
    *binary, (other, others_signed, other_misfits, other_raws) = given
    for table, signed, misfits, raws in binary:
        for name in table.schema.names:
            assert table[name].equals(other[name]), name
        assert signed == others_signed
        assert misfits == other_misfits
        assert raws == other_raws or raws.equals(other_raws)


@pytest.mark.parametrize(
    "options",
    [{}, {"zhixin.timezone": "Asia/Shanghai"}, {"zhixin.null": ["NaN", "1", "t", "infinity", ""]}],
    ids=["plain", "zone", "null words"],
)
def test_every_type_under_every_wanted_one_is_the_same(postgresql, monkeypatch, options):
    url, run = postgresql
    run("CREATE DOMAIN age AS int CHECK (VALUE > 0); CREATE TYPE mood AS ENUM ('好', '坏')")
    fields, columns = [], []
    rows = [[str(row)] for row in range(max(map(len, VALUES.values())) + 1)]
    for place, (kind, values) in enumerate(VALUES.items()):
        for row, cells in enumerate(rows):
            text = values[row].replace("'", "''") if row < len(values) else None
            cells.append("NULL" if text is None else f"'{text}'::{kind}")
        for number, wanted in enumerate(WANTED):
            columns.append(f"c{place} AS c{place}_{number}")
            fields.append(pa.field(f"c{place}_{number}", wanted))
    declared = ", ".join(f"c{place} {kind}" for place, kind in enumerate(VALUES))
    run(f"CREATE TABLE t (n int, {declared})")
    run(f"INSERT INTO t VALUES {', '.join('(' + ', '.join(cells) + ')' for cells in rows)}")
    query = f"SELECT n, {', '.join(columns)} FROM t ORDER BY n"
    given = all_three(monkeypatch, url, query, pa.schema(fields), options=options, batch_rows=7)
    assert given[0][0].num_rows == len(rows)
    assert len(given[0][2]) > 500
    assert_same(given)


@pytest.mark.slow
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(table=tables((*SCALARS, "list", "struct"), {"string": texts(nul=False)}))
def test_random_tables_are_the_same(postgresql_url, monkeypatch, table):
    import psycopg
    from psycopg import sql

    kinds = list(table.types.values())
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(column_type(kind)))
        for name, kind in table.types.items()
    )
    marks = sql.SQL(", ").join(sql.SQL("%s::" + column_type(kind)) for kind in kinds)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS both_readers")
        connection.execute(sql.SQL("CREATE TABLE both_readers ({})").format(columns))
        insert = sql.SQL("INSERT INTO both_readers VALUES ({})").format(marks)
        for row in table.rows:
            connection.execute(insert, [parameter(*cell) for cell in zip(row, kinds, strict=True)])
    assert_same(
        all_three(monkeypatch, postgresql_url, "both_readers", table.schema, order_by=("id",))
    )


def test_any_float_date_and_time_has_the_servers_own_raw_text(postgresql, monkeypatch):
    """Of any bits at all, where Python's shortest text is sometimes another."""
    import psycopg

    url, run = postgresql
    run("CREATE TABLE t (n serial, d float8, r real, day date, at timestamptz)")
    source = random.Random(8)
    head = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
    edges = [1e23, 9007199254740992.0, 2.0**-44, *(2.0**power for power in range(-1074, 1024, 9))]
    rows = [head]
    for number in range(4_000):
        double = struct.pack(">d", edges[number]) if number < len(edges) else source.randbytes(8)
        day = source.randrange(-2_451_545, 2_145_031_949)
        at = source.randrange(-211_813_488_000_000_000, 9_223_371_331_200_000_000)
        parts = (double, source.randbytes(4), struct.pack(">i", day), struct.pack(">q", at))
        rows.append(struct.pack(">h", 4))
        rows += [struct.pack(">i", len(part)) + part for part in parts]
    statement = "COPY t (d, r, day, at) FROM STDIN (FORMAT binary)"
    with psycopg.connect(url) as connection, connection.cursor().copy(statement) as copy:
        copy.write(b"".join(rows) + struct.pack(">h", -1))
    schema = pa.schema({"d": pa.float64(), "r": pa.float64(), "day": pa.date32(),
                        "at": pa.timestamp("us", tz="UTC")})  # fmt: skip
    given = all_three(monkeypatch, url, "SELECT * FROM t ORDER BY n", schema)
    assert given[0][0].num_rows == 4_000
    assert_same(given)


@pytest.mark.parametrize("chosen", ["kernel", "adbc", "text"])
def test_a_query_is_one_statement_and_ends_no_transaction(postgresql, monkeypatch, chosen):
    url, run = postgresql
    run("CREATE TABLE t (n int)")
    choose(monkeypatch, chosen)
    query = "SELECT 1 AS n) q LIMIT 0; COMMIT; DROP TABLE t; SELECT * FROM (SELECT 1 AS n"
    with pytest.raises(PermanentSourceError, match="42601"):
        list(open_source(url).read(ReadRequest(query, pa.schema({"n": pa.int64()}))))
    assert list(open_source(url).read(ReadRequest("t", pa.schema({"n": pa.int64()})))) == []


def test_a_text_of_many_megabytes_and_many_small_rows_come_whole(postgresql, monkeypatch):
    url, run = postgresql
    run("CREATE TABLE t AS SELECT 1 AS n, repeat('甲', 12000000) AS s")
    run("INSERT INTO t SELECT n, 'x' FROM generate_series(2, 70000) n")
    schema = pa.schema([("n", pa.int64()), ("s", pa.string())])
    given = all_three(monkeypatch, url, "t", schema)
    assert given[0][0].num_rows == 70_000
    assert_same(given)


def active(url):
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        ask = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND query LIKE 'COPY%'"
        return connection.execute(ask).fetchone()[0]


def test_a_reading_that_is_left_ends_at_once_on_both_sides(postgresql, reader):
    url, run = postgresql
    run("CREATE TABLE t AS SELECT n, repeat('x', 200) AS s FROM generate_series(1, 400000) n")
    schema = pa.schema([("n", pa.int64()), ("s", pa.string())])
    threads = set(threading.enumerate())
    stream = open_source(url).read(ReadRequest("t", schema, batch_rows=1_000))
    next(stream)
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 5
    ends = time.monotonic() + 10
    while active(url) or set(threading.enumerate()) - threads:
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_query_that_is_given_up_is_cancelled_in_the_server(postgresql, reader):
    url, _ = postgresql
    source = open_source(f"{url}?read_timeout=1")
    with pytest.raises(TransientSourceError, match="said nothing for too long"):
        next(
            source.read(
                ReadRequest("SELECT pg_sleep(60)::text AS s", pa.schema({"s": pa.string()}))
            )
        )
    ends = time.monotonic() + 10
    while active(url):
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_network_that_breaks_is_worth_a_retry(postgresql, reader):
    url, run = postgresql
    run("CREATE TABLE t AS SELECT n, repeat('geheim', 20) AS s FROM generate_series(1, 60000) n")
    schema = pa.schema([("n", pa.int64()), ("s", pa.string())])
    port = url.rpartition(":")[2].partition("/")[0]
    for fault, said in (
        ({"cut_after": 1_000_000}, "lost|reached"),
        ({"stall_after": 1_000_000}, "said nothing for too long"),
        ({"refuse": True}, "lost|reached"),
    ):
        with Relay(int(port), **fault) as relay:
            changed = url.replace(f":{port}/", f":{relay.port}/")
            source = open_source(f"{changed}?read_timeout=1", name="operations")
            began = time.monotonic()
            with pytest.raises(TransientSourceError, match=f"operations, t: .*(?:{said})") as told:
                list(source.read(ReadRequest("t", schema)))
            assert time.monotonic() - began < 30
            assert not any(word in f"{told.value}" for word in ("geheim", "a b@c", "127.0.0.1"))


def test_an_interrupt_ends_a_reading_that_waits(postgresql, reader):
    url, _ = postgresql
    request = ReadRequest("SELECT pg_sleep(60)::text AS s", pa.schema({"s": pa.string()}))

    def press():
        while not active(url):
            time.sleep(0.05)
        _thread.interrupt_main()

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(open_source(url).read(request))
    assert time.monotonic() - began < 30
    thread.join(10)
    while active(url):
        assert time.monotonic() - began < 40
        time.sleep(0.05)
