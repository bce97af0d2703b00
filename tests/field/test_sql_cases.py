"""Field cases of PostgreSQL and SQLite: from the agency's database to the published version."""

import re

import pytest
from zhixin_connectors import sql

from tests.field.conftest import FILES


@pytest.fixture
def postgresql(agency, postgresql_url, monkeypatch):
    """Runs a case's SQL in a PostgreSQL that is the source ``registry``."""
    import psycopg
    import sqlalchemy as sa

    at = sa.make_url(postgresql_url)
    monkeypatch.setenv("ZHIXIN_SOURCES_REGISTRY_SECRET", at.password)
    agency.source("registry", f"postgresql://{at.username}@{at.host}:{at.port}/{at.database}")

    def run(script):
        text = (FILES / script).read_text("utf-8")
        with psycopg.connect(postgresql_url) as connection:
            for table in re.findall(r"CREATE TABLE (\w+)", text):
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            connection.execute(text)

    return run


def published(agency, contract):
    """Run it; (extracted, accepted, quarantined), which add up in the answer and the manifest."""
    run = agency.run(contract)
    assert run.code == 0, run.err
    told = run.json
    counts = told["extracted"], told["records"], told["quarantined"]
    manifest = agency.manifest(told["dataset"].partition("/")[2])
    assert (manifest["records"], manifest["quarantined"]) == (str(counts[1]), str(counts[2]))
    assert counts[0] == counts[1] + counts[2]
    assert f"{counts[0]:,} extracted, {counts[1]:,} records, {counts[2]:,} quarantined" in run.err
    return counts


def test_fc_01_infinite_dates_reject_their_own_record(agency, postgresql):
    postgresql("01-pg-infinite-dates.sql")
    fields = {"id": "integer", "holder": "string", "valid_from": "date", "valid_until": "date",
              "changed": "timestamptz"}  # fmt: skip
    contract = agency.contract("permits", fields, source="registry")
    assert published(agency, contract) == (5, 1, 4)
    assert agency.texts("permits") == [
        '["1","甲一","2024-01-05","2029-01-04","2024-01-05T01:00:00.000000Z"]'
    ]
    assert agency.rejects("permits") == [
        (1, "valid_until", "valid_until.type", "infinity"),
        (2, "changed", "changed.type", "-infinity"),
        (3, "valid_from", "valid_from.type", "0044-03-15 BC"),
        (4, "valid_until", "valid_until.type", "10000-01-01"),
    ]


def test_fc_03_decimals_are_exact_and_never_rounded(agency, postgresql):
    postgresql("03-pg-numeric.sql")
    fields = {"id": "integer", "amount": "decimal(38,18)", "fee": "decimal(20,4)",
              "rate": "decimal(5,5)"}  # fmt: skip
    contract = agency.contract("payments", fields, source="registry", key=("id",))
    assert published(agency, contract) == (4, 3, 1)
    assert agency.texts("payments") == [
        '["1","12345678901234567890.123456789012345678","1.1000","0.99999"]',
        '["2","0.000000000000000001","1.1000","0.30000"]',
        '["4","99999999999999999999.999999999999999999","0.0000","0.00000"]',
    ]
    assert agency.rejects("payments") == [(2, "fee", "fee.type", "1.23456")]
    assert agency.messages("payments") == {(2, "fee"): "more than 4 decimals"}


def test_fc_10_sqlite_holds_any_type_in_any_column(agency):
    agency.sqlite("10-sqlite-dynamic.sql")
    contract = agency.contract("measure", {"id": "integer", "v": "integer", "t": "string"})
    assert published(agency, contract) == (9, 4, 5)
    assert agency.rows("measure") == [
        ["1", "", ""],
        ["2", "42", "12"],
        ["6", "9223372036854775807", "x"],
        ["8", "9007199254740993", "x"],
    ]
    rejects = agency.rejects("measure")
    assert [row for row, *_ in rejects] == [2, 3, 4, 6, 8]
    assert [raw for *_, raw in rejects] == ["abc", "1.5", "\\x00ff", "9223372036854776000", ""]


def steps():
    """What stands before each run in the script of the case."""
    parts = re.split(r"^-- step \d.*$", (FILES / "25-boundary.sql").read_text(), flags=re.MULTILINE)
    return [part.strip() for part in parts[1:]]


EVENTS = {"id": {"type": "integer", "required": True}, "updated_at": "timestamp", "v": "string"}


def test_fc_25_each_run_takes_the_whole_table_so_that_no_boundary_loses_a_record(agency):
    first, second, third = steps()
    contract = agency.contract("events", EVENTS, key=("id",))
    agency.sqlite(first)
    assert published(agency, contract) == (3, 3, 0)
    agency.sqlite(second)
    assert published(agency, contract) == (5, 5, 0)
    assert [(row[0], row[2]) for row in agency.rows("events")] == [
        ("1", "a"), ("2", "b2"), ("3", "c"), ("4", "d"), ("5", "late"),
    ]  # fmt: skip
    assert third == ""
    run = agency.run(contract)
    assert (run.code, run.json["version"]) == (0, None)
    assert agency.versions("events") == [1, 2]


def test_fc_25_the_watermark_is_the_greatest_value_with_all_its_digits(agency, postgresql):
    postgresql("25-watermark.sql")
    contract = agency.contract("events", EVENTS, source="registry", watermark="updated_at")
    assert published(agency, contract) == (4, 4, 0)
    assert agency.manifest("events")["source"]["watermark"] == "2026-03-01T08:00:00.123457"
    assert agency.rows("events")[3][:2] == ["4", ""]


@pytest.mark.parametrize("ids", [(9, 2, 7, 1), (2, 7, 9, 1)])
def test_the_watermark_is_the_greatest_wherever_it_stands(agency, monkeypatch, ids):
    monkeypatch.setattr(sql, "_FIRST_FETCH", 2)  # two batches
    agency.sqlite("CREATE TABLE events (id INTEGER); INSERT INTO events VALUES (NULL)")
    agency.sqlite(f"INSERT INTO events VALUES {', '.join(f'({each})' for each in ids)}")
    assert published(agency, agency.contract("events", {"id": "integer"}, watermark="id"))[0] == 5
    assert agency.manifest("events")["source"]["watermark"] == "9"


@pytest.mark.parametrize("name", ["v", "nowhere", "secret_no"])
def test_a_watermark_that_can_not_be_is_refused_before_the_source_is_looked_at(agency, name):
    agency.sqlite("CREATE TABLE others (id INTEGER)")
    treated = {"type": "integer", "customProperties": [
        {"property": "zhixin.treatment", "value": {"generalise": {"step": 10}}}]}  # fmt: skip
    fields = {"id": "integer", "v": "string", "secret_no": treated}
    run = agency.run(agency.contract("events", fields, watermark=name))
    assert (run.code, run.json["error"]["code"]) == (1, "watermark")
    assert name in run.json["error"]["message"]
    agency.sqlite("CREATE TABLE events (id INTEGER, v TEXT, secret_no INTEGER)")
    assert agency.run(agency.contract("events", fields, watermark="id")).code == 0
