"""The embedded engine: what is durable, when, and what it never does."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import closing
from datetime import timedelta
from itertools import pairwise

import pytest
from zhixin_errors import ConfigError, LedgerRefused, LedgerUnavailable
from zhixin_ledger import checkpoint, seal, statements
from zhixin_ledger.client import found_ledger
from zhixin_ledger.embedded import DATABASE, Engine
from zhixin_ledger.seal import parse_seal
from zhixin_ledger.signers import MemorySigner

PLANES = "faa.gov.example/planes"


def engine_of(world, **options) -> Engine:
    return Engine(world.log_dir, world.log_signer, clock=world.clock, **options)


def stored(world) -> list[bytes]:
    with sqlite3.connect(world.log_dir / DATABASE) as database:
        rows = database.execute("SELECT data FROM entries ORDER BY idx").fetchall()
    database.close()
    return [row[0] for row in rows]


def test_a_ledger_begins_with_genesis_and_its_seal(world):
    entries = stored(world)
    assert len(entries) == 2
    first = parse_seal(entries[1])
    assert (first.first, first.height, first.previous_hex, first.facts) == (0, 0, None, 5)


def test_an_index_is_given_only_once_it_is_durable(world):
    seen = []

    def hook(step: str) -> None:
        if step == "after-commit":
            seen.append(len(stored(world)))

    engine = engine_of(world, hook=hook)
    assert engine.submit(world.contract(PLANES)) == 2
    assert seen == [4]
    engine.close()


def test_the_same_payload_gives_its_index_again_and_makes_no_block(world):
    engine = engine_of(world)
    data = world.contract(PLANES)
    assert engine.submit(data) == 2
    assert engine.submit(data) == 2
    assert engine.submit(b"\n " + data + b" ") == 2
    assert len(stored(world)) == 4
    engine.close()


def test_a_refusal_leaves_no_trace(world):
    engine = engine_of(world)
    with pytest.raises(LedgerRefused) as refused:
        engine.submit(world.version(PLANES))
    assert refused.value.code == "contract-not-newest"
    assert len(stored(world)) == 2
    assert engine.submit(world.contract(PLANES)) == 2
    engine.close()


def test_threads_share_a_transaction(world):
    entered, go = threading.Event(), threading.Event()

    def hook(step: str) -> None:
        if step == "before-commit" and not entered.is_set():
            entered.set()
            go.wait(10)

    engine = engine_of(world, hook=hook)
    indexes: dict[str, int] = {}

    def submit(name: str) -> None:
        indexes[name] = engine.submit(world.contract(f"faa.gov.example/{name}"))

    first = threading.Thread(target=submit, args=("first",))
    first.start()
    entered.wait(10)
    others = [threading.Thread(target=submit, args=(f"d{at}",)) for at in range(60)]
    for thread in others:
        thread.start()
    while len(engine._queue) < 60:
        pass
    go.set()
    for thread in (first, *others):
        thread.join()
    assert indexes.pop("first") == 2
    assert sorted(indexes.values()) == list(range(4, 64))
    seals = [parse_seal(entry) for entry in stored(world) if seal.is_seal(entry)]
    assert [item.first for item in seals] == [0, 2, 4]
    engine.close()


def test_a_group_larger_than_a_block_makes_more_blocks(world, monkeypatch):
    monkeypatch.setattr("zhixin_ledger.embedded.GROUP", 7)
    engine = engine_of(world)
    threads = [
        threading.Thread(target=engine.submit, args=(world.contract(f"faa.gov.example/d{at}"),))
        for at in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = stored(world)
    seals = [index for index, entry in enumerate(entries) if seal.is_seal(entry)]
    assert len(entries) - len(seals) == 31
    assert max(b - a for a, b in pairwise(seals)) <= 8
    engine.close()


def test_an_entry_behind_many_others_is_written_all_the_same(world, monkeypatch):
    from zhixin_ledger.embedded import _Ticket

    monkeypatch.setattr("zhixin_ledger.embedded.GROUP", 3)
    engine = engine_of(world)
    engine._queue.extend(_Ticket(world.contract(f"faa.gov.example/d{at}")) for at in range(10))
    assert engine.submit(world.contract(PLANES)) == 2 + 10 + 3
    engine.close()


def test_one_refusal_in_a_group_stops_no_other(world):
    engine = engine_of(world)
    good, bad = world.contract(PLANES), world.version(PLANES, 2)
    from zhixin_ledger.embedded import _Ticket

    tickets = [_Ticket(bad), _Ticket(good), _Ticket(good)]
    engine._queue.extend(tickets)
    with engine._writing:
        engine._commit_queued()
    assert tickets[0].fault.code == "contract-not-newest"
    assert (tickets[1].index, tickets[2].index) == (2, 2)
    engine.close()


def test_what_a_failed_commit_held_is_forgotten(world):
    broken = [True]

    def hook(step: str) -> None:
        if step == "inside-commit" and broken:
            broken.clear()
            raise LedgerUnavailable("the disk is full")

    engine = engine_of(world, hook=hook)
    with pytest.raises(LedgerUnavailable, match="disk"):
        engine.submit(world.contract(PLANES))
    assert len(stored(world)) == 2
    assert engine.submit(world.contract(PLANES)) == 2
    assert engine.submit(world.version(PLANES)) == 4
    engine.close()


def test_a_block_that_could_not_be_sealed_is_forgotten(world):
    engine = engine_of(world)
    assert engine.submit(world.contract(PLANES)) == 2
    clock = engine._clock

    def broken():
        raise LedgerUnavailable("no time")

    engine._clock = broken
    with pytest.raises(LedgerUnavailable, match="no time"):
        engine.submit(world.version(PLANES))
    engine._clock = clock
    assert engine.submit(world.version(PLANES)) == 4
    assert len(stored(world)) == 6
    engine.close()


def test_a_bug_in_the_engine_gives_no_index_away(world):
    def hook(step: str) -> None:
        if step == "inside-commit":
            raise RuntimeError("a bug")

    engine = engine_of(world, hook=hook)
    from zhixin_ledger.embedded import _Ticket

    beside = _Ticket(world.contract(PLANES))
    engine._queue.append(beside)
    with pytest.raises(RuntimeError):
        engine.submit(world.contract("faa.gov.example/other"))
    assert beside.done
    assert beside.index is None
    assert len(stored(world)) == 2
    engine.close()


def test_times_never_go_back(world):
    engine = engine_of(world)
    engine.submit(world.contract(PLANES))
    world.clock.now -= timedelta(days=1)
    engine.submit(world.version(PLANES))
    times = [parse_seal(entry).time for entry in stored(world) if seal.is_seal(entry)]
    assert times == sorted(times)
    assert times[1] == times[2]
    engine.close()


def test_another_process_that_writes_is_waited_for_and_then_given_up(world):
    engine = engine_of(world, timeout_s=0.1)
    other = sqlite3.connect(world.log_dir / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable) as busy:
        engine.submit(world.contract(PLANES))
    assert busy.value.code == "ledger-busy"
    other.execute("ROLLBACK")
    other.close()
    assert engine.submit(world.contract(PLANES)) == 2
    engine.close()


def test_two_engines_take_turns_and_see_each_others_entries(world):
    one, two = engine_of(world), engine_of(world)
    assert one.submit(world.contract(PLANES)) == 2
    version = world.version(PLANES)
    assert two.submit(version) == 4
    assert one.submit(world.version(PLANES, 2, previous=version)) == 6
    one.close()
    two.close()


def test_nothing_is_published_without_the_quorum(world):
    engine = engine_of(world)
    engine.submit(world.contract(PLANES))
    assert engine.pending()
    with pytest.raises(LedgerUnavailable) as missing:
        engine.publish([])
    assert missing.value.code == "quorum"
    assert missing.value.details == {"cosigned": 0, "quorum": 3}
    assert not (world.log_dir / "checkpoint").exists()
    engine.close()


def test_a_log_that_is_older_than_its_checkpoint_never_signs_again(world):
    client = world.client()
    client.submit(world.contract(PLANES))
    client.receipt(2)
    client.close()
    for suffix in ("", "-wal", "-shm"):
        path = world.log_dir / f"{DATABASE}{suffix}"
        if path.exists():
            shutil.copy(path, f"{path}.old")
    client = world.client()
    client.submit(world.version(PLANES))
    client.receipt(4)
    client.close()
    for path in world.log_dir.glob(f"{DATABASE}*"):
        if path.suffix != ".old":
            path.unlink()
    for path in world.log_dir.glob("*.old"):
        path.rename(path.with_suffix(""))
    engine = engine_of(world)
    for act in (
        lambda: engine.submit(world.contract(PLANES, "2.0.0")),
        lambda: engine.publish([]),
    ):
        with pytest.raises(LedgerUnavailable) as refused:
            act()
        assert refused.value.code == "ledger-rolled-back"
    engine.close()


def test_the_logs_key_must_be_in_force(world):
    engine = Engine(world.log_dir, MemorySigner(b"\1" * 32), clock=world.clock)
    with pytest.raises(ConfigError) as refused:
        engine.publish([])
    assert refused.value.code == "log-key"
    engine.close()


def test_a_checkpoint_that_covers_enough_is_not_made_again(world):
    client = world.client()
    client.submit(world.contract(PLANES))
    client.receipt(2)
    engine = engine_of(world)
    assert not engine.pending()
    note = engine.publish([])
    assert checkpoint.parse(note.text).size == 4
    assert engine.publish([], size=3).format() == note.format()
    engine.close()


def test_there_is_no_engine_without_a_ledger(tmp_path):
    with pytest.raises(LedgerUnavailable) as missing:
        Engine(tmp_path, MemorySigner(b"\1" * 32), clock=lambda: None)
    assert missing.value.code == "ledger-missing"


def test_a_ledger_is_not_founded_twice(world):
    genesis = stored(world)[0]
    with pytest.raises(ConfigError, match="already"):
        found_ledger(world.log_dir, world.origin, world.log_signer, genesis, world.clock)


def test_genesis_must_be_of_the_origin_and_name_the_logs_key(make_world):
    world = make_world()
    genesis = statements.make_genesis(
        world.origin, world.quorum, world.members(), world.signers.values()
    )
    with pytest.raises(ConfigError, match="founds"):
        found_ledger(world.log_dir, "other.example/1", world.log_signer, genesis, world.clock)
    with pytest.raises(ConfigError, match="key"):
        found_ledger(world.log_dir, world.origin, MemorySigner(b"\1" * 32), genesis, world.clock)
    assert not world.log_dir.exists()
    with pytest.raises(LedgerRefused) as refused:
        found_ledger(world.log_dir, world.origin, world.log_signer, b"{}", world.clock)
    assert refused.value.code == "malformed"


def test_a_founding_that_died_can_be_done_again(make_world):
    world = make_world()
    world.log_dir.mkdir(parents=True)
    sqlite3.connect(world.log_dir / DATABASE).close()
    world.found()
    assert len(stored(world)) == 2


def test_a_database_without_genesis_is_no_ledger(tmp_path, world):
    folder = tmp_path / "empty"
    folder.mkdir()
    database = sqlite3.connect(folder / DATABASE)
    from zhixin_ledger.store import SqliteStore

    database.executescript(SqliteStore.SCHEMA)
    database.close()
    engine = Engine(folder, world.log_signer, clock=world.clock)
    with pytest.raises(LedgerUnavailable) as missing:
        engine.submit(world.contract(PLANES))
    assert missing.value.code == "ledger-missing"
    engine.close()


def test_a_batch_is_one_block_with_an_answer_for_each(world):
    syncs = []
    engine = engine_of(world, hook=syncs.append)
    good, bad = world.contract(PLANES), world.version(PLANES, 2)
    answers = engine.submit_many([good, bad, b"{}", good, world.version(PLANES)])
    assert [answers[0], *answers[3:]] == [2, 2, 3]
    assert [fault.code for fault in answers[1:3]] == ["version-order", "malformed"]
    assert syncs == ["before-commit", "inside-commit", "after-commit"]
    seals = [parse_seal(entry) for entry in stored(world) if seal.is_seal(entry)]
    assert [item.first for item in seals] == [0, 2]
    engine.close()


def test_a_batch_of_nothing_or_of_too_many_writes_nothing(world):
    engine = engine_of(world)
    assert engine.submit_many([]) == []
    with pytest.raises(ValueError, match="256"):
        engine.submit_many([world.contract(PLANES)] * 257)
    assert len(stored(world)) == 2
    engine.close()


def test_a_batch_whose_commit_fails_is_not_in_at_all(world):
    broken = [True]

    def hook(step: str) -> None:
        if step == "inside-commit" and broken:
            broken.clear()
            raise LedgerUnavailable("the disk is full")

    engine = engine_of(world, hook=hook)
    batch = [world.contract(PLANES), world.version(PLANES), b"{}"]
    answers = engine.submit_many(batch)
    assert [fault.code for fault in answers] == ["ledger-unavailable"] * 2 + ["malformed"]
    assert len(stored(world)) == 2
    assert engine.submit_many(batch)[:2] == [2, 3]
    engine.close()


def test_a_server_alone_writes(world):
    beside = engine_of(world)
    server = engine_of(world, hold=True)
    assert server.submit(world.contract(PLANES)) == 2
    began = time.monotonic()
    for act in (
        lambda: beside.submit(world.version(PLANES)),
        lambda: beside.publish([]),
        lambda: engine_of(world, hold=True),
    ):
        with pytest.raises(LedgerUnavailable) as busy:
            act()
        assert busy.value.code == "ledger-busy"
        assert "URL" in busy.value.hint
    assert time.monotonic() - began < 10  # of the 30 for which a writer would be waited for
    assert beside.submit_many([world.version(PLANES)])[0].code == "ledger-busy"
    assert server.submit(world.version(PLANES)) == 4
    assert len(stored(world)) == 6
    server.close()
    assert beside.submit(world.version(PLANES, 2, previous=world.version(PLANES))) == 6
    beside.close()


def test_a_server_that_starts_waits_for_who_is_writing(world):
    entered, go = threading.Event(), threading.Event()

    def hook(step: str) -> None:
        if step == "inside-commit":
            entered.set()
            go.wait(10)

    beside = engine_of(world, hook=hook)
    writer = threading.Thread(target=beside.submit, args=(world.contract(PLANES),))
    writer.start()
    entered.wait(10)
    with pytest.raises(LedgerUnavailable) as busy:
        engine_of(world, hold=True, timeout_s=0.05)
    assert busy.value.code == "ledger-busy"
    threading.Timer(0.1, go.set).start()
    server = engine_of(world, hold=True)
    assert server.submit(world.version(PLANES)) == 4
    writer.join()
    server.close()
    beside.close()


def test_a_ledger_that_may_not_be_written_says_so(world):
    engine = engine_of(world)
    (world.log_dir / "writer.lock").mkdir()
    with pytest.raises(LedgerUnavailable) as refused:
        engine.submit(world.contract(PLANES))
    assert refused.value.code == "ledger-unwritable"
    engine.close()


def test_a_try_without_the_quorum_is_not_tiled_again(world):
    steps = []
    engine = engine_of(world, hook=steps.append)
    for number in range(3):
        if number < 2:
            engine.submit(world.contract(PLANES, f"{number + 1}.0.0"))
        steps.clear()
        with pytest.raises(LedgerUnavailable):
            engine.publish([])
        assert ("tile" in steps) == (number < 2)
    engine.close()
    client = world.client()
    client.receipt(4)
    assert client.fsck().ok


def test_the_database_is_let_go_while_witnesses_take_their_time(world):
    busy = []

    class Slow:
        name = world.names[0]

        def add_checkpoint(self, old_size, proof, note):
            del old_size, proof, note
            with closing(sqlite3.connect(world.log_dir / DATABASE, timeout=0)) as database:
                busy.append(database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
            raise LedgerUnavailable("too late")

        def latest(self, origin):
            del origin

    engine = engine_of(world)
    engine.submit(world.contract(PLANES))
    with pytest.raises(LedgerUnavailable):
        engine.publish([Slow()])
    assert busy == [0]
    engine.close()
