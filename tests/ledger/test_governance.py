"""A pinned trust follows a chain of quorum decisions, and nothing else."""

import base64
import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError, LedgerUnavailable, VerificationError, ZhixinError
from zhixin_ledger import admission, encoding, governance, tiles
from zhixin_ledger.keys import MLDSA44
from zhixin_ledger.signers import generate_signer
from zhixin_ledger.state import State
from zhixin_ledger.trust import Trust, load_trust

TESTS = Path(__file__).parents[1]
FOLDER = TESTS / "governance-vectors"
CASES = sorted(FOLDER.glob("*.json"))
VECTORS = TESTS / "vectors"


def _loaded():
    spec = importlib.util.spec_from_file_location("governance_vectors", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _loaded()
A, B, C, D, E = make.A, make.B, make.C, make.D, make.E


def read(name):
    case = json.loads((FOLDER / f"{name}.json").read_text())
    return Trust.parse(base64.b64decode(case["trust"])), base64.b64decode(case["chain"])


def code_of(trust, chain):
    with pytest.raises(ZhixinError) as caught:
        governance.follow(trust, chain)
    assert isinstance(caught.value, (FormatError, VerificationError))
    return caught.value.code


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_answers_every_chain_of_the_vectors(path):
    case = json.loads(path.read_text())
    trust, chain = read(path.stem)
    if case["code"] is None:
        assert governance.follow(trust, chain).to_bytes() == base64.b64decode(case["after"])
    else:
        assert code_of(trust, chain) == case["code"]


def test_the_vectors_are_what_their_maker_makes():
    made = make.files()
    assert sorted(made) == [path.name for path in CASES]
    for name, data in made.items():
        assert (FOLDER / name).read_bytes() == data, name


def test_four_members_become_five_with_two_rotated_keys():
    old, chain = read("good-four-to-five")
    new = governance.follow(old, chain)
    assert [member.name for member in old.members] == [A, B, C, D]
    assert [member.name for member in new.members] == [A, B, C, D, E]
    assert [len(member.statement_keys) for member in new.members] == [2, 1, 1, 1, 1]
    assert [len(member.cosigners) for member in new.members] == [1, 2, 1, 1, 1]
    assert (old.quorum(old.size), new.quorum(new.size)) == (3, 4)
    assert new.size == 11
    assert governance.follow(new, make.five().chain()) == new


def tree_of(ledger, folder):
    tiles.write_tiles(folder, 0, len(ledger.entries), lambda start: iter(ledger.entries[start:]))
    return tiles.Tiles(tiles.DirectorySource(folder), len(ledger.entries))


def test_makes_the_chain_that_the_vectors_write_down(tmp_path):
    ledger = make.five()
    tree = tree_of(ledger, tmp_path)
    made = governance.make_chain(tree, ledger.state, ledger.note(), (4, 11, 4, 2))
    assert made == ledger.chain((2, 4))
    assert governance.decisions(tree, ledger.state) == [
        (at, ledger.entries[at]) for at in (0, 4, 6, 7)
    ]
    assert [governance.sealed_size(tree, at) for at in (0, 1, 2, 6, 7, 8)] == [2, 2, 4, 9, 9, 9]


def test_makes_no_chain_of_a_copy_that_is_ahead_of_its_quorum(tmp_path):
    ledger = make.four()
    note = ledger.note()
    make.joined(ledger)
    with pytest.raises(LedgerUnavailable) as caught:
        governance.make_chain(tree_of(ledger, tmp_path), ledger.state, note, (2,))
    assert caught.value.code == "quorum"


@pytest.mark.parametrize("size", [0, 12])
def test_makes_no_head_that_is_not_in_the_tree(size, tmp_path):
    ledger = make.five()
    with pytest.raises(FormatError):
        governance.make_chain(tree_of(ledger, tmp_path), ledger.state, ledger.note(), (size,))


def test_an_open_block_has_no_sealed_size(tmp_path):
    ledger = make.five()
    ledger.contract(B)
    with pytest.raises(FormatError):
        governance.sealed_size(tree_of(ledger, tmp_path), 11)


def test_decisions_that_name_no_earlier_one_are_no_chain(tmp_path):
    ledger = make.five()
    state = ledger.state
    state._ledger = type(state.ledger)(state.ledger.origin, "1", 4, 2)  # a contract's statement
    with pytest.raises(FormatError):
        governance.decisions(tree_of(ledger, tmp_path), state)
    state._ledger = type(state.ledger)(state.ledger.origin, "1", 4, 4)
    ledger.entries[4] = ledger.entries[7]  # which names 6
    with pytest.raises(FormatError, match="not before"):
        governance.decisions(tree_of(ledger, tmp_path / "more"), state)


def test_the_trusts_of_the_ledgers_vectors_follow_to_its_end():
    source = tiles.DirectorySource(VECTORS / "ledger")
    trusts = [load_trust(VECTORS / name) for name in ("trust-early", "trust-before-leave", "trust")]
    tree = tiles.Tiles(source, trusts[-1].size)
    state = State()
    for entry in tree.entries():
        admission.apply(state, entry)
    note = source.read(tiles.CHECKPOINT)
    chain = governance.make_chain(tree, state, note, [trust.size for trust in trusts])
    for trust in trusts:
        assert governance.follow(trust, chain) == trusts[-1]


def test_no_flipped_byte_of_a_chain_goes_unseen():
    trust, chain = read("good-just-enough-cosigned")
    for at in range(len(chain)):
        flipped = chain[:at] + bytes([chain[at] ^ 1]) + chain[at + 1 :]
        assert code_of(trust, flipped), at


@given(at=st.integers(0, 100_000), byte=st.integers(0, 255))
def test_any_other_byte_is_refused_or_leads_to_the_same_trust(at, byte):
    """A line of a cosigner that is not needed may become a stranger's, which is ignored."""
    trust, chain = read("good-many-heads")
    at %= len(chain)
    changed = chain[:at] + bytes([byte]) + chain[at + 1 :]
    try:
        new = governance.follow(trust, changed)
    except (FormatError, VerificationError):
        assert byte != chain[at]
        return
    assert new == governance.follow(trust, chain)


@given(start=st.integers(0, 100_000), end=st.integers(0, 100_000))
def test_a_chain_that_is_cut_is_refused(start, end):
    trust, chain = read("good-just-enough-cosigned")
    start, end = sorted((start % len(chain), end % len(chain)))
    if start < end:
        assert code_of(trust, chain[:start] + chain[end:])
    assert code_of(trust, chain[:start]) == "malformed"


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed(data):
    trust, _ = read("good-four-to-five")
    assert code_of(trust, data) == "malformed"


nonsense = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5) | st.integers(0, 20).map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(data=st.data())
def test_any_value_in_any_place_is_refused_by_a_code(data):
    trust, chain = read("good-just-enough-cosigned")
    value = json.loads(chain)
    place = value
    while True:
        name = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        inner = place[name]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            break
        place = inner
    put = data.draw(nonsense)
    if put != place[name]:
        place[name] = put
        assert code_of(trust, encoding.jcs(value))


