"""Writing parts: where they are cut, what they hold, and what is hashed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import os
import pathlib
import threading
import zlib
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import ConfigError, FormatError
from zhixin_gateway.datasets import hashing
from zhixin_gateway.datasets import writer as writing
from zhixin_gateway.datasets.canonical import texts
from zhixin_gateway.datasets.parquet import PartReader
from zhixin_gateway.datasets.sinks import LocalSink
from zhixin_gateway.datasets.types import fields_schema
from zhixin_gateway.datasets.writer import VersionWriter

pytestmark = pytest.mark.usefixtures("either_path")

FIELDS = [{"name": "key", "type": "integer"}, {"name": "text", "type": "string"}]
SCHEMA = fields_schema(FIELDS)


def batch_of(keys, text="x"):
    return pa.RecordBatch.from_arrays([pa.array(keys), pa.array([text] * len(keys))], schema=SCHEMA)


def written(folder, batches, key=("key",)):
    with VersionWriter(LocalSink(folder), SCHEMA, key) as writer:
        for batch in batches:
            writer.write(batch)
        return writer.finish()


def counts(entries):
    return [entry.records for entry in entries]


@pytest.fixture
def small(monkeypatch):
    """The rule with small numbers: at least 4, at most 16 records, 400 bytes, 3 bits."""
    shrink(monkeypatch)


def shrink(patch):
    patch.setattr(hashing, "CUT_RECORDS", 4)
    patch.setattr(hashing, "MAX_RECORDS", 16)
    patch.setattr(hashing, "CUT_BYTES", 400)
    patch.setattr(hashing, "CUT_BITS", 3)


def slow_cut(lines, keys):
    """The rule as the formats say it, record by record."""
    sizes, records, size = [], 0, 0
    for line, key in zip(lines, keys, strict=True):
        records, size = records + 1, size + len(line.encode())
        by_key = key is not None and zlib.crc32(f'["{key}"]'.encode()) % 8 == 0
        if (by_key and records >= 4) or records == 16 or size >= 400:
            sizes.append(records)
            records = size = 0
    return [*sizes, records] if records else sizes


def test_the_numbers_are_those_of_the_formats():
    assert hashing.CUT_BITS == 18
    assert hashing.CUT_RECORDS == 65_536
    assert hashing.MAX_RECORDS == 1_048_576
    assert hashing.CUT_BYTES == 134_217_728


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_parts_end_where_the_rule_says(tmp_path_factory, data):
    keys = sorted(data.draw(st.sets(st.integers(0, 400), min_size=1, max_size=150)))
    long = data.draw(st.sampled_from(["x", "x" * 60, "x" * 500]))
    keyed = data.draw(st.booleans())
    steps = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    batch = batch_of(keys, long)
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        starts = [0]
        while starts[-1] < len(keys):
            starts.append(starts[-1] + steps[len(starts) % len(steps)])
        folder = tmp_path_factory.mktemp("parts")
        batches = [batch.slice(a, b - a) for a, b in itertools.pairwise(starts)]
        entries = written(folder, batches, ("key",) if keyed else ())
    lines = texts(batch).to_pylist()
    assert counts(entries) == slow_cut(lines, keys if keyed else [None] * len(keys))


@pytest.mark.parametrize(("length", "wanted"), [(92, [4, 4, 2]), (91, [5, 5])])
def test_a_part_ends_where_its_texts_reach_the_limit(tmp_path, small, length, wanted):
    batch = batch_of([1] * 10, "x" * length)
    assert len(texts(batch)[0].as_py()) == length + 8
    assert counts(written(tmp_path, [batch], ())) == wanted


def test_an_insertion_moves_no_other_part(tmp_path, small):
    keys = list(range(0, 1000, 2))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = written(tmp_path / "a", [batch_of(keys)])
    after = written(tmp_path / "b", [batch_of(sorted([*keys, 501]))])
    same = {e.content for e in before} & {e.content for e in after}
    assert len(before) > 30
    assert len(same) >= len(before) - 2


def test_the_same_records_have_the_same_content_and_fresh_salts(tmp_path):
    entries = []
    for name in "ab":
        (tmp_path / name).mkdir()
        entries += written(tmp_path / name, [batch_of(range(100))])
    assert entries[0].content == entries[1].content
    assert entries[0].salt_key != entries[1].salt_key
    assert entries[0].root != entries[1].root
    assert len(entries[0].salt_key) == 32


def test_without_records_there_are_no_parts(tmp_path):
    assert written(tmp_path, []) == ()
    assert written(tmp_path, [batch_of([])]) == ()
    assert list(tmp_path.iterdir()) == []


def test_what_is_stated_is_what_lies_there(tmp_path, small):
    entries = written(tmp_path, [batch_of(range(50), 'q"\n')])
    assert [entry.path for entry in entries] == [
        f"part-{n:05d}.parquet" for n in range(len(entries))
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [entry.path for entry in entries]
    for entry in entries:
        data = (tmp_path / entry.path).read_bytes()
        assert (entry.size_bytes, entry.sha256) == (len(data), hashlib.sha256(data).digest())
        PartReader(data, SCHEMA, entry.records, entry.path).verify(entry)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_every_schema_survives_the_way_through_a_part(tmp_path_factory, forms, data):
    fields = data.draw(forms.field_lists())
    schema = fields_schema(fields)
    batch = forms.to_batch(fields, data.draw(forms.record_lists(fields)), schema)
    folder = tmp_path_factory.mktemp("part")
    with VersionWriter(LocalSink(folder), schema) as writer:
        writer.write(batch)
        (entry,) = writer.finish()
    reader = PartReader((folder / entry.path).read_bytes(), schema, batch.num_rows)
    (read,) = reader.batches()
    assert read.schema == schema
    assert texts(read) == texts(batch)
    assert reader.digest(entry.salt_key).root() == entry.root


def test_parts_are_plain_parquet_without_arrows_schema(tmp_path, every_type, forms):
    schema = fields_schema(every_type)
    batch = forms.to_batch(every_type, [[None] * len(every_type)] * 3, schema)
    with VersionWriter(LocalSink(tmp_path), schema) as writer:
        writer.write(batch)
        writer.finish()
    metadata = pq.read_metadata(tmp_path / "part-00000.parquet")
    assert metadata.metadata is None
    assert pq.read_table(tmp_path / "part-00000.parquet").schema == schema


def test_refuses_batches_of_other_columns(tmp_path):
    with VersionWriter(LocalSink(tmp_path), SCHEMA) as writer:
        for other in (
            pa.record_batch({"key": [1]}),
            pa.record_batch({"text": ["x"], "key": [1]}),
            pa.record_batch({"key": pa.array([1], pa.int32()), "text": ["x"]}),
        ):
            with pytest.raises(FormatError, match="columns"):
                writer.write(other)


def test_refuses_records_that_should_have_been_rejects(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing, "MAX_RECORD_BYTES", 100)
    with VersionWriter(LocalSink(tmp_path), SCHEMA) as writer:
        writer.write(batch_of([1], "x" * 80))
        with pytest.raises(FormatError, match="exceeds"):
            writer.write(batch_of([1], "x" * 100))


def test_an_unfinished_part_does_not_stay(tmp_path):
    with contextlib.suppress(KeyError), VersionWriter(LocalSink(tmp_path), SCHEMA) as writer:
        writer.write(batch_of([1]))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_says_where_it_can_not_write(tmp_path):
    with pytest.raises(ConfigError, match="part-00000"):
        written(tmp_path / "missing", [batch_of([1])])


def test_refuses_more_parts_than_a_manifest_has_names_for(tmp_path, small, monkeypatch):
    monkeypatch.setattr(writing, "MAX_PARTS", 1)
    with pytest.raises(FormatError, match="more than 1 parts"):
        written(tmp_path, [batch_of(range(100))])


def test_refuses_a_part_beyond_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "MAX_PART_BYTES", 10)
    with pytest.raises(FormatError, match="at most 10"):
        written(tmp_path, [batch_of([1])])


class Before:
    """As much of a manifest as a writer looks at."""

    def __init__(self, parts):
        self.schema = SCHEMA
        self.parts = parts


@pytest.fixture
def folders(tmp_path):
    """Directories of a version and of the next one."""
    old, new = tmp_path / "1", tmp_path / "2"
    old.mkdir()
    new.mkdir()
    return old, new


def written_again(folders, before, batches, key=("key",)):
    sink = LocalSink(folders[1], folders[0])
    with VersionWriter(sink, SCHEMA, key, before=Before(before)) as writer:
        for batch in batches:
            writer.write(batch)
        return writer.finish()


def inode(folder, entry):
    return (folder / entry.path).stat().st_ino


def hold(folder, entries):
    """What is stated is what lies there, and nothing else does."""
    assert [entry.path for entry in entries] == [
        f"part-{n:05d}.parquet" for n in range(len(entries))
    ]
    assert sorted(path.name for path in folder.iterdir()) == [entry.path for entry in entries]
    for entry in entries:
        data = (folder / entry.path).read_bytes()
        assert (entry.size_bytes, entry.sha256) == (len(data), hashlib.sha256(data).digest())
        PartReader(data, SCHEMA, entry.records, entry.path).verify(entry)


def test_parts_that_repeat_are_links_to_the_old_ones_and_keep_their_roots(folders, small):
    before = written(folders[0], [batch_of(range(0, 200, 2))])
    after = written_again(folders, before, [batch_of(sorted([*range(0, 200, 2), 101]))])
    inodes = {inode(folders[0], entry): entry for entry in before}
    kept = [entry for entry in after if inode(folders[1], entry) in inodes]
    assert len(kept) >= len(before) - 2
    for entry in kept:
        assert replace(inodes[inode(folders[1], entry)], path=entry.path) == entry
    hold(folders[1], after)


def test_where_nothing_changed_nothing_is_encoded(folders, small, monkeypatch):
    before = written(folders[0], [batch_of(range(100))])
    monkeypatch.setattr(writing.pq, "ParquetWriter", None)
    monkeypatch.setattr(writing, "new_digest", None)
    assert written_again(folders, before, [batch_of(range(70)), batch_of(range(70, 100))]) == before
    hold(folders[1], before)


def test_parts_are_copied_where_the_file_system_has_no_links(folders, small, monkeypatch):
    before = written(folders[0], [batch_of(range(100))])

    def refused(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    assert written_again(folders, before, [batch_of(range(100))]) == before
    assert inode(folders[1], before[0]) != inode(folders[0], before[0])
    hold(folders[1], before)


def test_two_parts_of_the_same_records_are_carried_each_from_its_own(folders, small):
    before = written(folders[0], [batch_of([7] * 32)], ())
    assert before[0].content == before[1].content
    assert written_again(folders, before, [batch_of([7] * 32)], ()) == before
    after = written_again(folders, before, [batch_of([7] * 48)], ())
    assert after[:2] == before
    assert after[2].salt_key not in {entry.salt_key for entry in before}
    hold(folders[1], after)


@pytest.mark.parametrize("harm", ["altered", "longer", "missing", "a link"])
def test_an_old_part_that_is_not_what_was_stated_is_not_carried_over(folders, harm):
    before = written(folders[0], [batch_of(range(10))])
    path = folders[0] / before[0].path
    data = bytearray(path.read_bytes())
    path.unlink()
    if harm == "altered":
        data[7] ^= 1
        path.write_bytes(data)
    elif harm == "longer":
        path.write_bytes(data + b"x")
    elif harm == "a link":
        (folders[0] / "elsewhere").write_bytes(data)
        path.symlink_to(folders[0] / "elsewhere")
    (after,) = written_again(folders, before, [batch_of(range(10))])
    assert after.content == before[0].content
    assert after.root != before[0].root
    hold(folders[1], [after])


@pytest.mark.parametrize("change", [0, 1])
def test_a_part_too_large_to_be_held_is_encoded_and_still_found_to_repeat(
    folders, monkeypatch, change
):
    monkeypatch.setattr(writing, "_HELD_BYTES", 100)
    before = written(folders[0], [batch_of(range(1000))])
    steps = [
        batch_of(range(at, at + 100 + (change if at == 900 else 0))) for at in range(0, 1000, 100)
    ]
    after = written_again(folders, before, steps)
    assert (after == before) == (change == 0)
    assert after[0].records == 1000 + change
    hold(folders[1], after)


def test_an_old_part_can_be_taken_over_whole_between_parts(folders, small):
    before = written(folders[0], [batch_of(range(100))])
    sink = LocalSink(folders[1], folders[0])
    with VersionWriter(sink, SCHEMA, ["key"], before=Before(before)) as writer:
        assert writer.at_boundary
        assert writer.carry(before[0])
        rest = batch_of(range(before[0].records, 100))
        writer.write(rest.slice(0, 1))
        assert not writer.at_boundary
        with pytest.raises(ValueError, match="midst"):
            writer.carry(before[0])
        writer.write(rest.slice(1))
        assert writer.finish() == before
    hold(folders[1], before)


def test_an_old_part_that_is_gone_is_told_and_leaves_its_place_free(folders, small):
    before = written(folders[0], [batch_of(range(100))])
    (folders[0] / before[0].path).unlink()
    sink = LocalSink(folders[1], folders[0])
    with VersionWriter(sink, SCHEMA, ["key"], before=Before(before)) as writer:
        assert not writer.carry(before[0])
        writer.write(batch_of(range(100)))
        after = writer.finish()
    assert [entry.content for entry in after] == [entry.content for entry in before]
    hold(folders[1], after)


def test_a_disk_that_is_full_stops_the_writer_and_leaves_nothing_open(tmp_path, monkeypatch):
    class Full:
        raw = io.BytesIO()
        closed = False

        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            Full.closed = True

    monkeypatch.setattr(pathlib.Path, "open", lambda *_, **__: Full())
    with pytest.raises(ConfigError, match="No space left"):
        written(tmp_path, [batch_of(range(10))])
    assert Full.closed
    assert not [thread for thread in threading.enumerate() if thread.name == "zhixin-encode"]
