import datetime
import decimal
import itertools
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_gateway.pipeline import sorting

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string()), ("n", pa.int64())])


def _instant(year):
    return datetime.datetime.fromisoformat(f"{year}-01-01T00:00:00")


def _batches(rows, size):
    for at in range(0, len(rows), size):
        yield pa.RecordBatch.from_pylist(rows[at : at + size], SCHEMA)


def _merged(folder: Path, rows, key, size=3, run_bytes=200, out=4, block=60):
    writer = sorting.RunWriter(folder, SCHEMA, key, run_bytes, block)
    for batch in _batches(rows, size):
        writer.add(batch)
    writer.close()
    return list(sorting.merged(folder, key, out))


ROWS = st.lists(
    st.tuples(st.integers(-3, 3), st.text("aé\U0001f600z", max_size=2)), max_size=60
).map(lambda pairs: [{"a": a, "b": b, "n": n} for n, (a, b) in enumerate(pairs)])


@given(rows=ROWS, size=st.integers(1, 9), out=st.integers(1, 9), block=st.sampled_from([1, 60]))
@settings(max_examples=80, deadline=None)
def test_merge_gives_the_records_in_order_of_key_whatever_the_runs(
    rows, size, out, block, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("runs")
    got = [
        row
        for batch in _merged(folder, rows, ["a", "b"], size, 200, out, block)
        for row in batch.to_pylist()
    ]
    assert sorted(row["n"] for row in got) == list(range(len(rows)))
    assert [(row["a"], row["b"].encode()) for row in got] == sorted(
        (row["a"], row["b"].encode()) for row in rows
    )


@given(rows=ROWS, size=st.integers(1, 9), out=st.integers(1, 9), block=st.sampled_from([1, 60]))
@settings(max_examples=80, deadline=None)
def test_marks_every_record_that_shares_its_key(rows, size, out, block, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    stream = _merged(folder, rows, ["a", "b"], size, 200, out, block)
    marked = {
        row["n"]
        for batch, mask in sorting.duplicates(stream, ["a", "b"])
        for row, hit in zip(batch.to_pylist(), mask, strict=True)
        if hit
    }
    keys = [(row["a"], row["b"]) for row in rows]
    assert marked == {row["n"] for row in rows if keys.count((row["a"], row["b"])) > 1}


def test_without_a_key_the_order_of_the_source_stands(tmp_path):
    rows = [{"a": -n, "b": "x", "n": n} for n in range(50)]
    got = [row["n"] for batch in _merged(tmp_path, rows, []) for row in batch.to_pylist()]
    assert got == list(range(50))


def test_batches_of_the_stream_have_one_size(tmp_path):
    rows = [{"a": n % 7, "b": "x", "n": n} for n in range(50)]
    assert [b.num_rows for b in _merged(tmp_path, rows, ["a"], out=8)] == [8] * 6 + [2]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.bool_(), [True, False]),
        (pa.int64(), [5, -(2**63), 2**63 - 1]),
        (pa.uint64(), [2**64 - 1, 0, 2**63]),
        (pa.float64(), [1.5, -1.0, 1e300]),
        (pa.decimal128(38, 2), [decimal.Decimal("10.10"), decimal.Decimal("-3.00")]),
        (pa.string(), ["é", "z", "Z", "\U0001f600", "￿"]),
        (pa.binary(), [b"\xff", b"\x00", b"a"]),
        (pa.date32(), [datetime.date(2024, 2, 29), datetime.date(1, 1, 1)]),
        (pa.time64("us"), [datetime.time(23, 59), datetime.time(0, 1)]),
        (pa.timestamp("us"), [_instant(2020), _instant(1900)]),
    ],
)
def test_every_type_of_key_is_ordered(tmp_path, kind, values):
    schema = pa.schema([("k", kind)])
    writer = sorting.RunWriter(tmp_path, schema, ["k"], 1)
    for value in itertools.chain(values, values):
        writer.add(pa.RecordBatch.from_arrays([pa.array([value], kind)], schema=schema))
    writer.close()
    stream = list(sorting.duplicates(sorting.merged(tmp_path, ["k"], 3), ["k"]))
    got = [value for batch, _ in stream for value in batch.column("k").to_pylist()]
    expected = sorted(values, key=lambda v: v.encode() if isinstance(v, str) else v)
    assert got == [value for value in expected for _ in range(2)]
    assert all(mask.all() for _, mask in stream)


def test_an_empty_folder_has_no_records(tmp_path):
    assert list(sorting.merged(tmp_path / "none", ["a"])) == []


def test_runs_of_many_blocks_and_of_one_key_are_merged(tmp_path):
    rows = [{"a": n % 2, "b": "x", "n": n} for n in range(500)]
    got = _merged(tmp_path, rows, ["a"], size=50, run_bytes=2_000, out=64, block=40)
    assert len(list(tmp_path.glob("run-*"))) > 3
    assert [row["a"] for batch in got for row in batch.to_pylist()] == [0] * 250 + [1] * 250
    assert all(mask.all() for _, mask in sorting.duplicates(got, ["a"]))
