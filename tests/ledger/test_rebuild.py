"""A log or a copy made anew from tiles alone; what is restored goes on without a second history."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from zhixin_errors import LedgerRefused, LedgerUnavailable
from zhixin_ledger import (
    checkpoint,
    embedded,
    mirror,
    rebuild,
    standing_check,
    tiles,
    tlogproof,
)
from zhixin_ledger.audit import audit
from zhixin_ledger.fsck import check_log, check_mirror
from zhixin_ledger.note import Note
from zhixin_ledger.rebuild import notes_of, rebuild_copy, rebuild_log, rewrite_files
from zhixin_ledger.trust import save_trust, trust_of

PLANES = "faa.gov.example/planes"
OTHER = "noaa.gov.example"


@pytest.fixture
def filled(world):
    """Two versions published and copied by every member."""
    with world.client() as client:
        client.submit(world.contract(PLANES))
        world.first = world.version(PLANES)
        client.receipt(client.submit(world.first))
        world.trust = trust_of(client.state())
        world.second = world.version(PLANES, 2, previous=world.first)
        client.receipt(client.submit(world.second))
    for name in world.names:
        with world.client(name) as client:
            client.sync()
    return world


def files_of(world, name: str = OTHER):
    return tiles.DirectorySource(world.home(name) / "ledger")


def rebuilt_log(world, name: str = OTHER, **options):
    source = files_of(world, name)
    return rebuild_log(
        world.log_dir, source, notes_of(source), world.trust, world.clock(), **options
    )


def assert_clean(world) -> None:
    parts = check_log(world.log_dir, world.trust)
    for name in world.names:
        parts += check_mirror(world.home(name) / "ledger", world.trust, member=name)
    assert all(part.ok for part in parts), [part for part in parts if not part.ok]


def test_a_destroyed_log_is_rebuilt_from_any_members_copy_and_publishes_on(filled):
    world = filled
    before = checkpoint.parse((world.log_dir / "checkpoint").read_bytes().split(b"\n\n")[0] + b"\n")
    tree = {
        path.relative_to(world.log_dir): path.read_bytes()
        for path in world.log_dir.glob("tile/**/*") if path.is_file()
    }  # fmt: skip
    shutil.rmtree(world.log_dir)
    # Tiles alone: no database of the copy is needed.
    for file in (world.home(OTHER) / "ledger").glob("mirror.sqlite*"):
        shutil.copy(file, world.root / file.name)
        file.unlink()
    made = rebuilt_log(world)
    assert (made.size, made.left_over, made.beyond) == (before.size, [], 0)
    for file in world.root.glob("mirror.sqlite*"):
        file.rename(world.home(OTHER) / "ledger" / file.name)
    now = {
        path.relative_to(world.log_dir): path.read_bytes()
        for path in world.log_dir.glob("tile/**/*") if path.is_file()
    }  # fmt: skip
    assert {path: now[path] for path in tree if path in now} == {
        path: data for path, data in tree.items() if path in now
    }
    with world.client() as client:
        client.sync()  # asks the witnesses where they stand
        index = client.submit(world.contract(PLANES, "2.0.0"))
        assert index == before.size
        assert tlogproof.parse_receipt(client.receipt(index)).index == index
    source = tiles.DirectorySource(world.log_dir)
    assert tiles.Tiles(source, before.size).root() == before.root
    assert_clean(world)


def test_the_database_and_tiles_are_those_that_the_log_had(filled):
    def rows():
        with closing(sqlite3.connect(filled.log_dir / embedded.DATABASE)) as connection:
            names = ("entries", "blocks", "head", "facts", "nodes", "payloads", "stated")
            return {name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in names}

    before = rows()
    made = rebuilt_log(filled)
    assert rows() == before
    assert (made.aside / embedded.DATABASE).is_file()
    assert (made.aside / "tile").is_dir()
    assert not (filled.log_dir / ".rebuild").exists()


def test_a_rebuilt_log_signs_only_once_others_confirm_it(filled):
    rebuilt_log(filled)
    engine = embedded.Engine(filled.log_dir, filled.log_signer, clock=filled.clock)
    with pytest.raises(LedgerUnavailable) as refused:
        engine.submit(filled.contract(PLANES, "2.0.0"))
    assert refused.value.code == "ledger-rolled-back"
    with pytest.raises(LedgerUnavailable) as refused:
        engine.publish([])
    assert refused.value.code == "ledger-rolled-back"
    engine.close()


def test_an_older_log_catches_up_and_tells_what_only_it_held(filled, tmp_path):
    kept = shutil.copytree(filled.log_dir, tmp_path / "kept")
    with filled.client(OTHER) as client:
        client.receipt(client.submit(filled.contract("noaa.gov.example/storms")))
    shutil.rmtree(filled.log_dir)
    kept.rename(filled.log_dir)
    alone = filled.contract("faa.gov.example/alone")
    engine = embedded.Engine(filled.log_dir, filled.log_signer, clock=filled.clock)
    assert engine.submit(alone) == 8
    with pytest.raises(LedgerUnavailable) as stopped:
        engine.publish(filled.client()._log._witnesses)
    assert stopped.value.code == "ledger-rolled-back"
    made = rebuilt_log(filled)
    assert (made.size, made.left_over) == (10, [alone])
    # The engine that was open all the time goes on with what stands there now.
    engine.publish(filled.client()._log._witnesses)
    assert engine.submit(alone) == 10
    engine.close()
    with filled.client() as client:
        client.sync()
    assert_clean(filled)


def test_a_process_that_has_the_database_open_sees_the_rebuilt_one(filled):
    with filled.client() as client:
        client.submit(filled.contract(PLANES, "1.1.0"))
        rebuilt_log(filled)
        client.sync()
        assert client.submit(filled.contract(PLANES, "1.2.0")) == 8


def test_tiles_that_were_put_aside_are_written_again_by_an_engine_that_had_them(filled):
    engine = embedded.Engine(filled.log_dir, filled.log_signer, clock=filled.clock)
    for number in range(130):
        engine.submit(filled.contract(f"faa.gov.example/d{number}"))
    with pytest.raises(LedgerUnavailable):
        engine.publish([])  # the tiles are there, the quorum is not
    rebuilt_log(filled)
    witnesses = filled.client()._log._witnesses
    engine.publish(witnesses)
    for number in range(135):
        engine.submit(filled.contract(f"faa.gov.example/e{number}"))
    engine.publish(witnesses)
    engine.close()
    assert audit(filled.log_dir, filled.trust).ok


@pytest.mark.parametrize("damage", ["missing", "no database", "pages"])
def test_a_database_that_is_gone_is_made_from_the_logs_own_tiles(filled, damage):
    path = filled.log_dir / embedded.DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if damage == "missing":
        path.unlink()
    elif damage == "no database":
        path.write_bytes(b"not a database at all" * 1000)
    else:
        data = path.read_bytes()
        path.write_bytes(data[:4096] + b"\xff" * 4096 + data[8192:])
    source = tiles.DirectorySource(filled.log_dir)
    rebuild_log(filled.log_dir, source, notes_of(source), filled.trust, filled.clock())
    assert_clean(filled)
    with filled.client() as client:
        client.sync()
        client.receipt(client.submit(filled.contract(PLANES, "2.0.0")))
    assert_clean(filled)


@pytest.mark.parametrize("damage", ["tile", "checkpoint", "all"])
def test_published_files_are_written_anew_from_the_database(filled, damage):
    before = {
        path.relative_to(filled.log_dir): path.read_bytes()
        for path in [filled.log_dir / "checkpoint", *filled.log_dir.glob("tile/**/8")]
    }
    if damage == "tile":
        tile = filled.log_dir / "tile/0/000.p/8"
        tile.write_bytes(tile.read_bytes()[:-1] + b"\0")
    if damage in ("checkpoint", "all"):
        (filled.log_dir / "checkpoint").write_bytes(b"torn")
    if damage == "all":
        shutil.rmtree(filled.log_dir / "tile")
    notes = notes_of(files_of(filled), [(filled.log_dir / "checkpoint").read_bytes()])
    made = rewrite_files(filled.log_dir, notes, filled.trust, filled.clock())
    assert made.size == 8
    for name, data in before.items():
        if damage == "tile" or name.name != "checkpoint":
            assert (filled.log_dir / name).read_bytes() == data
    assert_clean(filled)
    assert not standing_check.is_restored(filled.log_dir)


def test_without_a_checkpoint_the_next_publication_makes_one(filled):
    (filled.log_dir / "checkpoint").unlink()
    made = rewrite_files(filled.log_dir, [], filled.trust, filled.clock())
    assert made.size == 0
    with filled.client() as client:
        client.refresh()
    assert_clean(filled)


def test_a_copy_is_made_anew_and_its_witness_goes_on_where_it_was(filled):
    folder = filled.home(OTHER) / "ledger"
    tile = next((folder / "tile" / "entries").rglob("8"))
    tile.write_bytes(b"\0" * 9)
    source = tiles.DirectorySource(filled.log_dir)
    made = rebuild_copy(folder, source, notes_of(source), filled.trust, filled.clock())
    assert made.size == 8
    assert not standing_check.is_restored(folder)
    copy = mirror.Mirror(folder)
    assert copy.cosigned()[0] == 8
    copy.close()
    with filled.client() as client:
        client.receipt(client.submit(filled.contract(PLANES, "2.0.0")))
    assert_clean(filled)


def test_a_copy_whose_record_is_gone_asks_before_its_witness_signs(filled):
    folder = filled.home(OTHER) / "ledger"
    for file in folder.glob("mirror.sqlite*"):
        file.unlink()
    source = files_of(filled, "faa.gov.example")
    rebuild_copy(folder, source, notes_of(source), filled.trust, filled.clock())
    assert standing_check.is_restored(folder)
    with filled.client() as client:
        client.receipt(client.submit(filled.contract(PLANES, "2.0.0")))
    assert not standing_check.is_restored(folder)
    with filled.client(OTHER) as client:
        client.sync()
    assert_clean(filled)


def test_a_source_that_lies_changes_nothing(filled, make_world):
    before = {path: path.read_bytes() for path in filled.log_dir.rglob("*") if path.is_file()}
    bundle = next((filled.home(OTHER) / "ledger" / "tile" / "entries").rglob("8"))
    data = bundle.read_bytes()
    bundle.write_bytes(data[:-30] + b"x" + data[-29:])
    with pytest.raises(LedgerRefused):
        rebuilt_log(filled)
    bundle.write_bytes(data)
    other = make_world(folder="other").found()
    with other.client() as client:
        client.refresh()
        for name in other.names:
            with other.client(name) as copy:
                copy.sync()
    source = files_of(other)
    with pytest.raises(LedgerRefused) as refused:
        rebuild_log(filled.log_dir, source, notes_of(source), filled.trust, filled.clock())
    assert refused.value.code in ("stale", "forked")
    empty = tiles.DirectorySource(filled.root / "nothing")
    with pytest.raises(LedgerUnavailable, match="no checkpoint"):
        rebuild_log(filled.log_dir, empty, notes_of(empty), filled.trust, filled.clock())
    after = {path: path.read_bytes() for path in filled.log_dir.rglob("*") if path.is_file()}
    assert {k: v for k, v in after.items() if "lock" not in k.name and "-shm" not in k.name} == {
        k: v for k, v in before.items() if "lock" not in k.name and "-shm" not in k.name
    }


def test_a_server_is_not_rebuilt_under_its_feet(filled, monkeypatch):
    monkeypatch.setattr("zhixin_ledger.rebuild._WAIT_S", 0.1)
    server = embedded.Engine(filled.log_dir, filled.log_signer, clock=filled.clock, hold=True)
    with pytest.raises(LedgerUnavailable) as busy:
        rebuilt_log(filled)
    assert busy.value.code == "ledger-busy"
    server.close()
    assert audit(filled.log_dir).ok


def test_no_cosignature_is_recorded_while_its_record_is_exchanged(filled, monkeypatch):
    folder = filled.home(OTHER) / "ledger"
    copy = mirror.Mirror(folder)
    made = copy.checkpoint()
    true_put = rebuild._put
    told = []

    def put(*arguments):
        with pytest.raises(LedgerUnavailable) as busy:
            copy.record_cosigned(made.size, made, lambda time_s, note: (time_s, note))
        told.append(busy.value.code)
        return true_put(*arguments)

    monkeypatch.setattr(rebuild, "_put", put)
    source = tiles.DirectorySource(filled.log_dir)
    rebuild_copy(folder, source, notes_of(source), filled.trust, filled.clock())
    assert told == ["ledger-busy"]
    copy.record_cosigned(made.size, made, lambda time_s, note: (time_s, note))
    copy.close()


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from zhixin_ledger import rebuild, tiles
from zhixin_ledger.trust import load_trust
place, name = {
    "exchange": (rebuild, "_exchange"),
    "mark": (rebuild.standing_check, "mark_restored"),
    "copy": (rebuild.shutil, "copy2"),
}[sys.argv[4]]
setattr(place, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
source = tiles.DirectorySource(Path(sys.argv[2]))
rebuild.rebuild_log(Path(sys.argv[1]), source, rebuild.notes_of(source),
    load_trust(Path(sys.argv[3])), datetime.now(UTC))
"""


