"""Members propose, sign and bring in changes; keys change hands; lost keys have a way out."""

import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from zhixin_errors import ConfigError, FormatError, LedgerRefused, LedgerUnavailable
from zhixin_gateway import governing, keyring, proposing, repairing
from zhixin_gateway.auditing import audit_home
from zhixin_gateway.gate.receipts import Clock, check_receipt
from zhixin_gateway.joining import Invitation, join
from zhixin_gateway.proposing import Rotation
from zhixin_gateway.trusting import move
from zhixin_ledger.client import contract_statement
from zhixin_ledger.dsse import keyid, sign_envelope
from zhixin_ledger.keys import MLDSA44
from zhixin_ledger.proposals import parse_proposal
from zhixin_ledger.signers import generate_signer, load_signer
from zhixin_ledger.statements import rules_statement
from zhixin_ledger.tlogproof import parse_receipt

NOW = Clock(datetime.now(UTC) + timedelta(days=1))


def publish(council, letter, name):
    """State a contract as a member; its index and receipt."""
    home = council.home(letter)
    with home.ledger_client() as client:
        client.sync()
        payload = contract_statement(client.origin, f"{home.member}/{name}", "1.0.0", "c0" * 32)
        entry = sign_envelope(payload, [home.signer()])
        index = client.submit(entry)
        return index, entry, client.receipt(index)


def newcomer(council, letter="e"):
    """The home of a member that is to join."""
    trust = council.home("a").pinned_trust()
    invitation = Invitation(str(council.path("a")), trust)
    return join(
        council.path(letter), f"{letter}.gov.example", {"en": letter, "zh": letter}, invitation
    )


def joined(council):
    """E has joined."""
    home = newcomer(council)
    proposal = proposing.propose_join(home, council.state("e"))
    return council.enact(council.agree(proposal, "a", "b", "c"), "d")


def keys_of(council, letter):
    return sorted(path.name for path in (council.path(letter) / "keys").iterdir())


def test_a_member_joins_by_its_own_key_and_a_quorum(council):
    home = newcomer(council)
    proposal = proposing.propose_join(home, council.state("e"))
    weighed = governing.read_proposals(council.state("a"), [proposal.to_bytes()])
    assert (weighed.votes, weighed.due, weighed.own_key_due) == ((), 3, False)
    assert (weighed.effect.quorum_before, weighed.effect.quorum_after) == (3, 4)
    assert weighed.effect.before is None
    signed = council.agree(proposal, "a", "b")
    with pytest.raises(LedgerRefused) as refused:
        council.enact(signed, "d")
    assert refused.value.code == "quorum"
    done = council.enact(council.agree(signed, "c"), "d")
    assert parse_receipt(done.receipt).index == done.index
    state = council.state("e")
    assert state.members["e.gov.example"].votes
    assert state.quorum == 4
    assert governing.missing_witnesses(council.home("d"), state) == ["e.gov.example"]
    assert governing.missing_witnesses(council.home("e"), state) == []
    publish(council, "e", "things")


def test_copies_signed_in_parallel_are_brought_together(council):
    proposal = proposing.propose_quorum(council.home("a"), council.state("a"), 4)
    copies = [council.agree(proposal, letter).to_bytes() for letter in "bc"]
    weighed = governing.read_proposals(council.state("d"), copies)
    assert weighed.votes == ("a.gov.example", "b.gov.example", "c.gov.example")
    assert weighed.ready
    other = proposing.propose_leave(council.home("a"), council.state("a"), "d.gov.example")
    with pytest.raises(FormatError, match="several proposals"):
        governing.read_proposals(council.state("d"), [proposal.to_bytes(), other.to_bytes()])


