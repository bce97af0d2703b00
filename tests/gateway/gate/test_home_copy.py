"""Standing from the home's own copy of the ledger: what it replayed, as of its last checkpoint."""

from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from zhixin_ledger import tlogproof

FLIGHTS = "land.gov.example/flights/2"
SUMMARY = "post.gov.example/summary/2"


def note_of(vectors, base):
    """The checkpoint that a version's receipt ends with."""
    data = (vectors / "versions" / base / "receipt.tlog-proof").read_bytes()
    return tlogproof.parse_receipt(data).note


class Altered:
    """A copy with something else in one place."""

    def __init__(self, copy, **changes):
        self._copy = copy
        self.__dict__.update(changes)

    def __getattr__(self, name):
        return getattr(self._copy, name)


def test_a_whole_copy_proves_standing(lay_out, make_copy):
    verdict = lay_out({"base": FLIGHTS}).verify(ledger_copy=make_copy(), require_standing=True)
    assert verdict.ok, verdict.message
    assert verdict.status("standing") == "passed"
    assert verdict.warnings == ()


def test_every_version_stands_or_is_withdrawn_as_the_ledger_says(lay_out, make_copy, results):
    import shutil

    copy = make_copy()
    for base, want in results["versions"].items():
        case = lay_out({"base": base})
        verdict = case.verify(ledger_copy=copy)
        assert verdict.code == ("withdrawn" if want["withdrawn"] else None)
        shutil.rmtree(case.folder.parents[2])
        shutil.rmtree(case.trust_folder)


def test_a_copy_that_goes_further_than_its_checkpoint_counts_in_full(lay_out, make_copy, vectors):
    # A witness replays a block before the quorum has signed it: version 3 is stated in it.
    note = note_of(vectors, FLIGHTS)
    case = lay_out({"base": "land.gov.example/flights/3"})
    assert case.verify(ledger_copy=make_copy(None, note)).ok


def test_a_copy_that_ends_before_the_version_is_stale(lay_out, make_copy, vectors):
    copy = make_copy(11, note_of(vectors, "land.gov.example/flights/1"))
    verdict = lay_out({"base": FLIGHTS}).verify(ledger_copy=copy)
    assert verdict.code == "stale"


def test_a_copy_older_than_its_own_checkpoint_is_stale(lay_out, make_copy):
    # A database from a backup beside a fresh checkpoint: its facts are older than that time.
    verdict = lay_out({"base": FLIGHTS}).verify(ledger_copy=make_copy(16, make_copy().checkpoint()))
    assert verdict.code == "stale"


def test_a_copy_of_just_the_versions_size_is_enough(lay_out, make_copy, vectors):
    copy = make_copy(16, note_of(vectors, FLIGHTS))
    assert lay_out({"base": FLIGHTS}).verify(ledger_copy=copy).ok


def test_a_copy_is_as_old_as_its_checkpoint(lay_out, make_copy, vectors):
    copy = make_copy(16, note_of(vectors, FLIGHTS))
    case = lay_out({"base": FLIGHTS})
    late = datetime.fromisoformat("2026-02-03T20:00:00Z")
    assert case.verify(ledger_copy=copy, now=late, max_age=timedelta(hours=2)).ok
    verdict = case.verify(ledger_copy=copy, now=late, max_age=timedelta(hours=1))
    assert verdict.code == "stale"


@pytest.mark.parametrize("size", [16, 286], ids=["receipt", "checkpoint"])
def test_a_receipt_of_another_ledger_than_the_copy_is_forked(size, lay_out, make_copy):
    copy = make_copy()
    real = copy.root_at
    altered = Altered(copy, root_at=lambda at: b"\0" * 32 if at == size else real(at))
    verdict = lay_out({"base": FLIGHTS}).verify(ledger_copy=altered)
    assert verdict.code == "forked"
    assert verdict.checks[-1].name == "standing"


def test_a_trust_of_another_ledger_than_the_copy_is_forked(lay_out, make_copy):
    case, copy = lay_out({"base": FLIGHTS}), make_copy()
    case.trust = replace(case.trust, size=11, root=copy.root_at(11))
    assert case.verify(ledger_copy=copy).ok
    case.trust = replace(case.trust, root=copy.root_at(10))
    assert case.verify(ledger_copy=copy).code == "forked"


