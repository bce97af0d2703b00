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
from zhixin_ledger import merkle
from zhixin_ledger.checkpoint import verify_log
from zhixin_ledger.cosignature import counted
from zhixin_ledger.keys import VerifierKey
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
