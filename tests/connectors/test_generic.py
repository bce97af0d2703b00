"""Any installed dialect of SQLAlchemy's, shown on one of our own over a real MariaDB.

The dialect bears another name, so that nothing particular to MariaDB is done for it: its driver's
Python values, by its server's cursor, in one transaction.
"""

import datetime as dt
import decimal
import uuid

import pyarrow as pa
import pytest
import sqlalchemy as sa  # noqa: TID253 - the dialect is one of its classes
from sqlalchemy.dialects import registry  # noqa: TID253
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql  # noqa: TID253
from zhixin_connectors import generic
from zhixin_connectors.columns import Doubtful, extracted, from_values
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import Secret
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError, TransientSourceError

from tests.connectors.relay import Relay


class Dialect(MySQLDialect_pymysql):
    """An agency's own."""

    name = "agencydb"
    driver = "agencydriver"
    supports_statement_cache = True


registry.impls["agencydb"] = lambda: Dialect


@pytest.fixture
def other(mariadb):
    url, run = mariadb
    return url.replace("mariadb:", "agencydb:"), run


def test_values_come_as_the_drivers_own_and_misfits_as_such(other, take):
    url, run = other
    run("CREATE TABLE t (id bigint unsigned, d decimal(20,4), s varchar(20), x varbinary(9), "
        "at datetime(6), day date, f double)")  # fmt: skip
    run("INSERT INTO t VALUES (18446744073709551615, 12345678901234.5, 'é\\0', x'00ff', "
        "'2024-01-05 09:30:00.000001', '2024-01-05', 1e22), "
        "(1, 0.1234, 'x', '', NULL, NULL, 0)")  # fmt: skip
    fields = {
        "id": pa.uint64(), "d": pa.decimal128(20, 3), "s": pa.string(), "x": pa.binary(),
        "at": pa.timestamp("us"), "day": pa.date32(), "f": pa.float64(),
    }  # fmt: skip
    table, misfits, _ = take(url, "t", fields)
    assert table.to_pylist()[0] == {
        "id": 2**64 - 1, "d": decimal.Decimal("12345678901234.500"), "s": "é\0", "x": b"\0\xff",
        "at": dt.datetime(2024, 1, 5, 9, 30, 0, 1), "day": dt.date(2024, 1, 5), "f": 1e22,  # noqa: DTZ001
    }  # fmt: skip
    assert misfits == [(1, "d", "more than 3 decimals", "0.1234")]
    assert take(url, "SELECT id + 1 AS n FROM t WHERE id = 1", {"n": pa.int64()})[0].num_rows == 1


def test_rows_stream_by_the_servers_cursor_in_one_snapshot(other):
    url, run = other
    run("CREATE TABLE t AS SELECT seq AS id, repeat('x', 200) AS s FROM seq_1_to_100000")
    at = sa.make_url(url)
    with Relay(at.port) as relay:
        through = at.set(port=relay.port).render_as_string(hide_password=False)
        request = ReadRequest("t", pa.schema([("id", pa.int64())]), batch_rows=1_000)
        batches = open_source(through).read(request)
        seen = next(batches).batch["id"].to_pylist()
        run("DELETE FROM t WHERE id > 50000; INSERT INTO t VALUES (-1, '')")
        for each in batches:
            seen += each.batch["id"].to_pylist()
    assert sorted(seen) == list(range(1, 100_001))
    whole = ReadRequest("t", pa.schema([("s", pa.string())]), batch_rows=1_000)
    with Relay(at.port) as relay:
        through = at.set(port=relay.port).render_as_string(hide_password=False)
        batches = open_source(through).read(whole)
        next(batches)
        assert relay.passed < 8_000_000  # of the ten and more that the table has
        batches.close()


def test_its_isolation_keeps_a_snapshot(other):
    url, run = other
    source = open_source(url)
    run("SET GLOBAL tx_isolation = 'READ-COMMITTED'")
    try:
        with source._connect("t") as connection:
            assert connection.get_isolation_level() == "REPEATABLE READ"
            assert connection.get_execution_options()["stream_results"]
    finally:
        run("SET GLOBAL tx_isolation = 'REPEATABLE-READ'")


def test_errors_are_ours(other, take):
    url, run = other
    run("CREATE TABLE t (id int)")
    cases = [
        (url.replace("a%20b", "x"), "t", PermanentSourceError, "login was refused"),
        (url, "nowhere", PermanentSourceError, "no table or view nowhere"),
        (url.replace(f":{sa.make_url(url).port}/", ":1/"), "t", TransientSourceError, "reached"),
    ]
    for address, table, kind, words in cases:
        with pytest.raises(kind, match=words) as fault:
            take(address, table, {"id": pa.int64()})
        assert "127.0.0.1" not in str(fault.value)
    at = sa.make_url(url)
    bare = f"agencydb://{at.username}@{at.host}:{at.port}/{at.database}"
    source = open_source(bare, {"secret": Secret(at.password)})
    assert list(source.read(ReadRequest("t", pa.schema([("id", pa.int64())])))) == []


def test_a_decimal_that_comes_as_a_float_is_refused(other, take):
    """The driver is told to give floats for DECIMAL, as some do; a DOUBLE's floats are its own."""
    url, run = other
    run("CREATE TABLE t (d decimal(20,2), f double); INSERT INTO t VALUES (0.1, 0.1), (NULL, 1)")
    import pymysql
    from pymysql.converters import conversions

    lossy = {**conversions, pymysql.constants.FIELD_TYPE.NEWDECIMAL: float}

    class Lossy(Dialect):
        def create_connect_args(self, url, **_):
            args, told = super().create_connect_args(url)
            return args, {**told, "conv": lossy}

    registry.impls["lossydb"] = lambda: Lossy
    lossy_url = url.replace("agencydb:", "lossydb:")
    table, misfits, _ = take(lossy_url, "t", {"d": pa.decimal128(20, 2), "f": pa.float64()})
    assert table.to_pylist() == [{"d": None, "f": 0.1}, {"d": None, "f": 1.0}]
    assert [(m[0], m[1], m[3]) for m in misfits] == [(0, "d", "0.1")]
    assert "float from the driver" in misfits[0][2]


def test_a_time_that_the_driver_cut_is_refused():
    at = dt.datetime(2024, 1, 5, 9, 30, 0, 123456)  # noqa: DTZ001
    for scale, lost in ((7, True), (6, False), (None, False)):
        description = ("at", dt.datetime, None, None, 27, scale, True)
        (value,) = generic.shown([at], description, None)
        assert isinstance(value, Doubtful) == lost


def test_a_value_without_an_exact_text_is_a_misfit_under_any_type():
    class Locator:
        """A driver's handle of a large object."""

    one = uuid.UUID("12345678-1234-5678-1234-567812345678")
    column = from_values([Locator(), None, "x", one], null=("(Locator)",))
    schema = pa.schema([("a", pa.string())])
    found = extracted([from_values([Locator(), None, "x", one])], schema, [Reading()], 0)
    assert found.batch["a"].to_pylist() == [None, None, "x", str(one)]
    assert [(m.row, m.raw) for m in found.misfits] == [(0, "(Locator)")]
    assert found.raw_texts([0, 1]).to_pylist() == [{"a": "(Locator)"}, {"a": None}]
    assert column.cast(pa.int64(), Reading()).array.to_pylist() == [None] * 4
