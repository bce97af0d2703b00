"""A ledger's whole world on one machine: members with homes, keys and witnesses, and a clock."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from zhixin_ledger import dsse
from zhixin_ledger.client import (
    LedgerClient,
    WitnessUrl,
    contract_statement,
    dataset_statement,
    found_ledger,
    make_genesis,
    member_object,
    withdrawal_statement,
)
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, VerifierKey
from zhixin_ledger.signers import MemorySigner, generate_signer

VECTORS = Path(__file__).parents[1] / "vectors"
ORIGIN = "ledger.gov.example/2026"
NAMES = ("bts.gov.example", "faa.gov.example", "noaa.gov.example", "ntsb.gov.example")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class World:
    """Members under one folder; the first operates the ledger."""

    root: Path
    names: tuple[str, ...]
    quorum: int
    clock: Clock = field(default_factory=Clock)
    origin: str = ORIGIN
    signers: dict[str, MemorySigner] = field(default_factory=dict)
    log_signer: MemorySigner | None = None
    clients: list[LedgerClient] = field(default_factory=list)

    @property
    def log_dir(self) -> Path:
        return self.root / self.names[0] / "log"

    def home(self, name: str) -> Path:
        return self.root / name

    def members(self) -> list[dict]:
        made = []
        for name in self.names:
            keys = self.home(name) / "keys"
            keys.mkdir(parents=True)
            self.signers[name] = generate_signer(keys / "statement.pem")
            cosigner = generate_signer(keys / "cosigner.pem")
            log = None
            if name == self.names[0]:
                self.log_signer = generate_signer(keys / "log.pem")
                log = VerifierKey.make(self.origin, ED25519, self.log_signer.public_key)
            made.append(
                member_object(
                    name,
                    (name, "成员"),
                    statement_key=self.signers[name].public_key,
                    cosigner=VerifierKey.make(
                        f"{name}/witness", COSIGNATURE_V1, cosigner.public_key
                    ),
                    log=log,
                )
            )
        return made

    def found(self) -> World:
        genesis = make_genesis(self.origin, self.quorum, self.members(), self.signers.values())
        found_ledger(self.log_dir, self.origin, self.log_signer, genesis, self.clock).close()
        return self

    @property
    def witnesses(self) -> list[WitnessUrl]:
        return [WitnessUrl(name, f"file:../{name}") for name in self.names]

    def client(
        self, name: str | None = None, witnesses: list[WitnessUrl] | None = None
    ) -> LedgerClient:
        name = name or self.names[0]
        client = LedgerClient.open(
            self.home(name) / "ledger",
            f"file:../{self.names[0]}",
            self.witnesses if witnesses is None else witnesses,
            self.clock,
        )
        self.clients.append(client)
        return client

    def signed(self, payload: bytes, *names: str) -> bytes:
        return dsse.sign_envelope(payload, [self.signers[name] for name in names])

    def contract(self, dataset: str, version: str = "1.0.0", digest: str = "c0" * 32) -> bytes:
        owner = dataset.split("/", maxsplit=1)[0]
        return self.signed(contract_statement(self.origin, dataset, version, digest), owner)

    def version(
        self,
        dataset: str,
        number: int = 1,
        *,
        previous: bytes | None = None,
        inputs: tuple[tuple[str, int, str], ...] = (),
        manifest: str = "",
        signer: str | None = None,
    ) -> bytes:
        payload = dataset_statement(
            self.origin,
            dataset,
            number,
            root_hex="a0" * 32,
            contract=("1.0.0", "c0" * 32),
            previous_hex=None if previous is None else hashlib.sha256(previous).hexdigest(),
            inputs=inputs,
            manifest_sha256_hex=manifest or f"{number:064x}",
        )
        return self.signed(payload, signer or dataset.split("/", maxsplit=1)[0])

    def withdrawal(self, dataset: str, number: int, *signers: str, manifest: str = "") -> bytes:
        payload = withdrawal_statement(
            self.origin,
            dataset,
            number,
            reason="error",
            manifest_sha256_hex=manifest or f"{number:064x}",
        )
        return self.signed(payload, *(signers or (dataset.split("/", maxsplit=1)[0],)))


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Make a world of some members; nothing is founded yet."""
    made: list[World] = []

    def make(members: int = 4, quorum: int = 3, folder: str = "world") -> World:
        made.append(World(tmp_path / folder, NAMES[:members], quorum))
        return made[-1]

    yield make
    for world in made:
        for client in world.clients:
            client.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Four members, quorum three, founded."""
    return make_world().found()


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of the test vectors."""
    return VECTORS


@pytest.fixture(scope="session")
def vector_entries() -> list[dict]:
    """The lines of the vectors' ledger, `entry` decoded."""
    lines = (VECTORS / "ledger" / "entries.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    for line in found:
        line["entry"] = base64.b64decode(line["entry"])
    return found
