"""Every parser that meets bytes of strangers, in one table that both fuzzers use.

A target reads bytes. It may refuse them only by the errors named; what it takes it must give back
byte for byte where the format has one spelling, and it must be done in time.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fuzz_batches
import pyarrow as pa
from zhixin_errors import (
    ConfigError,
    ContractError,
    FormatError,
    LedgerError,
    LedgerRefused,
    TrustError,
    VerificationError,
)
from zhixin_gateway import settings
from zhixin_gateway.backups import archive as backup
from zhixin_gateway.datasets import footer, manifest, ranges, types
from zhixin_gateway.evidence import verify
from zhixin_gateway.evidence.archive import format_bundle
from zhixin_gateway.gate import checks, record_proof, standing
from zhixin_ledger import (
    admission,
    checkpoint,
    cosignature,
    dsse,
    encoding,
    fact_table,
    facts,
    governance,
    intoto,
    names,
    note,
    policy,
    proposals,
    seal,
    signers,
    tiles,
    tlogproof,
)
from zhixin_ledger.equivocation import Report
from zhixin_ledger.http import problems, witness_app
from zhixin_ledger.http import proposals as http_proposals
from zhixin_ledger.keys import VerifierKey
from zhixin_ledger.note import Note, SignatureLine
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.state import State
from zhixin_ledger.tiles import DirectorySource, Tiles
from zhixin_ledger.trust import Trust, load_trust
from zhixin_schemas import lint, loader

VECTORS = Path(__file__).parents[1] / "vectors"
MAX_CPU_S = 2.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

Seeds = Callable[[], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    Args:
        name: for people.
        read: takes bytes, gives what they say.
        seeds: good and nearly good inputs.
        errors: what may be raised.
        back: gives the bytes again, where there is one spelling.
    """

    name: str
    read: Callable[[bytes], Any]
    seeds: Seeds
    errors: tuple[type[Exception], ...] = (FormatError,)
    back: Callable[[Any], bytes] | None = None

    def check(self, data: bytes) -> bool:
        """Try an input; says whether it was taken. AssertionError: it shows a bug."""
        before = time.process_time()
        try:
            read = self.read(data)
        except self.errors:
            taken = False
        else:
            taken = True
            if self.back is not None:
                assert self.back(read) == data, f"{self.name}: {data!r} has another spelling"
        spent = time.process_time() - before
        assert spent < MAX_CPU_S, f"{self.name}: {spent:.1f} s for {len(data)} bytes"
        return taken


# Seeds.


@cache
def _entries() -> list[bytes]:
    lines = (VECTORS / "ledger" / "entries.jsonl").read_text().splitlines()
    return [base64.b64decode(json.loads(line)["entry"]) for line in lines]


def _statements() -> list[bytes]:
    return [entry for entry in _entries() if not seal.is_seal(entry)][:60]


def _seals() -> list[bytes]:
    return [entry for entry in _entries() if seal.is_seal(entry)][:10]


def _payloads() -> list[bytes]:
    return [base64.b64decode(json.loads(entry)["payload"]) for entry in _statements()]


def _files(pattern: str) -> Seeds:
    def found() -> list[bytes]:
        return [path.read_bytes() for path in sorted(VECTORS.glob(pattern))[:40]]

    return found


def _cases(pattern: str, *names: str) -> Seeds:
    """The values in base64 of some names in JSON cases."""

    def found() -> list[bytes]:
        made = []
        for path in sorted(VECTORS.glob(pattern)):
            case = json.loads(path.read_text())
            for name in names:
                value = case.get(name)
                if isinstance(value, str):
                    made.append(base64.b64decode(value))
        return [item for item in made if len(item) < 50_000][:80]

    return found


def _lines() -> list[bytes]:
    paths = sorted((VECTORS / "cosignature").glob("*.json"))
    return [json.loads(path.read_text())["line"].encode() for path in paths]


def _vkeys() -> list[bytes]:
    return [_cosignature()["vkey"].encode(), b"a+00000000+AQ=="]


@cache
def _cosignature() -> dict[str, str]:
    return json.loads((VECTORS / "cosignature" / "ed25519-good.json").read_text())


def _checkpoints() -> list[bytes]:
    notes = _cases("checkpoint/*.json", "note")()
    return [item.split(b"\n\n")[0] + b"\n" for item in notes]


@cache
def _state() -> State:
    """The vectors' ledger, all of it."""
    state = State()
    for entry in _entries():
        admission.apply(state, entry)
    return state


@cache
def _trust() -> Trust:
    return load_trust(VECTORS / "trust-early")