@pytest.mark.parametrize(("index", "statement"), [(15, None), (None, b"\0" * 32)])
def test_a_copy_that_has_another_statement_of_an_older_version_is_forked(
    index, statement, lay_out, make_copy
):
    copy = make_copy()

    def stated(dataset, version):
        place = copy.stated(dataset, version)
        return SimpleNamespace(index=index or place.index, statement=statement or place.statement)

    verdict = lay_out({"base": FLIGHTS}).verify(ledger_copy=Altered(copy, stated=stated))
    assert verdict.code == "forked"


def test_a_copy_without_the_dataset_is_forked(lay_out, make_copy):
    altered = Altered(make_copy(), dataset=lambda name: None, stated=lambda name, number: None)
    assert lay_out({"base": FLIGHTS}).verify(ledger_copy=altered).code == "forked"


def test_a_copys_checkpoint_is_judged_as_a_receipt_is(lay_out, make_copy, vectors):
    note = (vectors / "ledger" / "checkpoint").read_bytes()
    head, _, signatures = note.partition(b"\n\n")
    lines = signatures.splitlines(keepends=True)
    case = lay_out({"base": FLIGHTS})
    log = [line for line in lines if b"/witness" not in line]
    cosigners = [line for line in lines if b"/witness" in line]
    for kept, code in ((cosigners, "log-signature"), (log + cosigners[:3], "quorum")):
        copy = make_copy(None, head + b"\n\n" + b"".join(kept))
        verdict = case.verify(ledger_copy=copy)
        assert (verdict.code, verdict.checks[-1].name) == (code, "standing")


def test_strict_inputs_are_answered_by_the_copy_too(lay_out, make_copy):
    case = lay_out({"base": SUMMARY})
    assert case.verify(ledger_copy=make_copy(), strict_inputs=True).ok
    first = lay_out_again(case, lay_out, "post.gov.example/summary/1")
    verdict = first.verify(ledger_copy=make_copy())
    assert verdict.ok
    assert any("withdrawn since" in warning for warning in verdict.warnings)
    assert first.verify(ledger_copy=make_copy(), strict_inputs=True).code == "withdrawn"


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": lambda name: None, "stated": lambda name, number: None},
        {"version": 1},
        {"statement_hex": "00" * 32},
        {"entry": 250},
        {"place": SimpleNamespace(index=14, statement=b"\0" * 32)},
        {"place": SimpleNamespace(index=285, statement=None)},
    ],
    ids=["no fact", "lacks it", "other statement", "later entry", "other place", "later place"],
)
def test_a_copy_that_contradicts_an_input_is_forked(changes, lay_out, make_copy):
    # summary/1 is made from parcels@2, which is that dataset's latest version.
    copy = make_copy()
    changes = dict(changes)
    if place := changes.pop("place", None):
        real = copy.stated("customs.gov.example/parcels", 2)
        place = SimpleNamespace(index=place.index, statement=place.statement or real.statement)
        changes = {"stated": lambda name, number: only_parcels(copy.stated, name, number, place)}
    elif "dataset" not in changes:
        fact = replace(copy.dataset("customs.gov.example/parcels"), **changes)
        changes = {
            "dataset": lambda name: fact if name == fact.dataset else copy.dataset(name),
            "stated": lambda name, number: None,
        }
    else:
        missing = changes["dataset"]
        changes["dataset"] = lambda name: (
            missing(name) if name.endswith("parcels") else copy.dataset(name)
        )
    case = lay_out({"base": "post.gov.example/summary/1"})
    verdict = case.verify(ledger_copy=Altered(copy, **changes))
    assert verdict.code == "forked"
    assert "input customs.gov.example/parcels@2" in verdict.message


def only_parcels(real, name, number, place):
    return place if name.endswith("parcels") else real(name, number)


def lay_out_again(case, lay_out, base):
    import shutil

    shutil.rmtree(case.folder.parents[2])
    shutil.rmtree(case.trust_folder)
    return lay_out({"base": base})


def test_an_inputs_standing_alone_is_no_standing_of_the_version(lay_out, vectors):
    import json

    given = json.loads((vectors / "standing" / "good-input-withdrawn.json").read_text())
    del given["standing"]
    case = lay_out(given)
    verdict = case.verify()
    assert verdict.ok
    assert verdict.status("standing") == "skipped"
    assert len(verdict.warnings) == 2
    assert case.verify(require_standing=True).code == "stale"
