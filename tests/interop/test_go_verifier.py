"""Go's transparency-log libraries and ours agree on the same bytes.

The Go program beside this file stands on transparency-dev/formats, transparency-dev/merkle and
golang.org/x/mod; a missing Go fails these tests, because interoperability is what they are for.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from zhixin_errors import VerificationError
from zhixin_gateway.founding import found
from zhixin_gateway.home import create_home
from zhixin_ledger import merkle
from zhixin_ledger.checkpoint import verify_log
from zhixin_ledger.client import contract_statement, dataset_statement
from zhixin_ledger.cosignature import counted
from zhixin_ledger.dsse import sign_envelope
from zhixin_ledger.keys import ED25519, MLDSA44, VerifierKey
from zhixin_ledger.note import Note
from zhixin_ledger.signers import generate_signer
from zhixin_ledger.tlogproof import parse_receipt

VECTORS = Path(__file__).parents[1] / "vectors"
RESULTS = json.loads((VECTORS / "results.json").read_text())
# The Go program judges receipts and statements; the other checks of the gate are not its business.
JUDGED = ("log-signature", "quorum", "inclusion", "statement-signature", "owner")


@pytest.fixture(scope="session")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built from source."""
    go = shutil.which("go")
    assert go, "Go is not installed: run `make setup-test`"
    binary = tmp_path_factory.mktemp("go") / "verifier"
    subprocess.run(
        [go, "build", "-o", str(binary), "."],
        cwd=Path(__file__).parent / "verifier",
        check=True,
        timeout=600,
    )
    return binary


def judge(verifier: Path, trust: Path, *versions: Path, now: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [verifier, "check", "-trust", trust, "-now", now, *versions],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def receipt_cases() -> list[Path]:
    cases = []
    for path in sorted((VECTORS / "negative").glob("*.json")):
        case = json.loads(path.read_text())
        touched = set(case.get("files", {})) & {"receipt.tlog-proof", "statement.json"}
        mine = case["code"] in JUDGED or path.name.startswith("malformed-receipt-")
        trusted = case["code"] == "forked" and "standing" not in case
        if (mine or trusted) and "record_proof" not in case and (touched or "trust" in case):
            cases.append(path)
    return cases


def lay(case: dict[str, object], folder: Path) -> tuple[Path, Path]:
    """The statement, receipt and trust of a case, as files."""
    version, trust = folder / "version", folder / "trust"
    version.mkdir()
    base = VECTORS / "versions" / str(case["base"])
    for name in ("statement.json", "receipt.tlog-proof"):
        shutil.copy(base / name, version / name)
    shutil.copytree(VECTORS / str(case.get("trust_dir", "trust")), trust)
    for target, files in ((version, case.get("files", {})), (trust, case.get("trust", {}))):
        for name, content in files.items():  # type: ignore[attr-defined]
            put(target / name, content)
    return version, trust


def put(path: Path, content: object) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif isinstance(content, str):
        path.write_bytes(base64.b64decode(content))
    elif isinstance(content, dict) and "head" in content:
        parts = {k: base64.b64decode(content.get(k, "")) for k in ("head", "repeat", "tail")}
        path.write_bytes(parts["head"] + parts["repeat"] * int(content["times"]) + parts["tail"])


@pytest.mark.parametrize("path", receipt_cases(), ids=lambda p: p.stem)
def test_go_refuses_the_receipt(verifier: Path, tmp_path: Path, path: Path) -> None:
    case = json.loads(path.read_text())
    version, trust = lay(case, tmp_path)
    [answer] = judge(verifier, trust, version, now=case.get("now", RESULTS["now"]))
    assert not answer["ok"], case["why"]


def test_go_accepts_every_version_of_the_vectors(verifier: Path) -> None:
    versions = [VECTORS / "versions" / name for name in RESULTS["versions"]]
    answers = judge(verifier, VECTORS / "trust", *versions, now=RESULTS["now"])
    assert [a for a in answers if not a["ok"]] == []
    assert len(answers) == len(versions)


def test_go_accepts_cosigners_of_both_kinds_on_one_checkpoint(
    verifier: Path, tmp_path: Path
) -> None:
    homes = []
    for letter, kind in zip("abcd", (ED25519, MLDSA44, ED25519, MLDSA44), strict=True):
        name = f"{letter}.gov.example"
        (tmp_path / name / "keys").mkdir(parents=True, mode=0o700)
        generate_signer(tmp_path / name / "keys" / "cosigner.pem", kind=kind)
        homes.append(create_home(tmp_path / name, name, operator=letter == "a"))
    home = found(homes[0], homes, "ledger.gov.example/both", quorum=4)[0]
    dataset, digest = f"{home.member}/things", "c0" * 32
    stated = [
        contract_statement("ledger.gov.example/both", dataset, "1.0.0", digest),
        dataset_statement(
            "ledger.gov.example/both",
            dataset,
            1,
            root_hex=digest,
            contract=("1.0.0", digest),
            previous_hex=None,
            inputs=(),
            manifest_sha256_hex=digest,
        ),
    ]
    version = tmp_path / "version"
    version.mkdir()
    with home.ledger_client() as client:
        indexes = [client.submit(sign_envelope(each, [home.signer()])) for each in stated]
        (version / "receipt.tlog-proof").write_bytes(client.receipt(indexes[-1]))
        (version / "statement.json").write_bytes(client.entry(indexes[-1]))
    note = Note.parse(parse_receipt((version / "receipt.tlog-proof").read_bytes()).note)
    assert sorted(len(line.signature) for line in note.signatures) == [64, 72, 72, 2428, 2428]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    [answer] = judge(verifier, home.trust_dir, version, now=now)
    assert answer["ok"], answer


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_go_accepts_every_receipt_of_the_demo(
    verifier: Path, demo: tuple[Path, dict[str, list[dict[str, str]]]]
) -> None:
    folder, answer = demo
    versions = [Path(version["path"]) for version in answer["versions"]]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    answers = judge(verifier, folder / "ntsb.gov.example" / "trust", *versions, now=now)
    assert [a for a in answers if not a["ok"]] == []
    assert len(answers) == len(versions) == 7


def test_python_verifies_what_go_signs(verifier: Path) -> None:
    done = subprocess.run([verifier, "sign"], capture_output=True, check=True, timeout=60)
    sample = json.loads(done.stdout)
    receipt = parse_receipt(sample["receipt"].encode())
    log = VerifierKey.parse(sample["log"])
    cosigners = [VerifierKey.parse(vkey) for vkey in sample["cosigners"]]
    checkpoint = verify_log(receipt.signed, sample["origin"], [log])
    assert set(counted(receipt.signed, cosigners)) == set(cosigners)
    leaf = merkle.leaf_hash(sample["leaf"].encode())
    merkle.verify_inclusion(receipt.index, checkpoint.size, leaf, receipt.path, checkpoint.root)
    other = merkle.leaf_hash(b"another leaf")
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(
            receipt.index, checkpoint.size, other, receipt.path, checkpoint.root
        )