@cache
def _chains() -> list[bytes]:
    tree = Tiles(DirectorySource(VECTORS / "ledger"), len(_entries()))
    note_bytes = (VECTORS / "ledger" / "checkpoint").read_bytes()
    return [governance.make_chain(tree, _state(), note_bytes, [_trust().size])]


def _facts() -> list[bytes]:
    return [data for _, data in _state().store.facts()]


@cache
def _reports() -> list[bytes]:
    signer = MemorySigner(bytes(32))
    one, other = (
        checkpoint.sign(checkpoint.Checkpoint("a.example/1", 4, bytes([root]) * 32), signer)
        for root in (1, 2)
    )
    return [Report.make(one, other, bytes([2]) * 32, []).to_bytes()]


def _governing() -> list[bytes]:
    found = []
    for entry in _statements():
        payload = json.loads(base64.b64decode(json.loads(entry)["payload"]))
        if payload["predicateType"] in ("urn:zhixin:member:v1", "urn:zhixin:rules:v1"):
            found.append(entry)
    return found


def _contracts() -> list[bytes]:
    found = sorted((VECTORS.parents[1] / "schemas" / "catalogue").glob("**/*.odcs.yaml"))
    return [path.read_bytes() for path in found]


def _parquet() -> list[bytes]:
    found = [path.read_bytes() for path in sorted(VECTORS.glob("versions/*/*/*/part-*.parquet"))]
    return [data for data in sorted(found, key=len) if len(data) < 20_000][:6]


def _keys() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key.pem"
        signers.generate_signer(path)
        return [
            path.read_bytes(),
            b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
        ]


def _questions() -> list[bytes]:
    note_bytes = (VECTORS / "ledger" / "checkpoint").read_bytes()
    proof = base64.b64encode(bytes(32)) + b"\n"
    return [b"old 0\n\n" + note_bytes, b"old 6\n" + proof * 3 + b"\n" + note_bytes]


def _texts(*items: str) -> Seeds:
    return lambda: [item.encode() for item in items]


# Readers that want more than bytes.


def _text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda data: read(data.decode("utf-8", "replace"))