@pytest.mark.parametrize("step", ["mark", "copy", "exchange"])
def test_a_rebuild_that_is_killed_signs_nothing_and_is_finished_by_the_next(filled, tmp_path, step):
    save_trust(filled.trust, tmp_path / "trust")
    before = checkpoint.parse(Note.parse((filled.log_dir / "checkpoint").read_bytes(), "note").text)
    database = filled.log_dir / embedded.DATABASE
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM entries WHERE idx >= 6")
        connection.execute("DELETE FROM blocks WHERE size > 6")
    folder = filled.home(OTHER) / "ledger"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, filled.log_dir, folder, tmp_path / "trust", step],
        timeout=60, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(LedgerUnavailable), filled.client() as client:
        client.submit(filled.contract(PLANES, "2.0.0"))
    rebuilt_log(filled)
    assert_clean(filled)
    source = tiles.DirectorySource(filled.log_dir)
    assert tiles.Tiles(source, before.size).root() == before.root
    with filled.client() as client:
        client.sync()
        client.receipt(client.submit(filled.contract(PLANES, "2.0.0")))


@pytest.mark.parametrize("step", ["rename", "backup"])
def test_a_rebuild_that_fails_midway_leaves_what_was_there(filled, monkeypatch, step):
    if step == "backup":

        def fail(*_):
            raise LedgerUnavailable("disk full", code="ledger-unwritable")

        monkeypatch.setattr("zhixin_ledger.rebuild._exchange", fail)
    else:

        def fail(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("zhixin_ledger.rebuild.shutil.copy2", fail)
    with pytest.raises(LedgerUnavailable) as fault:
        rebuilt_log(filled)
    assert fault.value.code == "ledger-unwritable"
    monkeypatch.undo()
    assert_clean(filled)
    assert standing_check.is_restored(filled.log_dir)
    rebuilt_log(filled)
    assert_clean(filled)
