"""A vector's case laid out on disk, and asked as its README says."""

import base64
import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pytest
from zhixin_gateway.datasets.manifest import ContractRef, Input, Manifest, Source
from zhixin_gateway.datasets.records import version_root
from zhixin_gateway.datasets.sinks import LocalSink
from zhixin_gateway.datasets.types import schema_fields
from zhixin_gateway.datasets.writer import VersionWriter
from zhixin_gateway.gate import open_version, verify, verify_record
from zhixin_gateway.stores.objects import Objects
from zhixin_ledger import admission, checkpoint, cosignature, dsse, encoding, merkle, tlogproof
from zhixin_ledger.facts import DatasetFact, leaf_data
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, VerifierKey
from zhixin_ledger.seal import Seal, format_seal
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.state import State
from zhixin_ledger.statements import dataset_statement
from zhixin_ledger.trust import Trust, load_trust

VECTORS = Path(__file__).parents[2] / "vectors"
RESULTS = json.loads((VECTORS / "results.json").read_text())


def contents(item):
    """The bytes that an item stands for."""
    if isinstance(item, str):
        return base64.b64decode(item)
    head, repeat = base64.b64decode(item["head"]), base64.b64decode(item["repeat"])
    tail = base64.b64decode(item.get("tail", ""))
    return head + repeat * int(item["times"]) + tail


def put(path, item):
    """Put one item of `files` or `trust` over what lies there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if item is None:
        return
    if isinstance(item, dict) and "link" in item:
        path.symlink_to(item["link"])
    elif isinstance(item, dict) and item.get("dir"):
        path.mkdir()
    else:
        path.write_bytes(contents(item))


@dataclass
class Case:
    """A case of the vectors, laid out in a scratch folder."""

    given: dict
    folder: Path
    trust_folder: Path
    bucket: object = None

    @property
    def place(self):
        """Where it is verified: the folder, or the same files as objects."""
        return self.folder if self.bucket is None else self.bucket.address(self.folder)

    def options(self):
        given = self.given
        standings = [given[name] for name in ("standing",) if name in given]
        standings += given.get("input_standing", [])
        return {
            "expect": given.get("expect"),
            "deep": given.get("deep", False),
            "now": datetime.fromisoformat(given.get("now", RESULTS["now"])),
            "max_age": timedelta(seconds=int(given["max_age"])) if "max_age" in given else None,
            "standings": [contents(item) for item in standings],
            "strict_inputs": given.get("strict_inputs", False),
            "current_keys": given.get("current_keys", False),
            "require_standing": given.get("require_standing", False),
        }

    @cached_property
    def trust(self):
        return load_trust(self.trust_folder)

    def verify(self, **changes):
        options, trust = {**self.options(), **changes}, self.trust
        if "record_proof" in self.given:
            del options["deep"]
            return verify_record(contents(self.given["record_proof"]), trust, **options)
        if self.given.get("relative"):
            before = Path.cwd()
            os.chdir(self.folder.parent)
            try:
                return verify(self.folder.name, trust, **options)
            finally:
                os.chdir(before)
        return verify(self.place, trust, **options)

    def open(self, **changes):
        options = self.options()
        del options["deep"], options["require_standing"]
        base = self.given["base"].rsplit("/", 1)
        options |= {"expect": options["expect"] or "@".join(base), **changes}
        return open_version(self.place, self.trust, **options)


class Bucket:
    """Keeps objects below an address as the files of a folder are, for the tests of the gate.

    Args:
        url: of an empty store.
        root: the folder below which all lies.
    """

    def __init__(self, url, root):
        self._url = url
        self._root = root
        self._objects = Objects.at(url)
        self._there = {}

    def address(self, folder):
        """The address that has a folder's files, brought up to date."""
        wanted = {
            path.relative_to(self._root).as_posix() + ("/x" if path.is_dir() else ""): path
            for path in folder.iterdir()
        }
        for name in self._there.keys() - wanted.keys():
            self._objects.delete(name)
            del self._there[name]
        for name, path in wanted.items():
            data = b"" if path.is_dir() else path.read_bytes()
            if self._there.get(name) != data:
                self._objects.put(name, data)
                self._there[name] = data
        head, _, parameters = self._url.partition("?")
        return f"{head}/{folder.relative_to(self._root).as_posix()}?{parameters}"


