"""What `source infer` is told of a table: types that its values fit, and honest remarks."""

import sqlite3
from contextlib import closing

import pyarrow as pa
import pytest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError

UTC = pa.timestamp("us", tz="UTC")


@pytest.fixture
def describe(tmp_path):
    def go(values, **options):
        (tmp_path / "t.csv").write_text("\n".join(["v,w", *(f"{v},x" for v in values)]) + "\n")
        return open_source(str(tmp_path), options).describe("t.csv").columns[0]

    return go


@pytest.mark.parametrize(
    ("values", "proposed"),
    [
        (["1", "-2", ""], pa.int64()),
        (["0", "1"], pa.int64()),
        (["18446744073709551615"], pa.uint64()),
        (["99999999999999999999999"], pa.decimal128(38, 0)),
        (["1.5", "2"], pa.float64()),
        (["1e-7", "2"], pa.float64()),
        (["1234567890123456789.25", "1.5"], pa.decimal128(38, 2)),
        (["true", "False"], pa.bool_()),
        (["2024-01-05", ""], pa.date32()),
        (["09:30", "23:59:59.5"], pa.time64("us")),
        (["2024-01-05 09:30:00"], pa.timestamp("us")),
        (["2024-01-05T09:30:00Z", "2024-01-05T09:30:00+08"], UTC),
        (["2024-01-05T09:30:00Z", "2024-01-05T09:30:00"], pa.string()),
        (["00038", "5"], pa.string()),
        (["+86", "1"], pa.string()),
        (["1,5"], pa.string()),
        (["2024-02-30"], pa.string()),
        (["yes", "no"], pa.string()),
        (["NaN", "1.5"], pa.string()),
        ([""], pa.string()),
    ],
)
def test_proposes_a_type_that_all_values_fit(describe, values, proposed):
    quoted = [f'"{value}"' if "," in value else value for value in values]
    seen = describe(quoted)
    assert seen.type == proposed
    assert seen.misfits == 0


def test_tells_of_leading_zeros_and_of_words_that_may_mean_null(describe):
    assert "leading zeros" in describe(["007", "12"]).remark
    seen = describe(["1", "NA", "2"])
    assert seen.type == pa.string()
    assert seen.remark == "integer, if NA means null: add it to zhixin.null"
    seen = describe(["1", "NA", "2"], null=["NA"])
    assert (seen.type, seen.nulls, seen.remark) == (pa.int64(), 1, "")
    assert "no value" in describe([""]).remark


def test_counts_what_it_read(describe):
    seen = describe(["3", "1", "", "3", "10"])
    assert (seen.nulls, seen.minimum, seen.maximum, seen.unique) == (1, "1", "10", False)
    assert seen.distinct == ["1", "3", "10"]
    seen = describe(range(100))
    assert (seen.unique, seen.distinct) == (True, None)
    seen = describe(["2024-01-05T09:30:00Z"])
    assert seen.minimum == "2024-01-05T09:30:00.000000Z"


def test_a_header_of_one_column_with_another_delimiter_is_told(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1;2\n")
    with pytest.raises(PermanentSourceError) as refusal:
        open_source(str(tmp_path)).describe("t.csv")
    assert "zhixin.delimiter" in str(refusal.value.hint)
    assert len(open_source(str(tmp_path), {"delimiter": ";"}).describe("t.csv").columns) == 2


def test_sqlites_declared_types_count_only_where_the_values_agree(tmp_path):
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        connection.executescript(
            """
            CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT, day TEXT, rate REAL, open BOOLEAN,
                            mixed INTEGER, at TIMESTAMP, price NUMERIC(6,2), raw BLOB, bare);
            INSERT INTO t VALUES
              (1, '12', '2024-01-05', 5.0, 1, 'abc', '2024-01-05 09:30:00', 1.5, x'00ff', 7),
              (2, '13', '2024-01-06', 0.1, 0, 'def', '2024-01-05 09:30:00.5', 2, NULL, 8);
            """
        )
    seen = open_source(f"sqlite:///{tmp_path / 't.db'}").describe("t")
    assert seen.primary_key == ("id",)
    assert {column.name: column.type for column in seen.columns} == {
        "id": pa.int64(),
        "code": pa.string(),
        "day": pa.date32(),
        "rate": pa.float64(),
        "open": pa.bool_(),
        "mixed": pa.string(),
        "at": pa.timestamp("us"),
        "price": pa.decimal128(6, 2),
        "raw": pa.binary(),
        "bare": pa.int64(),
    }
    remarks = {column.name: column.remark for column in seen.columns if column.remark}
    assert remarks["mixed"] == "declared INTEGER, and 2 of 2 values are not of that type"
    assert "integer" in remarks["code"]


def test_tells_what_all_but_a_few_texts_are(describe):
    days = [f"2024-01-{day:02}" for day in range(1, 29)]
    seen = describe([*days, "2024-02-30"])
    assert (seen.type, seen.remark) == (
        pa.string(),
        "date, but for 1 of 29 values, which that would reject",
    )
    zoned = [f"{day}T08:00:00+08:00" for day in days]
    assert describe([*zoned, "2024-02-30"]).remark.startswith("timestamptz, but for 1 of 29")
    scores = describe([*map(str, range(20)), "NA", "fifty"])
    assert scores.remark == (
        "integer, but for 1 of 21 values, which that would reject, "
        "if NA means null: add it to zhixin.null"
    )
    assert describe([*days, "a", "b", "c", "d"]).remark == ""
