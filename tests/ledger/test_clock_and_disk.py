"""A clock that is moved, and a disk that is full: times never go back, and nothing is half-done."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from zhixin_errors import LedgerUnavailable
from zhixin_ledger import checkpoint, cosignature, seal, tlogproof
from zhixin_ledger.audit import audit
from zhixin_ledger.embedded import DATABASE, Engine
from zhixin_ledger.fsck import check_log, check_mirror
from zhixin_ledger.note import Note
from zhixin_ledger.trust import trust_of

PLANES = "faa.gov.example/planes"
DAY_S = 86_400


def cosigned_times(world) -> dict[str, int]:
    note = Note.parse((world.log_dir / "checkpoint").read_bytes(), "checkpoint")
    with world.client() as client:
        keys = client.state().cosigner_keys()
    return {key.name: time_s for key, time_s in cosignature.counted(note, keys).items()}


def seal_times(world) -> list[str]:
    with world.client() as client:
        client.sync()
        return [seal.parse_seal(data).time for _, data in client.entries() if seal.is_seal(data)]


def assert_clean(world) -> None:
    parts = check_log(world.log_dir)
    for name in world.names:
        with world.client(name) as client:
            client.sync()
        parts += check_mirror(world.home(name) / "ledger", member=name)
    assert all(part.ok for part in parts), [part for part in parts if not part.ok]


@pytest.mark.parametrize("moves_s", [[-DAY_S, -DAY_S], [60, -3600, 30], [-1, 1, -1]])
def test_a_clock_that_is_moved_moves_no_time_back(world, moves_s):
    known: dict[str, int] = {}
    for number, move_s in enumerate([0, *moves_s]):
        world.clock.move(move_s)
        with world.client() as client:
            client.receipt(client.submit(world.contract(PLANES, f"1.{number}.0")))
        now = cosigned_times(world)
        assert len(now) == 4
        assert all(time_s >= known.get(name, 0) for name, time_s in now.items())
        known = now
    times = seal_times(world)
    assert times == sorted(times)
    assert_clean(world)


def test_a_checkpoint_made_under_a_clock_that_went_back_is_taken_by_who_has_the_right_time(world):
    with world.client() as client:
        client.receipt(client.submit(world.contract(PLANES)))
        before = max(cosigned_times(world).values())
        world.clock.move(-30 * DAY_S)
        receipt = client.receipt(client.submit(world.version(PLANES)))
        trust = trust_of(client.state())
    note = Note.parse(tlogproof.parse_receipt(receipt).note, "its checkpoint")
    made = checkpoint.verify_log(note, trust.origin, trust.log_keys(6))
    times = cosignature.counted(note, [each.key for each in trust.cosigners(made.size)])
    assert len(times) >= trust.quorum(made.size)
    assert max(times.values()) == before  # not ahead of the time that was right
    assert audit(world.log_dir, trust).ok


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond so many bytes meanwhile: what a full disk does, for any user."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_the_database_can_not_grow_nothing_is_taken_in(world):
    client = world.client()
    client.receipt(client.submit(world.contract(PLANES)))
    engine = Engine(world.log_dir, world.log_signer, clock=world.clock)
    grown = max(
        path.stat().st_size for path in world.log_dir.glob(f"{DATABASE}*") if "shm" not in path.name
    )
    for _ in range(2):
        many = [world.contract(f"faa.gov.example/d{number}") for number in range(200)]
        with files_of_at_most(grown), pytest.raises(LedgerUnavailable) as full:
            list(map(engine.submit, many))
        assert full.value.code == "ledger-unwritable"
        assert "make room" in full.value.hint
    data = world.contract("faa.gov.example/after")
    index = engine.submit(data)
    assert engine.submit(data) == index
    engine.close()
    client.receipt(index)
    client.close()
    assert_clean(world)


def test_where_no_tile_can_be_written_the_published_one_stays(world):
    client = world.client()
    client.receipt(client.submit(world.contract(PLANES)))
    before = (world.log_dir / "checkpoint").read_bytes()
    index = client.submit(world.version(PLANES))
    witnesses = client._log._witnesses
    engine = Engine(world.log_dir, world.log_signer, clock=world.clock)
    with files_of_at_most(100), pytest.raises(LedgerUnavailable) as full:
        engine.publish(witnesses)
    assert full.value.code == "ledger-unwritable"
    assert (world.log_dir / "checkpoint").read_bytes() == before
    assert audit(world.log_dir).ok
    assert not list(world.log_dir.rglob(".*.new"))
    engine.publish(witnesses)
    engine.close()
    assert tlogproof.parse_receipt(client.receipt(index)).index == index
    client.close()
    assert_clean(world)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 4 MiB, where this user may make one."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_is_named_and_once_there_is_room_all_goes_on(world, small_disk):
    with world.client() as client:
        client.receipt(client.submit(world.contract(PLANES)))
    own = world.log_dir
    shutil.copytree(own, small_disk / "log")
    shutil.rmtree(own)
    own.symlink_to(small_disk / "log")
    ballast = small_disk / "ballast"
    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(handle, b"\0" * 4096):
            pass
    os.close(handle)
    acknowledged = []

    def fill(client):
        for number in range(500):
            data = world.contract(f"faa.gov.example/d{number}")
            acknowledged.append((client.submit(data), data))
            client.receipt(acknowledged[-1][0])

    with world.client() as client, pytest.raises(LedgerUnavailable) as full:
        fill(client)
    assert full.value.code in ("ledger-unwritable", "ledger-closed")
    ballast.unlink()
    with world.client() as client:
        for index, data in acknowledged:
            assert client.submit(data) == index
        client.receipt(client.submit(world.contract("faa.gov.example/after")))
    assert_clean(world)
