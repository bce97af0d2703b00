"""Older copies of a log or a witness, put back: neither signs a second history."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from zhixin_errors import LedgerRefused, LedgerUnavailable
from zhixin_ledger import checkpoint, rebuild, standing_check, tiles
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.database import Database
from zhixin_ledger.embedded import Engine
from zhixin_ledger.mirror import DATABASE as MIRROR_DATABASE
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.state import State
from zhixin_ledger.store import SqliteStore
from zhixin_ledger.transport import Means, WitnessUrl, open_witness
from zhixin_ledger.trust import trust_of

PLANES = "faa.gov.example/planes"


def published(world, data: bytes) -> int:
    client = world.client()
    index = client.submit(data)
    client.receipt(index)
    client.close()
    return index


def put_back(folder: Path, kept: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)


def witnesses_of(world, *names: str) -> list:
    source = tiles.DirectorySource(world.log_dir)
    return [
        open_witness(WitnessUrl(name, f"file:{world.home(name)}"), world.root, source,
                     Means(world.clock))
        for name in names or world.names
    ]  # fmt: skip


def engine_of(world) -> Engine:
    return Engine(world.log_dir, world.log_signer, clock=world.clock)


@pytest.fixture
def older(world, tmp_path):
    """A log that published 4 entries, kept, and then 6."""
    published(world, world.contract(PLANES))
    kept = shutil.copytree(world.log_dir, tmp_path / "kept-log")
    for name in world.names:
        with world.client(name) as client:
            client.sync()
        shutil.copytree(world.home(name) / "ledger", tmp_path / f"kept-{name}")
    published(world, world.version(PLANES))
    return kept


def refused(act) -> LedgerUnavailable:
    with pytest.raises(LedgerUnavailable) as fault:
        act()
    return fault.value


def test_an_older_log_that_was_put_back_signs_nothing(world, older):
    put_back(world.log_dir, older)
    engine = engine_of(world)
    before = (world.log_dir / "checkpoint").read_bytes()
    engine.submit(world.contract("faa.gov.example/other"))
    for _ in range(2):
        fault = refused(lambda: engine.publish(witnesses_of(world)))
        assert fault.code == "ledger-rolled-back"
        assert fault.details["size"] == 6
        assert "zhixin ledger rebuild --from" in fault.hint
    assert (world.log_dir / "checkpoint").read_bytes() == before
    engine.close()


def test_one_witness_that_can_be_asked_is_enough_to_stop_it(world, older):
    put_back(world.log_dir, older)
    engine = engine_of(world)
    engine.submit(world.contract("faa.gov.example/other"))
    for name in world.names[:3]:
        world.home(name).joinpath("ledger").rename(world.home(name) / "away")
    fault = refused(lambda: engine.publish(witnesses_of(world)))
    assert fault.details["witness"] == world.names[3]
    engine.close()


def test_a_log_of_another_tree_at_the_same_size_signs_nothing(world, older):
    put_back(world.log_dir, older)
    engine = engine_of(world)
    engine.submit(world.contract("faa.gov.example/other"))
    engine.submit(world.contract("faa.gov.example/more"))
    assert refused(lambda: engine.publish(witnesses_of(world))).code == "ledger-rolled-back"
    engine.close()


def test_a_checkpoint_that_the_log_did_not_sign_stops_nothing(world):
    published(world, world.contract(PLANES))
    liar = world.names[3]
    stranger = MemorySigner(b"\7" * 32)
    note = checkpoint.sign(Checkpoint(world.origin, 99, b"\1" * 32), stranger)
    with sqlite3.connect(world.home(liar) / "ledger" / MIRROR_DATABASE) as database:
        database.execute("INSERT OR REPLACE INTO cosigned_note VALUES (1, ?)", (note.format(),))
    database.close()
    engine = engine_of(world)
    engine.submit(world.version(PLANES))
    assert checkpoint.parse(engine.publish(witnesses_of(world)).text).size == 6
    engine.close()


def test_a_log_from_a_backup_takes_nothing_in_before_enough_members_confirm_it(world):
    published(world, world.contract(PLANES))
    standing_check.mark_restored(world.log_dir, own=False)
    engine = engine_of(world)
    assert (engine.pending(), engine.is_idle()) == (False, False)  # who only reads checks nothing
    assert refused(lambda: engine.submit(world.version(PLANES))).code == "ledger-rolled-back"
    own, other, third, _ = world.names
    away = world.home(third).rename(world.root / "away")
    for few in ((), (own,), (own, other), (own, other, third)):  # its own home does not count
        fault = refused(lambda few=few: engine.publish(witnesses_of(world, *few) if few else []))
        assert fault.code == "ledger-rolled-back", few
        assert fault.details["due"] == 2
    assert standing_check.is_restored(world.log_dir)
    away.rename(world.home(third))
    engine.publish(witnesses_of(world, own, other, third))
    assert not standing_check.is_restored(world.log_dir)
    assert engine.submit(world.version(PLANES)) == 4
    engine.close()


def test_a_rebuilt_log_is_confirmed_by_its_own_home_too(make_world):
    world = make_world(1, 1).found()
    published(world, world.contract("bts.gov.example/flights"))
    engine = engine_of(world)
    standing_check.mark_restored(world.log_dir, own=False)
    assert refused(lambda: engine.publish(witnesses_of(world))).details["due"] == 1
    standing_check.mark_restored(world.log_dir, own=True)
    engine.publish(witnesses_of(world))
    assert not standing_check.is_restored(world.log_dir)
    engine.close()


def test_an_older_witness_takes_up_what_it_cosigned_before_it_cosigns_again(world, older, tmp_path):
    name = world.names[1]
    put_back(world.home(name) / "ledger", tmp_path / f"kept-{name}")
    mirror = Mirror(world.home(name) / "ledger")
    assert mirror.cosigned()[0] == 4
    witness = witnesses_of(world, name)[0]
    note = (world.log_dir / "checkpoint").read_bytes()
    with pytest.raises(Exception, match="cosigned 6 entries last"):
        witness.add_checkpoint(0, [], note)
    assert mirror.cosigned()[0] == 6
    assert mirror.cosigned()[2] == int(world.clock().timestamp())
    mirror.close()
    published(world, world.contract(PLANES, "2.0.0"))


def test_an_older_witness_never_cosigns_a_fork_of_what_it_signed(world, older, tmp_path):
    name = world.names[1]
    put_back(world.home(name) / "ledger", tmp_path / f"kept-{name}")
    # The fork's folder still shows the checkpoint that this witness cosigned.
    shutil.copytree(world.log_dir, tmp_path / "true-log")
    signed = (world.log_dir / "checkpoint").read_bytes()
    put_back(world.log_dir, older)
    engine = engine_of(world)
    engine.submit(world.contract("faa.gov.example/other"))
    with engine._database.reading() as connection:
        state = State(SqliteStore(connection))
        forked = checkpoint.sign(Checkpoint(world.origin, state.size, state.root), world.log_signer)
        rows = connection.execute("SELECT data FROM entries ORDER BY idx").fetchall()
    tiles.write_tiles(world.log_dir, 4, 6, lambda start: iter([row[0] for row in rows[start:]]))
    engine.close()
    (world.log_dir / "checkpoint").write_bytes(signed)
    tree = tiles.Tiles(tiles.DirectorySource(world.log_dir), 6)
    witness = witnesses_of(world, name)[0]
    fault = refused(lambda: witness.add_checkpoint(4, tree.consistency_path(4), forked.format()))
    assert fault.code == "witness-rolled-back"
    mirror = Mirror(world.home(name) / "ledger")
    assert mirror.cosigned()[0] == 4
    mirror.close()


def test_a_witness_from_a_backup_wants_the_log_or_another_member(world, older, tmp_path):
    name = world.names[1]
    folder = world.home(name) / "ledger"
    put_back(folder, tmp_path / f"kept-{name}")
    standing_check.mark_restored(folder, own=False)
    note = (world.log_dir / "checkpoint").read_bytes()
    (world.log_dir / "checkpoint").rename(tmp_path / "hidden")
    witness = witnesses_of(world, name)[0]
    tree = tiles.Tiles(tiles.DirectorySource(world.log_dir), 6)
    fault = refused(lambda: witness.add_checkpoint(4, tree.consistency_path(4), note))
    assert (fault.code, standing_check.is_restored(folder)) == ("witness-rolled-back", True)
    witness.peers = witnesses_of(world)
    with pytest.raises(Exception, match="cosigned 6 entries last"):
        witness.add_checkpoint(4, tree.consistency_path(4), note)
    assert not standing_check.is_restored(folder)


def fork_of(world, older) -> bytes:
    """Have the log go on from its older copy with other entries; it shows its old checkpoint."""
    put_back(world.log_dir, older)
    engine = engine_of(world)
    engine.submit(world.contract("faa.gov.example/other"))
    with engine._database.reading() as connection:
        state = State(SqliteStore(connection))
        rows = connection.execute("SELECT data FROM entries ORDER BY idx").fetchall()
    tiles.write_tiles(world.log_dir, 4, 6, lambda start: iter([row[0] for row in rows[start:]]))
    engine.close()
    made = Checkpoint(world.origin, state.size, state.root)
    return checkpoint.sign(made, world.log_signer).format()


@pytest.mark.parametrize("hidden", [False, True])
def test_a_witness_from_a_backup_is_not_led_onto_a_fork_that_other_members_know_of(
    world, older, tmp_path, hidden
):
    """It cosigned six entries, and so did the others; the log shows it six others."""
    name = world.names[1]
    folder = world.home(name) / "ledger"
    put_back(folder, tmp_path / f"kept-{name}")
    standing_check.mark_restored(folder, own=False)
    forked = fork_of(world, older)
    proof = tiles.Tiles(tiles.DirectorySource(world.log_dir), 6).consistency_path(4)
    if hidden:  # the log says that it has four entries, and no tile of more
        fewer = older / "checkpoint"
        (world.log_dir / "checkpoint").write_bytes(fewer.read_bytes())
        for path in (world.log_dir / "tile").rglob("6"):
            path.rename(tmp_path / f"{path.parent.parent.name}-6")
    witness = witnesses_of(world, name)[0]
    witness.peers = witnesses_of(world)
    fault = refused(lambda: witness.add_checkpoint(4, proof, forked))
    assert fault.code == "witness-rolled-back"
    assert standing_check.is_restored(folder)
    mirror = Mirror(folder)
    assert mirror.cosigned()[0] == 4
    mirror.close()


def test_a_copy_is_not_made_anew_from_a_fork_of_what_its_witness_cosigned(world, older, tmp_path):
    """Its own record says what it cosigned: a source that contradicts it is not asked further."""
    name = world.names[1]
    folder = world.home(name) / "ledger"
    earlier = Mirror(tmp_path / f"kept-{name}")
    trust = trust_of(earlier.state())
    earlier.close()
    forked = fork_of(world, older)
    source = tiles.DirectorySource(world.log_dir)
    notes = rebuild.notes_of(source, [forked])
    with pytest.raises(LedgerRefused) as fault:
        rebuild.rebuild_copy(folder, source, notes, trust, world.clock())
    assert fault.value.code == "forked"
    assert "cosigned" in fault.value.message
    mirror = Mirror(folder)
    assert mirror.cosigned()[0] == 6
    mirror.close()


def test_a_witness_whose_copy_contradicts_what_it_signed_signs_nothing(world, older):
    name = world.names[1]
    mirror = Mirror(world.home(name) / "ledger")
    own = mirror.cosigned_note()
    mirror.close()
    # Its copy says 8 entries of which the first 6 are others: here, the log shows another root.
    with sqlite3.connect(world.home(name) / "ledger" / MIRROR_DATABASE) as database:
        database.execute("UPDATE cosigned SET size = 8")
    database.close()
    newer = checkpoint.sign(Checkpoint(world.origin, 9, bytes(32)), world.log_signer)
    assert own
    tampered = world.home(name) / "ledger" / "tile" / "0" / "000.p" / "6"
    data = tampered.read_bytes()
    tampered.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    witness = witnesses_of(world, name)[0]
    fault = refused(lambda: witness.add_checkpoint(8, [], newer.format()))
    assert fault.code == "witness-rolled-back"


def test_nobody_writes_into_a_database_that_was_put_aside(tmp_path):
    database = Database(tmp_path / "a.sqlite")
    with database.writing() as connection:
        connection.execute("CREATE TABLE t (x)")
    (tmp_path / "a.sqlite").rename(tmp_path / "aside.sqlite")
    other = Database(tmp_path / "a.sqlite")
    with pytest.raises(LedgerUnavailable, match="was replaced"), database.writing():
        pass
    with other.writing() as connection:
        connection.execute("CREATE TABLE t (x)")
    database.close()
    other.close()
