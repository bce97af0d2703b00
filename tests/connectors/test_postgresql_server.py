"""What a PostgreSQL server, database, login or table may be set to: it changes no value."""

import threading
from contextlib import contextmanager

import pyarrow as pa
import pytest
from zhixin_connectors.postgresql import CODECS
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError

TEXT = {"id": pa.int64(), "s": pa.string()}


@contextmanager
def database(postgresql_url, encoding):
    """A database in another encoding: (url, run), where run takes bytes as they are."""
    import psycopg

    name = f"in_{encoding.lower()}"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
        url = postgresql_url.rsplit("/", 1)[0] + f"/{name}"

        def run(sql):
            with psycopg.connect(url, client_encoding="sql_ascii") as inside:
                inside.execute(sql)

        yield url, run
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_encoding_of_the_database_is_no_matter_of_the_reader(postgresql_url, take):
    with database(postgresql_url, "EUC_CN") as (url, run):
        run("CREATE TABLE 表 (id int, s text, 名 text)".encode("gb2312"))
        run(
            "INSERT INTO 表 VALUES (1, '甲一', 'x'), (2, '".encode("gb2312")
            + b"\xa1\xa4\xa1\xaa', 'y')"
        )
        table, misfits, _ = take(url, "表", {**TEXT, "名": pa.string()})
        assert table.to_pylist() == [
            {"id": 1, "s": "甲一", "名": "x"},
            {"id": 2, "s": "・―", "名": "y"},  # as the server converts these two
        ]
        assert misfits == []


def test_a_byte_that_is_none_in_the_encoding_rejects_its_own_record(postgresql_url, take):
    with database(postgresql_url, "WIN1252") as (url, run):
        run(b"CREATE TABLE t AS SELECT 1 AS id, '\x80uro' AS s UNION ALL SELECT 2, 'a\x81'")
        table, misfits, raw = take(url, "t", TEXT)
        assert table["s"].to_pylist() == ["€uro", None]
        assert misfits == [(1, "s", "not valid in the source's encoding", "a\\x81")]
        assert raw["s"].to_pylist() == ["€uro", "a\\x81"]


def test_a_database_of_any_bytes_is_read_as_utf_8_or_refused_record_by_record(postgresql_url, take):
    with database(postgresql_url, "SQL_ASCII") as (url, run):
        run("CREATE TABLE t (id int, s text, l text[])")
        run(b"INSERT INTO t VALUES (1, '\xe7\x94\xb2', '{x}'), (2, '\xbc\xd7', '{\xbc}')")
        fields = {**TEXT, "l": pa.list_(pa.string())}
        table, misfits, _ = take(url, "t", fields)
        assert table.to_pylist() == [
            {"id": 1, "s": "甲", "l": ["x"]},
            {"id": 2, "s": None, "l": None},
        ]
        assert [(m[1], m[3]) for m in misfits] == [("s", "\\xbc\\xd7"), ("l", "{\\xbc}")]


def test_each_encoding_is_decoded_as_the_server_does(postgresql_url):
    import psycopg

    ask = """CREATE OR REPLACE FUNCTION pg_temp.said(b bytea, e name) RETURNS text
             LANGUAGE plpgsql AS $$ BEGIN RETURN convert_from(b, e);
             EXCEPTION WHEN others THEN RETURN NULL; END $$"""
    pairs = [bytes([a, b]) for a in range(0xA1, 0xFF) for b in range(0xA1, 0xFF)]
    with psycopg.connect(postgresql_url) as connection:
        connection.execute(ask)
        for encoding, codec in CODECS.items():
            if encoding == "SQL_ASCII":
                continue
            given = pairs if encoding == "EUC_CN" else [bytes([b]) for b in range(128, 256)]
            answers = connection.execute(
                "SELECT pg_temp.said(b, %s) FROM unnest(%s::bytea[]) WITH ORDINALITY u(b, n) "
                "ORDER BY n", [encoding, given],
            ).fetchall()  # fmt: skip
            for data, (server,) in zip(given, answers, strict=True):
                try:
                    ours = data.decode(codec)
                except UnicodeDecodeError:
                    ours = None
                assert ours == server, (encoding, data)