def test_a_chain_of_more_bytes_than_allowed_is_malformed(monkeypatch):
    trust, chain = read("good-four-to-five")
    monkeypatch.setattr(governance, "MAX_CHAIN_BYTES", len(chain) - 1)
    assert code_of(trust, chain) == "malformed"


def test_a_cosigner_turns_to_another_algorithm(tmp_path):
    ledger = make.four()
    trust = ledger.trust()
    ledger.keys[f"{B} witness"] = generate_signer(tmp_path / "key.pem", None, MLDSA44)
    ledger.decide(ledger.change("rotate", ledger.member(B), 3), A, B, C)
    new = governance.follow(trust, ledger.close().chain((4,), ledger.note((A, B, C))))
    assert [held.key.kind for held in new.members[1].cosigners] == [4, 6]
    short = ledger.chain((4,), ledger.note((A, C)))
    assert code_of(trust, short) == "quorum"


# Random histories: whatever the members decide, whoever pinned anything follows.

steps = st.lists(
    st.sampled_from(["join", "leave", "statement", "witness", "titles", "entry", "rules"]),
    min_size=1,
    max_size=8,
)


def perform(ledger, step, number):
    """One decision by all members that vote, where it can be."""
    members = ledger.state.members
    voters = [name for name, member in members.items() if member.votes]
    count = len(voters)
    least = lambda n: (n + (n - 1) // 3 + 2) // 2  # noqa: E731
    if step == "join":
        name = f"m{number}.gov.example"
        ledger.hold(name, "statement")
        ledger.hold(name, "witness")
        ledger.decide(ledger.change("join", ledger.member(name), least(count + 1)), *voters, name)
    elif step == "leave" and count > 1:
        name = voters[-1]
        ledger.decide(ledger.change("leave", ledger.member(name), least(count - 1)), *voters)
    elif step in ("statement", "witness"):
        name = voters[number % count]
        signers = [ledger.keys[f"{each} statement"] for each in voters]
        ledger.hold(name, step, str(number))
        if step == "statement":
            signers.append(ledger.keys[f"{name} statement"])
        ledger.decide(ledger.change("rotate", ledger.member(name), ledger.state.quorum), *signers)
    elif step == "titles":
        changed = ledger.member(voters[0], titles={"en": str(number), "zh": ""})
        ledger.decide(ledger.change("rotate", changed, ledger.state.quorum), *voters)
    elif step == "rules" and count not in (ledger.state.quorum, 1):
        ledger.decide(ledger.rules(count), *voters)
    else:
        ledger.contract(voters[0], f"c{number}")


@settings(max_examples=25)
@given(steps)
def test_every_trust_of_a_history_follows_to_its_end(steps):
    ledger = make.Ledger().found()
    trusts = [ledger.trust()]
    for number, step in enumerate(steps):
        perform(ledger, step, number)
        trusts.append(ledger.close().trust())
    sizes = [trust.size for trust in trusts]
    chain = ledger.chain(tuple(sizes[:-1]))
    for trust in trusts:
        assert governance.follow(trust, chain) == trusts[-1]
    if len(ledger.decided) > 1:
        for left_out in ledger.decided[1:]:
            decided = [at for at in ledger.decided if at != left_out]
            missing = ledger.chain(tuple(sizes[:-1]), decided=decided)
            assert code_of(trusts[0], missing)  # `previous`, `incomplete`, or a missing key's
