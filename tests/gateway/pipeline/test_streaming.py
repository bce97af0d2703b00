"""Parts that are written while records come are those that sorted runs give, whatever comes."""

import itertools
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zhixin_connectors.protocol import Extracted, Misfit
from zhixin_gateway.datasets import hashing
from zhixin_gateway.datasets.canonical import texts
from zhixin_gateway.datasets.parquet import PartReader
from zhixin_gateway.datasets.sinks import LocalSink
from zhixin_gateway.pipeline.intake import Intake
from zhixin_gateway.pipeline.order import KeyOrder
from zhixin_gateway.pipeline.streaming import opened_parts
from zhixin_gateway.pipeline.treating import Treater
from zhixin_gateway.pipeline.writing import passed_records
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.loader import load_contract

CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: city.gov.example/people
version: 1.0.0
status: active
name: People
servers: [{{server: silo, type: custom}}]
schema:
  - name: people
    physicalName: people
    properties:
      - {{name: a, logicalType: string{first}}}
      - {{name: b, logicalType: integer{second}}}
      - {{name: parent, logicalType: string}}
      - {{name: other, logicalType: integer, unique: {unique}}}
      - {{name: size, logicalType: integer, logicalTypeOptions: {{maximum: 7}}}}
      - name: born
        logicalType: date
        customProperties: [{{property: zhixin.treatment, value: {{generalise: {{to: year}}}}}}]
    quality:
      - {{name: odd, type: custom, engine: zhixin, implementation: "size <> 3", severity: warning}}
{tree}"""
TREE = """    relationships:
      - {id: tree, from: people.parent, to: people.a}
"""
KEYED = ", primaryKey: true, primaryKeyPosition: {}, required: true"
SCHEMA = pa.schema(
    [("a", pa.string()), ("b", pa.int64()), ("parent", pa.string()), ("other", pa.int64()),
     ("size", pa.int64()), ("born", pa.date32())]
)  # fmt: skip


def contract_of(keys=2, *, unique=False, tree=False):
    """A contract with so many key fields, perhaps another unique one, perhaps a tree."""
    text = CONTRACT.format(
        first=KEYED.format(1) if keys else "",
        second=KEYED.format(2) if keys == 2 else "",
        unique=str(unique).lower(),
        tree=TREE if tree else "",
    )
    return load_contract(text.encode())


def extracted(rows, steps):
    """Rows in batches of these sizes; where `a` is "?" it could not be read."""
    batches, start = [], 0
    sizes = itertools.cycle(steps)
    while start < len(rows):
        some = rows[start : start + next(sizes)]
        table = [
            {**dict(zip(SCHEMA.names, row, strict=True)), **({"a": None} if row[0] == "?" else {})}
            for row in some
        ]
        batch = pa.RecordBatch.from_pylist(table, SCHEMA)
        misfits = [Misfit(at, "a", "no text", "?") for at, row in enumerate(some) if row[0] == "?"]
        raw = [[None if each is None else str(each) for each in row] for row in some]
        batches.append(Extracted(batch, misfits, start, lambda at, raw=raw: raw_of(raw, at)))
        start += len(some)
    return batches


def raw_of(raw, rows):
    columns = [[raw[row][at] for row in rows] for at in range(len(SCHEMA))]
    schema = pa.schema([(name, pa.string()) for name in SCHEMA.names])
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def made(contract, batches, folder, *, streams):
    """Run an intake; what came of it, its parts read back, its rejects."""
    work = SimpleNamespace(
        folder=folder, records=folder / "records", rejects=folder / "rejects",
        late=folder / "late", reasons=folder / "reasons", keys=folder / "keys",
        input=folder / "input", version=folder / "version", quarantine=folder / "q.parquet",
        excluded=folder / "excluded.npy",
    )  # fmt: skip
    work.version.mkdir()
    schema = contract.written_schema
    sink = LocalSink(work.version)
    with opened_parts(sink, contract) if streams else nullcontext() as parts:
        intake = Intake(work, compile_rules(contract), {}, Treater(contract, None), parts=parts)
        for each in batches:
            intake.take(each)
        outcome = intake.finish(lambda: iter(batches))
    entries = outcome.entries
    if entries is None:
        assert list(work.version.iterdir()) == []
        with opened_parts(sink, contract) as writer:
            writer.take_all(passed_records(work, contract, np.load(work.excluded)))
            entries = writer.entries
    assert sorted(each.name for each in work.version.iterdir()) == [each.path for each in entries]
    lines = []
    for entry in entries:
        data = (work.version / entry.path).read_bytes()
        reader = PartReader(data, schema, entry.records)
        lines += [str(line) for batch in reader.batches() for line in texts(batch).to_pylist()]
    told = (outcome.extracted, outcome.accepted, outcome.quarantined, outcome.warned)
    rejects = pq.read_table(work.quarantine).to_pylist()
    content = [(each.content, each.records) for each in entries]
    return content, lines, told, outcome.rules, rejects, outcome.entries is not None


def shrink(patch):
    patch.setenv("ZHIXIN_KERNEL", "off")
    patch.setattr(hashing, "CUT_RECORDS", 3)
    patch.setattr(hashing, "MAX_RECORDS", 6)


LETTER = st.sampled_from("ABCDEFG?")
ROW = st.tuples(
    st.one_of(LETTER, LETTER, st.none()), st.integers(0, 3), st.one_of(st.none(), LETTER),
    st.one_of(st.none(), st.integers(0, 40)), st.integers(0, 8), st.dates(),
)  # fmt: skip


def in_order(row):
    """SQL's order: what has no key, or none that can be read, stands at the beginning."""
    readable = row[0] is not None and row[0] != "?"
    return (readable, row[0] if readable else "", row[1])


