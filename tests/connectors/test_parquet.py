"""Parquet files as others write them."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError

INT = {"id": pa.int64()}


def test_files_of_a_folder_are_one_table_in_the_order_of_their_names(tmp_path, take):
    (tmp_path / "parts").mkdir()
    for name, ids in (("b", [3]), ("a", [1, 2]), ("c", [None])):
        column = pa.array(ids, pa.int64() if ids != [None] else pa.null())
        pq.write_table(pa.table({"id": column}), tmp_path / "parts" / f"{name}.parquet")
    table, _, _ = take(tmp_path, "parts", INT)
    assert table["id"].to_pylist() == [1, 2, 3, None]
    assert take(tmp_path / "parts", ".", INT)[0].num_rows == 4


def test_files_with_other_types_are_refused_by_name(tmp_path, take):
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "b.parquet")
    with pytest.raises(PermanentSourceError, match=r"string in b\.parquet and int64 in a\.parquet"):
        take(tmp_path, ".", INT)


def test_types_of_other_writers_are_exact_or_misfits(tmp_path, take):
    columns = {
        "wide": (pa.array([0.1], pa.float32()), pa.float64(), 0.10000000149011612),
        "code": (pa.array(["x"]).dictionary_encode(), pa.string(), "x"),
        "at": (
            pa.array([1_000], pa.timestamp("ns", "Asia/Tokyo")),
            pa.timestamp("us", tz="UTC"),
            dt.datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
        ),
        "fine": (pa.array([1], pa.timestamp("ns")), pa.timestamp("us"), None),
        "local": (pa.array([0], pa.timestamp("us")), pa.timestamp("us", tz="UTC"), None),
        "big": (pa.array([2**64 - 1], pa.uint64()), pa.int64(), None),
        "bytes": (pa.array([b"\xff"]), pa.string(), None),
        "list": (pa.array([[1, None]], pa.list_(pa.int8())), pa.list_(pa.int64()), [1, None]),
        "a.b": (pa.array([5], pa.int8()), pa.int64(), 5),
    }
    given = pa.table({name: column for name, (column, _, _) in columns.items()})
    pq.write_table(given, tmp_path / "t.parquet", version="2.6")
    wanted = {name: kind for name, (_, kind, _) in columns.items()}
    table, misfits, raw = take(tmp_path, "t.parquet", wanted)
    assert table.to_pylist() == [{name: value for name, (_, _, value) in columns.items()}]
    assert [field for _, field, _, _ in misfits] == ["fine", "local", "big", "bytes"]
    assert raw["big"].to_pylist() == ["18446744073709551615"]
    assert raw["fine"].to_pylist() == ["1970-01-01 00:00:00.000000001"]
    assert raw["bytes"].to_pylist() == ["\\xff"]


US, UTC, NS = pa.timestamp("us"), pa.timestamp("us", tz="UTC"), pa.timestamp("ns")
WIDE = Decimal("9" * 36 + ".99")
EDGES = [
    # stored, its type, wanted, read, reasons
    ([2**64 - 1, 0], pa.uint64(), pa.uint64(), [2**64 - 1, 0], []),
    ([2**64 - 1, 0], pa.uint64(), pa.int64(), [None, 0], ["beyond 64 bits"]),
    ([-1, 1], pa.int64(), pa.uint64(), [None, 1], ["below zero"]),
    ([1.5, float("nan"), 65504], pa.float16(), pa.float64(), [1.5, None, 65504],
     ["not a finite number"]),
    ([float("inf"), 5e-324], pa.float64(), pa.float64(), [None, 5e-324], ["not a finite number"]),
    ([5.0, 5.5, 2.0**53, 2.0**63], pa.float64(), pa.int64(), [5, None, 2**53, None],
     ["not an integer: it has a fraction", "a float too large to say which integer it is"]),
    ([Decimal("9" * 76)], pa.decimal256(76, 0), pa.decimal128(38, 0), [None],
     ["more than 38 digits before the point"]),
    ([WIDE], pa.decimal256(76, 2), pa.decimal128(38, 2), [WIDE], []),
    ([Decimal("1.10"), Decimal("1.11")], pa.decimal128(10, 2), pa.decimal128(10, 1),
     [Decimal("1.1"), None], ["more than 1 decimals"]),
    ([Decimal("5.00"), Decimal("5.01")], pa.decimal128(10, 2), pa.int64(), [5, None],
     ["not an integer: it has a fraction"]),
    ([5_000, 5_001], pa.time64("ns"), pa.time64("us"), [dt.time(0, 0, 0, 5), None],
     ["finer than a microsecond"]),
    ([86_399_999], pa.time32("ms"), pa.time64("us"), [dt.time(23, 59, 59, 999_000)], []),
    ([1_000, 1_001], NS, US, [dt.datetime(1970, 1, 1, 0, 0, 0, 1), None],  # noqa: DTZ001
     ["finer than a microsecond"]),
    ([-62135596800, 253402300799, 253402300800], pa.timestamp("s"), US,
     [dt.datetime.min, dt.datetime(9999, 12, 31, 23, 59, 59), None], ["not a timestamp"]),  # noqa: DTZ001,DTZ901
    ([0], pa.timestamp("ms", tz="+08:00"), UTC, [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)], []),
    ([-719162, 2932896, 2932897], pa.date32(), pa.date32(), [dt.date.min, dt.date.max, None],
     ["not a date"]),
    ([1], pa.duration("us"), pa.string(), [None], ["a duration, and a string was wanted"]),
    ([1], pa.duration("us"), pa.time64("us"), [None], ["a duration, and a time was wanted"]),
    ([None, None], pa.null(), pa.int64(), [None, None], []),
    (["a", None], pa.large_string(), pa.string(), ["a", None], []),
    ([b"a", None], pa.large_binary(), pa.binary(), [b"a", None], []),
    ([b"ab"], pa.binary(2), pa.binary(), [b"ab"], []),
    (["a", "b", "a"], pa.dictionary(pa.int8(), pa.string()), pa.string(), ["a", "b", "a"], []),
    ([[1, None], None, []], pa.large_list(pa.int32()), pa.list_(pa.int64()),
     [[1, None], None, []], []),
    ([[1, 2]], pa.list_(pa.int32(), 2), pa.list_(pa.int64()), [[1, 2]], []),
    ([{"x": 1}, None], pa.struct([("x", pa.int8())]), pa.struct([("x", pa.int64())]),
     [{"x": 1}, None], []),
    ([[("k", 1)]], pa.map_(pa.string(), pa.int64()), pa.list_(pa.int64()), [None],
     ["a map, and a list was wanted"]),
    ([1, 0, 2], pa.int8(), pa.bool_(), [True, False, None], ["not a boolean"]),
    (["a\0b", ""], pa.string(), pa.string(), ["a\0b", ""], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "kind", "wanted", "read", "reasons"),
    EDGES,
    ids=[f"{kind} as {wanted}" for _, kind, wanted, *_ in EDGES],
)
def test_every_type_is_exact_or_a_misfit_at_its_edges(
    tmp_path, take, stored, kind, wanted, read, reasons
):
    pq.write_table(pa.table({"c": pa.array(stored, kind)}), tmp_path / "t.parquet")
    table, misfits, _ = take(tmp_path, "t.parquet", {"c": wanted})
    assert table["c"].to_pylist() == read
    assert [reason for *_, reason, _ in misfits] == reasons
    assert all(raw for *_, raw in misfits)


def test_row_groups_of_a_file_follow_one_another(tmp_path, take):
    pq.write_table(pa.table({"id": range(1_000)}), tmp_path / "t.parquet", row_group_size=99)
    assert take(tmp_path, "t", INT, batch_rows=64)[0]["id"].to_pylist() == list(range(1_000))


def test_a_time_of_a_zone_is_made_from_the_contracts_zone(tmp_path, take):
    pq.write_table(pa.table({"at": pa.array([0], pa.timestamp("ms"))}), tmp_path / "t.parquet")
    fields = {"at": pa.timestamp("us", tz="UTC")}
    table, _, _ = take(tmp_path, "t.parquet", fields, options={"timezone": "Asia/Shanghai"})
    assert table["at"].to_pylist() == [dt.datetime(1969, 12, 31, 16, tzinfo=dt.UTC)]


@pytest.mark.parametrize(
    ("stored", "read"),
    [([1_000, 2_001], [1, None]), ([-1_000, None], [-1, None])],
)
def test_old_96_bit_times_keep_their_nanoseconds(tmp_path, take, stored, read):
    given = pa.table({"at": pa.array(stored, pa.timestamp("ns"))})
    pq.write_table(given, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    table, misfits, _ = take(tmp_path, "t.parquet", {"at": pa.timestamp("us")})
    assert table["at"].cast(pa.int64()).to_pylist() == read
    assert [raw for *_, raw in misfits] == (["1970-01-01 00:00:00.000002001"] if stored[1] else [])


def test_old_96_bit_times_of_far_years_do_not_wrap_round(tmp_path, take):
    far = dt.datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 (naive on purpose)
    given = pa.table({"at": pa.array([far], pa.timestamp("us"))})
    pq.write_table(given, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    table, misfits, _ = take(tmp_path, "t.parquet", {"at": pa.timestamp("us")})
    assert (table["at"].to_pylist(), misfits) == ([far], [])


@pytest.mark.parametrize("data", [b"", b"PAR1", b"id\n1\n", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_refuses_what_is_no_parquet(tmp_path, take, data):
    (tmp_path / "t.parquet").write_bytes(data)
    with pytest.raises(PermanentSourceError, match=r"t\.parquet"):
        take(tmp_path, "t.parquet", INT)


def test_refuses_a_damaged_page(tmp_path, take):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": range(10_000)}), path, use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[30:200] = b"\xff" * 170
    path.write_bytes(data)
    with pytest.raises(PermanentSourceError, match="damaged"):
        take(tmp_path, "t.parquet", INT)


def test_refuses_a_name_twice_and_an_empty_folder(tmp_path, take):
    twice = pa.table([pa.array([1]), pa.array([2])], names=["id", "id"])
    pq.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(PermanentSourceError, match="id more than once"):
        take(tmp_path, "t.parquet", INT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PermanentSourceError, match="no file matches empty"):
        take(tmp_path, "empty", INT)


def test_describes_what_the_file_declares(tmp_path):
    given = pa.table(
        {
            "n": pa.array([1, 2], pa.int16()),
            "u": pa.array([1, 2], pa.uint64()),
            "s": pa.array(["a", "b"], pa.large_string()),
            "d": pa.array(["1.5", None]).cast(pa.decimal128(6, 3)),
            "at": pa.array([0, 1_000], pa.timestamp("ns", "Asia/Tokyo")),
            "l": pa.array([[1.5], None], pa.list_(pa.float32())),
            "r": pa.array([{"x": 1}, None]),
        }
    )
    pq.write_table(given, tmp_path / "t.parquet")
    seen = open_source(str(tmp_path)).describe("t.parquet")
    assert [column.type for column in seen.columns] == [
        pa.int64(),
        pa.uint64(),
        pa.string(),
        pa.decimal128(6, 3),
        pa.timestamp("us", tz="UTC"),
        pa.list_(pa.float64()),
        pa.struct([("x", pa.int64())]),
    ]
    assert [table.rows for table in open_source(str(tmp_path)).tables()] == [2]
