"""A log written in Go, by Tessera, and served by it: our witness fetches, replays and cosigns it.

The log holds Zhixin's entries, but its tiles, tree, checkpoints and consistency proofs are
Tessera's, and it checks our cosignature itself before it publishes. What breaks the rules our
witness does not cosign, whatever the log's signature says.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from zhixin_ledger import checkpoint, cosignature
from zhixin_ledger.http.client import HttpSource
from zhixin_ledger.http.serving import running
from zhixin_ledger.http.witness_app import make_witness_app
from zhixin_ledger.http.witness_service import WitnessService
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, VerifierKey
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note
from zhixin_ledger.signers import load_signer
from zhixin_ledger.tiles import DirectorySource, Tiles

PLANES = "faa.gov.example/planes"
WITNESS = "faa.gov.example"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("go-network")]


@dataclass
class GoLog:
    """A Tessera log that wants our witness's cosignature, and the witness."""

    process: object
    mirror: Mirror
    key: VerifierKey
    witness_url: str

    def add(self, entries: list[bytes]) -> dict[str, str]:
        """Have it add entries in one go; gives what it published, or why not."""
        line = json.dumps([base64.b64encode(entry).decode() for entry in entries])
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def go_log(world, programs, start, tmp_path) -> Iterator[GoLog]:
    """A Tessera log under the world's log key, and the witness of one of its members."""
    pem = (world.home(world.names[0]) / "keys" / "log.pem").read_bytes()
    seed = load_pem_private_key(pem, None).private_bytes_raw()
    key_id = VerifierKey.make(world.origin, ED25519, world.log_signer.public_key).key_id
    secret = base64.b64encode(b"\x01" + seed).decode()
    process = start(
        programs / "network", "log", "-folder", tmp_path / "tessera", "-timeout", "3s",
        "-key", f"PRIVATE+KEY+{world.origin}+{key_id.hex()}+{secret}", stdin=-1,
    )  # fmt: skip
    log_url = json.loads(process.stdout.readline())["url"]
    signer = load_signer(world.home(WITNESS) / "keys" / "cosigner.pem")
    mirror, source = Mirror(tmp_path / "copy"), HttpSource(log_url)
    service = WitnessService(WITNESS, mirror, lambda: [signer], source, world.clock)
    key = VerifierKey.make(f"{WITNESS}/witness", COSIGNATURE_V1, signer.public_key)
    with running(make_witness_app(service)) as url:
        process.stdin.write(f"{key.text} {url}\n")
        process.stdin.flush()
        yield GoLog(process, mirror, key, url)
    mirror.close()
    source.close()


def test_our_witness_cosigns_a_log_that_tessera_wrote(world, go_log, entries_of):
    client = world.client()
    client.submit(world.contract(PLANES))
    client.receipt(client.submit(world.version(PLANES)))
    client.close()
    entries = entries_of(world)
    for size, added in ((4, entries[:4]), (6, entries[4:])):
        answer = go_log.add(added)
        assert answer.get("cosigned") == go_log.key.name, answer
        note = Note.parse(base64.b64decode(answer["checkpoint"]))
        made = checkpoint.parse(note.text)
        root = Tiles(DirectorySource(world.log_dir), 6).root(size)
        assert (made.origin, made.size, made.root) == (world.origin, size, root)
        assert set(cosignature.counted(note, [go_log.key])) == {go_log.key}
        assert go_log.mirror.cosigned()[:2] == (size, root)
    assert list(go_log.mirror.tree().entries()) == entries


@pytest.mark.parametrize("fault", ["a signature fails", "no seal at the end", "not ours at all"])
def test_our_witness_does_not_cosign_what_breaks_the_rules(world, go_log, entries_of, fault):
    client = world.client()
    client.receipt(client.submit(world.contract(PLANES)))
    client.close()
    entries = entries_of(world)
    assert go_log.add(entries[:2]).get("cosigned") == go_log.key.name
    contract = json.loads(entries[2])
    signature = contract["signatures"][0]
    signature["sig"] = base64.b64encode(base64.b64decode(signature["sig"])[::-1]).decode()
    altered = json.dumps(contract, separators=(",", ":")).encode()
    bad = {
        "a signature fails": [altered, entries[3]],
        "no seal at the end": entries[2:3],
        "not ours at all": [b"an entry of another ledger"],
    }
    answer = go_log.add(bad[fault])
    assert "not" in answer.get("error", "") or "no checkpoint" in answer["error"], answer
    assert go_log.mirror.cosigned()[0] == 2
    status = httpx.get(f"{go_log.witness_url}/status").json()
    assert status["origin"] == world.origin
