"""Parquet files as others write them."""

import datetime as dt

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
