"""Parts that are carried and merged say what writing all the records anew would say."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import VerificationError
from zhixin_gateway.datasets import hashing
from zhixin_gateway.datasets.manifest import ContractRef, Manifest, Source
from zhixin_gateway.datasets.records import version_root
from zhixin_gateway.datasets.sinks import LocalSink
from zhixin_gateway.datasets.types import fields_schema
from zhixin_gateway.datasets.writer import VersionWriter
from zhixin_gateway.gate.files import LocalDirectory
from zhixin_gateway.gate.parts import part_batches
from zhixin_gateway.pipeline import merging
from zhixin_gateway.pipeline.merging import ACCEPTED, GONE, RANK, OldPart

FIELDS = [
    {"name": "a", "type": "string"},
    {"name": "b", "type": "integer"},
    {"name": "at", "type": "integer"},
    {"name": "x", "type": "string"},
]
SCHEMA = fields_schema(FIELDS)
KEY = ("a", "b")
NO_TIME = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The rule of cutting with small numbers: 4 to 16 records, 600 bytes, 2 bits."""
    monkeypatch.setattr(hashing, "CUT_RECORDS", 4)
    monkeypatch.setattr(hashing, "MAX_RECORDS", 16)
    monkeypatch.setattr(hashing, "CUT_BYTES", 600)
    monkeypatch.setattr(hashing, "CUT_BITS", 2)


def batch_of(rows, ranks=None):
    columns = [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), SCHEMA, strict=True)]
    if ranks is None:
        return pa.record_batch(columns, schema=SCHEMA)
    return pa.record_batch(
        [*columns, pa.array(ranks, pa.int8())], schema=SCHEMA.append(pa.field(RANK, pa.int8()))
    )


def pieces(rows, size, ranks=None):
    for at in range(0, len(rows), size):
        yield batch_of(rows[at : at + size], None if ranks is None else ranks[at : at + size])


