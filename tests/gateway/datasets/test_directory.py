"""The version directory: names, listing, and appearing by one rename."""

from __future__ import annotations

import os

import pytest
from zhixin_errors import ConfigError, FormatError
from zhixin_gateway.datasets import directory

FLIGHTS = "bts.gov.example/flights"


def make_version(store, dataset, number, receipt=True):
    folder = directory.version_path(store, dataset, number)
    folder.mkdir(parents=True)
    (folder / directory.MANIFEST_FILE).write_bytes(b"{}")
    if receipt:
        (folder / directory.RECEIPT_FILE).write_bytes(b"x")
    return folder


def test_a_version_lies_under_member_dataset_and_number(tmp_path):
    path = directory.version_path(tmp_path, FLIGHTS, 3)
    assert path == tmp_path / "bts.gov.example" / "flights" / "3"


@pytest.mark.parametrize("name", ["flights", "../x/y", "bts.gov.example/", "a.b/..", "a.b/c/d", ""])
def test_refuses_names_that_are_no_datasets(tmp_path, name):
    with pytest.raises(FormatError):
        directory.dataset_path(tmp_path, name)


def test_lists_versions_as_numbers_and_only_whole_ones(tmp_path):
    for number in (2, 10, 1):
        make_version(tmp_path, FLIGHTS, number)
    make_version(tmp_path, FLIGHTS, 11, receipt=False)
    for other in ("01", "0", "x", ".staging-1", "-1", "٣"):
        (tmp_path / FLIGHTS / other).mkdir()
    assert directory.list_versions(tmp_path, FLIGHTS) == [1, 2, 10]


def test_a_store_that_is_not_there_has_no_versions(tmp_path):
    assert directory.list_versions(tmp_path / "none", FLIGHTS) == []
    assert directory.list_datasets(tmp_path / "none") == []


def test_lists_datasets_that_have_a_version(tmp_path):
    make_version(tmp_path, "faa.gov.example/planes", 1)
    make_version(tmp_path, FLIGHTS, 1)
    make_version(tmp_path, "faa.gov.example/airports", 1, receipt=False)
    (tmp_path / "NoMember" / "x" / "1").mkdir(parents=True)
    (tmp_path / "bts.gov.example" / "Bad_Name" / "1").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    assert directory.list_datasets(tmp_path) == [FLIGHTS, "faa.gov.example/planes"]


def test_a_staged_version_appears_whole_and_once(tmp_path):
    staging = directory.new_staging(tmp_path, FLIGHTS)
    assert staging.parent == directory.dataset_path(tmp_path, FLIGHTS)
    directory.write_file(staging / directory.RECEIPT_FILE, b"receipt")
    assert directory.list_versions(tmp_path, FLIGHTS) == []
    target = directory.version_path(tmp_path, FLIGHTS, 1)
    directory.publish(staging, target)
    assert directory.list_versions(tmp_path, FLIGHTS) == [1]
    assert [path.name for path in target.iterdir()] == [directory.RECEIPT_FILE]
    assert not staging.exists()


def test_a_version_is_never_replaced(tmp_path):
    make_version(tmp_path, FLIGHTS, 1)
    staging = directory.new_staging(tmp_path, FLIGHTS)
    target = directory.version_path(tmp_path, FLIGHTS, 1)
    with pytest.raises(ConfigError, match="never replaced"):
        directory.publish(staging, target)
    assert staging.exists()


def test_an_empty_folder_or_dangling_link_in_the_place_is_not_replaced(tmp_path):
    staging = directory.new_staging(tmp_path, FLIGHTS)
    empty = directory.version_path(tmp_path, FLIGHTS, 1)
    empty.mkdir()
    link = directory.version_path(tmp_path, FLIGHTS, 2)
    link.symlink_to(tmp_path / "nowhere")
    for target in (empty, link):
        with pytest.raises(ConfigError):
            directory.publish(staging, target)


def test_what_dead_runs_left_is_cleared(tmp_path):
    make_version(tmp_path, FLIGHTS, 1)
    for _ in range(2):
        (directory.new_staging(tmp_path, FLIGHTS) / "part").write_text("")
    assert directory.clear_staging(tmp_path, FLIGHTS) == 2
    assert [p.name for p in directory.dataset_path(tmp_path, FLIGHTS).iterdir()] == ["1"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    directory.write_file(tmp_path / "a", b"one")
    directory.write_file(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with pytest.raises(ConfigError, match="can't write"):
        directory.write_file(tmp_path / "missing" / "a", b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("")
    with pytest.raises(ConfigError):
        directory.write_file(tmp_path / "folder", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "folder"]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not a file"):
        directory.write_file(tmp_path / "pipe", b"x")  # a rename would put a file in its place
    assert (tmp_path / "pipe").is_fifo()


def test_a_store_that_can_not_be_written_is_said_so(tmp_path):
    (tmp_path / "bts.gov.example").write_text("a file")
    with pytest.raises(ConfigError, match="staging"):
        directory.new_staging(tmp_path, FLIGHTS)