def _json(read: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    return lambda data: read(encoding.parse_jcs(data, "value"))


def _verify_line(data: bytes) -> int:
    line = SignatureLine.parse(data.decode("utf-8", "replace").removesuffix("\n"))
    case = _cosignature()
    return cosignature.verify(line, VerifierKey.parse(case["vkey"]), case["text"].encode())


def _read_footer(data: bytes) -> Any:
    found = footer.read_footer(memoryview(data))
    for group in found.groups:
        for chunk in group.chunks:
            list(footer.read_pages(memoryview(data), chunk))
    return found


def _claims(data: bytes) -> Any:
    field = pa.field("id", pa.int64())
    return ranges.claimed_range(io.BytesIO(data), field)


def _load_key(data: bytes) -> Any:
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        file.write(data)
        file.flush()
        return signers.load_signer(Path(file.name))


def _tile(data: bytes) -> Any:
    return DirectorySource(VECTORS / "ledger-small").read(data.decode("utf-8", "replace"))


def _problem(data: bytes) -> Any:
    fault = problems.error_of(422, data, "the ledger")
    assert len(fault.message) < 3000
    return fault


def _alike(
    ours: Callable[[bytes], Any], theirs: Callable[[bytes, str], Any], *, both: bool = True
) -> Callable[[bytes], Any]:
    """Read with our reader and with verify.py's, which was written apart: what one takes, so does
    the other; without `both`, verify.py may take more, because it looks only at what it needs.
    """

    def read(data: bytes) -> Any:
        found, refusal, objection = None, None, None
        try:
            found = ours(data)
        except _WRONG as fault:
            refusal = fault
        try:
            theirs(data, "x")
        except verify.Refused as fault:
            objection = fault
        assert refusal or not objection, f"verify.py alone refuses {data!r}: {objection}"
        assert objection or not refusal or not both, f"verify.py takes {data!r}: {refusal}"
        if refusal is not None:
            raise refusal
        return found

    return read


def _read_archive(data: bytes) -> Any:
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        file.write(data)
        file.flush()
        return verify.read_archive(Path(file.name))


@cache
def _archives() -> list[bytes]:
    return [format_bundle(dict.fromkeys(verify.LIMITS, b"some text"))]


def _tar(names: Sequence[str], manifest: bytes) -> bytes:
    """A backup of small files of some names, with any manifest."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in (*names, backup.MANIFEST):
            info = tarfile.TarInfo(name)
            content = manifest if name == backup.MANIFEST else b"some text"
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


_KEPT = ("zhixin.toml", "keys/statement.pem")


def _backup_manifest(names: Sequence[str] = _KEPT) -> bytes:
    digest = hashlib.sha256(b"some text").hexdigest()
    files = [{"path": name, "bytes": 9, "sha256": digest, "mode": "600"} for name in names]
    folders = [{"path": name, "mode": "700"} for name in ("keys", "store/empty")]
    told = {"type": backup.TYPE, "files": files, "folders": folders, "left_out": []}
    return json.dumps(told).encode()


def _unpack(data: bytes) -> Any:
    with tempfile.TemporaryDirectory(dir=MEMORY) as scratch:
        archive, folder, beside = (Path(scratch) / name for name in ("tar", "in/home", "in/other"))
        archive.write_bytes(data)
        folder.mkdir(parents=True)
        try:
            return backup.unpack(archive, folder)
        finally:
            assert {path.name for path in Path(scratch).iterdir()} == {"tar", "in"}
            assert [path.name for path in beside.parent.iterdir()] == ["home"]


def _unpack_names(data: bytes) -> Any:
    # Not longer: tarfile takes quadratic time over long names of digits before Python 3.11.10.
    names = [name[:5000] for name in data.decode("utf-8", "replace").split("\n") if name][:20]
    return _unpack(_tar(names, _backup_manifest(names)))


_WRONG = (FormatError, VerificationError)

TARGETS = (
    Target("jcs", lambda data: encoding.parse_jcs(data, "x"), _statements, back=encoding.jcs),
    Target(
        "lenient json",
        lambda data: encoding.parse_json_object_lenient(data, "x"),
        _statements,
    ),
    Target(
        "base64",
        _text(lambda text: encoding.unb64(text, "x")),
        _texts("AA==", "AAAA", "+/+/"),
        back=lambda read: encoding.b64(read).encode(),
    ),
    Target(
        "hex",
        _text(lambda text: encoding.parse_hex(text, "x")),
        _texts("0f" * 32),
        back=lambda read: read.hex().encode(),
    ),
    Target(
        "integer",
        _text(lambda text: encoding.parse_uint(text, "x")),
        _texts("0", "17", "9223372036854775807"),
        back=lambda read: str(read).encode(),
    ),
    Target(
        "time",
        _text(lambda text: encoding.parse_time(text, "x")),
        _texts("2026-01-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z"),
        back=lambda read: encoding.format_time(read).encode(),
    ),
    Target(
        "member name",
        _text(names.check_member),
        _texts("bts.gov.example", "a.b"),
        back=str.encode,
    ),
    Target(
        "dataset@version",
        _text(names.parse_dataset_version),
        _texts("bts.gov.example/flights@3"),
        back=lambda read: f"{read[0]}@{read[1]}".encode(),
    ),
    Target("origin", _text(names.check_origin), _texts("ledger.gov.example/2026"), back=str.encode),
    Target(
        "contract version",
        _text(names.parse_contract_version),
        _texts("1.0.0", "10.20.30"),
        back=lambda read: ".".join(map(str, read)).encode(),
    ),
    Target("key", _text(VerifierKey.parse), _vkeys, back=lambda key: key.text.encode()),
    Target("note", Note.parse, _cases("checkpoint/*.json", "note"), back=Note.format),
    Target(
        "signature lines",
        note.parse_signature_lines,
        _lines,
        back=lambda read: "".join(line.line for line in read).encode(),
    ),
    Target("cosignature", _verify_line, _lines, _WRONG),
    Target("checkpoint", checkpoint.parse, _checkpoints, back=checkpoint.Checkpoint.text),
    Target(
        "receipt",
        tlogproof.parse_receipt,
        _files("versions/*/*/*/receipt.tlog-proof"),
        back=lambda read: tlogproof.format_receipt(read.index, read.path, read.note),
    ),
    Target("policy", _text(policy.parse_policy), _files("trust*/policy.txt")),
    Target("envelope", dsse.parse_envelope, _statements, back=dsse.format_envelope),
    Target("submitted envelope", dsse.normalise_envelope, _statements),
    Target("statement", intoto.parse_statement, _payloads, back=intoto.format_statement),
    Target("version's statement", checks.parse_stated, _statements, _WRONG),
    Target("seal", seal.parse_seal, _seals, back=seal.format_seal),
    Target("fact", _json(facts.parse_fact), _facts, back=facts.fact_bytes),
    Target("stored fact", fact_table.parse_stored, _facts, back=facts.fact_bytes),
    Target(
        "admission",
        lambda data: admission.admit(_state(), data),
        _cases("rules/*.json", "entry"),
        (LedgerRefused,),
    ),
    Target(
        "entry bundle",
        lambda data: tiles.unpack_entries(data, 6),
        lambda: [tiles.pack_entries(_entries()[:6])],
        back=tiles.pack_entries,
    ),
    Target(
        "tile's path",
        _tile,
        _texts("checkpoint", "tile/0/000", "tile/entries/000.p/6", "tile/63/x001/234"),
    ),
    Target("trust", Trust.parse, _files("trust*/members.json"), (TrustError,), Trust.to_bytes),
    Target("standing", standing.parse_standing, _cases("standing/*.json", "standing"), _WRONG),
    Target(
        "record proof",
        record_proof.parse_record_proof,
        _cases("*/*record-proof*.json", "record_proof"),
        _WRONG,
    ),
    Target(
        "manifest",
        manifest.parse_manifest,
        _files("versions/*/*/*/manifest.json"),
        _WRONG,
        manifest.Manifest.to_bytes,
    ),
    Target(
        "type",
        _json(types.parse_type),
        _texts('"integer"', '"decimal(38,10)"', '{"list":{"struct":[{"name":"a","type":"date"}]}}'),
    ),
    Target("record batch", fuzz_batches.read_batch, fuzz_batches.seeds),
    Target("parquet", _read_footer, _parquet, (FormatError, VerificationError)),
    Target("what a footer claims", _claims, _parquet, ()),
    Target("contract", loader.load_contract, _contracts, (ContractError,)),
    Target("advice on a contract", lint.advice, _contracts),
    Target(
        "settings",
        _text(lambda text: settings.parse_settings(text, "zhixin.toml")),
        _texts(
            'member = "a.example"\n[ledger]\nurl = "file:../b"\n[[witnesses]]\nname = "a.example"\n'
            'url = "https://a.example/w"\n[sources.x]\nurl = "postgresql://u@h/d"\n'
        ),
        (ConfigError,),
    ),
    Target("governance chain", governance.parse_chain, _chains),
    Target(
        "following a chain",
        lambda data: governance.follow(_trust(), data),
        _chains,
        (FormatError, VerificationError, LedgerRefused),
    ),
    Target("equivocation report", Report.parse, _reports, _WRONG, Report.to_bytes),
    Target("proposal", proposals.parse_proposal, _governing, (FormatError, LedgerRefused)),
    Target(
        "proposal's signature",
        http_proposals._signature,
        _texts('{"keyid":"' + "0" * 64 + '","sig":"' + "A" * 86 + '=="}'),
    ),
    Target(
        "problem",
        _problem,
        _texts(
            '{"type":"urn:zhixin:error:quorum","title":"x","status":503,"detail":"y","code":"quorum"}'
        ),
    ),
    Target(
        "answer",
        problems.members_of,
        _texts('{"index": 7}'),
        (LedgerError,),
    ),
    Target(
        "add-checkpoint",
        witness_app.parse_question,
        _questions,
        (LedgerRefused,),
    ),
    Target(
        "receipt, twice",
        _alike(tlogproof.parse_receipt, verify.parse_receipt),
        _files("versions/*/*/*/receipt.tlog-proof"),
        _WRONG,
    ),
    Target(
        "json, twice",
        _alike(lambda data: encoding.parse_jcs(data, "x"), verify.parse_json),
        _payloads,
        _WRONG,
    ),
    Target(
        "version's statement, twice",
        _alike(checks.parse_stated, verify.parse_version),
        _statements,
        _WRONG,
    ),
    Target(
        "manifest, twice",
        _alike(manifest.parse_manifest, lambda data, _: verify.parse_manifest(data), both=False),
        _files("versions/*/*/*/manifest.json"),
        _WRONG,
    ),
    Target(
        "standing, twice",
        _alike(standing.parse_standing, verify.parse_standing),
        _cases("standing/*.json", "standing"),
        _WRONG,
    ),
    Target(
        "chain, twice",
        _alike(governance.parse_chain, verify.parse_chain, both=False),
        _chains,
        _WRONG,
    ),
    Target("evidence archive", _read_archive, _archives, (verify.Refused,)),
    Target("backup", _unpack, lambda: [_tar(_KEPT, _backup_manifest())]),
    Target(
        "backup's manifest",
        lambda data: _unpack(_tar(_KEPT, data)),
        lambda: [_backup_manifest()],
    ),
    Target("backup's names", _unpack_names, _texts("\n".join(_KEPT), "a\nb/c\nb/d/e")),
    Target("private key", _load_key, _keys, (ConfigError,)),
)

BY_NAME = {target.name: target for target in TARGETS}


def seed_digest(data: bytes) -> str:
    """A file name for a seed in a corpus."""
    return hashlib.sha256(data).hexdigest()[:16]
