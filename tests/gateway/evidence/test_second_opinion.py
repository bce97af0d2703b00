"""verify.py shares no code with the gate, and gives the gate's answers to the project's vectors."""

import base64
import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from zhixin_gateway.evidence import verify as second

VECTORS = Path(__file__).parents[2] / "vectors"
RESULTS = json.loads((VECTORS / "results.json").read_text())
CASES = [
    path
    for folder in ("negative", "accept", "standing")
    for path in (VECTORS / folder).glob("*.json")
]
OTHER_QUESTIONS = ("strict_inputs", "current_keys", "require_standing", "input_standing")
"""What verify.py is not asked: it judges the one standing of the bundle's own dataset."""

# What verify.py leaves to the gate: whether the owner's own words are in form where nothing rests
# on them (its statement has the manifest's digest, and its root the record's text, all the same).
UNREAD_IN_MANIFEST = (
    "boolean", "fields-decimal", "fields-deep", "fields-empty-struct", "fields-list-and-struct",
    "fields-struct", "fields-type", "fields-unknown-type", "quality", "quarantined", "rule-twice",
    "run", "severity", "surplus-in-source", "time", "watermark",
)  # fmt: skip
UNREAD_IN_RECORD = ("type-", "value-")


def left_to_the_gate(path, given):
    name = path.stem
    unread = [f"malformed-manifest-{what}" for what in UNREAD_IN_MANIFEST]
    unread += [f"malformed-record-proof-{what}" for what in UNREAD_IN_RECORD]
    asks_more = any(given.get(what) for what in OTHER_QUESTIONS)
    return (
        asks_more
        or ("max_age" in given and "standing" not in given)
        or name.startswith(tuple(unread))
    )


def contents(item):
    if isinstance(item, str):
        return base64.b64decode(item)
    head, repeat, tail = (
        base64.b64decode(item.get(name, "")) for name in ("head", "repeat", "tail")
    )
    return head + repeat * int(item["times"]) + tail


def put(path, item):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if isinstance(item, dict) and "link" in item:
        path.symlink_to(item["link"])
    elif isinstance(item, dict) and item.get("dir"):
        path.mkdir()
    elif item is not None:
        path.write_bytes(contents(item))


def asked(given):
    """What the case asks for, in words or by its path; and where the folder is put."""
    place = given.get("path", given.get("base", "nothing"))
    if "expect" in given:
        dataset, at, number = given["expect"].partition("@")
        return (dataset, int(number) if at else None), "anything" if "path" not in given else place
    *_, member, name, number = ["", "", *place.split("/")]
    is_place = second.re.fullmatch(second.DATASET, f"{member}/{name}") and number.isdecimal()
    return ((f"{member}/{name}", int(number)) if is_place else None), place


def answer(given, folder, trust_of):
    """The code that verify.py gives; None where the case holds."""
    report = second.Report()
    trust_folder = folder / "trust"
    shutil.copytree(VECTORS / given.get("trust_dir", "trust"), trust_folder)
    for name, item in given.get("trust", {}).items():
        put(trust_folder / name, item)
    wanted, place = asked(given)
    question = second.Question(
        report,
        datetime.fromisoformat(given.get("now", RESULTS["now"])),
        None if "record_proof" in given and "expect" not in given else wanted,
        timedelta(seconds=int(given["max_age"])) if "max_age" in given else None,
    )
    try:
        trust = trust_of(trust_folder)
        if "record_proof" in given:
            second.judge_record(contents(given["record_proof"]), trust, question)
        else:
            target = folder / "store" / place
            shutil.copytree(VECTORS / "versions" / given["base"], target)
            for name, item in given.get("files", {}).items():
                put(target / name, item)
            version, receipt = second.judge_folder(target, trust, question)
            if "standing" in given:
                claim = second.parse_standing(contents(given["standing"]), "standing")
                time = second.judge_claim(version, claim, trust, question)
                second.judge_standing(version, receipt, [(claim, time)], question)
    except second.Refused as fault:
        return fault.code
    return None


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_answers_as_the_gate_does(path, tmp_path, trust_of):
    given = json.loads(path.read_text())
    found = answer(given, tmp_path, trust_of)
    if left_to_the_gate(path, given):
        return
    shallow = given.get("deep") and path.parent.name == "negative"
    assert found == (None if shallow else given["code"])


CHAINS = sorted((VECTORS.parent / "governance-vectors").glob("*.json"))
NEEDS_THE_TRUST = {"stale", "head-missing", "other-origin", "forked"}
"""What only a pinned trust can tell: a bundle brings its own, and it is compared there."""


@pytest.mark.parametrize("path", CHAINS, ids=lambda path: path.stem)
def test_follows_decisions_as_the_ledger_does(path):
    case = json.loads(path.read_text())
    question = second.Question(second.Report(), datetime.now(second.UTC))
    found = None
    try:
        chain = second.parse_chain(base64.b64decode(case["chain"]), "chain")
        trust = second.check_chain(chain, "chain")
        second.check_receipt(chain.made, chain.sealed.seal, trust, question, "chain")
        if case["code"] is None:
            assert trust.to_bytes() == base64.b64decode(case["after"])
    except second.Refused as fault:
        found = fault.code
    if case["code"] not in NEEDS_THE_TRUST:
        assert found == case["code"]


GOVERNING = {f"urn:zhixin:{kind}:v1" for kind in ("genesis", "member", "rules")}
RULES = sorted((VECTORS / "rules").glob("*.json"))


def governing(entry):
    """Whether an entry of the ledger changes members or quorum."""
    try:
        return second.parse_statement(entry, "entry").kind in GOVERNING
    except second.Refused:
        return False  # a seal


@pytest.fixture(scope="session")
def ledger_entries():
    lines = (VECTORS / "ledger" / "entries.jsonl").read_text().splitlines()
    return [base64.b64decode(json.loads(line)["entry"]) for line in lines]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_judges_decisions_as_admission_does(path, ledger_entries):
    case = json.loads(path.read_text())
    if case.get("kind") not in ("genesis", "member", "rules") or case["duplicate_of"]:
        return
    before = [base64.b64decode(entry) for entry in case.get("entries", [])]
    before = before or ledger_entries[: int(case.get("state_after", 0))]
    governance = second.Governance()
    for index, entry in enumerate(before):
        if governing(entry):
            governance.apply(index, entry)
    offered = base64.b64decode(case["normalised"]) if case["accept"] else contents(case["entry"])
    try:
        governance.apply(len(before), offered)
    except second.Refused:
        assert not case["accept"]
    else:
        assert case["accept"]
