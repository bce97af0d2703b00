"""The trust: parsed, held against itself, asked for keys, written again."""

import base64
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import FormatError, TrustError
from zhixin_ledger import admission, encoding
from zhixin_ledger.keys import VerifierKey
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.state import State
from zhixin_ledger.trust import (
    MEMBERS_FILE,
    POLICY_FILE,
    Trust,
    load_trust,
    save_trust,
    trust_of,
)
from zhixin_ledger.trust_history import check_history, minimum_quorum

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = sorted((VECTORS / "trust-cases").glob("*.json"))
MEMBERS = (VECTORS / "trust" / MEMBERS_FILE).read_bytes()


def members_file(case):
    """The bytes of a case's members.json; None where there is no such file."""
    item = case["trust"][MEMBERS_FILE]
    if item is None or (isinstance(item, dict) and item.get("dir")):
        return item
    if isinstance(item, dict):
        head, repeat, tail = (base64.b64decode(item.get(k, "")) for k in ("head", "repeat", "tail"))
        return head + repeat * int(item["times"]) + tail
    return base64.b64decode(item)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_judges_every_members_file_of_the_vectors(path, tmp_path):
    case = json.loads(path.read_text())
    data = members_file(case)
    if isinstance(data, bytes):
        (tmp_path / MEMBERS_FILE).write_bytes(data)
    elif data is not None:
        (tmp_path / MEMBERS_FILE).mkdir()
    if case["code"] is None:
        assert load_trust(tmp_path).to_bytes() == data
        return
    assert case["code"] == "trust"
    with pytest.raises(TrustError) as caught:
        load_trust(tmp_path)
    assert caught.value.code == "trust"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["trust", "trust-early", "trust-before-leave"])
def test_writes_the_bytes_that_it_read(name):
    trust = load_trust(VECTORS / name)
    assert trust.to_bytes() == (VECTORS / name / MEMBERS_FILE).read_bytes()


@pytest.mark.parametrize("name", ["trust", "trust-early", "trust-before-leave"])
def test_writes_the_policy_that_other_tools_read(name):
    assert load_trust(VECTORS / name).policy() == (VECTORS / name / POLICY_FILE).read_text()


def test_saves_both_files_and_leaves_no_other(tmp_path):
    trust = Trust.parse(MEMBERS)
    save_trust(trust, tmp_path / "trust")
    assert load_trust(tmp_path / "trust") == trust
    assert sorted(path.name for path in (tmp_path / "trust").iterdir()) == [
        MEMBERS_FILE,
        POLICY_FILE,
    ]


def test_answers_with_the_keys_that_were_in_force():
    trust = Trust.parse(MEMBERS)
    first = [cosigner.member for cosigner in trust.cosigners(2)]
    assert first == [
        "land.gov.example",
        "customs.gov.example",
        "tax.gov.example",
        "health.gov.example",
    ]
    assert [trust.quorum(size) for size in (2, 20, 21, 32, 33, 36, 37, 286, 10_000)] == [
        3, 3, 4, 4, 3, 3, 4, 4, 4,
    ]  # fmt: skip
    assert len(trust.cosigners(36)) == 4
    assert len(trust.cosigners(10_000)) == 5
    assert len(trust.log_keys(40)) == 3
    customs = trust.members[1]
    old, new = (encoding.sha256_hex(held.key) for held in customs.statement_keys)
    assert trust.statement_key(old, 15).member == "customs.gov.example"
    assert trust.statement_key(old, 16) is None
    assert trust.statement_key(new, 15) is None
    assert trust.statement_key(new, 16).public_key == customs.statement_keys[1].key
    assert trust.statement_key("00" * 32, 16) is None


def test_tells_which_cosigner_keys_have_ended_since():
    trust = Trust.parse(MEMBERS)
    assert [cosigner.ended for cosigner in trust.cosigners(2)] == [False, True, False, True]


def test_the_fingerprint_is_read_in_groups_and_typed_as_people_type():
    trust = Trust.parse(MEMBERS)
    groups = trust.fingerprint.split("-")
    assert [len(group) for group in groups] == [4] * 8
    assert trust.matches(" ".join(groups).upper())
    assert not trust.matches(trust.fingerprint[:-1])
    assert not trust.matches("")


