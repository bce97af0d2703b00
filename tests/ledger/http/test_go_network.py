"""Programs of other makers on the network: a client, a witness and a log, all written in Go.

They are torchwood's client, torchwood's litewitness with its key in a real ssh-agent, and a Tessera
log; the Go module stands in tests/interop/network. A missing Go (1.27) or ssh-agent fails these
tests, because interoperability is what they are for: `make setup-test` installs both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from zhixin_errors import LedgerRefused, LedgerUnavailable
from zhixin_ledger import checkpoint, cosignature
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.http.client import HttpWitness
from zhixin_ledger.keys import ED25519, VerifierKey
from zhixin_ledger.note import Note, parse_signature_lines
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.tiles import DirectorySource, Tiles
from zhixin_ledger.transport import FileWitness, Means
from zhixin_ledger.trust import trust_of

PLANES = "faa.gov.example/planes"
LITE = "witness.example/lite"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("go-network")]


def soon(found: Callable[[], object], what: str, seconds: float = 30) -> object:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} was not there within {seconds} s")


def file_witnesses(world, *names: str) -> list[FileWitness]:
    source, means = DirectorySource(world.log_dir), Means(world.clock)
    return [FileWitness(name, world.home(name), source, means) for name in names or world.names]


# A client in Go reads our log.


def test_a_go_client_follows_our_checkpoints_and_reads_every_entry(
    world, serve_log, programs, start, entries_of
):
    served = serve_log()
    receipt = f"{served.url}/entries?wait=receipt"
    assert httpx.post(receipt, content=world.contract(PLANES), timeout=60).status_code == 201
    policy = trust_of(world.client().sync()).policy()
    follower = start(
        programs / "network", "follow", "-url", served.url, "-policy", policy, "-until", "8"
    )
    first = json.loads(follower.stdout.readline())
    data = world.version(PLANES)
    assert httpx.post(receipt, content=data, timeout=60).status_code == 201
    again = world.version(PLANES, 2, previous=data)
    assert httpx.post(receipt, content=again, timeout=60).status_code == 201
    out, _ = follower.communicate(timeout=60)
    assert follower.returncode == 0
    answers = [first, *map(json.loads, out.splitlines())]
    assert (answers[0]["size"], answers[-1]["size"]) == (4, 8)
    assert [item["proved"] for item in answers] == [False] + [True] * (len(answers) - 1)
    digests = [hashlib.sha256(entry).hexdigest() for entry in entries_of(world)]
    assert [digest for item in answers for digest in item["entries"]] == digests
    tree = Tiles(DirectorySource(world.log_dir), 8)
    assert base64.b64decode(answers[-1]["root"]) == tree.root()


@pytest.mark.parametrize("place", ["tile/entries/000.p/6", "tile/0/000.p/6", "checkpoint"])
def test_a_go_client_sees_an_altered_byte_in_what_we_serve(
    world, serve_log, programs, start, place
):
    client = world.client()
    client.submit(world.contract(PLANES))
    client.receipt(client.submit(world.version(PLANES)))
    policy = trust_of(client.state()).policy()
    client.close()
    served = serve_log()
    path = world.log_dir / place
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    follower = start(
        programs / "network", "follow", "-url", served.url, "-policy", policy, "-until", "6",
        "-timeout", "5s", stderr=subprocess.PIPE,
    )  # fmt: skip
    _, err = follower.communicate(timeout=60)
    assert follower.returncode == 1, err


# A witness in Go cosigns our log.


@pytest.fixture
def litewitness(world, programs, start, tmp_path) -> tuple[str, VerifierKey]:
    """A litewitness that knows our log: its URL and its key."""
    for tool in ("ssh-agent", "ssh-add", "ssh-keygen"):
        assert shutil.which(tool), f"{tool} is not installed: run `make setup-test`"
    key, agent = tmp_path / "lite.pem", tmp_path / "agent.sock"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    print_of = ["ssh-keygen", "-lf", f"{key}.pub"]
    fingerprint = subprocess.run(print_of, check=True, capture_output=True, text=True).stdout
    start("ssh-agent", "-D", "-a", agent)
    soon(agent.exists, "the ssh-agent")
    environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    subprocess.run(["ssh-add", "-q", key], check=True, env=environment)
    log_key = VerifierKey.make(world.origin, ED25519, world.log_signer.public_key)
    tell_of_log(tmp_path / "lite.db", world.origin, log_key)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    log = tmp_path / "lite.log"
    with log.open("wb") as errors:
        start(
            programs / "litewitness", "-name", LITE, "-key", fingerprint.split()[1],
            "-ssh-agent", agent, "-db", tmp_path / "lite.db", "-listen", address, "-obscurity",
            stderr=errors,
        )  # fmt: skip
    vkey = soon(lambda: re.search(r'vkey="?([^"\s]+)', log.read_text()), "the witness's key")
    soon(lambda: answers_at(address), "litewitness")
    return f"http://{address}", VerifierKey.parse(vkey[1])


def tell_of_log(path: Path, origin: str, key: VerifierKey) -> None:
    """Make a log known, as `witnessctl add-log` and `add-key` do."""
    database = sqlite3.connect(path)
    database.executescript(
        "CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL,"
        " tree_hash TEXT NOT NULL);"
        "CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL,"
        " FOREIGN KEY(origin) REFERENCES log(origin));"
    )
    empty = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    database.execute("INSERT INTO log VALUES (?, 0, ?)", (origin, empty))
    database.execute("INSERT INTO key VALUES (?, ?)", (origin, key.text))
    database.commit()
    database.close()


def answers_at(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_litewitness_cosigns_our_checkpoints_as_they_grow(world, litewitness):
    url, key = litewitness
    witness = HttpWitness(LITE, url)
    client = world.client()
    old, last = 0, b""
    for data in (world.contract(PLANES), world.version(PLANES)):
        client.receipt(client.submit(data))
        note = Note.parse(client.checkpoint(), "ours")
        made = checkpoint.parse(note.text)
        tree = Tiles(DirectorySource(world.log_dir), made.size)
        proof = tree.consistency_path(old) if old else []
        [line] = parse_signature_lines(witness.add_checkpoint(old, proof, note.format()))
        assert (line.name, line.key_id) == (LITE, key.key_id)
        assert abs(cosignature.verify(line, key, note.text) - time.time()) < 300
        old, last = made.size, note.format()
    with pytest.raises(LedgerRefused) as conflict:
        witness.add_checkpoint(0, [], last)
    assert (conflict.value.code, conflict.value.details) == ("witness-conflict", {"size": 6})
    forked = checkpoint.sign(Checkpoint(world.origin, 8, bytes(32)), world.log_signer)
    with pytest.raises(LedgerRefused):
        witness.add_checkpoint(6, [bytes(32)], forked.format())
    stranger = checkpoint.sign(Checkpoint(world.origin, 8, bytes(32)), MemorySigner(bytes(32)))
    with pytest.raises(LedgerRefused) as unsigned:
        witness.add_checkpoint(6, [bytes(32)], stranger.format())
    assert unsigned.value.code == "log-signature"
    witness.close()


def test_a_witness_of_another_make_is_asked_but_does_not_count(world, serve_log, litewitness):
    url, key = litewitness
    witness = HttpWitness(LITE, url)
    two = file_witnesses(world, *world.names[:2])
    engine = serve_log([*two, witness]).service.engine
    engine.submit(world.contract(PLANES))
    with pytest.raises(LedgerUnavailable) as missing:
        engine.publish([*two, witness])
    assert missing.value.code == "quorum"
    assert missing.value.details["cosigned"] == 2
    assert not (world.log_dir / "checkpoint").exists()
    with sqlite3.connect(world.root.parent / "lite.db") as database:
        [(size,)] = database.execute("SELECT tree_size FROM log").fetchall()
    database.close()
    assert size == 4  # it cosigned all the same
    note = engine.publish([*file_witnesses(world), witness])
    assert (key.name, key.key_id) not in {(line.name, line.key_id) for line in note.signatures}
    witness.close()
