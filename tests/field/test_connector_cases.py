"""Field cases of the connectors: faults that people met with other tools, and the right outcome.

The inputs under ``files/`` are unchanged. Where a case asks for a published version, the pipeline's
tests go on from here.
"""

import datetime as dt
import sqlite3
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source

FILES = Path(__file__).parent / "files"
UTC = pa.timestamp("us", tz="UTC")


def read(url, name, fields, **options):
    """(records, [(row, field, raw)])."""
    request = ReadRequest(name, pa.schema(list(fields.items())), options=options)
    records, misfits = [], []
    for each in open_source(str(url)).read(request):
        misfits += [(each.first_row + m.row, m.field, m.raw) for m in each.misfits]
        records += each.batch.to_pylist()
    return records, misfits


@pytest.fixture
def server(postgresql_url):
    """Runs a case's SQL and gives the database's URL."""
    import psycopg

    def run(script, *tables):
        with psycopg.connect(postgresql_url) as connection:
            for table in tables:
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            connection.execute((FILES / script).read_text(encoding="utf-8"))
        return postgresql_url

    return run


@pytest.fixture
def sqlite(tmp_path):
    """Runs a case's SQL and gives the database's URL."""

    def run(script):
        connection = sqlite3.connect(tmp_path / "case.db")
        connection.executescript((FILES / script).read_text(encoding="utf-8"))
        connection.close()
        return f"sqlite:///{tmp_path / 'case.db'}"

    return run


def test_fc_01_infinite_dates_reject_their_own_record(server):
    url = server("01-pg-infinite-dates.sql", "permits")
    fields = {
        "id": pa.int64(),
        "holder": pa.string(),
        "valid_from": pa.date32(),
        "valid_until": pa.date32(),
        "changed": UTC,
    }
    records, misfits = read(url, "permits", fields)
    assert len(records) == 5
    assert records[0]["changed"] == dt.datetime(2024, 1, 5, 1, tzinfo=dt.UTC)
    assert [(records[row]["id"], field, raw) for row, field, raw in misfits] == [
        (2, "valid_until", "infinity"),
        (3, "changed", "-infinity"),
        (4, "valid_from", "0044-03-15 BC"),
        (5, "valid_until", "10000-01-01"),
    ]


def test_fc_03_decimals_are_exact_and_never_rounded(server):
    url = server("03-pg-numeric.sql", "payments")
    fields = {
        "id": pa.int64(),
        "amount": pa.decimal128(38, 18),
        "fee": pa.decimal128(20, 4),
        "rate": pa.decimal128(5, 5),
    }
    records, misfits = read(url, "payments", fields)
    assert [str(record["amount"]) for record in records] == [
        "12345678901234567890.123456789012345678",
        "1E-18",
        "-1E-18",
        "99999999999999999999.999999999999999999",
    ]
    assert [str(record["fee"]) for record in records] == ["1.1000", "1.1000", "None", "0.0000"]
    assert records[0]["rate"] == Decimal("0.99999")
    assert misfits == [(2, "fee", "1.23456")]


def test_fc_10_sqlite_holds_any_type_in_any_column(sqlite):
    url = sqlite("10-sqlite-dynamic.sql")
    fields = {"id": pa.int64(), "v": pa.int64(), "t": pa.string()}
    records, misfits = read(url, "measure", fields)
    bad = {row for row, _, _ in misfits}
    kept = [(r["id"], r["v"], r["t"]) for row, r in enumerate(records) if row not in bad]
    assert kept == [
        (1, None, None),
        (2, 42, "12"),
        (6, 9223372036854775807, "x"),
        (8, 9007199254740993, "x"),
    ]
    assert [(records[row]["id"], field) for row, field, _ in misfits] == [
        (id, "v") for id in (3, 4, 5, 7, 9)
    ]
    raw = {records[row]["id"]: text for row, _, text in misfits}
    assert (raw[3], raw[4], raw[5], raw[9]) == ("abc", "1.5", "\\x00ff", "")


def test_fc_17_id_numbers_are_texts_that_nobody_repairs():
    fields = {"序号": pa.int64(), "身份证号": pa.string()}
    records, misfits = read(FILES, "17-id-numbers.csv", fields)
    assert [record["身份证号"] for record in records] == [
        "990101194912310028",
        "99010119491231001X",
        "9.90101E+17",
        "990101198706050000",
        "'990101194912310028",
        "990101194912310028\t",
        "99010119491231001x",
        "990101198706050032.0",
        '="990101200002290011"',
    ]
    assert misfits == []


def test_fc_17_an_id_number_that_a_spreadsheet_rounded_is_no_integer():
    _, misfits = read(FILES, "17-id-numbers.csv", {"身份证号": pa.int64()})
    assert (2, "身份证号", "9.90101E+17") in misfits
