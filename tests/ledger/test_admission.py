"""The rules, held to every vector of theirs; the state, to the roots of the vectors' ledger."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from zhixin_errors import LedgerRefused
from zhixin_ledger import admission, encoding, facts, merkle, seal
from zhixin_ledger.state import State

CASES = sorted((Path(__file__).parents[1] / "vectors" / "rules").glob("*.json"))

# Refusals are names for people and for programs: docs/formats.md lists them.
CODES = {
    "bad-again": "version-order",
    "bad-back-with-old-keys": "key-used",
    "bad-cofactor": "signature",
    "bad-contract-falls": "contract-version",
    "bad-contract-not-newest": "contract-not-newest",
    "bad-first-not-genesis": "genesis-place",
    "bad-genesis-again": "genesis-place",
    "bad-genesis-name-twice": "member-twice",
    "bad-genesis-no-log": "no-log",
    "bad-genesis-quorum": "quorum-rule",
    "bad-genesis-rules": "rules-unknown",
    "bad-genesis-stranger": "unknown-signer",
    "bad-genesis-unsigned-member": "founder-unsigned",
    "bad-high-s": "signature",
    "bad-input-hash": "input-unknown",
    "bad-input-withdrawn": "input-withdrawn",
    "bad-join-active": "member-active",
    "bad-join-no-own-key": "own-key",
    "bad-leave-changed": "leave-changed",
    "bad-leave-last": "quorum-rule",
    "bad-leave-twice": "member-inactive",
    "bad-other-member": "owner",
    "bad-other-origin": "other-origin",
    "bad-payload-not-jcs": "malformed",
    "bad-previous-stale": "previous",
    "bad-replaced-by-self": "replaced-by",
    "bad-rotate-no-log-left": "no-log",
    "bad-rules-quorum-short": "quorum",
    "bad-rules-same": "nothing-changed",
    "bad-seal": "malformed",
    "bad-withdrawal-subject": "subject",
    "bad-withdrawal-unknown": "version-unknown",
    "bad-withdrawn-twice": "withdrawn",
}


def spelled(value: str | dict) -> bytes:
    """The bytes of a vector's field: base64, or head, repeat and tail."""
    if isinstance(value, str):
        return base64.b64decode(value)
    repeated = base64.b64decode(value["repeat"]) * int(value["times"])
    return base64.b64decode(value["head"]) + repeated + base64.b64decode(value.get("tail", ""))


def replayed(entries: list[bytes]) -> State:
    state = State()
    for entry in entries:
        admission.apply(state, entry)
    return state


@pytest.fixture(scope="module")
def at_size(vector_entries):
    def give(size: int) -> State:
        return replayed([line["entry"] for line in vector_entries[:size]])

    return give


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_rules_answer_as_the_vector_says(path, at_size):
    case = json.loads(path.read_text())
    if "entries" in case:
        state = replayed([spelled(entry) for entry in case["entries"]])
    else:
        state = at_size(int(case["state_after"]))
    before = (state.size, state.root, state.state_root())
    data = spelled(case["entry"])
    if not case["accept"]:
        with pytest.raises(LedgerRefused) as refused:
            admission.admit(state, data)
        assert refused.value.code == CODES.get(path.stem, refused.value.code)
        assert (state.size, state.root, state.state_root()) == before
        return
    admitted = admission.admit(state, data)
    assert (state.size, state.root, state.state_root()) == before
    if case["duplicate_of"] is not None:
        assert admitted.duplicate
        assert admission.take_in(state, admitted) == int(case["duplicate_of"])
        assert (state.size, state.root, state.state_root()) == before
        return
    assert admitted.entry == base64.b64decode(case["normalised"])
    assert admission.take_in(state, admitted) == int(case["index"])
    assert state.state_root().hex() == case["state_root_after"]
    assert state.fact_count == int(case["facts_after"])


def test_there_are_vectors_of_rules():
    assert len(CASES) > 150


def test_replay_finds_every_root_of_the_ledger(vector_entries, vectors):
    state = State()
    for line in vector_entries:
        admission.apply(state, line["entry"])
        if "tree_root" in line:
            assert state.sealed
            assert state.root.hex() == line["tree_root"]
            assert state.state_root().hex() == line["state_root"]
            assert str(state.fact_count) == line["facts"]
    kept = json.loads((vectors / "ledger" / "state.json").read_text())
    assert [fact.to_json() for fact in state.facts] == kept


def test_the_state_says_the_keys_of_any_size(vector_entries, vectors):
    from zhixin_ledger.trust import Trust

    state = replayed([line["entry"] for line in vector_entries])
    trust = Trust.parse((vectors / "trust" / "members.json").read_bytes())
    for size in range(1, len(vector_entries) + 1):
        assert list(state.log_keys(size)) == trust.log_keys(size)
        assert list(state.cosigner_keys(size)) == [key.key for key in trust.cosigners(size)]
        assert state.quorum_at(size) == trust.quorum(size)
    assert state.quorums == trust.quorums
    made = Trust.make(
        state.origin,
        state.size,
        state.root,
        state.quorums,
        [member.to_json() for member in state.members.values()],
    )
    assert made.to_bytes() == (vectors / "trust" / "members.json").read_bytes()


def test_a_facts_path_leads_to_the_state_root(vector_entries):
    state = replayed([line["entry"] for line in vector_entries])
    for number, fact in enumerate(state.facts):
        slot, path = state.fact_path(fact)
        assert slot == number
        leaf = merkle.leaf_hash(facts.leaf_data(fact))
        merkle.verify_inclusion(slot, state.fact_count, leaf, path, state.state_root())


def test_replay_refuses_a_payload_that_is_there_already(vector_entries):
    state = replayed([line["entry"] for line in vector_entries[:16]])
    with pytest.raises(LedgerRefused) as refused:
        admission.apply(state, vector_entries[14]["entry"])
    assert refused.value.code == "duplicate"


def test_replay_refuses_a_second_entry_beside_genesis(vector_entries):
    state = replayed([vector_entries[0]["entry"]])
    with pytest.raises(LedgerRefused) as refused:
        admission.apply(state, vector_entries[2]["entry"])
    assert refused.value.code == "seal"


def test_a_seal_is_known_even_where_its_name_is_escaped():
    assert seal.is_seal(b'{"\\u0073eal":{}}')
    assert seal.is_seal(b'{"a":"1","seal":{}}')
    assert not seal.is_seal(b'{"payload":"seal"}')
    assert not seal.is_seal(b'{"seal"')
    assert not seal.is_seal(b'["seal"]')
    assert not seal.is_seal(b'"\\' + b"[" * 100_000)


def test_a_fact_reads_back_as_it_was_written(vector_entries):
    state = replayed([line["entry"] for line in vector_entries])
    for fact in state.facts:
        assert facts.parse_fact(encoding.parse_jcs(encoding.jcs(fact.to_json()), "fact")) == fact
