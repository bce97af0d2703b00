"""Field cases of MariaDB and MySQL: what the connector reads, and what a member's commands show.

The inputs under ``files/`` are unchanged.
"""

from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source

FILES = Path(__file__).parent / "files"
IDS = {"type": "integer", "required": True}
I64, U64, TEXT = pa.int64(), pa.uint64(), pa.string()


@pytest.fixture
def office(agency, mariadb, monkeypatch):
    """Run a case's script in a database of its own: the member's source ``office``; its URL."""

    def run(script):
        url, execute = mariadb
        execute((FILES / script).read_text("utf-8"))
        agency.source("office", url.replace(":a%20b%40c%3A%2Fd@", "@"))
        monkeypatch.setenv("ZHIXIN_SOURCES_OFFICE_SECRET", "a b@c:/d")
        return url

    return run


def read(url, table, **fields):
    """(rows, [(row, field, raw)]) of a table in the order of its first column."""
    request = ReadRequest(table, pa.schema(list(fields.items())), order_by=(next(iter(fields)),))
    rows, misfits = [], []
    for each in open_source(url).read(request):
        misfits += [(each.first_row + m.row, m.field, m.raw) for m in each.misfits]
        rows += [tuple(record.values()) for record in each.batch.to_pylist()]
    return rows, misfits


def proposed(agency, table):
    """The types that `source infer` writes, and its text."""
    said = agency.zhixin("source", "infer", "office", table)
    assert said.code == 0, said.err
    fields = yaml.safe_load(said.out)["schema"][0]["properties"]
    return {field["name"]: field["logicalType"] for field in fields}, said.out


def test_fc_04_unsigned_numbers_are_exact(office):
    url = office("04-mysql-unsigned.sql")
    rows, misfits = read(url, "meters", id=U64, total=U64, n=I64, s=I64)
    assert rows == [
        (1, 18446744073709551615, 4294967295, 65535),
        (9223372036854775808, 9223372036854775807, 0, 0),
        (18446744073709551615, None, 2147483648, 32768),
    ]
    assert misfits == []
    rows, misfits = read(url, "meters", total=I64)
    assert rows == [(None,), (9223372036854775807,), (None,)]
    assert misfits == [(2, "total", "18446744073709551615")]


def test_fc_04_by_the_commands(office, agency):
    office("04-mysql-unsigned.sql")
    fields = {"id": {"type": "unsigned", "required": True}, "total": "unsigned", "n": "integer"}
    assert agency.run(agency.contract("meters", fields, key=("id",))).code == 0
    assert agency.rows("meters") == [
        ["1", "18446744073709551615", "4294967295"],
        ["9223372036854775808", "9223372036854775807", "0"],
        ["18446744073709551615", "", "2147483648"],
    ]
    plain = agency.contract("plain", {"total": "integer"}, table="meters")
    assert agency.run(plain).code == 0
    assert "18446744073709551615" in [raw for *_, raw in agency.rejects("plain")]
    assert ["-1"] not in agency.rows("plain")
    types, _ = proposed(agency, "meters")
    assert types == dict.fromkeys(("id", "total", "n", "s"), "integer")


def test_fc_05_a_tinyint_is_no_boolean_unless_its_values_are(office, agency):
    url = office("05-mysql-tinyint1.sql")
    rows, misfits = read(url, "cases", id=I64, stage=I64, closed=pa.bool_())
    assert [stage for _, stage, _ in rows] == [0, 1, 2, 3, -1, 127, None]
    assert [closed for *_, closed in rows] == [False, True, True, False, None, None, True]
    assert misfits == [(4, "closed", "2")]
    contract = agency.contract(
        "cases", {"id": IDS, "stage": "integer", "closed": "boolean"}, key=("id",)
    )
    assert agency.run(contract).code == 0
    assert agency.rejects("cases") == [(4, "closed", "closed.type", "2")]
    assert [row[1] for row in agency.rows("cases")] == ["0", "1", "2", "3", "127", ""]
    types, _ = proposed(agency, "cases")
    assert types["stage"] == types["closed"] == "integer"


def test_fc_05_infer_says_that_it_guessed_a_boolean(office, agency, mariadb):
    office("05-mysql-tinyint1.sql")
    mariadb[1]("DELETE FROM cases WHERE id = 5")
    types, text = proposed(agency, "cases")
    assert types == {"id": "integer", "stage": "integer", "closed": "boolean"}
    assert "guessed from tinyint(1)" in text


def test_fc_06_a_duration_is_no_time_of_day(office, agency):
    url = office("06-mysql-time.sql")
    rows, misfits = read(url, "shifts", id=I64, at=pa.time64("us"), dur=TEXT)
    assert [None if at is None else at.isoformat("microseconds") for _, at, _ in rows] == [
        "08:30:00.000000", None, None, None, "23:59:59.999999", None,
    ]  # fmt: skip
    assert [dur for *_, dur in rows] == [
        "08:00:00", "25:30:00", "-00:30:00", "-507:48:27", "838:59:59", "00:00:00",
    ]  # fmt: skip
    bad = [(1, "25:30:00"), (2, "-00:30:00"), (3, "-507:48:27"), (5, "24:00:00")]
    assert misfits == [(row, "at", f"{text}.000000") for row, text in bad]
    contract = agency.contract("shifts", {"id": IDS, "at": "time", "dur": "string"}, key=("id",))
    assert agency.run(contract).code == 0
    assert agency.texts("shifts") == [
        '["1","08:30:00.000000","08:00:00"]', '["5","23:59:59.999999","838:59:59"]',
    ]  # fmt: skip
    assert agency.rejects("shifts") == [
        (row, "at", "at.type", f"{text}.000000") for row, text in bad
    ]
    types, _ = proposed(agency, "shifts")
    assert types == {"id": "integer", "at": "string", "dur": "string"}


def test_fc_07_a_zero_date_is_rejected_for_being_no_date(office, agency):
    url = office("07-mysql-zero-dates.sql")
    bad = [
        (1, "born", "0000-00-00"),
        (2, "born", "0000-12-19"),
        (3, "born", "1987-06-00"),
        (4, "born", "1987-00-15"),
        (5, "seen", "0000-00-00 00:00:00"),
    ]
    _, misfits = read(url, "births", id=I64, born=pa.date32(), seen=pa.timestamp("us"))
    assert misfits == bad
    fields = {
        "id": IDS,
        "born": {"type": "date", "required": True},
        "seen": {"type": "timestamp", "required": True},
    }
    said = agency.run(agency.contract("births", fields, key=("id",)))
    assert said.code == 0, said.err
    assert agency.texts("births") == [
        '["1","1987-06-05","2024-01-02T03:04:05.000000"]',
        '["7","1000-01-01","9999-12-31T23:59:59.000000"]',
    ]
    assert agency.rejects("births") == [
        (row, field, f"{field}.type", text) for row, field, text in bad
    ]
    assert all("day of the calendar" in said for said in agency.messages("births").values())
    assert agency.manifest("births")["quarantined"] == "5"
