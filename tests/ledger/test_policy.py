"""Trust policies, written for other tools and read back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, VerifierKey
from zhixin_ledger.policy import format_policy, parse_policy
from zhixin_ledger.signers import MemorySigner

VECTORS = Path(__file__).parents[1] / "vectors"
TRUSTS = ["trust", "trust-early", "trust-before-leave"]

LOG = VerifierKey.make("ledger.gov.example/2026", ED25519, MemorySigner(bytes(32)).public_key)
WITNESSES = [
    (
        f"m{n}.gov.example",
        VerifierKey.make(
            f"m{n}.gov.example/witness", COSIGNATURE_V1, MemorySigner(bytes([n]) * 32).public_key
        ),
    )
    for n in range(1, 5)
]
LINES = [(name, key.text) for name, key in WITNESSES]
KEYS = [key for _, key in WITNESSES]


@pytest.mark.parametrize("folder", TRUSTS)
def test_writes_the_policies_of_the_vectors(folder):
    text = (VECTORS / folder / "policy.txt").read_text()
    policy = parse_policy(text)
    witnesses = [(name, key.text) for name, key in policy.witnesses.items()]
    threshold = policy.groups["members"].threshold
    assert format_policy([key.text for key in policy.logs], witnesses, threshold) == text


@given(st.integers(1, 4), st.sets(st.sampled_from(KEYS)))
def test_is_satisfied_by_the_quorum_and_no_fewer(quorum, cosigners):
    policy = parse_policy(format_policy([LOG.text], LINES, quorum))
    assert policy.satisfied(cosigners) == (len(cosigners) >= quorum)


@pytest.mark.parametrize(
    ("logs", "witnesses", "quorum"),
    [
        ([], LINES, 1),
        ([LOG.text], LINES, 0),
        ([LOG.text], LINES, 5),
        ([LOG.text], [], 0),
        ([LOG.text, LOG.text], LINES, 1),
        ([LOG.text], [LINES[0], LINES[0]], 1),
        ([LOG.text], [LINES[0], (LINES[1][0], LINES[0][1])], 1),
        (["no key"], LINES, 1),
    ],
)
def test_refuses_to_write_what_is_no_policy(logs, witnesses, quorum):
    with pytest.raises(FormatError):
        format_policy(logs, witnesses, quorum)


HEAD = f"log {LOG.text}\n" + "".join(f"witness {name} {vkey}\n" for name, vkey in LINES)
A, B, C, D = (name for name, _ in LINES)


def test_reads_groups_of_groups_comments_and_addresses():
    policy = parse_policy(
        f"# who decides\n\n{HEAD.replace(LOG.text, LOG.text + ' https://ledger.gov.example')}"
        f"group\tleft  any {A} {B}\ngroup right all {C} {D}\n group both 2 left right\nquorum both"
    )
    assert policy.satisfied([KEYS[0], KEYS[2], KEYS[3]])
    assert not policy.satisfied([KEYS[0], KEYS[1], KEYS[2]])


def test_none_needs_no_witness_and_one_can_be_enough():
    assert parse_policy(f"log {LOG.text}\nquorum none\n").satisfied([])
    one = parse_policy(f"{HEAD}quorum {A}\n")
    assert one.satisfied([KEYS[0]])
    assert not one.satisfied(KEYS[1:])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must have a log and a quorum"),
        (HEAD, "must have a log and a quorum"),
        ("quorum none\n", "must have a log and a quorum"),
        (f"{HEAD}quorum none\nquorum none\n", "line 7: want exactly one line"),
        (f"{HEAD}quorum {A} {B}\n", "line 6: want exactly one line"),
        (f"{HEAD}quorum stranger\n", "line 6: a name is used before it is defined"),
        (f"{HEAD}group g 1 h {A}\n", "used before it is defined"),
        (f"{HEAD}group g 1\n", "want: group"),
        (f"{HEAD}group g 0 {A}\n", "between 1 and 1"),
        (f"{HEAD}group g 2 {A}\n", "between 1 and 1"),
        (f"{HEAD}group g +1 {A}\n", "the threshold must be an integer"),
        (f"{HEAD}group g 1 {A} {A}\n", "one group only"),
        (f"{HEAD}group g 1 {A}\ngroup h 1 {A}\n", "line 7: a name can be a member of one group"),
        (f"{HEAD}group none 1 {A}\n", "this name is taken"),
        (f"{HEAD}group {A} 1 {B}\n", "this name is taken"),
        (f"{HEAD}witness {A} {LOG.text}\n", "this public key is there already"),
        (f"{HEAD}witness {A}\n", "want: witness"),
        ("log\n", "want: log"),
        (f"log {LOG.text} a b\n", "want: log"),
        ("log x\n", "verifier key must be"),
        ("allow all\n", "line 1: want log, witness, group or quorum"),
    ],
)
def test_says_which_line_is_wrong(text, says):
    with pytest.raises(FormatError, match=says):
        parse_policy(text)


@given(st.text(max_size=60) | st.text("log witnessgroupquorum none all1\n\t#", max_size=60))
def test_raises_nothing_but_its_own_error_for_any_text(text):
    for whole in (text, HEAD + text):
        with suppress(FormatError):
            parse_policy(whole)