SETTINGS = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Kolkata",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "lc_monetary": "C.UTF-8",
    "client_encoding": "latin1",
    "default_transaction_isolation": "read uncommitted",
    "search_path": "elsewhere, public",
    "standard_conforming_strings": "off",
    "synchronize_seqscans": "on",
    "lock_timeout": "0",
}


def test_settings_of_a_login_change_nothing(postgresql, take):
    url, run = postgresql
    run("DROP ROLE IF EXISTS odd; CREATE ROLE odd LOGIN PASSWORD 'pw'")
    run("""CREATE TABLE public.t AS SELECT 1 AS id, date '2024-02-01' AS d, bytea '\\xff00' AS b,
           timestamptz '2024-02-01 00:00+00' AS z, interval '1 day 02:00' AS i,
           0.1::float8 + 0.2 AS f, 1::real / 3 AS r, money '12.50' AS m, 'é\\' AS s,
           '{"x": 1}'::jsonb AS j, ARRAY[timestamptz '2024-02-01 00:00+00'] AS l;
           GRANT SELECT ON public.t TO odd""")
    fields = {
        "id": pa.int64(), "d": pa.date32(), "b": pa.binary(), "z": pa.timestamp("us", tz="UTC"),
        "i": pa.string(), "f": pa.float64(), "r": pa.float64(), "m": pa.string(), "s": pa.string(),
        "j": pa.string(), "l": pa.list_(pa.timestamp("us", tz="UTC")),
    }  # fmt: skip
    plain = take(url, "t", fields)
    assert plain[1] == []
    login = url.replace("owner:a%20b%40c%3A%2Fd", "odd:pw")
    for name, value in SETTINGS.items():
        run(f"ALTER ROLE odd SET {name} = '{value}'" if name != "search_path" else
            "ALTER ROLE odd SET search_path = elsewhere, public")  # fmt: skip
    odd = take(login, "t", fields)
    assert odd[0].equals(plain[0])
    assert odd[1:] == plain[1:]
    for name, value in (("lc_monetary", "C"), ("lock_timeout", "30s")):
        said = take(login, f"SELECT current_setting('{name}') AS s", {"s": pa.string()})
        assert said[0]["s"].to_pylist() == [value]
    run("DROP OWNED BY odd; DROP ROLE odd")


def test_partitions_children_views_and_dropped_columns_are_read_as_what_they_are(postgresql, take):
    url, run = postgresql
    run(
        """CREATE TABLE p (id int, s text) PARTITION BY RANGE (id);
           CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
           CREATE TABLE p2 (s text, gone int, id int); ALTER TABLE p2 DROP COLUMN gone;
           ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);
           INSERT INTO p VALUES (1, 'a'), (11, 'b');
           CREATE TABLE parent (id int, s text); CREATE TABLE child (more int) INHERITS (parent);
           INSERT INTO parent VALUES (1, 'a'); INSERT INTO child VALUES (2, 'b', 3);
           CREATE VIEW v AS SELECT id * 2 AS id, s FROM p;
           CREATE MATERIALIZED VIEW m AS SELECT * FROM v;
           CREATE TABLE g (gone text, id int, s text GENERATED ALWAYS AS ('x' || id::text) STORED);
           ALTER TABLE g DROP COLUMN gone;""".replace("id::text", "(id + 0)")
    )
    run("INSERT INTO g VALUES (7)")

    def rows(name):
        table, misfits, _ = take(url, name, TEXT)
        assert misfits == []
        return sorted((row["id"], row["s"]) for row in table.to_pylist())

    assert rows("p") == [(1, "a"), (11, "b")]
    assert rows("p2") == [(11, "b")]
    assert rows("parent") == [(1, "a"), (2, "b")]
    assert rows("v") == rows("m") == [(2, "a"), (22, "b")]
    assert rows("g") == [(7, "x7")]
    kinds = {table.name: table.kind for table in open_source(url).tables()}
    assert (kinds["p"], kinds["v"], kinds["m"]) == ("table", "view", "view")
    with pytest.raises(PermanentSourceError, match="no column gone"):
        take(url, "g", {"gone": pa.string()})


