"""The mark of signatures that were checked: what an audit may skip by it, and what never."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from zhixin_ledger import checked, dsse, merkle, tiles
from zhixin_ledger.audit import audit, audit_cached, audit_source
from zhixin_ledger.checked import Checked
from zhixin_ledger.embedded import DATABASE
from zhixin_ledger.mirror import DATABASE as COPY
from zhixin_ledger.tiles import DirectorySource, Tiles
from zhixin_ledger.trust import Trust

PLANES = "faa.gov.example/planes"
CASES = sorted((Path(__file__).parents[1] / "vectors" / "audit").glob("*.json"))


@pytest.fixture
def filled(world):
    """A world whose log and copy hold a contract and three versions, published."""
    client = world.client()
    before = None
    client.submit(world.contract(PLANES))
    for number in range(1, 4):
        before = world.version(PLANES, number, previous=before)
        client.receipt(client.submit(before))
    return world


def mark_of(path: Path) -> Checked | None:
    return checked.of_file(path)


def size_of(folder: Path) -> int:
    return int((folder / "checkpoint").read_bytes().split(b"\n")[1])


def without_signatures(folder: Path, mark: Checked):
    return audit_source(DirectorySource(folder), known=mark)


def test_log_and_copy_note_what_they_checked(filled):
    for folder, name in (
        (filled.log_dir, DATABASE),
        (filled.home(filled.names[0]) / "ledger", COPY),
    ):
        size = size_of(folder)
        root = Tiles(DirectorySource(folder), size).root()
        assert mark_of(folder / name) == Checked(size, root)
        whole, quick = audit(folder), audit_cached(folder)
        assert (whole.cached, quick.cached) == (0, 4 + 4)  # genesis has four signatures
        assert (quick.ok, quick.entries, quick.message) == (True, whole.entries, whole.message)
        assert quick.state.state_root() == whole.state.state_root()


def test_a_mark_after_the_checkpoint_counts_by_a_proof(filled):
    engine_size = size_of(filled.log_dir)
    client = filled.client()
    client.submit(filled.contract(PLANES, "2.0.0"))
    client.close()
    mark = mark_of(filled.log_dir / DATABASE)
    assert mark.size == engine_size + 2
    # The log's tiles end at the checkpoint: no proof leads to the mark, and all is checked.
    assert audit_cached(filled.log_dir).cached == 0
    with closing(sqlite3.connect(filled.log_dir / DATABASE)) as database:
        rows = [row[0] for row in database.execute("SELECT data FROM entries ORDER BY idx")]
    tiles.write_tiles(filled.log_dir, engine_size, mark.size, lambda start: iter(rows[start:]))
    report = audit_cached(filled.log_dir)
    assert (report.ok, report.entries, report.cached) == (True, engine_size, 8)
    other = Checked(mark.size, bytes(32))
    assert without_signatures(filled.log_dir, other).cached == 0


def test_a_mark_before_the_checkpoint_counts_for_what_it_covers(filled):
    tree = Tiles(DirectorySource(filled.log_dir), size_of(filled.log_dir))
    assert without_signatures(filled.log_dir, Checked(4, tree.root(4))).cached == 5
    for wrong in (Checked(4, tree.root(6)), Checked(0, merkle.EMPTY_ROOT), Checked(-1, b"")):
        report = without_signatures(filled.log_dir, wrong)
        assert (report.ok, report.cached) == (True, 0)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_with_an_honest_mark_the_audit_finds_what_it_finds_without(path, vectors, tmp_path):
    case = json.loads(path.read_text())
    honest = Tiles(DirectorySource(vectors / case["base"]), size_of(vectors / case["base"]))
    mark = Checked(honest.size, honest.root())
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
    report = audit_source(DirectorySource(ledger), trust, known=mark)
    assert report.code == case["code"], report.message
    assert report.index == (None if case["index"] is None else int(case["index"]))


def forged(world, change) -> Path:
    """The log with the last statement changed, and everything above it made to fit."""
    folder = shutil.copytree(world.log_dir, world.root / "forged")
    source = DirectorySource(world.log_dir)
    entries = list(Tiles(source, size_of(world.log_dir)).entries())
    at = len(entries) - 2
    entries[at] = change(entries[at])
    shutil.rmtree(folder / "tile")
    tiles.write_tiles(folder, 0, len(entries), lambda start: iter(entries[start:]))
    tree = Tiles(DirectorySource(folder), len(entries))
    lines = (folder / "checkpoint").read_bytes().split(b"\n")
    lines[2] = base64.b64encode(tree.root())
    (folder / "checkpoint").write_bytes(b"\n".join(lines))
    return folder


def broken_signature(entry: bytes) -> bytes:
    envelope = dsse.parse_envelope(entry)
    ((key, signature),) = envelope.signatures
    other = bytes([signature[0] ^ 1]) + signature[1:]
    return dsse.format_envelope(
        dsse.Envelope(envelope.payload_type, envelope.payload, ((key, other),))
    )


def test_the_mark_of_the_true_entries_hides_no_false_signature(filled):
    folder = forged(filled, broken_signature)
    assert mark_of(folder / DATABASE) == mark_of(filled.log_dir / DATABASE)
    for report in (audit(folder), audit_cached(folder)):
        assert (report.ok, report.code, report.index) == (False, "rule", size_of(folder) - 2)
        assert "verify" in report.message


def test_under_a_false_mark_too_everything_but_signatures_is_judged(filled):
    # Who can write the database can make it say so; rules, seals and states hold all the same.
    payload_of = lambda entry: dsse.parse_envelope(entry).payload  # noqa: E731

    def withdrawn(entry: bytes) -> bytes:
        assert b'"version":"3"' in payload_of(entry)
        return filled.withdrawal(PLANES, 2)

    def out_of_order(entry: bytes) -> bytes:
        del entry
        return filled.version(PLANES, 9)

    for change, code in ((broken_signature, "state"), (withdrawn, "state"), (out_of_order, "rule")):
        folder = forged(filled, change)
        tree = Tiles(DirectorySource(folder), size_of(folder))
        report = without_signatures(folder, Checked(tree.size, tree.root()))
        assert (report.ok, report.code) == (False, code), report.message
        shutil.rmtree(folder)


def test_files_that_change_between_two_readings_are_told(filled):
    class Changing(DirectorySource):
        """Gives other entries the second time."""

        def __init__(self, root: Path, other: Path) -> None:
            super().__init__(root)
            self._other = DirectorySource(other)
            self._read: set[str] = set()

        def read(self, path: str) -> bytes | None:
            again = path in self._read and "entries" in path
            self._read.add(path)
            return (self._other if again else super()).read(path)

    other = forged(filled, broken_signature)
    tree = Tiles(DirectorySource(filled.log_dir), size_of(filled.log_dir))
    source = Changing(filled.log_dir, other)
    report = audit_source(source, known=Checked(tree.size, tree.root()))
    assert not report.ok


def test_the_mark_moves_on_from_where_it_stands_alone(tmp_path, monkeypatch):
    path = tmp_path / "x.sqlite"
    database = sqlite3.connect(path, isolation_level=None)
    assert checked.read(database) is None
    database.executescript(checked.SCHEMA)
    checked.extend(database, 0, 2, b"two")
    checked.extend(database, 2, 5, b"five")
    checked.extend(database, 6, 9, b"a gap")
    checked.extend(database, 0, 9, b"anew")
    assert checked.of_file(path) == Checked(5, b"five")
    monkeypatch.setattr(checked, "RULES", 2)
    checked.extend(database, 5, 7, b"seven")
    assert checked.of_file(path) is None
    database.execute("DELETE FROM checked")
    checked.extend(database, 5, 7, b"seven")
    assert checked.of_file(path) is None
    database.close()


def test_a_database_of_the_first_release_gets_its_mark(filled):
    with closing(sqlite3.connect(filled.log_dir / DATABASE)) as database:
        database.execute("DROP TABLE checked")
    assert mark_of(filled.log_dir / DATABASE) is None
    assert audit_cached(filled.log_dir).cached == 0
    client = filled.client()
    client.receipt(client.submit(filled.contract(PLANES, "2.0.0")))
    client.close()
    assert audit_cached(filled.log_dir).cached == 9


@pytest.mark.parametrize("data", [b"", b"no database", None])
def test_a_file_that_is_no_database_has_no_mark(tmp_path, data):
    if data is not None:
        (tmp_path / "x.sqlite").write_bytes(data)
    assert checked.of_file(tmp_path / "x.sqlite") is None