def test_signatures_of_strangers_and_those_that_fail_are_left_out(council):
    state = council.state("a")
    proposal = proposing.propose_quorum(council.home("a"), state, 4)
    stranger = load_signer(council.path("a") / "keys" / "log.pem")
    with_stranger = governing.proposals.add_signature(
        proposal, *governing.proposals.signature_of(proposal, stranger)
    )
    keyid_hex = keyid(council.home("b").signer().public_key)
    with_both = governing.proposals.add_signature(with_stranger, keyid_hex, bytes(64))
    weighed = governing.read_proposals(state, [with_both.to_bytes()])
    assert weighed.proposal == proposal
    only_bad = parse_proposal(with_both.to_bytes())
    alone = type(only_bad)(
        type(only_bad.envelope)(
            only_bad.envelope.payload_type, only_bad.envelope.payload, ((keyid_hex, bytes(64)),)
        ),
        only_bad.statement,
        only_bad.change,
    )
    with pytest.raises(LedgerRefused) as refused:
        governing.read_proposals(state, [alone.to_bytes()])
    assert refused.value.code == "signature"


def test_a_proposal_that_can_enter_no_more_says_why(council):
    state = council.state("a")
    first = proposing.propose_quorum(council.home("a"), state, 4)
    second = proposing.propose_leave(council.home("b"), state, "d.gov.example")
    done = council.enact(council.agree(first, "b", "c"), "a")
    for proposal, code in ((first, "duplicate"), (second, "previous")):
        with pytest.raises(LedgerRefused) as refused:
            governing.read_proposals(council.state("a"), [proposal.to_bytes()])
        assert refused.value.code == code
    assert done.index == 2
    with pytest.raises(LedgerRefused) as refused:
        proposing.propose_quorum(council.home("a"), council.state("a"), 4)
    assert refused.value.code == "nothing-changed"


def test_a_statement_of_another_kind_is_no_proposal(council):
    home = council.home("a")
    payload = contract_statement(
        "ledger.gov.example/council", "a.gov.example/x", "1.0.0", "c0" * 32
    )
    with pytest.raises(FormatError, match="no proposal"):
        parse_proposal(sign_envelope(payload, [home.signer()]))


def test_a_proposal_for_another_ledger_is_none_here(council):
    payload = rules_statement("ledger.other.example/1", 4, 0)
    foreign = sign_envelope(payload, [council.home("a").signer()])
    with pytest.raises(LedgerRefused) as refused:
        governing.read_proposals(council.state("a"), [foreign])
    assert refused.value.code == "other-origin"


def test_the_words_are_the_statements_and_not_the_senders(council):
    state = council.state("b")
    rotation = Rotation(statement=True, titles=(("en", "Office of B"),))
    proposal = proposing.propose_rotation(council.home("b"), state, rotation)
    lines = governing.describe(state, governing.read_proposals(state, [proposal.to_bytes()]))
    told = "\n".join(lines)
    assert "b.gov.example (Office of B / b.gov.example) CHANGES" in told
    assert "titles: was b.gov.example / b.gov.example" in told
    assert "statement key:" in told
    assert "cosigner key" not in told
    assert "signed by b.gov.example: 1 of 3 votes that are due" in told
    leaving = proposing.propose_leave(council.home("a"), state, "d.gov.example")
    words = governing.describe(state, governing.read_proposals(state, [leaving.to_bytes()]))
    assert "LEAVES" in words[1]
    assert "the quorum was 3 of 4 members that cosign, and is 2 of 3 then" in words


# Rotation.


@pytest.mark.parametrize("algorithm", ["ed25519", "ml-dsa-44"])
def test_all_keys_of_the_operator_are_rotated_and_the_ledger_goes_on(council, algorithm):
    old = {name: (council.path("a") / "keys" / name).read_bytes() for name in keys_of(council, "a")}
    rotation = Rotation(statement=True, cosigner=algorithm, log=True)
    proposal = proposing.propose_rotation(council.home("a"), council.state("a"), rotation)
    assert len(keys_of(council, "a")) == 6
    before = council.home("a").signer()
    assert before.public_key == load_signer(council.path("a") / "keys/statement.pem").public_key
    done = council.enact(council.agree(proposal, "b", "c"), "a")
    assert done.exchanged == ("statement", "cosigner", "log")
    assert keys_of(council, "a") == ["cosigner.pem", "log.pem", "statement.pem"]
    for name, data in old.items():
        assert (council.path("a") / "keys" / name).read_bytes() != data
    assert (council.home("a").signer("cosigner.pem").kind == MLDSA44) == (algorithm == "ml-dsa-44")
    for letter in "abcd":
        publish(council, letter, "after")
    assert all(report["ok"] for report in audit_home(council.home("d")))


