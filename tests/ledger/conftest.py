"""A ledger's whole world on one machine: members with homes, keys and witnesses, and a clock."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from zhixin_ledger import admission, checkpoint, dsse, seal, tiles
from zhixin_ledger.checkpoint import Checkpoint
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
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, MLDSA44, VerifierKey
from zhixin_ledger.note import Note
from zhixin_ledger.signers import MemorySigner, Signer, generate_signer
from zhixin_ledger.state import Change, SealMark, State
from zhixin_ledger.tiles import DirectorySource

VECTORS = Path(__file__).parents[1] / "vectors"
ORIGIN = "ledger.gov.example/2026"
NAMES = (
    *("bts.gov.example", "faa.gov.example", "noaa.gov.example", "ntsb.gov.example"),
    *("usgs.gov.example", "eia.gov.example", "nist.gov.example"),
)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def cosigner_key(member: str, signer: Signer) -> VerifierKey:
    """Give the verifier key of a member's cosigner."""
    kind = COSIGNATURE_V1 if signer.kind == ED25519 else signer.kind
    return VerifierKey.make(f"{member}/witness", kind, signer.public_key)


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
    mldsa: frozenset[str] = frozenset()  # whose cosigner key is ML-DSA-44

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
            kind = MLDSA44 if name in self.mldsa else ED25519
            cosigner = generate_signer(keys / "cosigner.pem", kind=kind)
            log = None
            if name == self.names[0]:
                self.log_signer = generate_signer(keys / "log.pem")
                log = VerifierKey.make(self.origin, ED25519, self.log_signer.public_key)
            made.append(
                member_object(
                    name,
                    (name, "成员"),
                    statement_key=self.signers[name].public_key,
                    cosigner=cosigner_key(name, cosigner),
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


class LyingLog:
    """A log in a folder that takes in whatever it is given, seals it and signs it well."""

    def __init__(self, world, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.source = DirectorySource(folder)
        self.state = State()
        self.entries: list[bytes] = []

    def follow(self, entries: list[bytes]) -> LyingLog:
        """Take in entries by the rules."""
        for entry in entries:
            admission.apply(self.state, entry)
            self.entries.append(entry)
        return self

    def force(self, entry: bytes, change: Change | None = None) -> LyingLog:
        """Take in an entry past every rule."""
        self.state.advance(entry, hashlib.sha256(entry).digest(), change or Change(()))
        self.entries.append(entry)
        return self

    def sealed(self, entry: bytes | None = None) -> LyingLog:
        made = entry or seal.make_seal(self.state, self.world.clock())
        said = seal.parse_seal(made)
        mark = SealMark(said.height, said.time, hashlib.sha256(made).hexdigest(), said.state_hex)
        self.state.advance_seal(made, mark)
        self.entries.append(made)
        return self

    def note(self, root: bytes | None = None) -> Note:
        size = len(self.entries)
        tiles.write_tiles(self.folder, 0, size, lambda start: iter(self.entries[start:]))
        return checkpoint.sign(
            Checkpoint(self.world.origin, size, root or self.state.root), self.world.log_signer
        )


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Make a world of some members; nothing is founded yet."""
    made: list[World] = []

    def make(
        members: int = 4, quorum: int = 3, folder: str = "world", mldsa: tuple[str, ...] = ()
    ) -> World:
        names = NAMES[:members]
        made.append(World(tmp_path / folder, names, quorum, mldsa=frozenset(mldsa)))
        return made[-1]

    yield make
    for world in made:
        for client in world.clients:
            client.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Four members, quorum three, founded."""
    return make_world().found()


def founding_entries(world: World) -> list[bytes]:
    """Give the entries of a world's founding."""
    database = sqlite3.connect(world.log_dir / "log.sqlite")
    rows = database.execute("SELECT data FROM entries ORDER BY idx").fetchall()
    database.close()
    return [row[0] for row in rows]


@pytest.fixture
def make_log(tmp_path: Path) -> Callable[[World, str], LyingLog]:
    """Make a log that does what it is told, on a world's genesis."""

    def make(world: World, folder: str) -> LyingLog:
        (tmp_path / folder).mkdir()
        return LyingLog(world, tmp_path / folder).follow(founding_entries(world))

    return make


@pytest.fixture
def make_liar(
    world: World, make_log: Callable[[World, str], LyingLog]
) -> Callable[[str], LyingLog]:
    """Make such a log of the world of the test."""
    return lambda folder: make_log(world, folder)


@pytest.fixture
def liar(make_liar: Callable[[str], LyingLog]) -> LyingLog:
    """Give such a log."""
    return make_liar("liar")


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
