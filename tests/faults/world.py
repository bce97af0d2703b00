"""A small ledger whose bytes never differ from run to run: keys come from names, the clock stands.

Four members with a home each, of which the first operates the log and all cosign, and a reader that
only keeps a copy. What they publish, and in which order, is fixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from zhixin_ledger import dsse
from zhixin_ledger.client import (
    LedgerClient,
    WitnessUrl,
    contract_statement,
    dataset_statement,
    found_ledger,
    make_genesis,
    member_object,
)
from zhixin_ledger.embedded import Engine
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, VerifierKey
from zhixin_ledger.signers import MemorySigner, Signer

ORIGIN = "ledger.gov.example/2026"
NAMES = ("bts.gov.example", "faa.gov.example", "noaa.gov.example", "ntsb.gov.example")
READER = "reader.gov.example"
OPERATOR, OWNER = NAMES[:2]
QUORUM = 3
PLANES = f"{OWNER}/planes"

LoadKey = Callable[[Path], Signer]


def clock() -> datetime:
    return datetime(2026, 1, 31, 9, tzinfo=UTC)


@cache
def signer(name: str, use: str) -> MemorySigner:
    """The key of a member for a use: statement, cosigner or log."""
    return MemorySigner(hashlib.sha256(f"{use} of {name}".encode()).digest())


def load_key(path: Path) -> Signer:
    """A key as if from <home>/keys/<use>.pem."""
    return signer(path.parts[-3], path.stem)


def _member(name: str) -> dict:
    return member_object(
        name,
        (name, "成员"),
        statement_key=signer(name, "statement").public_key,
        cosigner=VerifierKey.make(
            f"{name}/witness", COSIGNATURE_V1, signer(name, "cosigner").public_key
        ),
        log=VerifierKey.make(ORIGIN, ED25519, signer(name, "log").public_key)
        if name == OPERATOR
        else None,
    )


def found(root: Path, *, filler: int = 0) -> None:
    """Found the ledger in a folder; with `filler`, publish one block of so many entries besides."""
    for name in (*NAMES, READER):
        (root / name).mkdir(parents=True)
    genesis = make_genesis(
        ORIGIN,
        QUORUM,
        [_member(name) for name in NAMES],
        [signer(name, "statement") for name in NAMES],
    )
    log = root / OPERATOR / "log"
    found_ledger(log, ORIGIN, signer(OPERATOR, "log"), genesis, clock).close()
    if filler:
        engine = Engine(log, signer(OPERATOR, "log"), clock=clock)
        engine.submit_many([contract(f"{OWNER}/filler-{at}") for at in range(filler)])
        engine.close()
        for name in (READER, *NAMES):
            client = open_client(root, name)
            client.sync()
            client.close()


def contract(dataset: str) -> bytes:
    owner = signer(dataset.split("/", maxsplit=1)[0], "statement")
    return dsse.sign_envelope(contract_statement(ORIGIN, dataset, "1.0.0", "c0" * 32), [owner])


def version(dataset: str, number: int, previous: bytes | None) -> bytes:
    payload = dataset_statement(
        ORIGIN,
        dataset,
        number,
        root_hex="a0" * 32,
        contract=("1.0.0", "c0" * 32),
        previous_hex=None if previous is None else hashlib.sha256(previous).hexdigest(),
        inputs=(),
        manifest_sha256_hex=f"{number:064x}",
    )
    owner = signer(dataset.split("/", maxsplit=1)[0], "statement")
    return dsse.sign_envelope(payload, [owner])


def rounds() -> list[list[bytes]]:
    """What is published, round by round: two rounds, three entries."""
    first = version(PLANES, 1, None)
    return [[contract(PLANES), first], [version(PLANES, 2, first)]]


def open_client(root: Path, name: str, keys: LoadKey = load_key) -> LedgerClient:
    """A member's view, which asks all four witnesses."""
    witnesses: Sequence[WitnessUrl] = [WitnessUrl(item, f"file:../{item}") for item in NAMES]
    return LedgerClient.open(
        root / name / "ledger", f"file:../{OPERATOR}", witnesses, clock, load_key=keys
    )
