"""Field cases of the gate: what other clients let through.

FC-56 speaks of grants, which the ledger's rules "1" do not have, so that it can't be met as it is
written. It stands for a kind: a limit in time that is looked at once, too early, by somebody
else's clock. Its siblings that there are stand here: the age of a standing (judged when the version
is used, by the clock of who uses it, whose word it is), a withdrawal between two looks, and a trust
that is older than the receipt.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import zhixin_gateway
from zhixin_errors import FormatError, VerificationError
from zhixin_gateway import fetching
from zhixin_gateway.gate import receipts
from zhixin_ledger import encoding
from zhixin_ledger.note import Note
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.trust import Trust

FILES = Path(__file__).parent / "files"
NOTES = json.loads((FILES / "37-notes.json").read_text("utf-8"))
NOW = datetime.fromisoformat(NOTES["now"])


# FC-37: the lines of a signed note.


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


def judge(note, trust):
    receipts.check_log(note, trust)
    return receipts.check_cosigned(note, trust, receipts.Clock(NOW))


@pytest.mark.parametrize("case", NOTES["cases"], ids=lambda case: case["desc"])
def test_fc_37_the_logs_line_and_each_witness_count_wherever_they_stand(case, monkeypatch):
    note = Note.parse(case["note"].encode())
    # A trust's quorum can't be 1 of 3: what counts is seen by asking for more and fewer.
    for due in (1, 2, 3):
        monkeypatch.setattr(Trust, "quorum", lambda self, size, due=due: due)
        if case["accept"] and case["counted"] >= due:
            judge(note, trust_of(2))
            continue
        with pytest.raises((VerificationError, FormatError)) as caught:
            judge(note, trust_of(2))
        assert caught.value.code in {"log-signature", "quorum"}
        if not case["accept"]:
            assert "line" in caught.value.message or "no key of the log" in caught.value.message


def test_fc_37_of_two_lines_of_one_witness_the_latest_time_counts(monkeypatch):
    monkeypatch.setattr(Trust, "quorum", lambda self, size: 1)
    (case,) = [case for case in NOTES["cases"] if "twice" in case["desc"]]
    note = Note.parse(case["note"].encode())
    times = [
        int.from_bytes(line.signature[:8])
        for line in note.signatures
        if line.name.startswith("a.gov.example")
    ]
    for lines in (note.signatures, note.signatures[::-1]):
        time = judge(Note(note.text, lines), trust_of(2))
        assert time.timestamp() == max(times) > min(times)


# FC-48: an entry that verifies for itself, beside something else.

FIELDS = {"id": {"type": "integer", "required": True}}


def publish(member, name="things", ids=(1,)):
    member.file(f"{name}.csv", "id\n" + "".join(f"{number}\n" for number in ids))
    contract = member.contract(name, FIELDS, table=f"{name}.csv", key=("id",))
    done = member.run(contract)
    assert done.code == 0, done.err
    return member.version(f"{name}@{done.json['version']}")


@pytest.fixture
def mixed(members, tmp_path):
    """X@1, X@2 of one owner and Y@1 of another; a folder to mix them in, which asks for nothing."""
    x, y = members("x.gov.example", "y.gov.example")
    versions = {"X@1": publish(x, ids=[1]), "X@2": publish(x, ids=[1, 2]), "Y@1": publish(y)}

    def mix(base, other, *files, expect=None):
        folder = tmp_path / "mixed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(versions[base], folder)
        for file in files:
            shutil.copyfile(versions[other] / file, folder / file)
        given = () if expect is None else ("--expect", expect)
        trust = ("--trust", x.home / "trust")
        told = x.zhixin("verify", folder, *trust, *given, "--json")
        read = x.zhixin("cat", folder, *trust, "--expect", expect or "x.gov.example/things")
        assert (read.code, read.out) == (1, ""), "no row is yielded"
        assert told.code == 1
        return told.json["code"]

    return mix


RECEIPT, STATEMENT = "receipt.tlog-proof", "statement.json"


def test_fc_48_a_receipt_of_another_version(mixed):
    assert mixed("X@2", "X@1", RECEIPT) == "inclusion"
    assert mixed("X@2", "X@1", RECEIPT, expect="x.gov.example/things@2") == "inclusion"


def test_fc_48_statement_and_receipt_of_another_version(mixed):
    both = (STATEMENT, RECEIPT)
    assert mixed("X@1", "X@2", *both) == "manifest"
    assert mixed("X@1", "X@2", *both, expect="x.gov.example/things@1") == "unexpected"


def test_fc_48_statement_and_receipt_of_another_owners_version(mixed):
    both = (STATEMENT, RECEIPT)
    assert mixed("X@1", "Y@1", *both, expect="x.gov.example/things@1") == "unexpected"
    assert mixed("X@1", "Y@1", *both) == "manifest"


def test_fc_48_a_standing_of_another_dataset_is_tied_to_nothing_here(members, tmp_path):
    """The sibling: a proof that holds for itself, given beside a version that it is not of."""
    x, y = members("x.gov.example", "y.gov.example")
    path, standing = publish(x), tmp_path / "y.json"
    publish(y)
    assert y.zhixin("standing", "y.gov.example/things", standing).code == 0
    told = x.zhixin("verify", path, "--standing", standing, "--json")
    assert (told.code, told.json["code"]) == (1, "unexpected")


def test_fc_48_a_records_proof_is_tied_to_its_version(members, tmp_path):
    x, _ = members("x.gov.example", "y.gov.example")
    path, proof = publish(x, ids=[1, 2]), tmp_path / "proof.json"
    assert x.zhixin("prove", path, "--where", "id = 2", "--out", proof).code == 0
    trust = ("--trust", x.home / "trust", "--json")
    assert x.zhixin("verify-record", proof, *trust, "--expect", "x.gov.example/things@1").code == 0
    told = x.zhixin("verify-record", proof, *trust, "--expect", "x.gov.example/things@2")
    assert (told.code, told.json["code"]) == (1, "unexpected")


# FC-56: a limit in time that is looked at once, too early, by somebody else's clock.


@pytest.fixture
def lent(agency, tmp_path):
    """A version that a consumer has on a disk: its path, and what `verify` is told of it."""
    path = shutil.copytree(publish(agency), tmp_path / "disk" / "things-1")
    standing = tmp_path / "disk" / "standing.json"
    assert agency.zhixin("standing", agency.name("things"), standing).code == 0
    given = ("--trust", agency.home / "trust", "--expect", agency.name("things@1"))
    return path, standing, given


def test_fc_56_an_age_is_judged_when_a_version_is_used_not_when_it_was_fetched(
    agency, lent, clocks
):
    """What was fresh when it was fetched is refused when it is read too late: no row of it."""
    path, standing, given = lent
    asked = (*given, "--standing", standing, "--max-age", "1h")
    assert agency.zhixin("verify", path, *asked).code == 0
    assert agency.zhixin("cat", path, *asked).out == "id\n1\n"
    clocks.verifying(minutes=61)
    read = agency.zhixin("cat", path, *asked)
    assert (read.code, read.out) == (1, "")
    assert "stale" in read.err


def test_fc_56_what_was_opened_while_it_was_fresh_stays_open(agency, lent, clocks):
    path, standing, _ = lent
    opened = zhixin_gateway.open(
        path,
        trust=agency.home / "trust",
        expect=agency.name("things@1"),
        standings=[standing],
        max_age=timedelta(hours=1),
    )
    clocks.verifying(hours=2)
    assert [batch.num_rows for batch in opened.batches()] == [1]


@pytest.mark.parametrize(("minutes", "code"), [(-60, "quorum"), (-4, None), (60, "stale")])
def test_fc_56_a_consumers_clock_that_is_off_refuses_and_never_lets_through(
    agency, lent, clocks, minutes, code
):
    """An hour behind: the members' times lie in its future and do not count. Ahead: it is stale."""
    path, standing, given = lent
    clocks.verifying(minutes=minutes)
    asked = (*given, "--standing", standing, "--max-age", "30m", "--json")
    assert agency.zhixin("verify", path, *asked).json["code"] == code


def test_fc_56_a_version_withdrawn_while_it_is_fetched_is_not_kept(members, monkeypatch):
    """Between `get`'s first look at the ledger and its end."""
    x, y = members("x.gov.example", "y.gov.example")
    publish(x)
    genuine = fetching.wanted_version

    def withdrawn_meanwhile(*given):
        found = genuine(*given)
        process = x.process("withdraw", "x.gov.example/things@1", "--reason", "error")
        process.communicate(timeout=60)
        assert process.returncode == 0
        return found

    monkeypatch.setattr(fetching, "wanted_version", withdrawn_meanwhile)
    got = y.zhixin("get", "x.gov.example/things")
    assert got.code == 1
    assert "withdrawn" in got.err
    assert not (y.home / "store" / "x.gov.example" / "things" / "1").exists()


def test_fc_56_a_trust_older_than_the_receipt_is_told_of(agency, lent):
    """It can't know of keys that ended since: said aloud, and nothing is refused for it."""
    path, standing, given = lent
    told = agency.zhixin("verify", path, *given, "--standing", standing)
    assert told.code == 0
    assert "before the receipt's 6: it can't know of keys that ended since" in told.err
    assert "`zhixin trust update`" in told.err
