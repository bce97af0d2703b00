"""Cosignatures by file: a checkpoint goes out, lines come back in any order, it is published."""

from __future__ import annotations

import shutil

import pytest
from zhixin_errors import FormatError, LedgerRefused, LedgerUnavailable
from zhixin_ledger import checkpoint, cosignature, pending
from zhixin_ledger.embedded import Engine
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note, SignatureLine
from zhixin_ledger.signers import MemorySigner, load_signer
from zhixin_ledger.tiles import DirectorySource
from zhixin_ledger.transport import FileWitness, Means
from zhixin_ledger.witness import Witness

PLANES = "faa.gov.example/planes"


@pytest.fixture
def engine(world):
    signer = load_signer(world.log_dir.parent / "keys/log.pem")
    engine = Engine(world.log_dir, signer, clock=world.clock)
    yield engine
    engine.close()


def online(world, *names: str) -> list[FileWitness]:
    source = DirectorySource(world.log_dir)
    return [FileWitness(name, world.home(name), source, Means(world.clock)) for name in names]


def by_file(world, name: str, note: bytes, tmp_path) -> Note:
    """What a member whose network is cut off does with a disk that was brought along."""
    disk = tmp_path / f"disk-{name}"
    shutil.rmtree(disk, ignore_errors=True)
    shutil.copytree(world.log_dir / "tile", disk / "tile")
    mirror = Mirror(world.home(name) / "ledger")
    signer = load_signer(world.home(name) / "keys/cosigner.pem")
    try:
        witness = Witness(name, mirror, [signer], DirectorySource(disk), world.clock)
        return witness.sign(note)
    finally:
        mirror.close()


def lines_of(note: Note, name: str) -> bytes:
    own = [line.line for line in note.signatures if line.name == f"{name}/witness"]
    return "".join(own).encode()


def test_three_members_by_file_publish_what_one_alone_can_not(world, engine, tmp_path):
    engine.submit(world.contract(PLANES))
    with pytest.raises(LedgerUnavailable):
        engine.publish(online(world, world.names[0]))
    exported = pending.export(engine, online(world, world.names[0])).format()
    assert engine.published() is None
    first = by_file(world, world.names[1], exported, tmp_path)
    taken = pending.add(engine, lines_of(first, world.names[1]))
    assert (taken.size, taken.cosigned, taken.quorum, taken.published) == (4, 2, 3, False)
    engine.submit(world.contract("faa.gov.example/more"))  # the log goes on meanwhile
    second = by_file(world, world.names[2], exported, tmp_path)
    taken = pending.add(engine, second.format())  # the whole note, as good
    assert (taken.cosigned, taken.published) == (3, True)
    note = engine.published()
    assert checkpoint.parse(note.text).size == 4
    assert list((world.log_dir / pending.FOLDER).iterdir()) == []
    # And from there by wire, as ever.
    note = engine.publish(online(world, *world.names[:3]))
    assert checkpoint.parse(note.text).size == 6


def test_nobody_need_be_reached_and_files_come_in_any_order_and_twice(world, engine, tmp_path):
    engine.submit(world.contract(PLANES))
    exported = pending.export(engine).format()
    made = [by_file(world, name, exported, tmp_path) for name in reversed(world.names[:3])]
    told = [pending.add(engine, note.format()).cosigned for note in (made[0], made[0], made[1])]
    assert told == [1, 1, 2]
    assert pending.export(engine).format() != exported  # what came in is carried on with it
    assert pending.add(engine, made[2].format()).published
    with pytest.raises(LedgerRefused) as refused:
        pending.add(engine, made[2].format())
    assert refused.value.code == "unknown-checkpoint"


def test_what_counts_nowhere_is_refused(world, engine, tmp_path, make_world):
    engine.submit(world.contract(PLANES))
    exported = pending.export(engine)
    name = f"{world.names[1]}/witness"
    stranger = cosignature.cosign(exported.text, name, MemorySigner(b"\1" * 32), 1)
    good = by_file(world, world.names[1], exported.format(), tmp_path).signatures[-1]
    failing = SignatureLine(good.name, good.key_id, good.signature[:-1] + b"\0")
    for line in (stranger, failing):
        with pytest.raises(LedgerRefused) as refused:
            pending.add(engine, line.line.encode())
        assert refused.value.code == "unknown-checkpoint"
        with pytest.raises(LedgerRefused):
            pending.add(engine, exported.with_signatures([line]).format())
    with pytest.raises(FormatError):
        pending.add(engine, b"nonsense")
    taken = pending.add(engine, (stranger.line + good.line + failing.line).encode())
    assert taken.cosigned == 1
    kept = Note.parse((world.log_dir / pending.FOLDER / "4").read_bytes())
    assert kept.signatures == (*exported.signatures, good)


def test_only_so_many_wait(world, engine):
    for number in range(pending.MAX_KEPT + 3):
        engine.submit(world.contract(f"faa.gov.example/d{number}"))
        pending.export(engine)
    sizes = sorted(int(path.name) for path in (world.log_dir / pending.FOLDER).iterdir())
    assert len(sizes) == pending.MAX_KEPT
    assert sizes[-1] == 2 + 2 * (pending.MAX_KEPT + 3)
    (world.log_dir / pending.FOLDER / "x").write_bytes(b"nonsense")
    assert pending.export(engine)  # what is none is passed over


def test_who_can_be_reached_publishes_at_once(world, engine):
    engine.submit(world.contract(PLANES))
    pending.export(engine, online(world, *world.names))
    assert checkpoint.parse(engine.published().text).size == 4
    assert not list((world.log_dir / pending.FOLDER).glob("*"))
