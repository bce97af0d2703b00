"""Parts on their way into an object store: as in a folder, but nothing is moved."""

import hashlib
from dataclasses import dataclass

import pytest
from zhixin_errors import ConfigError
from zhixin_gateway.datasets.sinks import LocalSink
from zhixin_gateway.stores.objectsink import ObjectSink, settle

NAME = "part-00000.parquet"


@dataclass
class Part:
    """As much of a manifest's entry as a sink looks at."""

    path: str
    size_bytes: int
    sha256: bytes


@dataclass
class Listing:
    """As much of a manifest as settling looks at."""

    version: int
    parts: tuple


def part(data, path=NAME):
    return Part(path, len(data), hashlib.sha256(data).digest())


def fill(sink, name, data):
    file = sink.create(name)
    file.write(memoryview(data))
    file.close()


def read(sink, name):
    with sink.open(name) as file:
        return file.read()


@pytest.fixture(params=["folder", "objects"])
def sinks(request, tmp_path):
    """A sink of version 1, a function that makes one of version 2, and what lies in that."""
    if request.param == "folder":
        for name in "12":
            (tmp_path / name).mkdir()
        second = LocalSink(tmp_path / "2", tmp_path / "1")
        return (
            LocalSink(tmp_path / "1"), second,
            lambda: sorted(path.name for path in (tmp_path / "2").iterdir()),
        )  # fmt: skip
    versions = request.getfixturevalue("objects").below("a.example/b")
    return (
        ObjectSink(versions, 1, None, tmp_path), ObjectSink(versions, 2, 1, tmp_path),
        lambda: [each.name for each in versions.below("2").listed()],
    )  # fmt: skip


def test_files_are_made_read_back_renamed_and_removed(sinks):
    _, sink, lying = sinks
    fill(sink, "a", b"one")
    fill(sink, "a", b"two")
    assert read(sink, "a") == b"two"
    sink.rename("a", "b")
    assert (read(sink, "b"), lying()) == (b"two", ["b"])
    sink.remove("b")
    sink.remove("b")
    assert lying() == []
    for act in (lambda: sink.open("b"), lambda: sink.rename("b", "c")):
        with pytest.raises(ConfigError):
            act()


def test_what_is_abandoned_is_not_there(sinks):
    _, sink, lying = sinks
    file = sink.create("a")
    file.write(b"half")
    file.abandon()
    assert lying() == []


def test_a_part_is_carried_only_if_it_is_what_was_stated(sinks):
    before, sink, _ = sinks
    fill(before, NAME, b"records")
    assert not before.carry(part(b"records"), "c")
    assert not sink.carry(part(b"other 7"), "c")
    assert not sink.carry(part(b"longer text"), "c")
    assert not sink.carry(part(b"records", "none"), "c")
    assert sink.carry(part(b"records"), "c")
    assert read(sink, "c") == b"records"
    sink.rename("c", "d")
    assert read(sink, "d") == b"records"
    fill(sink, "d", b"anew")
    assert read(sink, "d") == b"anew"


def test_workers_write_apart_and_what_they_wrote_is_taken_in(sinks):
    _, sink, lying = sinks
    attempts = sink.below("attempts")
    one, two = attempts.below("one"), attempts.below("two")
    fill(one, NAME, b"one")
    fill(two, NAME, b"two")
    sink.rename(f"attempts/one/{NAME}", NAME)
    assert (read(sink, NAME), read(two, NAME)) == (b"one", b"two")
    sink.clear("attempts")
    assert lying() == [NAME]
    with pytest.raises(ConfigError):
        attempts.below("three")
    with pytest.raises(ConfigError):
        read(two, NAME)


@pytest.fixture
def versions(objects, tmp_path):
    """The objects of a dataset whose version 1 has a part."""
    versions = objects.below("a.example/b")
    fill(ObjectSink(versions, 1, None, tmp_path), NAME, b"records")
    return versions


def test_settling_brings_what_is_carried_and_lets_go_of_the_rest(versions, tmp_path):
    sink = ObjectSink(versions, 2, 1, tmp_path)
    assert sink.carry(part(b"records"), NAME)
    fill(sink, "part-00001.parquet", b"new")
    fill(sink, "part-00002.parquet", b"surplus")
    fill(sink.below("attempts"), NAME, b"late")
    assert versions.below("2").size(NAME) is None
    listing = Listing(2, (part(b"records"), part(b"new", "part-00001.parquet")))
    settle(versions, tmp_path, listing)
    settle(versions, tmp_path, listing)
    assert versions.below("2").sizes() == {NAME: 7, "part-00001.parquet": 3}
    assert [each.name for each in versions.listed()] == ["1", "2"]
    with versions.below("2").open(NAME) as file:
        assert file.read() == b"records"


@pytest.mark.parametrize("what", ["the carried part changed", "it went", "a new part went"])
def test_settling_refuses_what_is_not_there_as_it_was_written(versions, tmp_path, what):
    sink = ObjectSink(versions, 2, 1, tmp_path)
    assert sink.carry(part(b"records"), NAME)
    fill(sink, "part-00001.parquet", b"new")
    if what == "the carried part changed":
        versions.below("1").put(NAME, b"RECORDS")
    elif what == "it went":
        versions.below("1").delete(NAME)
    else:
        versions.below("2").delete("part-00001.parquet")
    listing = Listing(2, (part(b"records"), part(b"new", "part-00001.parquet")))
    with pytest.raises(ConfigError) as caught:
        settle(versions, tmp_path, listing)
    assert caught.value.code == "staging"