@pytest.fixture
def lay_out(tmp_path, request):
    """A function that lays out a case and gives the `Case`; in a bucket, where a test says so."""
    bucket = None
    if getattr(request, "param", "folder") == "objects":
        bucket = Bucket(request.getfixturevalue("s3_url"), tmp_path / "store")

    def make(case):
        given = json.loads(case.read_text()) if isinstance(case, Path) else case
        trust_folder = tmp_path / "trust"
        shutil.copytree(VECTORS / given.get("trust_dir", "trust"), trust_folder)
        for name, item in given.get("trust", {}).items():
            put(trust_folder / name, item)
        if "expect" in given and "path" not in given:
            place = "anything"
        else:
            place = given.get("path", given.get("base", "nothing"))
        folder = tmp_path / "store" / place
        if "record_proof" not in given:
            shutil.copytree(VECTORS / "versions" / given["base"], folder)
            for name, item in given.get("files", {}).items():
                put(folder / name, item)
        return Case(given, folder, trust_folder, bucket)

    return make


@pytest.fixture(scope="session")
def vectors():
    """The folder of the vectors."""
    return VECTORS


@pytest.fixture(scope="session")
def results():
    """What results.json says."""
    return RESULTS


class World:
    """A made-up ledger of one member, in memory: enough to publish versions that verify."""

    origin = "ledger.example/test"
    member = "bts.gov.example"
    now = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

    def __init__(self, folder):
        self.folder = folder
        self.signer, self.cosigner, self.log = (MemorySigner(bytes([n]) * 32) for n in (1, 2, 3))
        self.entries = [b"genesis", b"seal"]
        self.facts = {}
        self.receipts = {}

    def trust(self):
        held = {"from": "0", "until": None}
        cosigner = VerifierKey.make(
            f"{self.member}/witness", COSIGNATURE_V1, self.cosigner.public_key
        )
        log = VerifierKey.make(self.origin, ED25519, self.log.public_key)
        member = {
            "name": self.member,
            "titles": {"en": "", "zh": ""},
            "standing": "active",
            "statement_keys": [{"key": encoding.b64(self.signer.public_key), **held}],
            "cosigners": [{"vkey": cosigner.text, **held}],
            "logs": [{"vkey": log.text, **held}],
            "validators": [],
        }
        root = merkle.root([merkle.leaf_hash(entry) for entry in self.entries[:2]])
        return Trust.make(self.origin, 2, root, [(0, 1)], [member])

    def receipt(self, index, time=None):
        leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        signed = checkpoint.sign(
            checkpoint.Checkpoint(self.origin, len(leaves), merkle.root(leaves)), self.log
        )
        line = cosignature.cosign(
            signed.text,
            f"{self.member}/witness",
            self.cosigner,
            int((time or self.now).timestamp()),
        )
        path = merkle.inclusion_path(leaves, index, len(leaves))
        return tlogproof.format_receipt(index, path, signed.with_signatures([line]).format())

    def publish(
        self,
        name,
        batches,
        *,
        key=(),
        withdrawn=(),
        inputs=(),
        alter=None,
        contract=b"id: made-up\n",
    ):
        """Publish the next version of a dataset; gives its directory."""
        dataset = f"{self.member}/{name}"
        before = self.facts.get(dataset)
        version = 1 if before is None else before.version + 1
        folder = self.folder / dataset / str(version)
        folder.mkdir(parents=True)
        schema = batches[0].schema
        with VersionWriter(LocalSink(folder), schema, key) as writer:
            for batch in batches:
                writer.write(batch)
            parts = writer.finish()
        if alter:
            parts = tuple(alter(folder / part.path, part) for part in parts)
        fields = schema_fields(schema)
        manifest = Manifest(
            dataset=dataset,
            version=version,
            contract=ContractRef("1.0.0", encoding.sha256(contract)),
            fields=fields,
            records=sum(part.records for part in parts),
            root=version_root(fields, [(part.records, part.root) for part in parts]),
            parts=parts,
            quality=(),
            quarantined=0,
            source=Source("made", "up", self.now),
            inputs=tuple(Input(*item) for item in inputs),
        )
        manifest_bytes = manifest.to_bytes()
        payload = dataset_statement(
            self.origin,
            dataset,
            version,
            root_hex=manifest.root.hex(),
            contract=("1.0.0", manifest.contract.sha256.hex()),
            previous_hex=before.statement_hex if before else None,
            inputs=[(d, v, s.hex()) for d, v, s in inputs],
            manifest_sha256_hex=encoding.sha256_hex(manifest_bytes),
        )
        entry = dsse.sign_envelope(payload, [self.signer])
        index = len(self.entries)
        self.facts[dataset] = DatasetFact(
            dataset, version, encoding.sha256_hex(entry), index, tuple(withdrawn)
        )
        self.entries += [entry, b""]
        self.entries[-1] = self.seal(dataset, index)
        (folder / "contract.yaml").write_bytes(contract)
        (folder / "manifest.json").write_bytes(manifest_bytes)
        (folder / "statement.json").write_bytes(entry)
        (folder / "receipt.tlog-proof").write_bytes(self.receipt(index))
        return folder

    def seal(self, dataset, first):
        state = merkle.leaf_hash(leaf_data(self.facts[dataset]))
        return format_seal(
            Seal(1, first, 1, "00" * 32, state.hex(), encoding.format_time(self.now))
        )

    def standing(self, dataset):
        """The standing file of the dataset that was published last, as of the last seal."""
        receipt = self.receipt(len(self.entries) - 1)
        return encoding.jcs(
            {
                "type": "zhixin/standing/v1",
                "fact": self.facts[dataset].to_json(),
                "slot": "0",
                "path": [],
                "seal": encoding.b64(self.entries[-1]),
                "receipt": receipt.decode(),
            }
        )

    def open(self, folder, **options):
        dataset, number = f"{folder.parts[-3]}/{folder.parts[-2]}", folder.parts[-1]
        defaults = {"expect": f"{dataset}@{number}", "now": self.now, "unsafe_no_standing": True}
        return open_version(folder, self.trust(), **{**defaults, **options})


