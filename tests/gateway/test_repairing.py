"""What `zhixin ledger rebuild` makes of a damaged, older or lost ledger in a home."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest
from zhixin_errors import LedgerUnavailable
from zhixin_gateway import pipeline
from zhixin_gateway.auditing import audit_home
from zhixin_gateway.cli import main
from zhixin_gateway.home import Home
from zhixin_gateway.repairing import rebuild
from zhixin_ledger.client import contract_statement
from zhixin_ledger.dsse import sign_envelope

ROWS = [("2024-01-02", "B", 10, "JFK"), ("2024-01-03", "C", 20, "LGA")]


@pytest.fixture
def filled(world):
    """Two versions, and every member's copy up to date."""
    for number in (1, 2):
        world.fill("stops", [*ROWS, ("2024-02-01", f"L{number}", number, "EWR")])
        pipeline.run(world.owner, world.stops())
    with world.other.ledger_client() as client:
        client.sync()
    return world


def codes(home: Home) -> dict[str, str | None]:
    return {report["what"]: report["code"] for report in audit_home(home)}


def goes_on(world) -> bool:
    world.fill("stops", [*ROWS, ("2024-03-01", "M", 7, "EWR")])
    result = pipeline.run(world.owner, world.stops())
    with world.other.ledger_client() as client:
        client.sync()
    return (
        not result.pending
        and not any(codes(world.owner).values())
        and not any(codes(world.other).values())
    )


def flip(path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def run(database, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


DAMAGE = {
    "a tile of the log": lambda home: flip(home.path / "log/tile/0/000.p/8"),
    "the log's checkpoint": lambda home: flip(home.path / "log/checkpoint"),
    "an entry of the log's database": lambda home: run(
        home.path / "log/log.sqlite", "DELETE FROM entries WHERE idx = 4"
    ),
    "a fact of the log's database": lambda home: run(
        home.path / "log/log.sqlite", "DELETE FROM facts WHERE slot = 3"
    ),
    "the whole database of the log": lambda home: (home.path / "log/log.sqlite").unlink(),
    "the log's files and database": lambda home: (
        flip(home.path / "log/tile/entries/000.p/8"),
        run(home.path / "log/log.sqlite", "DELETE FROM entries WHERE idx = 4"),
    ),
    "an entry of the copy": lambda home: flip(home.path / "ledger/tile/entries/000.p/8"),
    "a fact of the copy's record": lambda home: run(
        home.path / "ledger/mirror.sqlite", "UPDATE facts SET data = zeroblob(9) WHERE slot = 3"
    ),
    "the whole copy": lambda home: shutil.rmtree(home.path / "ledger"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_one_command_repairs_what_fsck_found(filled, what, capsys):
    home = filled.owner
    DAMAGE[what](home)
    code = main(["ledger", "fsck", "--home", str(home.path)])
    told = capsys.readouterr().err
    if what != "the whole copy":
        assert code == 1
        assert "zhixin ledger rebuild" in told
    assert main(["ledger", "rebuild", "--home", str(home.path)]) == 0
    assert "kept in" in capsys.readouterr().err
    assert not any(codes(home).values())
    assert goes_on(filled)


def test_a_sound_home_is_left_alone(filled):
    before = (filled.owner.path / "log/log.sqlite").read_bytes()
    for source in (None, str(filled.other.path)):
        assert [repair.done for repair in rebuild(filled.owner, source)] == ["", ""]
    assert (filled.owner.path / "log/log.sqlite").read_bytes() == before


def test_keys_settings_and_trust_are_enough_with_any_members_tiles(filled):
    home = filled.owner
    for path in home.path.iterdir():
        if path.name not in ("zhixin.toml", "keys", "trust", "store", "contracts"):
            shutil.rmtree(path)
    repairs = rebuild(home, str(filled.other.ledger_dir))
    assert [repair.entries for repair in repairs] == [8, 8]
    assert goes_on(filled)


def test_a_ledger_is_rebuilt_over_http(filled):
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(filled.other.ledger_dir)
    )
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        shutil.rmtree(filled.owner.path / "log")
        log, _ = rebuild(filled.owner, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    assert log.entries == 8
    assert goes_on(filled)


def test_statements_that_only_the_old_log_held_are_submitted_again(filled):
    with filled.other.ledger_client() as client:
        payload = contract_statement(client.origin, "faa.gov.example/late", "1.0.0", "ab" * 32)
        assert client.submit(sign_envelope(payload, [filled.other.signer()])) == 8
    run(filled.owner.path / "log/log.sqlite", "DELETE FROM entries WHERE idx = 3")
    log, _ = rebuild(filled.owner)
    assert (log.entries, log.submitted, log.lost) == (8, 1, [])
    with filled.other.ledger_client() as client:
        client.receipt(8)
        assert client.state().contract("faa.gov.example/late").version == "1.0.0"
    assert goes_on(filled)


def test_where_nothing_can_serve_it_says_so_and_names_the_way(filled, capsys):
    home = filled.owner
    for name in ("log", "ledger"):
        flip(home.path / name / "tile/entries/000.p/8")
        run(next((home.path / name).glob("*.sqlite")), "DELETE FROM facts WHERE slot = 3")
    with pytest.raises(LedgerUnavailable) as refused:
        rebuild(home)
    assert "--from" in refused.value.hint
    assert main(["ledger", "rebuild", "--from", "nowhere", "--home", str(home.path)]) == 2
    assert "there is no ledger in" in capsys.readouterr().err
    command = ["ledger", "rebuild", "--from", str(filled.other.path), "--home", str(home.path)]
    assert main([*command, "--json"]) == 0
    repairs = json.loads(capsys.readouterr().out)["repairs"]
    assert [(repair["what"], repair["entries"]) for repair in repairs] == [
        ("log", 8), ("own copy", 8),
    ]  # fmt: skip
    assert goes_on(filled)