def test_both_keys_lie_there_until_the_new_one_is_in_force(council):
    rotation = Rotation(statement=True, cosigner="ed25519")
    proposal = proposing.propose_rotation(council.home("b"), council.state("b"), rotation)
    again = proposing.propose_rotation(council.home("b"), council.state("b"), rotation)
    assert again.envelope.payload == proposal.envelope.payload  # the waiting keys are taken up
    publish(council, "b", "meanwhile")
    council.enact(
        council.agree(proposal, "a", "c"), "d"
    )  # b did nothing yet, and its witness signed
    assert "statement-new.pem" in keys_of(council, "b")
    publish(council, "b", "after")  # b's own copy tells it which key signs
    assert keys_of(council, "b") == ["cosigner.pem", "statement.pem"]


def test_a_waiting_key_of_another_algorithm_is_not_taken_up(council):
    home, state = council.home("b"), council.state("b")
    proposing.propose_rotation(home, state, Rotation(cosigner="ed25519"))
    with pytest.raises(ConfigError, match="another algorithm"):
        proposing.propose_rotation(home, state, Rotation(cosigner="ml-dsa-44"))


def test_a_death_while_keys_are_exchanged_costs_nothing(council, monkeypatch):
    rotation = Rotation(statement=True, cosigner="ml-dsa-44", log=True)
    proposal = proposing.propose_rotation(council.home("a"), council.state("a"), rotation)
    signed = council.agree(proposal, "b", "c")
    council.enact(signed, "d")
    council.state("a")
    real = Path.replace
    member = council.state("a").members["a.gov.example"]
    in_force = {member.statement_key, member.cosigner, member.log}
    waiting = 3
    for after in (False, True) * 3:  # before and just after each rename

        def dying(self, target, after=after):
            if self.name.endswith("-new.pem"):
                if after:
                    real(self, target)
                raise KeyboardInterrupt
            return real(self, target)

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(Path, "replace", dying)
            keyring.settle_keys(council.home("a"))
        waiting -= after
        files = keys_of(council, "a")
        assert sum(name.endswith("-new.pem") for name in files) == waiting
        here = {council.home("a").load_key(council.path("a") / "keys" / name).public_key
                for name in files}  # fmt: skip
        assert {keyring.raw_key(key) for key in in_force} <= here
    publish(council, "a", "after")
    assert keys_of(council, "a") == ["cosigner.pem", "log.pem", "statement.pem"]


def test_nothing_to_rotate_is_a_fault_of_usage(council):
    home, state = council.home("b"), council.state("b")
    with pytest.raises(ConfigError, match="nothing"):
        proposing.propose_rotation(home, state, Rotation())
    with pytest.raises(ConfigError, match="not both"):
        proposing.propose_rotation(home, state, Rotation(cosigner="ed25519", end_cosigner=True))


def test_a_member_cosigns_no_more_and_the_margin_stays(council):
    proposal = proposing.propose_rotation(
        council.home("d"), council.state("d"), Rotation(end_cosigner=True)
    )
    council.enact(council.agree(proposal, "a", "b"), "c")
    state = council.state("a")
    assert (state.quorum, state.members["d.gov.example"].votes) == (2, False)
    publish(council, "d", "still")
    mine = proposing.propose_quorum(council.home("d"), council.state("d"), 3)
    weighed = governing.read_proposals(state, [mine.to_bytes()])
    assert (weighed.votes, weighed.others) == ((), ("d.gov.example",))
    assert "without a vote" in "\n".join(governing.describe(state, weighed))


