"""The audit, held to every vector of its own and to every byte of a small ledger."""

from __future__ import annotations

import base64
import json
import random
import shutil
from pathlib import Path

import pytest
from zhixin_ledger import merkle, tiles
from zhixin_ledger.audit import altered, audit
from zhixin_ledger.tiles import DirectorySource, Tiles
from zhixin_ledger.trust import Trust

CASES = sorted((Path(__file__).parents[1] / "vectors" / "audit").glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_audit_answers_as_the_vector_says(path, vectors, tmp_path):
    case = json.loads(path.read_text())
    ledger = shutil.copytree(vectors / case["base"], tmp_path / "ledger")
    for name, data in case["files"].items():
        target = ledger / name
        if data is None:
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(base64.b64decode(data))
    trust = None
    if case["trust_dir"] is not None:
        data = (vectors / case["trust_dir"] / "members.json").read_bytes()
        given = case.get("trust", {}).get("members.json")
        trust = Trust.parse(data if given is None else base64.b64decode(given))
    report = audit(ledger, trust)
    assert report.code == case["code"], report.message
    assert report.ok is (case["code"] is None)
    assert report.index == (None if case["index"] is None else int(case["index"]))


def test_there_are_vectors_of_audits():
    assert len(CASES) > 35


def test_the_whole_ledger_of_the_vectors_holds(vectors, vector_entries):
    told = []
    trust = Trust.parse((vectors / "trust" / "members.json").read_bytes())
    report = audit(vectors / "ledger", trust, progress=lambda done, todo: told.append((done, todo)))
    assert report.ok, report.message
    assert report.entries == len(vector_entries)
    assert told[-1] == (2 * report.entries, 2 * report.entries)
    assert report.state.root == trust.root


def test_a_ledger_without_a_checkpoint_is_malformed(tmp_path):
    assert audit(tmp_path).code == "malformed"


def test_a_checkpoint_that_is_no_note_is_malformed(vectors, tmp_path):
    ledger = shutil.copytree(vectors / "ledger-small", tmp_path / "ledger")
    (ledger / "checkpoint").write_bytes(b"nonsense\n")
    assert audit(ledger).code == "malformed"


def test_a_missing_tile_of_a_higher_level_is_noticed(vectors, tmp_path):
    ledger = shutil.copytree(vectors / "ledger", tmp_path / "ledger")
    (ledger / "tile/1/000.p/1").unlink()
    assert audit(ledger).code == "tile"


def test_no_flipped_byte_of_a_ledger_goes_unseen(vectors, tmp_path):
    ledger = shutil.copytree(vectors / "ledger", tmp_path / "ledger")
    chance = random.Random(20260131)
    for path in sorted(ledger.rglob("*")):
        if not path.is_file() or path.name in ("entries.jsonl", "state.json"):
            continue
        data = path.read_bytes()
        for at in chance.sample(range(len(data)), min(12, len(data))):
            path.write_bytes(
                data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
            )
            report = audit(ledger)
            assert report.code or path.name == "checkpoint", (path, at)
            if path.name != "checkpoint":
                assert report.code == "tile"
        path.write_bytes(data)
    assert audit(ledger).ok


@pytest.fixture
def served(tmp_path):
    """Files of 300 entries of no meaning, as a server has them, and their root."""
    entries = [b"entry %d" % number for number in range(300)]
    tiles.write_tiles(tmp_path, 0, 300, lambda start: iter(entries[start:]))
    return tmp_path, merkle.root([merkle.leaf_hash(entry) for entry in entries])


def test_files_that_are_their_checkpoints_are_not_altered(served):
    folder, root = served
    assert altered(Tiles(DirectorySource(folder), 300), root, 0) is None


@pytest.mark.parametrize(
    ("file", "code", "index"),
    [
        ("tile/entries/001.p/44", "tile", 256 + 43),  # its last entry
        ("tile/0/000", "tile", 255),
        ("tile/1/000.p/1", "tile", None),
    ],
)
def test_an_altered_file_is_named_with_its_first_entry(served, file, code, index):
    folder, root = served
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    found = altered(Tiles(DirectorySource(folder), 300), root, 0)
    assert (found.ok, found.code, found.index) == (False, code, index)


def test_an_altered_root_is_told_and_files_that_are_away_are_no_verdict(served):
    folder, root = served
    assert altered(Tiles(DirectorySource(folder), 300), bytes(32), 299).code == "root"
    (folder / "tile/1/000.p/1").unlink()
    assert altered(Tiles(DirectorySource(folder), 300), root, 0) is None
