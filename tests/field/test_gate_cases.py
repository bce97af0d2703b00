"""What went wrong elsewhere in the field, held against our gate (FC-35, FC-37)."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from zhixin_errors import FormatError, VerificationError
from zhixin_gateway.gate import receipts
from zhixin_ledger import encoding, merkle
from zhixin_ledger.note import Note
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.trust import Trust

FILES = Path(__file__).parents[2] / "field" / "files"
INCLUSION = json.loads((FILES / "35-inclusion.json").read_text())
NOTES = json.loads((FILES / "37-notes.json").read_text())


CHECKPOINTS = {case["size"]: case["root"] for case in INCLUSION if case["ok"]}


@pytest.mark.parametrize("case", INCLUSION, ids=lambda case: f"{case['desc']}: {case['index']}")
def test_a_path_holds_only_with_the_size_and_root_of_one_checkpoint(case):
    def check():
        # The gate takes size and root from one signed checkpoint, never from the proof's maker.
        root = CHECKPOINTS.get(case["size"], case["root"])
        merkle.verify_inclusion(
            case["index"],
            case["size"],
            bytes.fromhex(case["leaf"]),
            [bytes.fromhex(item) for item in case["path"]],
            bytes.fromhex(root),
        )

    if case["ok"]:
        check()
        return
    with pytest.raises(VerificationError) as caught:
        check()
    assert caught.value.code == "inclusion"


def trust_of(quorum):
    """A trust with the log and the three witnesses of the file."""
    held = {"from": "0", "until": None}
    members = []
    for number, vkey in enumerate(NOTES["witnesses"], 1):
        key = encoding.b64(MemorySigner(bytes([number]) * 32).public_key)
        members.append(
            {
                "name": vkey.partition("/")[0],
                "titles": {"en": "", "zh": ""},
                "standing": "active",
                "statement_keys": [{"key": key, **held}],
                "cosigners": [{"vkey": vkey, **held}],
                "logs": [{"vkey": NOTES["log"], **held}] if number == 1 else [],
                "validators": [],
            }
        )
    return Trust.make("ledger.gov.example/field", 2, b"\0" * 32, [(0, quorum)], members)


@pytest.mark.parametrize("case", NOTES["cases"], ids=lambda case: case["desc"])
def test_the_logs_line_and_each_witness_count_wherever_they_stand(case, monkeypatch):
    now = datetime.fromisoformat(NOTES["now"])
    trust = trust_of(2)
    note = Note.parse(case["note"].encode())
    # A trust's quorum can't be 1 of 3: what counts is seen by asking for more and fewer.
    for due in (1, 2, 3):
        monkeypatch.setattr(Trust, "quorum", lambda self, size, due=due: due)
        if case["accept"] and case["counted"] >= due:
            receipts.check_log(note, trust)
            receipts.check_cosigned(note, trust, receipts.Clock(now))
            continue
        with pytest.raises((VerificationError, FormatError)) as caught:
            judge(note, trust, now)
        assert caught.value.code in {"log-signature", "quorum"}
        if not case["accept"]:
            assert "line" in caught.value.message or "no key of the log" in caught.value.message


def judge(note, trust, now):
    receipts.check_log(note, trust)
    receipts.check_cosigned(note, trust, receipts.Clock(now))


def test_of_two_lines_of_one_witness_the_latest_time_counts(monkeypatch):
    monkeypatch.setattr(Trust, "quorum", lambda self, size: 1)
    (case,) = [case for case in NOTES["cases"] if "twice" in case["desc"]]
    note = Note.parse(case["note"].encode())
    clock = receipts.Clock(datetime.fromisoformat(NOTES["now"]))
    times = [
        int.from_bytes(line.signature[:8])
        for line in note.signatures
        if line.name.startswith("a.gov.example")
    ]
    for lines in (note.signatures, note.signatures[::-1]):
        time = receipts.check_cosigned(Note(note.text, lines), trust_of(2), clock)
        assert time.timestamp() == max(times) > min(times)