# Lost keys.


def test_a_lost_statement_key_is_replaced_by_the_others(council):
    (council.path("b") / "keys" / "statement.pem").unlink()
    with pytest.raises(ConfigError):
        publish(council, "b", "lost")
    proposal = proposing.propose_rotation(
        council.home("b"), council.state("b"), Rotation(statement=True)
    )
    weighed = governing.read_proposals(council.state("a"), [proposal.to_bytes()])
    assert (weighed.votes, weighed.own_key_due) == ((), False)
    with pytest.raises(ConfigError) as pending:
        publish(council, "b", "pending")
    assert pending.value.code == "key-pending"
    council.enact(council.agree(proposal, "a", "c", "d"), "b")
    assert keys_of(council, "b") == ["cosigner.pem", "statement.pem"]
    publish(council, "b", "found")


def test_a_lost_cosigner_key_is_replaced_and_meanwhile_the_quorum_is_there(council):
    (council.path("c") / "keys" / "cosigner.pem").unlink()
    publish(council, "b", "meanwhile")
    proposal = proposing.propose_rotation(
        council.home("c"), council.state("c"), Rotation(cosigner="ed25519")
    )
    council.enact(council.agree(proposal, "a", "b"), "c")
    assert keys_of(council, "c") == ["cosigner.pem", "statement.pem"]
    _, _, receipt = publish(council, "c", "after")
    assert "c.gov.example/witness" in receipt.decode()


def test_a_lost_log_key_is_replaced_and_the_ledger_goes_on(council):
    (council.path("a") / "keys" / "log.pem").unlink()
    with pytest.raises((ConfigError, LedgerUnavailable)):
        publish(council, "b", "lost")
    proposal = proposing.propose_rotation(council.home("a"), council.state("a"), Rotation(log=True))
    council.enact(council.agree(proposal, "b", "d"), "a")
    assert keys_of(council, "a") == ["cosigner.pem", "log.pem", "statement.pem"]
    for letter in "ab":
        publish(council, letter, "after")
    assert all(report["ok"] for report in audit_home(council.home("c")))


def test_a_member_takes_the_log_over_where_the_operators_home_is_lost(council):
    publish(council, "b", "before")
    for letter in "cd":
        council.state(letter)
    shutil.rmtree(council.path("a"))
    for letter in "bcd":
        home = council.home(letter)
        witnesses = tuple(each for each in home.settings.witnesses if "a.gov" not in each.name)
        home.save(replace(home.filed_settings(), ledger_url="file:../b.gov.example",
                          witnesses=witnesses))  # fmt: skip

    def own_copy(letter):
        council.clients.append(council.home(letter).ledger_client())
        return council.clients[-1].state()

    proposal = proposing.propose_rotation(council.home("b"), own_copy("b"), Rotation(log=True))
    for letter in "cd":
        state = own_copy(letter)
        weighed = governing.read_proposals(state, [proposal.to_bytes()])
        proposal = governing.sign(council.home(letter), state, weighed)
    assert [repair.what for repair in repairing.rebuild(council.home("b"))] == ["log", "own copy"]
    done = council.enact(proposal, "b")
    assert done.exchanged == ("log",)
    leaving = proposing.propose_leave(council.home("c"), council.state("c"), "a.gov.example")
    council.enact(council.agree(leaving, "b", "d"), "d")
    for letter in "bcd":
        publish(council, letter, "after")
    state = council.state("d")
    assert [name for name, fact in state.members.items() if fact.log] == ["b.gov.example"]
    assert all(report["ok"] for report in audit_home(council.home("d")))


def test_a_stolen_key_ends_with_the_entry_that_ends_it(council):
    stolen = council.path("b") / "keys" / "statement.pem"
    thief = load_signer(stolen)
    proposal = proposing.propose_rotation(
        council.home("b"), council.state("b"), Rotation(statement=True)
    )
    council.enact(council.agree(proposal, "a", "c"), "b")
    with council.home("a").ledger_client() as client:
        payload = contract_statement(client.origin, "b.gov.example/stolen", "1.0.0", "c0" * 32)
        with pytest.raises(LedgerRefused) as refused:
            client.submit(sign_envelope(payload, [thief]))
    assert refused.value.code == "unknown-signer"