def test_two_trusts_have_two_fingerprints():
    prints = {
        load_trust(VECTORS / name).fingerprint
        for name in ("trust", "trust-early", "trust-before-leave")
    }
    assert len(prints) == 3


@pytest.mark.parametrize("n", range(1, 65))
def test_the_least_quorum_is_the_least_that_the_rule_allows(n):
    faulty = (n - 1) // 3
    allowed = [k for k in range(1, n + 1) if 2 * k - n >= faulty + 1]
    assert minimum_quorum(n) == allowed[0]


def replayed(size):
    """The state after the first entries of the vectors' ledger."""
    state = State()
    lines = (VECTORS / "ledger" / "entries.jsonl").read_text().splitlines()
    for line in lines[:size]:
        admission.apply(state, base64.b64decode(json.loads(line)["entry"]))
    return state


@pytest.mark.parametrize("name", ["trust", "trust-early", "trust-before-leave"])
def test_exports_the_trust_of_a_replayed_ledger_to_the_byte(name):
    data = (VECTORS / name / MEMBERS_FILE).read_bytes()
    assert trust_of(replayed(Trust.parse(data).size)).to_bytes() == data


@pytest.mark.parametrize("size", [0, 1, 285])
def test_exports_no_trust_of_an_open_block(size):
    with pytest.raises(TrustError):
        trust_of(replayed(size))


def test_two_vkeys_never_share_a_name_and_key_id():
    trust = Trust.parse(MEMBERS)
    first, second, *others = trust.members
    (log,) = second.logs
    same_id = replace(log, key=replace(log.key, key_id=first.logs[0].key.key_id))
    members = (first, replace(second, logs=(same_id,)), *others)
    with pytest.raises(FormatError, match="share a name and key ID"):
        check_history(trust.size, trust.quorums, members)


def make_facts(count):
    """The member facts of a young ledger, all with their own cosigner; the first has the log."""
    keys = iter(MemorySigner(bytes([number]) * 32).public_key for number in range(1, 255))
    facts = []
    for number in range(count):
        name = f"m{number}.example"
        facts.append(
            {
                "fact": "member",
                "entry": "0",
                "name": name,
                "titles": {"en": name, "zh": ""},
                "standing": "active",
                "statement_keys": [{"key": encoding.b64(next(keys)), "from": "0", "until": None}],
                "cosigners": [
                    {
                        "vkey": VerifierKey.make(f"{name}/witness", 4, next(keys)).text,
                        "from": "0",
                        "until": None,
                    }
                ],
                "logs": [
                    {
                        "vkey": VerifierKey.make("ledger.example", 1, next(keys)).text,
                        "from": "0",
                        "until": None,
                    }
                ]
                if number == 0
                else [],
                "validators": [],
            }
        )
    return facts


@given(count=st.integers(1, 6), quorum=st.integers(0, 7), size=st.integers(2, 2**63 - 1))
def test_makes_a_trust_exactly_where_the_quorum_rule_allows_it(count, quorum, size):
    make = lambda: Trust.make(  # noqa: E731
        "ledger.example", size, b"\x01" * 32, [(0, quorum)], make_facts(count)
    )
    if minimum_quorum(count) <= quorum <= count:
        trust = make()
        assert Trust.parse(trust.to_bytes()) == trust
        assert len(trust.cosigners(size)) == count
    else:
        with pytest.raises(TrustError):
            make()


@given(position=st.integers(0, len(MEMBERS) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_gives_another_trust(position, byte):
    data = MEMBERS[:position] + bytes([byte]) + MEMBERS[position + 1 :]
    try:
        trust = Trust.parse(data)
    except TrustError:
        return
    assert trust.to_bytes() == data


json_values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(0, 300).map(str),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["from", "until", "key", "vkey", "en", "zh", "name"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(data=st.data())
def test_any_value_in_any_place_gives_a_trust_or_a_trust_error(data):
    value = json.loads(MEMBERS)
    place = value
    while True:
        name = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        inner = place[name]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[name] = data.draw(json_values)
    with suppress(TrustError):
        Trust.parse(encoding.jcs(value))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_trust_error(data):
    with pytest.raises(TrustError):
        Trust.parse(data)
