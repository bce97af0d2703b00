"""A made-up ledger of four members in memory, and bundles of a version of it."""

from datetime import UTC, datetime, timedelta

import pytest
from zhixin_gateway.evidence import archive, verify
from zhixin_ledger import (
    admission,
    checkpoint,
    cosignature,
    dsse,
    encoding,
    governance,
    merkle,
    tiles,
    tlogproof,
)
from zhixin_ledger import seal as seals
from zhixin_ledger import standing as standings
from zhixin_ledger import trust as trusts
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, MLDSA44, VerifierKey
from zhixin_ledger.note import Note
from zhixin_ledger.signers import MemorySigner, MLDSASigner
from zhixin_ledger.state import State
from zhixin_ledger.statements import (
    contract_statement,
    dataset_statement,
    make_genesis,
    member_object,
    member_statement,
    withdrawal_statement,
)

ORIGIN, DATASET = "ledger.example/test", "bts.gov.example/flights"
NAMES = ("bts.gov.example", "faa.gov.example", "noaa.gov.example", "ntsb.gov.example")
CONTRACT = b"id: made-up\n"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Ledger:
    """Entries, keys and a clock; nothing is written but tiles, for what reads these."""

    def __init__(self, folder, names=NAMES, seed=0):
        self.folder, self.state, self.entries, self.names = folder, State(), [], names
        self.now, self.seed = START, seed
        self.signers = {name: self.new() for name in names}
        self.cosigners = {name: self.new() for name in names}
        self.log = self.new()
        founders = [self.member(name) for name in names]
        self.add(make_genesis(ORIGIN, min(3, len(names)), founders, self.signers.values()))
        self.seal()

    def new(self, kind=MemorySigner):
        self.seed += 1
        return kind(bytes([self.seed]) * 32)

    def member(self, name):
        signer = self.cosigners[name]
        kind = COSIGNATURE_V1 if signer.kind == ED25519 else MLDSA44
        log = VerifierKey.make(ORIGIN, ED25519, self.log.public_key) if name == NAMES[0] else None
        return member_object(
            name,
            (name, "成员"),
            statement_key=self.signers[name].public_key,
            cosigner=VerifierKey.make(f"{name}/witness", kind, signer.public_key),
            log=log,
        )

    def add(self, entry):
        admission.apply(self.state, entry)
        self.entries.append(entry)
        return len(self.entries) - 1

    def seal(self):
        self.now += timedelta(minutes=1)
        self.add(seals.make_seal(self.state, self.now))

    def state_it(self, payload, *names):
        self.add(dsse.sign_envelope(payload, [self.signers[name] for name in names]))
        self.seal()

    def publish(self, root_hex="a0" * 32, manifest_hex="b0" * 32):
        """One version of the dataset; gives the index of its statement."""
        digest = encoding.sha256_hex(CONTRACT)
        fact = self.state.dataset(DATASET)
        if fact is None:
            self.state_it(contract_statement(ORIGIN, DATASET, "1.0.0", digest), NAMES[0])
        payload = dataset_statement(
            ORIGIN,
            DATASET,
            1 if fact is None else fact.version + 1,
            root_hex=root_hex,
            contract=("1.0.0", digest),
            previous_hex=None if fact is None else fact.statement_hex,
            inputs=[],
            manifest_sha256_hex=manifest_hex,
        )
        self.state_it(payload, NAMES[0])
        return len(self.entries) - 2

    def withdraw(self):
        payload = withdrawal_statement(
            ORIGIN, DATASET, 1, reason="error", manifest_sha256_hex="b0" * 32
        )
        self.state_it(payload, NAMES[0])

    def rotate(self, name, kind=MLDSASigner):
        """A new cosigner key, decided by a quorum."""
        self.cosigners[name] = self.new(kind)
        previous = self.state.ledger.entry
        payload = member_statement(ORIGIN, "rotate", self.member(name), 3, previous)
        self.state_it(payload, *NAMES)

    def note(self, cosigners=None):
        leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        made = checkpoint.Checkpoint(ORIGIN, len(leaves), merkle.root(leaves))
        signed, seconds = checkpoint.sign(made, self.log), int(self.now.timestamp())
        lines = [
            cosignature.cosign(signed.text, f"{name}/witness", self.cosigners[name], seconds)
            for name in cosigners or self.names
        ]
        return signed.with_signatures(lines).format()

    def receipt(self, index, note):
        leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        return tlogproof.format_receipt(
            index, merkle.inclusion_path(leaves, index, len(leaves)), note
        )

    def stage(self, index, before, cosigners=None):
        """A stage's files as of now, over the tree of ``before`` entries."""
        note, size = self.note(cosigners), len(self.entries)
        folder = self.folder / str(size)
        tiles.write_tiles(folder, 0, size, lambda start: iter(self.entries[start:]))
        source, trust = tiles.DirectorySource(folder), trusts.trust_of(self.state)
        heads = [before] if before < size else []
        return {
            "receipt.tlog-proof": self.receipt(index, note),
            "governance.json": governance.make_chain(
                tiles.Tiles(source, size), self.state, note, heads
            ),
            "standing.json": standings.make_standing(self.state, source, Note.parse(note), DATASET),
            "trust/members.json": trust.to_bytes(),
            "trust/policy.txt": trust.policy().encode(),
        }

    def bundle(self, index, receipt):
        """The files of a bundle as made now, of a version whose receipt was made earlier."""
        size = tlogproof.parse_receipt(receipt).checkpoint.size
        label = {"type": "zhixin/evidence/v1", "dataset": DATASET, "version": "1"}
        return {
            **self.stage(index, size),
            "receipt.tlog-proof": receipt,
            "statement.json": self.entries[index],
            "contract.yaml": CONTRACT,
            "evidence.json": encoding.jcs(label),
            "README.txt": b"read me",
            "FORMATS.md": b"formats",
            "verify.py": b"verifier",
        }

    def renewal(self, files, number, cosigners=None):
        """The files of the bundle with a stage more."""
        stages = [verify.parse_stage(each, files) for each in range(number)]
        stage = self.stage(stages[0].receipt.index, stages[-1].made.size, cosigners)
        return {**files, **{f"renewals/{number:04d}/{name}": stage[name] for name in stage}}


