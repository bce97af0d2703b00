"""The check of copies on a disk: every part, its first damage, its place and its way out."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest
from zhixin_ledger import embedded, mirror
from zhixin_ledger.fsck import check_log, check_mirror
from zhixin_ledger.trust import trust_of

PLANES = "faa.gov.example/planes"
OWNER = "faa.gov.example"


@pytest.fixture
def filled(world):
    """A ledger of four members with 8 entries published, and 2 durable ones that are not."""
    client = world.client()
    client.submit(world.contract(PLANES))
    first = world.version(PLANES)
    client.submit(first)
    client.receipt(client.submit(world.withdrawal(PLANES, 1)))
    for name in world.names:
        with world.client(name) as other:
            other.sync()
    client.submit(world.version(PLANES, 2, previous=first))
    client.close()
    return world


def log_parts(world, **options):
    return {part.what: part for part in check_log(world.log_dir, **options)}


def copy_parts(world, name: str = OWNER, **options):
    folder = world.home(name) / "ledger"
    return {part.what: part for part in check_mirror(folder, member=name, **options)}


def run(database, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_sound_log_and_copy_are_clean(filled):
    trust = trust_of(filled.client().state())
    told = []
    parts = log_parts(filled, trust=trust, progress=lambda *at: told.append(at))
    assert {what: (part.ok, part.entries) for what, part in parts.items()} == {
        "log": (True, 8), "log database": (True, 10),
    }, parts  # fmt: skip
    assert told[-1] == (10, 10)
    parts = copy_parts(filled, trust=trust)
    assert {what: (part.ok, part.entries) for what, part in parts.items()} == {
        "own copy": (True, 8), "own record": (True, 8),
    }, parts  # fmt: skip
    assert all(part.repair is None for part in parts.values())


def test_a_ledger_that_was_just_founded_is_clean(make_world):
    world = make_world().found()
    assert all(part.ok for part in check_log(world.log_dir))
    with world.client(OWNER) as client:
        client.state()
    assert all(part.ok for part in copy_parts(world).values())


def test_a_copy_that_is_ahead_of_its_checkpoint_is_checked_to_its_end(filled):
    copy = mirror.Mirror(filled.home(OWNER) / "ledger")
    engine = embedded.Engine(filled.log_dir, filled.log_signer, clock=filled.clock)
    kept = (filled.home(OWNER) / "ledger" / "checkpoint").read_bytes()
    engine.publish(filled.client()._log._witnesses)
    engine.close()
    assert copy.state().size == 10
    assert (filled.home(OWNER) / "ledger" / "checkpoint").read_bytes() == kept
    parts = copy_parts(filled)
    assert (parts["own copy"].ok, parts["own copy"].entries) == (True, 10)
    assert parts["own record"].ok
    copy.close()
    bundle = filled.home(OWNER) / "ledger" / "tile" / "entries" / "000.p" / "10"
    data = bundle.read_bytes()
    bundle.write_bytes(data[:-40] + b"x" + data[-39:])
    part = copy_parts(filled)["own copy"]
    assert (part.code, part.index) == ("tile", 9)
    assert "rebuild" in part.repair


LOG_DAMAGE = {
    "an entry that is another": (
        "UPDATE entries SET data = (SELECT data FROM entries WHERE idx = 2) WHERE idx = 4",
        ("database", 4, "entries"),
    ),
    "an entry that is missing": ("DELETE FROM entries WHERE idx = 3", ("database", 3, "entries")),
    "an unpublished entry that is another": (
        "UPDATE entries SET data = (SELECT data FROM entries WHERE idx = 2) WHERE idx = 8",
        ("rule", 8, None),
    ),
    "an unpublished seal that is another": (
        "UPDATE entries SET data = (SELECT data FROM entries WHERE idx = 7) WHERE idx = 9",
        ("seal", 9, None),
    ),
    "an entry of another type": (
        "UPDATE entries SET data = CAST(data AS TEXT) WHERE idx = 5",
        ("database", None, "entries"),
    ),
    "an end that is missing": (
        "DELETE FROM entries WHERE idx >= 6",
        ("database", None, "blocks, size 8"),
    ),
    "an open end": ("DELETE FROM entries WHERE idx >= 9", ("seal", None, "entries")),
    "a root that is another": (
        "UPDATE blocks SET root = zeroblob(32) WHERE size = 6",
        ("database", None, "blocks, size 6"),
    ),
    "a root too many": (
        "INSERT INTO blocks VALUES (11, zeroblob(32))",
        ("database", None, "blocks, size 11"),
    ),
    "an older database": (
        "DELETE FROM entries WHERE idx >= 6; DELETE FROM blocks WHERE size > 6",
        ("ledger-rolled-back", None, "entries"),
    ),
    "a table that is missing": ("DROP TABLE blocks", ("database", None, "log.sqlite")),
}

STATE_DAMAGE = {
    "a fact that is another": (
        "UPDATE facts SET data = (SELECT data FROM facts WHERE slot = 0) WHERE slot = 6",
        ("state", "facts, slot 6"),
    ),
    "a withdrawal that is forgotten": (
        'UPDATE facts SET data = CAST(replace(CAST(data AS TEXT), \'"withdrawn":["1"]\', '
        "'\"withdrawn\":[]') AS BLOB) WHERE key LIKE 'dataset %'",
        ("state", "facts, slot 6"),
    ),
    "a fact under another key": (
        "UPDATE facts SET key = 'contract x' WHERE slot = 5",
        ("state", "facts, slot 5"),
    ),
    "a fact that is missing": (
        "DELETE FROM facts WHERE slot = 6",
        ("state", "facts, slot 6"),
    ),
    "a hash that is another": (
        "UPDATE nodes SET hash = zeroblob(32) WHERE level = 1 AND idx = 0",
        ("state", "nodes: 1, 0"),
    ),
    "a hash too many": (
        "INSERT INTO nodes VALUES (99, 0, zeroblob(32))",
        ("state", "nodes: 99, 0"),
    ),
    "a hash that is missing": ("DELETE FROM nodes WHERE level = 2", ("state", "nodes")),
    "a payload at another place": (
        "UPDATE payloads SET idx = idx + 1",
        ("state", None),
    ),
    "a payload that is missing": (
        "DELETE FROM payloads WHERE idx = 2",
        ("state", "payloads"),
    ),
    "a version at another place": ("UPDATE stated SET idx = 2", ("state", None)),
    "a version that is missing": ("DELETE FROM stated WHERE version = 1", ("state", "stated")),
    "a version too many": (
        "INSERT INTO stated SELECT dataset, 9, idx, statement, manifest FROM stated LIMIT 1",
        ("state", None),
    ),
    "a head of another time": (
        "UPDATE head SET data = CAST(replace(CAST(data AS TEXT), 'T08:', 'T09:') AS BLOB)",
        ("state", "head"),
    ),
}


@pytest.mark.parametrize("name", LOG_DAMAGE)
def test_damage_to_a_logs_rows_is_named(filled, name):
    statements, (code, index, place) = LOG_DAMAGE[name]
    run(filled.log_dir / embedded.DATABASE, *statements.split("; "))
    parts = log_parts(filled)
    part = parts["log database"]
    assert (part.code, part.index, part.place) == (code, index, place), part
    assert "zhixin ledger rebuild" in part.repair
    assert parts["log"].ok


@pytest.mark.parametrize("name", STATE_DAMAGE)
@pytest.mark.parametrize("where", ["log", "copy"])
def test_damage_to_the_state_is_named_in_log_and_copy(filled, where, name):
    statement, (code, place) = STATE_DAMAGE[name]
    if where == "log":
        run(filled.log_dir / embedded.DATABASE, statement)
        part = log_parts(filled)["log database"]
    else:
        run(filled.home(OWNER) / "ledger" / mirror.DATABASE, statement)
        part = copy_parts(filled)["own record"]
    assert part.code == code, part
    assert place is None or part.place == place, part
    assert "zhixin ledger rebuild" in part.repair


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE cosigned SET root = zeroblob(32)", "cosigned"),
        ("UPDATE cosigned SET size = 99", "cosigned"),
        ("UPDATE cosigned_note SET note = CAST('x' AS BLOB)", "cosigned"),
        (
            "UPDATE cosigned_note SET note = "
            "CAST(replace(CAST(note AS TEXT), char(10) || '8' || char(10), char(10) || '6' || "
            "char(10)) AS BLOB)",
            "cosigned",
        ),
        ("DELETE FROM cosigned", "witness-rolled-back"),
    ],
)
def test_damage_to_what_a_witness_remembers_is_named(filled, statement, code):
    run(filled.home(OWNER) / "ledger" / mirror.DATABASE, statement)
    part = copy_parts(filled)["own record"]
    assert part.code == code, part
    assert "rebuild" in part.repair
    if code == "witness-rolled-back":
        assert copy_parts(filled, name="noaa.gov.example")["own record"].ok


def test_a_record_that_is_older_than_its_checkpoint_is_named(filled, tmp_path):
    folder = filled.home(OWNER) / "ledger"
    with closing(sqlite3.connect(folder / mirror.DATABASE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = (folder / mirror.DATABASE).read_bytes()
    with filled.client() as client:
        client.sync()
    with filled.client(OWNER) as client:
        client.sync()
    for suffix in ("-wal", "-shm"):
        folder.joinpath(mirror.DATABASE + suffix).unlink(missing_ok=True)
    (folder / mirror.DATABASE).write_bytes(kept)
    part = copy_parts(filled)["own record"]
    assert part.code == "ledger-rolled-back", part


def test_damaged_pages_are_named_in_words(filled):
    path = filled.log_dir / embedded.DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:size] + b"\xff" * size + whole[2 * size :])
    part = log_parts(filled)["log database"]
    assert part.code == "database"
    assert "SQLite says" in part.message or "can't be read" in part.message
    path.write_bytes(b"no database at all" * 300)
    assert "can't be read" in log_parts(filled)["log database"].message
    path.unlink()
    assert log_parts(filled)["log database"].message == "log.sqlite is missing"


def test_a_flipped_bit_of_any_entry_in_the_database_is_found(filled):
    path = filled.log_dir / embedded.DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = [bytes(row[0]) for row in connection.execute("SELECT data FROM entries")]
    whole = path.read_bytes()
    chance = random.Random(20260131)
    for index, entry in enumerate(rows):
        pieces = [entry[at : at + 40] for at in range(0, len(entry) - 40, 8)]
        piece = chance.choice([piece for piece in pieces if whole.count(piece) == 1])
        at = whole.index(piece) + chance.randrange(40)
        path.write_bytes(
            whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]
        )
        part = log_parts(filled)["log database"]
        assert (part.ok, part.index) == (False, index), (index, part)
    path.write_bytes(whole)
    assert log_parts(filled)["log database"].ok


def test_damaged_tiles_of_a_log_are_repaired_from_its_database(filled):
    bundle = next((filled.log_dir / "tile" / "entries").rglob("8"))
    bundle.write_bytes(bundle.read_bytes()[:-1] + b"x")
    parts = log_parts(filled)
    assert (parts["log"].code, parts["log"].index) == ("tile", 7)
    assert parts["log database"].ok  # judged by the rules alone
    assert "from the database" in parts["log"].repair
    run(filled.log_dir / embedded.DATABASE, "DELETE FROM entries WHERE idx = 3")
    parts = log_parts(filled)
    assert parts["log database"].code == "database"
    assert all("--from MIRROR" in part.repair for part in parts.values())


def test_a_ledger_of_broken_rules_is_not_repaired(filled):
    shutil.rmtree(filled.log_dir / "tile")
    run(filled.log_dir / embedded.DATABASE, "UPDATE entries SET data = zeroblob(9) WHERE idx = 8")
    parts = log_parts(filled)
    assert parts["log database"].code == "rule"


def test_a_checkpoint_that_went_missing_is_damage_to_who_pinned_the_ledger(filled):
    trust = trust_of(filled.client().state())
    (filled.log_dir / "checkpoint").unlink()
    assert log_parts(filled, trust=trust)["log"].code == "malformed"
    assert log_parts(filled)["log"].ok


def test_copies_that_are_worked_on_meanwhile_are_clean(filled):
    stop, faults = threading.Event(), []

    def work() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                with filled.client(OWNER) as client:
                    data = filled.contract(f"faa.gov.example/d{number}")
                    client.receipt(client.submit(data))
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(8):
            parts = check_log(filled.log_dir)
            parts += [part for name in filled.names for part in copy_parts(filled, name).values()]
            assert all(part.ok for part in parts), [part for part in parts if not part.ok]
    finally:
        stop.set()
        thread.join(60)
    assert not faults


def test_a_file_of_an_earlier_size_is_held_to_what_it_became(filled):
    """Its readers still ask for it; one that goes on beyond its size is none."""
    now = (filled.log_dir / "tile/0/000.p/8").read_bytes()
    earlier = filled.log_dir / "tile/0/000.p/4"
    earlier.write_bytes(now[: 4 * 32] + b"\0" * 32)
    found = log_parts(filled)["log"]
    assert (found.code, found.index) == ("tile", 3)
    assert "000.p/4, of an earlier size" in found.message
    earlier.write_bytes(now[: 4 * 32])
    assert log_parts(filled)["log"].ok