@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(
    st.lists(ROW, max_size=30), st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.sampled_from([0, 1, 2]), st.booleans(), st.booleans(),
    st.sampled_from(["sorted", "sorted", "as they are", "late break"]),
)  # fmt: skip
def test_both_ways_give_the_same_version(tmp_path_factory, rows, steps, keys, unique, tree, order):
    contract = contract_of(keys, unique=unique, tree=tree and keys == 1)
    if order != "as they are" and keys:
        rows = sorted(rows, key=in_order if keys == 2 else lambda row: in_order(row)[:2])
    if order == "late break" and len(rows) > 4:
        rows = [*rows[:-3], rows[-1], rows[-2], rows[-3]]
    batches = extracted(rows, steps)
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
        *streamed, _ = made(contract, batches, folders[0], streams=True)
        *sorted_runs, _ = made(contract, batches, folders[1], streams=False)
    assert streamed == sorted_runs


def sound(count, start=0):
    return [(f"{n:03}", n, None, n, 1, None) for n in range(start, start + count)]


@pytest.fixture
def small(monkeypatch):
    shrink(monkeypatch)


def test_records_in_the_order_of_the_key_never_lie_in_runs(tmp_path, small):
    rows = [*sound(20), ("020", 20, None, 20, 9, None), *sound(5, 21)]
    *_, told, _, rejects, streamed = made(
        contract_of(), extracted(rows, [4]), tmp_path, streams=True
    )
    assert streamed
    assert told == (26, 25, 1, 0)
    assert [row["_row"] for row in rejects] == [20]
    assert not list((tmp_path / "records").iterdir())


@pytest.mark.parametrize("steps", [[1], [4], [5], [100]])
def test_who_shares_a_key_across_batches_is_rejected_with_the_others(tmp_path, small, steps):
    rows = [*sound(5), *[("004", 4, None, 100 + n, 9 * (n == 1), None) for n in range(4)]]
    rows += sound(5, 5)
    *_, told, _, rejects, streamed = made(
        contract_of(), extracted(rows, steps), tmp_path, streams=True
    )
    assert streamed
    assert told[:3] == (14, 9, 5)
    assert [row["_row"] for row in rejects] == [4, 5, 6, 7, 8]
    assert all("primary-key" in {why["rule"] for why in row["_reasons"]} for row in rejects)
    assert len(rejects[2]["_reasons"]) == 2


def test_a_key_that_comes_again_after_the_order_broke_is_found_and_a_reject_counts(tmp_path, small):
    """The first 003 is rejected by its size while all is in order, and is no part of any part."""
    rows = [*sound(3), ("003", 3, None, 3, 9, None), *sound(8, 4), *sound(1, 3), *sound(1, 5)]
    lines, told, rules, rejects, streamed = made(
        contract_of(), extracted(rows, [3]), tmp_path, streams=True
    )[1:]
    assert not streamed
    assert told[:3] == (14, 10, 4)
    assert [row["_row"] for row in rejects] == [3, 5, 12, 13]
    assert {rule["rule"]: rule["failed"] for rule in rules}["primary-key"] == 4
    assert lines == sorted(lines)


def test_who_was_told_before_the_order_broke_is_told_once(tmp_path, small):
    rows = [*sound(3), *sound(2, 2), ("003", 3, None, 9, 1, None), *sound(4, 5), *sound(1)]
    _, told, rules, rejects, streamed = made(
        contract_of(), extracted(rows, [3]), tmp_path, streams=True
    )[1:]
    assert not streamed
    assert told[:3] == (11, 5, 6)
    assert {rule["rule"]: rule["failed"] for rule in rules}["primary-key"] == 6
    assert [len(row["_reasons"]) for row in rejects] == [1] * 6


def test_what_is_excluded_at_the_end_is_taken_out_of_the_parts(tmp_path, small):
    rows = sound(20)
    rows[3] = ("003", 3, None, 12, 3, None)
    lines, told, _, rejects, streamed = made(
        contract_of(unique=True), extracted(rows, [4]), tmp_path, streams=True
    )[1:]
    assert not streamed
    assert told == (20, 18, 2, 0)
    assert len(lines) == 18
    assert [(row["_row"], row["size"]) for row in rejects] == [(3, "3"), (12, "1")]


def neighbours(keys, size):
    """What an order says of pairs that come in batches of a size."""
    order, found = KeyOrder(["j", "k"]), []
    for start in range(0, len(keys), size):
        some = keys[start : start + size]
        columns = {name: [key[at] for key in some] for at, name in enumerate("jk")}
        rows = np.arange(start, start + len(some))
        found += order.take(pa.record_batch({**columns, "row": rows})).tolist()
    return order.broken, found


KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20)


@given(KEYS, st.integers(1, 5))
def test_neighbours_are_told_once_each(keys, size):
    broken, found = neighbours(sorted(keys), size)
    keys = sorted(keys)
    assert not broken
    assert sorted(found) == [at for at, key in enumerate(keys) if keys.count(key) > 1]
    assert len(found) == len(set(found))


@given(KEYS, st.integers(1, 5))
def test_an_order_that_breaks_is_seen_wherever_it_does(keys, size):
    assert neighbours(keys, size)[0] == (keys != sorted(keys))