@dataclass
class Store:
    """Versions in a folder, and which parts of the one before are read."""

    folder: Path
    versions: int = 0
    entries: tuple = ()
    read: list = field(default_factory=list)

    @property
    def here(self):
        return self.folder / str(self.versions)

    def manifest(self):
        root = version_root(FIELDS, [(e.records, e.root) for e in self.entries])
        return Manifest(
            "a.example/b", 1, ContractRef("1.0.0", bytes(32)), FIELDS,
            sum(e.records for e in self.entries), root, self.entries, (), 0,
            Source("s", "o", NO_TIME),
        )  # fmt: skip

    def part(self, entry):
        self.read.append(entry.path)
        return part_batches(LocalDirectory(self.here), [entry], SCHEMA)

    def records(self):
        return [
            tuple(row.values())
            for entry in self.entries
            for batch in part_batches(LocalDirectory(self.here), [entry], SCHEMA)
            for row in batch.to_pylist()
        ]

    def whole(self, rows, key, name="whole"):
        """Write all the records anew, elsewhere."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with VersionWriter(LocalSink(folder), SCHEMA, key) as writer:
            for batch in pieces(rows, 7):
                writer.write(batch)
            return writer.finish()

    def next(self, make, key):
        """Make the next version by merging."""
        before = self.manifest() if self.versions else None
        folder = self.folder / str(self.versions + 1)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.read.clear()
        with VersionWriter(LocalSink(folder, self.here), SCHEMA, key, before=before) as writer:
            told = make(writer)
            self.entries, self.versions = writer.finish(), self.versions + 1
        return told

    def first(self, rows, key):
        self.next(lambda writer: [writer.write(b) for b in pieces(rows, 9)], key)

    def by_key(self, new, size=5):
        """Merge records, sorted, each with its rank."""
        parts = [
            OldPart(entry, [pa.scalar(v, f.type) for v, f in zip(last, SCHEMA, strict=False)])
            for entry, last in zip(self.entries, self.lasts(), strict=True)
        ]
        rows, ranks = [row for row, _ in new], [rank for _, rank in new]
        stream = list(pieces(rows, size, ranks))
        return self.next(lambda w: merging.merge(w, parts, self.part, stream, KEY), KEY)

    def lasts(self):
        rows, at, found = self.records(), 0, []
        for entry in self.entries:
            at += entry.records
            found.append(rows[at - 1][:2])
        return found


def said(entries):
    return [(entry.content, entry.records) for entry in entries]


KEYS = st.tuples(st.sampled_from(["", "a", "é", "z"]), st.integers(-20, 20))
CHANGES = st.lists(
    st.tuples(KEYS, st.sampled_from(["put", "put", "drop", "both"]), st.integers(0, 3)), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(KEYS, st.integers(0, 3), max_size=120),
    st.lists(CHANGES, min_size=1, max_size=4),
    st.integers(1, 9),
)
def test_merging_by_key_says_what_writing_all_anew_says(tmp_path_factory, start, history, size):
    store = Store(tmp_path_factory.mktemp("merge"))
    now = {key: (*key, n, "x" * n) for key, n in start.items()}
    store.first([now[key] for key in sorted(now)], KEY)
    for changes in history:
        new = {}
        for key, how, n in changes:
            row = (*key, n, "x" * n)
            ranks = {"put": [ACCEPTED], "drop": [GONE], "both": [GONE, GONE, ACCEPTED]}[how]
            new[key] = [(row if rank == ACCEPTED else (*key, None, None), rank) for rank in ranks]
        before = set(now)
        gone = {key for key, rows in new.items() if rows[-1][1] == GONE}
        now |= {key: rows[-1][0] for key, rows in new.items()}
        now = {key: row for key, row in now.items() if key not in gone}
        told = store.by_key([each for key in sorted(new) for each in new[key]], size)
        want = store.whole([now[key] for key in sorted(now)], KEY)
        assert said(store.entries) == said(want)
        assert told.dropped == len(before & set(new))
    shutil.rmtree(store.folder)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 60), max_size=120),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 8)), min_size=1, max_size=4),
)
def test_appending_says_what_writing_all_anew_says(tmp_path_factory, start, history):
    store = Store(tmp_path_factory.mktemp("append"))
    source = [("a", n, at, "x") for n, at in enumerate(sorted(start))]
    store.first(source, ())
    for lowest, more in history:
        top = source[-1][2] if source else 0
        low = min(lowest, top)
        source += [("a", len(source) + n, top + n % 2, "y") for n in range(more)]
        source = sorted(source, key=lambda row: row[2])
        rows, at, parts = store.records(), 0, []
        for entry in store.entries:
            greatest = max(row[2] for row in rows[at : at + entry.records])
            parts.append(OldPart(entry, [pa.scalar(greatest, pa.int64())]))
            at += entry.records
        new = list(pieces([row for row in source if row[2] >= low], 5))
        bound = pa.scalar(low, pa.int64())
        told = store.next(
            lambda w, p=parts, n=new, b=bound: merging.append(
                w, p, store.part, n, watermark="at", low=b
            ),
            (),
        )
        assert said(store.entries) == said(store.whole(source, ()))
        assert told.dropped == sum(row[2] >= low for row in rows)
    shutil.rmtree(store.folder)


@pytest.fixture
def store(tmp_path):
    """A version of 200 records in more than ten parts."""
    store = Store(tmp_path)
    store.first([("k", n, 0, "x" * (n % 5)) for n in range(200)], KEY)
    assert len(store.entries) > 10
    return store


def test_nothing_new_reads_nothing_and_carries_every_part(store):
    before = store.entries
    told = store.by_key([])
    assert (told.rewritten, told.dropped, store.read) == (0, 0, [])
    assert store.entries == before


def test_only_touched_parts_are_read_and_the_others_keep_root_and_salts(store):
    before, lasts = store.entries, store.lasts()
    touched = next(at for at, last in enumerate(lasts) if last[1] > 100)
    told = store.by_key([(("k", 100, 1, "new"), ACCEPTED)])
    assert store.read == [before[touched].path]
    assert told.carried == len(before) - 1
    same = [a == b for a, b in zip(before, store.entries, strict=True)]
    assert same.count(False) == 1
    assert not same[touched]


def test_a_record_said_again_rewrites_nothing(store):
    before = store.entries
    told = store.by_key([(("k", 100, 0, ""), ACCEPTED)])
    assert (told.dropped, told.rewritten) == (1, 1)
    assert store.entries == before


def test_a_key_between_two_parts_comes_into_the_later_one(tmp_path):
    store = Store(tmp_path)
    store.first([("k", n * 2, 0, "") for n in range(100)], KEY)
    (_, last), *_ = store.lasts()
    before = store.entries
    store.by_key([(("k", last + 1, 0, ""), ACCEPTED)])
    assert store.entries[0] == before[0]
    assert store.read[0] == before[1].path


def test_a_record_at_the_end_is_added_to_the_last_part_alone(store):
    before = store.entries
    store.by_key([(("z", 1, 0, ""), ACCEPTED)])
    assert store.entries[:-1][: len(before) - 1] == before[:-1]
    assert store.read == [before[-1].path]


def test_an_old_part_that_is_not_what_was_stated_stops_the_merge(store):
    entry = store.entries[3]
    path = store.here / entry.path
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(VerificationError) as caught:
        store.by_key([])
    assert caught.value.code == "part-digest"


def test_a_part_that_ends_with_another_key_than_was_thought_stops_the_merge(store):
    parts = [OldPart(e, [pa.scalar("k"), pa.scalar(last[1] + 1, pa.int64())])
             for e, last in zip(store.entries, store.lasts(), strict=True)]  # fmt: skip
    new = [batch_of([("k", 3, 0, "")], [ACCEPTED])]
    with pytest.raises(VerificationError) as caught:
        store.next(lambda w: merging.merge(w, parts, store.part, new, KEY), KEY)
    assert caught.value.code == "record"


def test_negative_zero_takes_the_place_of_zero(tmp_path):
    schema = fields_schema([{"name": "k", "type": "integer"}, {"name": "v", "type": "float"}])
    old = pa.record_batch([pa.array([1], pa.int64()), pa.array([0.0])], schema=schema)
    new = pa.record_batch(
        [pa.array([1], pa.int64()), pa.array([-0.0]), pa.array([ACCEPTED], pa.int8())],
        schema=schema.append(pa.field(RANK, pa.int8())),
    )
    got = merging._combined(old, new, ("k",), merging.Merged())
    assert np.signbit(pc.take(got.column("v"), pa.array([0])).to_numpy()[0])