def test_names_with_every_kind_of_quote_are_themselves(postgresql, take):
    url, run = postgresql
    names = ['a"b', "it's", "50%", "%s", "编号", "x.y", "a b", "SELECT", ":p", "back\\slash", "$1"]
    columns = ", ".join('"{}" int'.format(name.replace('"', '""')) for name in names)
    schema, table = "sché'ma\\", "ta\"b%'l.e"
    inside = table.replace('"', '""')
    run(f'CREATE SCHEMA "{schema}"; CREATE TABLE "{schema}"."{inside}" ({columns})')
    run(f'INSERT INTO "{schema}"."{inside}" VALUES ({", ".join(map(str, range(len(names))))})')
    table, _, _ = take(url, f"{schema}.{table}", dict.fromkeys(names, pa.int64()))
    assert table.to_pylist() == [{name: n for n, name in enumerate(names)}]


def test_sixteen_hundred_columns(postgresql, take):
    url, run = postgresql
    run(f"CREATE TABLE wide ({', '.join(f'c{n} int' for n in range(1_600))})")
    run(f"INSERT INTO wide VALUES ({', '.join(map(str, range(1_600)))})")
    table, misfits, _ = take(url, "wide", {f"c{n}": pa.int64() for n in reversed(range(1_600))})
    assert table.to_pylist() == [{f"c{n}": n for n in range(1_600)}]
    assert misfits == []


def test_any_driver_in_the_address_is_read_the_same_way(postgresql, take):
    url, run = postgresql
    run("CREATE TABLE t AS SELECT 1 AS id, 'infinity'::date AS d")
    for scheme in ("postgres", "postgresql+psycopg2", "postgresql+asyncpg"):
        same = url.replace("postgresql:", f"{scheme}:")
        _, misfits, _ = take(same, "t", {"id": pa.int64(), "d": pa.date32()})
        assert [m[3] for m in misfits] == ["infinity"]


def paged(url, count):
    """The sum as a reader finds it who takes page after page, each in a transaction of its own."""
    import psycopg

    total = 0
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(0, count, 200):
            page = "SELECT sum(amount) FROM accounts WHERE id > %s AND id <= %s"
            total += connection.execute(page, [first, first + 200]).fetchone()[0]
    return total


@pytest.mark.slow
def test_a_sum_holds_in_one_snapshot_while_others_move_values_all_the_time(postgresql):
    """Each transfer keeps the sum; rows also come and go in pairs that add up to nothing."""
    import psycopg

    url, run = postgresql
    count = 40_000
    run(f"""CREATE TABLE accounts AS SELECT n AS id, 100 AS amount, repeat('x', 50) AS note
            FROM generate_series(1, {count}) n; ALTER TABLE accounts ADD PRIMARY KEY (id)""")
    stop, written = threading.Event(), []

    def write():
        with psycopg.connect(url, autocommit=True) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                low, high = number * 37 % count + 1, count - number * 53 % count
                with connection.transaction():
                    for each, by in ((low, -1), (high, 1)):
                        connection.execute(
                            "UPDATE accounts SET amount = amount + %s WHERE id = %s", [by, each]
                        )
                    connection.execute(
                        "INSERT INTO accounts VALUES (%s, 7, ''), (%s, -7, '')",
                        [count + 2 * number, count + 2 * number + 1],
                    )
                written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        request = ReadRequest(
            "accounts", pa.schema([("id", pa.int64()), ("amount", pa.int64())]), batch_rows=2_000
        )
        # The writer does disturb who keeps no snapshot, sooner or later.
        assert any(paged(url, count) != count * 100 for _ in range(100))
        total, ids, during = 0, [], len(written)
        for each in open_source(url).read(request):
            ids += each.batch["id"].to_pylist()
            total += sum(each.batch["amount"].to_pylist())
            before = len(written)
            while writer.is_alive() and len(written) < before + 10:
                pass
        during = len(written) - during
    finally:
        stop.set()
        writer.join(20)
    assert total == count * 100
    assert len(ids) == len(set(ids))
    assert during > 100