@pytest.fixture
def world(tmp_path):
    """A made-up ledger that publishes versions into a scratch store."""
    return World(tmp_path / "world")


class Copy:
    """A home's copy of the vectors' ledger: the first entries replayed, and a checkpoint."""

    def __init__(self, entries, note):
        self.entries = entries
        self.note = note
        self._state = State()
        for entry in entries:
            admission.apply(self._state, entry)
        self._leaves = [merkle.leaf_hash(entry) for entry in entries]

    def state(self):
        return self._state

    def checkpoint(self):
        return self.note

    def root_at(self, size):
        return merkle.root(self._leaves[:size])

    def dataset(self, name):
        return self._state.dataset(name)

    def stated(self, dataset, version):
        return self._state.stated(dataset, version)


@pytest.fixture(scope="session")
def ledger_entries():
    """Every entry of the vectors' ledger."""
    lines = (VECTORS / "ledger" / "entries.jsonl").read_text().splitlines()
    return [base64.b64decode(json.loads(line)["entry"]) for line in lines]


@pytest.fixture(scope="session")
def make_copy(ledger_entries):
    """A function that gives a copy of so many entries, with the note of a receipt of that size."""

    def make(size=None, note=None):
        if note is None:
            note = (VECTORS / "ledger" / "checkpoint").read_bytes()
        return Copy(ledger_entries[:size], note)

    return make