def read_trust(folder):
    """The trust of a case as verify.py holds it: in a bundle it follows from the decisions."""
    value = verify.parse_json((folder / "members.json").read_bytes(), "members.json")

    def key(kind, text, member):
        if kind == "cosigners":
            return verify.vkey(text, f"{member}/witness", (4, 6), "cosigner")
        return (
            verify.vkey(text, value["origin"], (1,), "log")
            if kind == "logs"
            else verify.bare_key(text, kind)
        )

    def spans(member, kind):
        return [
            verify.Span(
                key(kind, item[label], member["name"]),
                int(item["from"]),
                None if item["until"] is None else int(item["until"]),
            )
            for label in [verify.KEYS[kind]]
            for item in member[kind]
        ]

    return verify.Trust(
        value["origin"],
        int(value["size"]),
        bytes.fromhex(value["root"]),
        [(int(item["from"]), int(item["quorum"])) for item in value["quorums"]],
        [
            verify.Member(
                member["name"],
                member["titles"],
                member["standing"] == "active",
                {kind: spans(member, kind) for kind in verify.KEYS},
            )
            for member in value["members"]
        ],
    )


@pytest.fixture(scope="session")
def trust_of():
    """A function that reads a trust's folder."""
    return read_trust


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "tiles")


@pytest.fixture
def small(tmp_path):
    """The files of the smallest bundle: of a ledger of one."""
    ledger = Ledger(tmp_path / "tiles", NAMES[:1])
    index = ledger.publish()
    receipt = ledger.receipt(index, ledger.note())
    ledger.publish()
    return ledger.bundle(index, receipt)


@pytest.fixture
def foreign(tmp_path):
    """The files of a bundle of another ledger, whose members bear the same names."""
    ledger = Ledger(tmp_path / "foreign", seed=100)
    index = ledger.publish()
    return ledger.bundle(index, ledger.receipt(index, ledger.note()))


@pytest.fixture
def made(ledger):
    """A ledger and a small bundle of a version of it, made two blocks after the publication."""
    index = ledger.publish()
    receipt = ledger.receipt(index, ledger.note())
    ledger.publish()
    return ledger, ledger.bundle(index, receipt)


@pytest.fixture
def renewed(made):
    """The same, renewed twice: three members took ML-DSA-44 keys before the second time."""
    ledger, files = made
    ledger.publish()
    files = ledger.renewal(files, 1)
    for name in NAMES[:3]:
        ledger.rotate(name)
    return ledger, ledger.renewal(files, 2)


@pytest.fixture
def judge():
    """A function that judges a bundle's files and gives (code, report)."""

    def ask(files, now=START + timedelta(days=1), **options):
        report = verify.Report()
        try:
            verify.judge_bundle(files, verify.Question(report, now, **options))
        except verify.Refused as fault:
            return fault.code, report
        return None, report

    return ask


@pytest.fixture
def ask(tmp_path, capsys):
    """A function that writes a bundle, runs verify.py's command and gives (exit code, text)."""

    def run(files, *options):
        path = tmp_path / "bundle.zip"
        path.write_bytes(archive.format_bundle(files))
        code = verify.main([str(path), "--at", "2026-03-02T09:00:00Z", *map(str, options)])
        return code, capsys.readouterr().out

    return run