def test_two_of_four_statement_keys_are_no_way_out(council):
    """What a quorum lost it can't vote for: docs/governance.md says what is left to do."""
    for letter in "bc":
        (council.path(letter) / "keys" / "statement.pem").unlink()
    proposal = proposing.propose_rotation(
        council.home("b"), council.state("b"), Rotation(statement=True)
    )
    signed = council.agree(proposal, "a", "d")
    weighed = governing.read_proposals(council.state("a"), [signed.to_bytes()])
    assert (len(weighed.votes), weighed.due, weighed.ready) == (2, 3, False)
    with pytest.raises(LedgerRefused) as refused:
        council.enact(signed, "a")
    assert refused.value.code == "quorum"
    with council.home("a").ledger_client() as client, pytest.raises(LedgerRefused) as refused:
        client.submit(signed.to_bytes())
    assert refused.value.code == "quorum"


# What was, stays; what has ended does not count.


def test_old_receipts_verify_under_the_trust_of_their_time_and_of_today(council):
    old_trust = council.home("a").pinned_trust()
    index, entry, receipt = publish(council, "d", "old")
    joined(council)
    for letter in "ab":
        proposal = proposing.propose_rotation(
            council.home(letter),
            council.state(letter),
            Rotation(statement=True, cosigner="ed25519"),
        )
        council.enact(council.agree(proposal, *"abcd".replace(letter, "")), letter)
    leaving = proposing.propose_leave(council.home("a"), council.state("a"), "d.gov.example")
    council.enact(council.agree(leaving, "b", "c", "e"), "a")
    with council.home("a").ledger_client() as client:
        client.sync()
    new_trust = move(old_trust, "", council.home("a")).after
    assert [member.active for member in new_trust.members] == [True, True, True, False, True]
    signer = council.home("d").signer()
    for trust in (old_trust, new_trust):
        check_receipt(parse_receipt(receipt), entry, trust, NOW, "it")
        assert trust.statement_key(keyid(signer.public_key), index).member == "d.gov.example"
    assert new_trust.statement_key(keyid(signer.public_key), new_trust.size) is None


def test_a_member_that_left_states_nothing_any_more(council):
    leaving = proposing.propose_leave(council.home("d"), council.state("d"), "d.gov.example")
    council.enact(council.agree(leaving, "a", "b"), "a")
    with pytest.raises(LedgerRefused) as refused:
        publish(council, "d", "late")
    assert refused.value.code == "unknown-signer"
    proposal = proposing.propose_quorum(council.home("a"), council.state("a"), 3)
    state = council.state("d")
    weighed = governing.read_proposals(state, [proposal.to_bytes()])
    with pytest.raises(ConfigError) as none:
        governing.sign(council.home("d"), state, weighed)
    assert none.value.code == "key-pending"
    with pytest.raises(ConfigError):
        proposing.propose_quorum(council.home("d"), state, 3)
    publish(council, "a", "on")


def test_a_member_that_left_joins_again_with_new_keys(council):
    leaving = proposing.propose_leave(council.home("d"), council.state("d"), "d.gov.example")
    council.enact(council.agree(leaving, "a", "b"), "a")
    with pytest.raises(LedgerRefused) as refused:
        proposing.propose_join(council.home("d"), council.state("d"))
    assert refused.value.code == "key-used"
    for name in ("statement.pem", "cosigner.pem"):
        (council.path("d") / "keys" / name).unlink()
        generate_signer(council.path("d") / "keys" / name)
    proposal = proposing.propose_join(council.home("d"), council.state("d"))
    council.enact(council.agree(proposal, "a", "b"), "d")
    publish(council, "d", "again")
