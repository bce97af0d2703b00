"""Tiles: paths and bytes of C2SP tlog-tiles, whatever the steps in which a ledger grew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError, LedgerUnavailable
from zhixin_ledger import merkle, tiles
from zhixin_ledger.tiles import DirectorySource, Tiles


def entry(index: int) -> bytes:
    return b"entry %d" % index


def coming(size: int) -> Callable[[int], Iterator[bytes]]:
    return lambda start: (entry(index) for index in range(start, size))


def grown(root: Path, sizes: list[int]) -> Path:
    before = 0
    for size in sizes:
        tiles.write_tiles(root, before, size, coming(size))
        before = size
    return root


def slow_root(size: int) -> bytes:
    return merkle.root(merkle.leaf_hash(entry(index)) for index in range(size))


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 1, 41, "tile/0/001.p/41"),
        (15, 123456789, 41, "tile/15/x123/x456/789.p/41"),
        (1, 1234067, 256, "tile/1/x001/x234/067"),
        (2, 999, 256, "tile/2/999"),
        (2, 1000, 1, "tile/2/x001/000.p/1"),
    ],
)
def test_paths_are_those_of_the_specification(level, index, width, path):
    assert tiles.tile_path(level, index, width) == path


def test_bundle_paths_are_those_of_the_specification():
    assert tiles.entries_path(1, 1) == "tile/entries/001.p/1"
    assert tiles.entries_path(1234) == "tile/entries/x001/234"


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 1000])
def test_any_size_has_its_root(tmp_path, size):
    tree = Tiles(DirectorySource(grown(tmp_path, [size])), size)
    assert tree.root() == slow_root(size)
    assert list(tree.entries()) == [entry(index) for index in range(size)]
    assert list(tree.entries(size - 1)) == [entry(size - 1)]
    leaf = merkle.leaf_hash(entry(size // 2))
    path = tree.inclusion_path(size // 2)
    merkle.verify_inclusion(size // 2, size, leaf, path, tree.root())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.integers(1, 300), min_size=1, max_size=6))
def test_the_steps_of_growth_do_not_show_in_full_tiles(tmp_path_factory, steps):
    sizes = [sum(steps[: at + 1]) for at in range(len(steps))]
    size = sizes[-1]
    by_steps = grown(tmp_path_factory.mktemp("steps"), sizes)
    at_once = grown(tmp_path_factory.mktemp("once"), [size])
    for path in at_once.rglob("*"):
        if path.is_file():
            assert (by_steps / path.relative_to(at_once)).read_bytes() == path.read_bytes()
    # Every size that was published is still served, by partial files or by the full ones.
    for published in sizes:
        tree = Tiles(DirectorySource(by_steps), published)
        assert tree.root() == slow_root(published)
        assert sum(1 for _ in tree.entries()) == published
        later = Tiles(DirectorySource(by_steps), size)
        path = later.consistency_path(published)
        merkle.verify_consistency(published, size, slow_root(published), slow_root(size), path)


def test_partial_files_go_once_the_full_one_is_there(tmp_path):
    grown(tmp_path, [3, 200, 256])
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"tile/0/000", "tile/entries/000", "tile/1/000.p/1"}


def test_writing_again_after_a_crash_does_no_harm(tmp_path):
    grown(tmp_path, [10, 300])
    tiles.write_tiles(tmp_path, 10, 600, coming(600))
    assert Tiles(DirectorySource(tmp_path), 600).root() == slow_root(600)


def test_a_lost_partial_tile_is_made_anew_from_those_below(tmp_path):
    grown(tmp_path, [300])
    (tmp_path / "tile/1/000.p/1").unlink()
    tiles.write_tiles(tmp_path, 300, 600, coming(600))
    assert Tiles(DirectorySource(tmp_path), 600).root() == slow_root(600)


def test_the_third_level_has_its_tiles(tmp_path):
    size = 65_536 + 300
    root = grown(tmp_path, [70, size])
    assert (root / "tile/2/000.p/1").stat().st_size == 32
    assert Tiles(DirectorySource(root), size).root() == slow_root(size)


@pytest.mark.parametrize("path", ["../checkpoint", "tile/0/../0/000", "tile/64/000", "/etc/passwd"])
def test_only_a_ledgers_own_files_are_read(tmp_path, path):
    with pytest.raises(FormatError):
        DirectorySource(tmp_path).read(path)


def test_a_missing_tile_is_told(tmp_path):
    with pytest.raises(LedgerUnavailable, match=r"tile/entries/000\.p/2"):
        Tiles(DirectorySource(tmp_path), 2).entry(0)
    with pytest.raises(LedgerUnavailable, match=r"tile/0/000\.p/2"):
        Tiles(DirectorySource(tmp_path), 2).root()


def test_an_entry_beyond_the_size_is_refused(tmp_path):
    with pytest.raises(FormatError):
        Tiles(DirectorySource(grown(tmp_path, [2])), 2).entry(2)


def test_a_tile_larger_than_any_is_not_read_whole(tmp_path, monkeypatch):
    (tmp_path / "checkpoint").write_bytes(b"x" * 30)
    monkeypatch.setattr(tiles, "_MAX_RESOURCE_BYTES", 20)
    with pytest.raises(FormatError, match="larger"):
        DirectorySource(tmp_path).read("checkpoint")


def test_what_the_system_refuses_is_told(tmp_path):
    with pytest.raises(LedgerUnavailable, match="can't be read"):
        DirectorySource(tmp_path / ("x" * 300)).read("checkpoint")


def test_a_folder_in_a_tiles_place_is_no_tile(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    assert DirectorySource(tmp_path).read("checkpoint") is None


@given(
    entries=st.lists(st.binary(max_size=70), max_size=9),
    cut=st.integers(0, 200),
    tail=st.binary(max_size=3),
)
def test_a_bundle_reads_back_and_no_other_does(entries, cut, tail):
    data = tiles.pack_entries(entries)
    assert tiles.unpack_entries(data, len(entries)) == entries
    other = data[:cut] + tail
    if other != data:
        try:
            read = tiles.unpack_entries(other, len(entries))
        except FormatError:
            return
        assert tiles.pack_entries(read) == other


@pytest.mark.parametrize("size", [1, 4, 255, 256, 257, 300, 512, 700])
def test_a_folder_that_grew_in_one_step_is_read_at_any_size_that_is_kept(tmp_path, size):
    tree = Tiles(DirectorySource(grown(tmp_path, [700])), 700)
    assert tree.root(size) == slow_root(size)
    tiles.keep_size(tree, tmp_path, size)
    smaller = Tiles(DirectorySource(tmp_path), size)
    assert smaller.root() == slow_root(size)
    assert list(smaller.entries()) == [entry(index) for index in range(size)]
    path = tree.inclusion_path(0, size)
    merkle.verify_inclusion(0, size, merkle.leaf_hash(entry(0)), path, slow_root(size))


def test_a_pipe_in_a_ledgers_folder_is_no_file_and_never_waited_for(tmp_path):
    (tmp_path / "tile/0").mkdir(parents=True)
    os.mkfifo(tmp_path / "checkpoint")
    os.mkfifo(tmp_path / "tile/0/000")
    source = DirectorySource(tmp_path)
    assert source.read("checkpoint") is None
    assert source.read("tile/0/000") is None
