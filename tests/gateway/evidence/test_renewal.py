"""Renewals: one ledger that only grew, cosigned by the keys of its time; and without Ed25519."""

import pytest
from zhixin_gateway.evidence import verify
from zhixin_ledger.statements import member_statement

FOUR = ("bts.gov.example", "faa.gov.example", "noaa.gov.example", "ntsb.gov.example")


def known(ledger, files, judge):
    """The fingerprint of the newest trust, which pins the ML-DSA-44 keys."""
    code, report = judge(files)
    assert code is None
    return report.found["trust_fingerprint"]


def test_a_renewed_bundle_holds_by_the_keys_of_each_time(renewed, judge):
    _, files = renewed
    code, report = judge(files)
    assert code is None
    told = [sentence for sentence in report.proved if "entries, cosigned" in sentence]
    assert [("4 members with Ed25519 and 0" in one) for one in told] == [True, True, False]
    assert "1 members with Ed25519 and 3 with ML-DSA-44" in told[2]


def test_without_ed25519_the_newest_checkpoint_carries_the_older_ones(renewed, judge, ask):
    ledger, files = renewed
    newest = known(ledger, files, judge)
    assert judge(files, fingerprint=newest, without_ed25519=True)[0] is None
    status, told = ask(files, "--without", "ed25519", "--fingerprint", newest)
    assert status == 0
    times = [line.split(" by ")[1][:20] for line in told.splitlines() if " by 2026" in line]
    assert times[0] == times[-1] > times[1]  # the first receipt's own time is Ed25519's word
    assert told.count("not counted here") == 2
    # Not renewed since three members have such keys: nothing carries it.
    early = {name: data for name, data in files.items() if not name.startswith("renewals/0002/")}
    first = known(ledger, early, judge)
    assert judge(early, fingerprint=first, without_ed25519=True)[0] == "quorum"


def test_without_ed25519_keys_count_only_if_the_caller_knows_them(renewed, judge):
    _, files = renewed
    _, report = judge(files)
    assert judge(files, without_ed25519=True)[0] == "trust"
    # Whoever knows the ledger by its genesis alone learned of these keys by Ed25519 signatures.
    genesis = report.found["ledger_fingerprint"]
    assert judge(files, fingerprint=genesis)[0] is None
    assert judge(files, fingerprint=genesis, without_ed25519=True)[0] == "quorum"


def test_two_mldsa_cosignatures_are_too_few(renewed, judge):
    ledger, files = renewed
    two = ledger.renewal(files, 3, cosigners=FOUR[1:])
    newest = known(ledger, two, judge)
    assert judge(two, fingerprint=newest, without_ed25519=True)[0] == "quorum"


def test_a_renewal_by_too_few_members_is_refused(made, judge):
    ledger, files = made
    ledger.publish()
    assert judge(ledger.renewal(files, 1, cosigners=FOUR[:2]))[0] == "quorum"


def test_a_renewal_over_another_ledger_of_the_same_members_is_refused(made, judge):
    """A fork: the members' own keys sign a history that leaves the version's block out."""
    ledger, files = made
    entries, ledger.entries = ledger.entries, ledger.entries[:2]
    state = type(ledger.state)()
    for entry in ledger.entries:
        from zhixin_ledger import admission

        admission.apply(state, entry)
    ledger.state = state
    for _ in range(3):
        ledger.publish()
    assert len(ledger.entries) > len(entries) - 2
    assert judge(ledger.renewal(files, 1))[0] in {"forked", "inclusion"}


def test_a_decision_that_is_left_out_shows(renewed, judge):
    _, files = renewed
    stage = verify.parse_json(files["renewals/0002/governance.json"], "chain")
    for gone in range(1, len(stage["statements"])):
        left = [one for at, one in enumerate(stage["statements"]) if at != gone]
        chain = verify.jcs({**stage, "statements": left})
        code, _ = judge({**files, "renewals/0002/governance.json": chain})
        assert code in {"previous", "incomplete"}


def test_renewals_are_numbered_without_a_gap(renewed, judge):
    _, files = renewed
    for old, new in (("0001", "0003"), ("0002", "0001"), ("0002", "2")):
        moved = {name.replace(f"/{old}/", f"/{new}/"): data for name, data in files.items()}
        assert judge(moved)[0] is not None


def test_where_mldsa_cant_be_judged_those_lines_do_not_count(renewed, judge, monkeypatch):
    _, files = renewed
    monkeypatch.setattr(verify, "verify_mldsa44", lambda *_: None)
    code, report = judge(files)
    assert code == "quorum"
    assert any("could not be judged" in warning for warning in report.warnings)


@pytest.mark.parametrize("number", [1, 2])
def test_a_stage_of_an_earlier_time_is_no_renewal(number, renewed, judge):
    _, files = renewed
    old = {f"renewals/{number:04d}/{name}": files[name] for name in verify.STAGE}
    assert judge({**files, **old})[0] is not None


def test_without_ed25519_nobody_can_decide_that_fewer_are_enough(renewed, judge):
    """Whoever can forge Ed25519 has the others leave, and goes on with one true ML-DSA-44 key."""
    ledger, files = renewed
    newest = verify.fingerprint(files["renewals/0002/trust/members.json"])
    own, *others = FOUR
    for name, quorum in zip(others[::-1], (2, 2, 1), strict=True):
        previous = ledger.state.ledger.entry
        payload = member_statement(
            ledger.state.origin, "leave", ledger.member(name), quorum, previous
        )
        staying = [each for each, fact in ledger.state.members.items() if fact.active]
        ledger.state_it(payload, *staying)
    forged = ledger.renewal(files, 3, cosigners=[own])
    assert judge(forged, fingerprint=newest)[0] is None  # by Ed25519 it was decided
    assert judge(forged, fingerprint=newest, without_ed25519=True)[0] == "quorum"
