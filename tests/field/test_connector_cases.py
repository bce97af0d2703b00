"""Field cases of the connectors: faults that people met with other tools, and the right outcome.

The inputs under ``files/`` are unchanged. Where a case asks for a published version, the pipeline's
tests go on from here.
"""

import datetime as dt
import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError

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


def test_fc_09_an_empty_table_keeps_its_columns(sqlite):
    url = sqlite("09-sqlite-empty.sql")
    fields = {"n": pa.int64(), "s": pa.string()}
    assert read(url, "data", fields) == ([], [])
    assert [column.name for column in open_source(url).describe("data").columns] == ["n", "s"]
    assert read(FILES, "09-header-only.csv", {"id": pa.int64(), "name": pa.string()}) == ([], [])


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


def test_fc_13_a_missing_value_does_not_change_large_numbers():
    records, misfits = read(
        FILES, "13-nullable-bigint.csv", {"id": pa.int64(), "number": pa.int64()}
    )
    assert [record["number"] for record in records] == [
        9007199254740993,
        None,
        -9007199254740993,
        9223372036854775807,
    ]
    assert misfits == []


def test_fc_14_codes_and_words_stay_as_they_are():
    fields = {"code": pa.string(), "surname": pa.string(), "country": pa.string()}
    records, _ = read(FILES, "14-codes-and-words.csv", fields)
    columns = {name: [record[name] for record in records] for name in fields}
    assert columns == {
        "code": ["00038", "00127", "1E5", "0x10", "+86", "1_000"],
        "surname": ["NA", "Null", "None", "True", "", "-"],
        "country": ["NA", "null", "nan", "N/A", None, "#N/A"],
    }
    types = {
        c.name: c.type for c in open_source(str(FILES)).describe("14-codes-and-words.csv").columns
    }
    assert types["code"] == types["surname"] == types["country"] == pa.string()


def test_fc_15_a_byte_order_mark_is_no_part_of_a_name():
    fields = {"编号": pa.int64(), "名称": pa.string()}
    utf8 = read(FILES, "15-bom-utf8.csv", fields)
    gb18030 = read(FILES, "15-bom-gb18030.csv", fields, encoding="gb18030")
    assert utf8 == gb18030 == ([{"编号": 1, "名称": "甲"}], [])


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


def test_fc_19_only_an_iso_date_is_a_date_without_a_declared_form():
    records, misfits = read(FILES, "19-chinese-dates.csv", {"id": pa.int64(), "day": pa.date32()})
    days = {record["id"]: record["day"] for record in records if record["day"]}
    assert days == {9: dt.date(2021, 3, 5)}
    assert [raw for _, _, raw in misfits][:3] == ["2021年3月5日", "2021年03月05日", "2021年2月29日"]
    assert len(misfits) == 11


def test_fc_21_a_merged_header_is_refused_by_its_columns():
    with pytest.raises(PermanentSourceError) as refusal:
        read(FILES, "21-merged-header.csv", {"单位名称": pa.string()})
    said = str(refusal.value)
    assert "column 3, 4, 6, 7" in said
    for name in ("下达年份批次", "下达金额", "完成率"):
        assert name in said
    assert "甲局" not in said
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("swapped", [False, True])
def test_fc_27_naive_and_utc_times_of_one_source_are_refused(tmp_path, swapped):
    for place, file in enumerate(["part-a.parquet", "part-b.parquet"]):
        name = f"{1 - place if swapped else place}.parquet"
        shutil.copy(FILES / "27-mixed-zones" / file, tmp_path / name)
    with pytest.raises(PermanentSourceError) as refusal:
        read(tmp_path, ".", {"id": pa.int64(), "t": UTC})
    said = str(refusal.value)
    for part in ("1.parquet", "timestamp[us, tz=UTC]", "timestamp[us] "):
        assert part in said
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("file", "surplus"), [("29-missing-column.csv", ""), ("29-renamed-column.csv", "Note")]
)
def test_fc_29_a_missing_or_renamed_column_is_named(file, surplus):
    fields = {"id": pa.int64(), "name": pa.string(), "note": pa.string()}
    with pytest.raises(PermanentSourceError) as refusal:
        read(FILES, file, fields)
    assert "no column note" in str(refusal.value)
    assert surplus in str(refusal.value)
