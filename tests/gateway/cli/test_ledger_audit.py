"""``zhixin ledger audit``: all that a member ever stated, and that there is no other."""

import json
import shutil
from dataclasses import replace

import pytest
from zhixin_gateway import proposing
from zhixin_gateway.member_audit import Version, audit_member, gaps_in, unlike_facts
from zhixin_gateway.proposing import Rotation
from zhixin_ledger import merkle, tiles
from zhixin_ledger.governance import follow
from zhixin_ledger.tlogproof import parse_receipt
from zhixin_ledger.trust import load_trust

THINGS = "d.gov.example/things"


@pytest.fixture
def stated(zhixin, council, tmp_path):
    """D published three versions and withdrew the first; then its key was rotated."""
    d = council.path("d")
    contract = d / "contracts" / "things.odcs.yaml"
    for number in range(1, 4):
        (tmp_path / "things.csv").write_text("id\n" + "\n".join(map(str, range(number))) + "\n")
        if number == 1:
            contract.write_text(zhixin("source", "infer", "things.csv", "things.csv", home=d).out)
        assert zhixin("run", contract, home=d).code == 0
    withdrawn = zhixin("withdraw", f"{THINGS}@1", "--reason", "error", "--replaced-by", 2, home=d)
    assert withdrawn.code == 0
    proposal = proposing.propose_rotation(
        council.home("d"), council.state("d"), Rotation(statement=True)
    )
    council.enact(council.agree(proposal, "a", "b"), "d")
    council.state("a")
    return council.path("a")


def test_lists_every_version_with_its_fate(zhixin, stated):
    answer = zhixin("ledger", "audit", "d.gov.example", "--json", home=stated)
    assert answer.code == 0, answer.err
    told = answer.json
    assert (told["ok"], told["code"], told["gaps"]) == (True, None, [])
    assert [each["version"] for each in told["versions"]] == [1, 2, 3]
    first, second, third = told["versions"]
    assert (second["previous"], third["previous"]) == (first["statement"], second["statement"])
    assert first["withdrawn"]["reason"] == "error"
    assert first["withdrawn"]["by"] == "owner"
    assert (first["withdrawn"]["replaced_by"], second["withdrawn"]) == (2, None)
    assert all(each["time"].endswith("Z") for each in told["versions"])
    acts = [(act["what"], act["subject"]) for act in told["acts"]]
    assert acts == [
        ("founded", "ledger.gov.example/council"),
        ("contract", f"{THINGS} 1.0.0"),
        ("withdrawal", f"{THINGS}@1"),
        ("rotated", "d.gov.example"),
    ]
    assert len(told["cosigned"]) >= 3
    words = zhixin("ledger", "audit", "d.gov.example", home=stated)
    assert words.out.splitlines()[1].startswith(f"{THINGS}@1")
    assert "error by owner" in words.out
    assert (
        f"these are all that d.gov.example stated, 3 versions of 1 dataset, in "
        f"ledger.gov.example/council up to {told['size']} entries"
    ) in words.err
    assert f"root {told['root']}" in words.err
    assert "cosigned by a.gov.example" in words.err
    none = zhixin("ledger", "audit", "b.gov.example", home=stated)
    assert "no version of any dataset was ever stated by b.gov.example" in none.err
    signed = zhixin("ledger", "audit", "b.gov.example", "--json", home=stated).json["acts"]
    assert signed[-1]["what"] == "signed"


def test_the_proofs_are_checked_by_anybody(zhixin, stated, tmp_path):
    proofs = tmp_path / "proofs"
    answer = zhixin("ledger", "audit", "d.gov.example", "--proofs", proofs, home=stated)
    assert answer.code == 0, answer.err
    told = json.loads((proofs / "audit.json").read_text())
    for version in told["versions"]:
        entry = (proofs / f"{version['index']}.statement.json").read_bytes()
        receipt = parse_receipt((proofs / f"{version['index']}.tlog-proof").read_bytes())
        assert receipt.checkpoint.root.hex() == told["root"]
        merkle.verify_inclusion(
            receipt.index, receipt.checkpoint.size, merkle.leaf_hash(entry), receipt.path,
            receipt.checkpoint.root,
        )  # fmt: skip
    pinned = load_trust(stated / "trust")
    new = follow(pinned, (proofs / "governance.json").read_bytes())
    assert new.size == told["size"]
    trust = tmp_path / "trust"
    shutil.copytree(stated / "trust", trust)
    assert zhixin("trust", "update", proofs / "governance.json", "--trust", trust).code == 0
    version = stated.parent / "d.gov.example" / "store" / THINGS / "3"
    verified = zhixin(
        "verify", version, "--trust", trust, "--standing", proofs / "things.standing.json"
    )
    assert verified.code == 0, verified.out + verified.err
    again = zhixin("ledger", "audit", "d.gov.example", "--proofs", proofs, home=stated)
    assert (again.code, "is there already" in again.err) == (2, True)


