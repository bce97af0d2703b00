"""Equivocation reports: made where a signed checkpoint contradicts a copy, checked by anyone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import FormatError, VerificationError
from zhixin_ledger import checkpoint, cosignature, encoding, equivocation, forks
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.equivocation import Report
from zhixin_ledger.forks import Copy
from zhixin_ledger.note import Note, SignatureLine
from zhixin_ledger.signers import MemorySigner, load_signer
from zhixin_ledger.tiles import Tiles
from zhixin_ledger.trust import trust_of

PLANES = "faa.gov.example/planes"


def cosigned_by(world, note: Note, *members: str) -> Note:
    lines = []
    for member in members:
        signer = load_signer(world.home(member) / "keys/cosigner.pem")
        lines.append(cosignature.cosign(note.text, f"{member}/witness", signer, 1_770_000_000))
    return note.with_signatures(lines)


@pytest.fixture
def fork(world, liar, make_liar):
    """A log that went two ways after genesis: `liar` has sizes 2, 4, 6, the other 2, 4, 6, 8."""
    other = make_liar("fork")
    for number in range(2):
        liar.follow([world.contract(f"faa.gov.example/a{number}")]).sealed().note()
    for number in range(3):
        other.follow([world.contract(f"faa.gov.example/b{number}")]).sealed().note()
    return other


def note_at(log, size: int) -> Note:
    root = Tiles(log.source, len(log.entries)).root(size)
    return checkpoint.sign(Checkpoint(log.world.origin, size, root), log.world.log_signer)


def examined(liar, fork, size: int, held: int, **options) -> Report | None:
    """What a copy of `liar`'s ledger that holds a checkpoint of `held` makes of a fork's."""
    options.setdefault("source", fork.source)
    return forks.examine(note_at(fork, size), copy_of(liar, held), **options)


def copy_of(liar, held: int) -> Copy:
    tree = Tiles(liar.source, len(liar.entries))
    return Copy(tree, [note_at(liar, held)], trust_of(liar.state))


@pytest.mark.parametrize(("size", "held"), [(4, 4), (4, 6), (6, 4), (8, 6), (6, 6), (8, 4)])
def test_two_trees_that_one_log_signed_are_shown_whatever_their_sizes(liar, fork, size, held):
    report = examined(liar, fork, size, held)
    again = Report.parse(report.to_bytes())
    assert again == report
    finding = again.verify(trust_of(liar.state))
    assert finding.sizes == tuple(sorted((size, held)))
    assert finding.log
    assert finding.members == ()
    assert not finding.quorums


def test_the_same_tree_at_other_sizes_is_no_contradiction(liar, fork):
    assert examined(liar, fork, 2, 6) is None  # before the fork
    assert examined(liar, fork, 8, 2) is None
    assert examined(liar, liar, 4, 6) is None
    assert examined(liar, liar, 6, 4) is None
    assert examined(liar, liar, 6, 6) is None


def test_what_nobody_can_check_is_no_report(liar, fork):
    assert examined(liar, fork, 8, 6, source=None) is None
    assert examined(liar, fork, 8, 6, source=liar.source) is None  # it has no such tiles
    stranger = checkpoint.sign(checkpoint.parse(note_at(fork, 4).text), MemorySigner(b"\1" * 32))
    assert forks.examine(stranger, copy_of(liar, 6), fork.source) is None


def test_a_proof_that_came_with_the_checkpoint_speaks_against_its_sender(liar, fork):
    """Only where the old size is no power of two: such a proof tells the old root by itself."""
    path = Tiles(fork.source, 8).consistency_path(6)
    assert examined(liar, fork, 8, 6, source=None, proof=(6, path)).verify(trust_of(liar.state)).log
    path = Tiles(fork.source, 8).consistency_path(4)
    assert examined(liar, fork, 8, 4, source=None, proof=(4, path)) is None
    assert examined(liar, fork, 8, 6, source=None, proof=(6, [bytes(32)] * 3)) is None


def test_a_bad_line_beside_the_logs_own_spoils_no_report(world, liar, fork):
    """Who sends a fork to a witness could add a line that fails, to make the proof worthless."""
    note = cosigned_by(world, note_at(fork, 4), "faa.gov.example")
    line = note.signatures[-1]
    bad = SignatureLine(line.name, line.key_id, line.signature[:-1] + b"\0")
    stranger = SignatureLine("x.example/witness", b"abcd", b"x" * 72)
    note = Note(note.text, (bad, stranger, *note.signatures))
    report = forks.examine(note, copy_of(liar, 4), fork.source)
    names = {line.name for each in (report.first, report.second) for line in each.signatures}
    assert names == {world.origin, "faa.gov.example/witness"}
    assert report.verify(trust_of(liar.state)).log


def test_members_that_cosigned_both_are_named(world, liar, fork):
    first = cosigned_by(world, note_at(liar, 4), *world.names[:3])
    second = cosigned_by(world, note_at(fork, 6), *world.names[1:])
    path = Tiles(fork.source, 6).consistency_path(4)
    report = Report.make(first, second, Tiles(fork.source, 6).root(4), path)
    finding = report.verify(trust_of(liar.state))
    assert finding.log
    assert finding.members == world.names[1:3]
    assert finding.quorums
    # A cosigner that signed both is caught though no log signature stands on one.
    bare = Note(second.text, tuple(line for line in second.signatures if line.name != world.origin))
    finding = Report.make(first, bare, report.root, path).verify(trust_of(liar.state))
    assert not finding.log
    assert finding.members == world.names[1:3]


def test_two_checkpoints_without_a_common_signer_prove_nothing(world, liar, fork):
    text = note_at(liar, 4).text
    first = cosigned_by(world, Note(text, ()), world.names[0])
    second = cosigned_by(world, Note(note_at(fork, 4).text, ()), world.names[1])
    report = Report.make(first, second, Tiles(fork.source, 8).root(4), [])
    with pytest.raises(VerificationError, match="nobody whose key") as refused:
        report.verify(trust_of(liar.state))
    assert refused.value.code == "unproven"


def test_a_report_about_another_ledger_proves_nothing_to_a_trust(liar, fork):
    report = examined(liar, fork, 4, 6)
    other = trust_of(liar.state).__class__(
        "other.example/1", *(getattr(trust_of(liar.state), name) for name in FIELDS)
    )
    with pytest.raises(VerificationError, match=r"of the ledger ledger\.gov") as refused:
        report.verify(other)
    assert refused.value.code == "unproven"


FIELDS = ("size", "root", "quorums", "members")


def mutants(report: Report) -> list[dict]:
    told = json.loads(report.to_bytes())
    other_root = "00" * 32
    first, second = told["first"], told["second"]
    return [
        {**told, "root": other_root},
        {**told, "path": [*told["path"], other_root]},
        {**told, "path": told["path"][:-1]},
        {**told, "path": [other_root, *told["path"][1:]]},
        {**told, "first": first.replace("ledger.gov", "ledger.gow")},
        {**told, "second": second[:-4] + "AA==\n"},
        {**told, "type": "zhixin/equivocation/v2"},
        {**told, "first": second, "second": first},
        {**told, "more": ""},
        {key: value for key, value in told.items() if key != "path"},
        {**told, "root": told["root"].upper()},
        {**told, "path": "none"},
        {**told, "first": 4},
        {**told, "first": "\ud800"},
        {**told, "second": second + "— x AAAA\n"},
    ]


@pytest.mark.parametrize("number", range(15))
def test_no_mutated_report_proves_anything(liar, fork, number):
    report = examined(liar, fork, 6, 4)
    mutant = mutants(report)[number]
    with pytest.raises((FormatError, VerificationError)) as refused:
        Report.parse(encoding.jcs(mutant)).verify(trust_of(liar.state))
    assert refused.value.code in {"malformed", "unproven", "log-signature"}


def test_every_flipped_byte_of_a_report_is_noticed(world, liar, fork):
    report = examined(liar, fork, 6, 4)
    good = report.to_bytes()
    trust = trust_of(liar.state)
    before = report.verify(trust)
    for at in range(len(good)):
        bad = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
        try:
            told = Report.parse(bad).verify(trust)
        except (FormatError, VerificationError):
            continue
        assert told == before  # never another story
        pytest.fail(f"byte {at} of {good!r} can be changed")


def test_trees_that_agree_make_no_report(liar, fork):
    path = Tiles(liar.source, 6).consistency_path(4)
    with pytest.raises(VerificationError, match="begins with the first's"):
        Report.make(note_at(liar, 4), note_at(liar, 6), Tiles(liar.source, 6).root(4), path)
    with pytest.raises(VerificationError, match="does not lead"):
        Report.make(note_at(liar, 4), note_at(fork, 6), bytes(32), path)


@given(st.binary(max_size=200))
def test_raises_nothing_but_its_own_error_for_any_bytes(data):
    with pytest.raises(FormatError):
        Report.parse(data)
    with pytest.raises(FormatError, match="longer than"):
        Report.parse(b" " * (equivocation.MAX_BYTES + 1))


# Keeping.


def test_reports_are_kept_once_and_never_overwritten(world, liar, fork, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    report = examined(liar, fork, 4, 6)
    path = forks.keep(copy, report)
    assert path.parent.name == "equivocation"
    assert path.read_bytes() == report.to_bytes()
    assert forks.keep(copy, report) == path
    more = Report.make(
        cosigned_by(world, report.first, "noaa.gov.example"),
        cosigned_by(world, report.second, "noaa.gov.example"),
        report.root,
        report.path,
    )
    second = forks.keep(copy, more)
    assert second != path
    assert forks.keep(copy, report) == path
    assert set(forks.kept(copy)) == {path, second}


def test_there_is_room_for_so_many_reports(liar, fork, tmp_path):
    folder = tmp_path / "equivocation"
    folder.mkdir()
    for number in range(forks.MAX_REPORTS):
        (folder / f"{number}.json").write_bytes(b"{}")
    assert forks.keep(tmp_path, examined(liar, fork, 4, 6)) is None
    assert len(forks.kept(tmp_path)) == forks.MAX_REPORTS