def test_a_disk_is_audited_by_who_has_only_a_trust(zhixin, stated, tmp_path):
    disk, trust = tmp_path / "disk", tmp_path / "trust"
    shutil.copytree(stated / "ledger", disk)
    shutil.copytree(stated / "trust", trust)
    given = ("--ledger", disk, "--trust", trust)
    answer = zhixin("ledger", "audit", "d.gov.example", *given, "--json")
    assert (answer.code, len(answer.json["versions"])) == (0, 3)
    unknown = zhixin("ledger", "audit", "z.gov.example", *given)
    assert (unknown.code, "(member-unknown)" in unknown.err) == (2, True)


def test_a_copy_without_one_version_is_refused_and_says_where(zhixin, stated, tmp_path):
    """A tampered copy, whole in itself, that leaves the second version out."""
    disk = tmp_path / "disk"
    source = tiles.DirectorySource(stated / "ledger")
    note = source.read(tiles.CHECKPOINT)
    size = int(note.split(b"\n")[1])
    told = zhixin("ledger", "audit", "d.gov.example", "--json", home=stated).json
    left_out = told["versions"][1]["index"]
    entries = list(tiles.Tiles(source, size).entries())
    entries[left_out] = entries[left_out + 2]  # the third stands in its place
    disk.mkdir()
    tiles.write_tiles(disk, 0, size, lambda start: iter(entries[start:]))
    (disk / "checkpoint").write_bytes(note)
    answer = zhixin(
        "ledger", "audit", "d.gov.example", "--ledger", disk, "--trust", stated / "trust", "--json"
    )
    assert answer.code == 1
    error = answer.json["error"]
    assert error["code"] == "root"
    (gap, *_) = error["gaps"]
    assert (gap["code"], gap["version"], gap["index"]) == ("version-order", 3, left_out)
    assert f"{THINGS}@3 comes after version 1" in error["message"]


def test_the_list_is_held_to_the_facts_that_members_cosigned(stated):
    trust, source = load_trust(stated / "trust"), tiles.DirectorySource(stated / "ledger")
    audit, found = audit_member("d.gov.example", trust, source, "it")
    assert list(unlike_facts(audit, found)) == []
    last = audit.versions.pop()
    (gap,) = unlike_facts(audit, found)
    assert (gap.code, gap.version, gap.index) == ("fact", 3, last.index)
    audit.versions.append(replace(last, dataset="d.gov.example/others"))
    assert [gap.dataset for gap in unlike_facts(audit, found)] == [THINGS, "d.gov.example/others"]


def test_gaps_are_seen_in_numbers_and_in_what_is_named():
    def made(version, statement, previous):
        return Version(THINGS, version, version, "", statement, "", "", "", previous, ())

    assert gaps_in([made(1, "a", None), made(2, "b", "a"), made(3, "c", "b")]) == []
    codes = [
        [(gap.code, gap.version) for gap in gaps_in(versions)]
        for versions in (
            [made(2, "b", "a")],
            [made(1, "a", "x")],
            [made(1, "a", None), made(3, "c", "b"), made(4, "d", "c")],
            [made(1, "a", None), made(2, "b", "x"), made(3, "c", "b")],
            [made(1, "a", None), made(1, "b", "a")],
        )
    ]
    assert codes == [
        [("version-order", 2)],
        [("previous", 1)],
        [("version-order", 3)],
        [("previous", 2)],
        [("version-order", 1)],
    ]
