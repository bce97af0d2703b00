"""Random statements against a model that is slow and obvious; random bytes against every reader."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError, LedgerRefused
from zhixin_ledger import admission, dsse, encoding, facts, merkle, seal, statements
from zhixin_ledger.database import Database
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, VerifierKey
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.slots import SlotTree
from zhixin_ledger.state import State
from zhixin_ledger.store import MemoryStore, SqliteStore

ORIGIN = "ledger.gov.example/2026"
NAMES = ("a.gov.example", "b.gov.example", "c.gov.example", "d.gov.example")
QUORUM = 3


def signer(number: int) -> MemorySigner:
    return MemorySigner(hashlib.sha256(b"%d" % number).digest())


SIGNERS = {name: signer(at) for at, name in enumerate(NAMES)}
GENESIS = statements.make_genesis(
    ORIGIN,
    QUORUM,
    [
        statements.member_object(
            name,
            (name, name),
            statement_key=SIGNERS[name].public_key,
            cosigner=VerifierKey.make(
                f"{name}/witness", COSIGNATURE_V1, signer(10 + at).public_key
            ),
            log=VerifierKey.make(ORIGIN, ED25519, signer(20).public_key) if at == 0 else None,
        )
        for at, name in enumerate(NAMES)
    ],
    SIGNERS.values(),
)


def founded(store=None) -> State:
    state = State(store)
    admission.apply(state, GENESIS)
    seal.apply_seal(state, seal.make_seal(state, encoding.parse_time(TIME, "time")))
    return state


TIME = "2026-01-31T08:00:00.000000Z"


def sqlite_store() -> SqliteStore:
    connection = Database(Path(":memory:")).connection
    connection.executescript(SqliteStore.SCHEMA)
    return SqliteStore(connection)


@dataclass
class Model:
    """The rules of owners' statements, written down again in the slowest way."""

    contracts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)  # H of each version's entry
    withdrawn: set[tuple[str, int]] = field(default_factory=set)
    seen: set[bytes] = field(default_factory=set)

    def takes(self, operation: tuple, names: tuple[str, ...]) -> bool:
        kind, dataset, *rest = operation
        owner = dataset.split("/")[0]
        if kind == "contract":
            (number,) = rest
            before = self.contracts.get(dataset, (-1, 0, 0))
            return names == (owner,) and (number, 0, 0) > before
        if kind == "dataset":
            number, cites, previous, source = rest
            versions = self.versions.get(dataset, [])
            known = source is None or (
                0 < source[1] <= len(self.versions.get(source[0], []))
                and source not in self.withdrawn
            )
            return (
                names == (owner,)
                and self.contracts.get(dataset) == (cites, 0, 0)
                and number == len(versions) + 1
                and previous == (versions[-1] if versions else None)
                and known
            )
        number, by = rest
        versions = self.versions.get(dataset, [])
        return (
            (names == (owner,) or (len(names) > 1 and len(names) >= QUORUM))
            and 1 <= number <= len(versions)
            and (dataset, number) not in self.withdrawn
            and (
                by is None or (number < by <= len(versions) and (dataset, by) not in self.withdrawn)
            )
        )

    def take(self, operation: tuple, entry: bytes) -> None:
        kind, dataset, *rest = operation
        if kind == "contract":
            self.contracts[dataset] = (rest[0], 0, 0)
        elif kind == "dataset":
            self.versions.setdefault(dataset, []).append(hashlib.sha256(entry).hexdigest())
        else:
            self.withdrawn.add((dataset, rest[0]))


DATASETS = st.sampled_from([f"{name}/{own}" for name in NAMES[:2] for own in ("x", "y")])
NUMBERS = st.integers(1, 4)
OPERATIONS = st.one_of(
    st.tuples(st.just("contract"), DATASETS, st.integers(0, 3)),
    st.tuples(
        st.just("dataset"),
        DATASETS,
        st.sampled_from(["next", 1, 2, 3]),
        st.sampled_from(["newest", 0, 1]),
        st.sampled_from(["right", None, "f0" * 32]),
        st.none() | st.tuples(DATASETS, NUMBERS),
    ),
    st.tuples(st.just("withdrawal"), DATASETS, NUMBERS, st.none() | NUMBERS),
)
WHO = st.sampled_from(["owner", "owner", "owner", "other", "two", "quorum", "all"])


def concrete(operation: tuple, model: Model) -> tuple:
    """Fill in what is right at this moment where the operation asks for it."""
    if operation[0] != "dataset":
        return operation
    kind, dataset, number, cites, previous, source = operation
    versions = model.versions.get(dataset, [])
    return (
        kind,
        dataset,
        len(versions) + 1 if number == "next" else number,
        model.contracts.get(dataset, (0,))[0] if cites == "newest" else cites,
        (versions[-1] if versions else None) if previous == "right" else previous,
        source,
    )


def envelope(operation: tuple, names: tuple[str, ...], model: Model) -> bytes:
    kind, dataset, *rest = operation
    if kind == "contract":
        payload = statements.contract_statement(ORIGIN, dataset, f"{rest[0]}.0.0", "c0" * 32)
    elif kind == "dataset":
        number, cites, previous, source = rest
        inputs = []
        if source is not None:
            stated = model.versions.get(source[0], [])
            known = stated[source[1] - 1] if source[1] <= len(stated) else "ee" * 32
            inputs = [(source[0], source[1], known)]
        payload = statements.dataset_statement(
            ORIGIN,
            dataset,
            number,
            root_hex="a0" * 32,
            contract=(f"{cites}.0.0", "c0" * 32),
            previous_hex=previous,
            inputs=inputs,
            manifest_sha256_hex=f"{number:064x}",
        )
    else:
        payload = statements.withdrawal_statement(
            ORIGIN,
            dataset,
            rest[0],
            reason="error",
            manifest_sha256_hex=f"{rest[0]:064x}",
            replaced_by=rest[1],
        )
    return dsse.sign_envelope(payload, [SIGNERS[name] for name in names])


def who(choice: str, dataset: str) -> tuple[str, ...]:
    owner = dataset.split("/", maxsplit=1)[0]
    others = tuple(name for name in NAMES if name != owner)
    return {
        "owner": (owner,),
        "other": others[:1],
        "two": (owner, others[0]),
        "quorum": others,
        "all": NAMES,
    }[choice]


def slow_state_root(state: State) -> bytes:
    return merkle.root(merkle.leaf_hash(facts.leaf_data(fact)) for fact in state.facts)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(OPERATIONS, WHO), min_size=5, max_size=40))
def test_random_statements_fare_as_in_the_slow_model(steps):
    model = Model()
    state, kept = founded(), founded(sqlite_store())
    entries: list[bytes] = []
    for operation, choice in steps:
        names = who(choice, operation[1])
        operation = concrete(operation, model)  # noqa: PLW2901 - as of now
        data = envelope(operation, names, model)
        payload = dsse.parse_envelope(data).payload
        duplicate = payload in model.seen
        takes = model.takes(operation, names)
        try:
            admitted = admission.admit(state, data)
        except LedgerRefused:
            assert not takes
            assert not duplicate
            with pytest.raises(LedgerRefused):
                admission.admit(kept, data)
            continue
        assert admitted.duplicate == duplicate
        if duplicate:
            continue
        assert takes
        admission.take_in(state, admitted)
        admission.take_in(kept, admission.admit(kept, data))
        model.take(operation, admitted.entry)
        model.seen.add(payload)
        entries.append(admitted.entry)
        assert state.state_root() == slow_state_root(state) == kept.state_root()
    for dataset, versions in model.versions.items():
        fact = state.dataset(dataset)
        assert (fact.version, fact.statement_hex) == (len(versions), versions[-1])
        assert fact.withdrawn == tuple(
            sorted(number for name, number in model.withdrawn if name == dataset)
        )
    assert state.root == kept.root
    kept.save()
    again = State(kept.store)
    assert (again.size, again.root, again.state_root()) == (
        state.size,
        state.root,
        state.state_root(),
    )
    replayed = founded()
    for entry in entries:
        admission.apply(replayed, entry)
    assert replayed.root == state.root


@settings(max_examples=200, deadline=None)
@given(
    at=st.floats(0, 1, exclude_max=True),
    cut=st.integers(0, 4),
    put=st.binary(max_size=4) | st.sampled_from([b'"', b"\\", b"{", b"\\ud800", b"1", b"\xff"]),
    inside=st.booleans(),
)
def test_changed_bytes_are_refused_and_nothing_else_is_raised(at, cut, put, inside):
    state = founded()
    data = envelope(("contract", f"{NAMES[0]}/x", 1), NAMES[:1], Model())
    if inside:  # within the payload, signed again
        payload = dsse.parse_envelope(data).payload
        place = int(at * len(payload))
        changed = payload[:place] + put + payload[place + cut :]
        other = dsse.sign_envelope(changed, [SIGNERS[NAMES[0]]])
    else:
        place = int(at * len(data))
        other = data[:place] + put + data[place + cut :]
    for act in (admission.admit, admission.judge, admission.apply):
        before = (state.size, state.state_root())
        try:
            act(state, other)
        except LedgerRefused:
            assert (state.size, state.state_root()) == before
        else:
            state = founded()


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_random_bytes_are_refused(data):
    state = founded()
    for act in (admission.admit, admission.judge, admission.apply):
        with pytest.raises(LedgerRefused):
            act(state, data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=8)
    | st.sampled_from(["0", "1", "active", "a.b/c"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["fact", "version", "dataset", "seal", "entry", "origin", "time"])
            | st.text(max_size=4),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=JSON, kind=st.sampled_from(["ledger", "member", "contract", "dataset", "other"]))
def test_facts_and_seals_of_nonsense_are_format_errors(value, kind):
    if isinstance(value, dict):
        value = {**value, "fact": kind}
    with pytest.raises(FormatError):
        facts.parse_fact(value)
    with pytest.raises(FormatError):
        seal.parse_seal(encoding.jcs({"seal": value}))
    state = founded()
    with pytest.raises(LedgerRefused) as refused:
        admission.apply(state, encoding.jcs({"seal": value}))
    assert refused.value.code == "seal"


@settings(max_examples=60, deadline=None)
@given(
    predicate=st.dictionaries(
        st.sampled_from(
            ["origin", "dataset", "version", "members", "quorum", "member", "action", "rules"]
        ),
        JSON,
        max_size=5,
    ),
    kind=st.sampled_from(["genesis", "contract", "dataset", "withdrawal", "member", "rules", "x"]),
)
def test_predicates_of_nonsense_are_refused(predicate, kind):
    payload = encoding.jcs(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "predicate": predicate,
            "predicateType": f"urn:zhixin:{kind}:v1",
            "subject": [{"digest": {"sha256": "00" * 32}, "name": "x"}],
        }
    )
    data = dsse.sign_envelope(payload, [SIGNERS[NAMES[0]]])
    for state in (State(), founded()):
        with pytest.raises(LedgerRefused) as refused:
            admission.admit(state, data)
        assert refused.value.code == "malformed"


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 70), st.binary(max_size=3)), max_size=120))
def test_the_state_tree_is_that_of_its_leaves(changes):
    tree, leaves = SlotTree(MemoryStore(), 0), []
    for number, (slot, data) in enumerate(changes):
        leaf = merkle.leaf_hash(data)
        if slot >= len(leaves):
            slot = len(leaves)  # noqa: PLW2901 - the next one
            leaves.append(leaf)
        leaves[slot] = leaf
        tree.set_leaf(slot, leaf)
        if number % 3 == 0:
            assert tree.root() == merkle.root(leaves)
            path = tree.path(slot)
            merkle.verify_inclusion(slot, len(leaves), leaf, path, tree.root())
    assert tree.root() == merkle.root(leaves)


def test_a_statement_maker_refuses_what_the_ledger_could_not_take():
    for make in (
        lambda: statements.contract_statement(ORIGIN, "x", "1.0.0", "00" * 32),
        lambda: statements.contract_statement(ORIGIN, "a.b/x", "1.0", "00" * 32),
        lambda: statements.contract_statement(ORIGIN, "a.b/x", "1.0.0", "00"),
        lambda: statements.withdrawal_statement(
            ORIGIN, "a.b/x", 1, reason="whim", manifest_sha256_hex="00" * 32
        ),
        lambda: statements.make_genesis("with space", 1, [], [SIGNERS[NAMES[0]]]),
        lambda: statements._payload("grant", "x", b"", {}),
    ):
        with pytest.raises(FormatError):
            make()


def test_nothing_is_replaced_by_what_was_withdrawn():
    state, model = founded(), Model()
    dataset = f"{NAMES[0]}/x"
    steps = [
        ("contract", dataset, 1),
        ("dataset", dataset, "next", "newest", "right", None),
        ("dataset", dataset, "next", "newest", "right", None),
        ("dataset", dataset, "next", "newest", "right", None),
        ("withdrawal", dataset, 2, 3),
    ]
    for step in steps:
        operation = concrete(step, model)
        entry = envelope(operation, NAMES[:1], model)
        admission.apply(state, entry)
        model.take(operation, entry)
    for by, code in ((2, "replaced-by"), (1, "replaced-by"), (4, "replaced-by"), (3, None)):
        data = envelope(("withdrawal", dataset, 1, by), NAMES[:1], model)
        try:
            admission.admit(state, data)
        except LedgerRefused as fault:
            assert fault.code == code  # noqa: PT017 - one of them passes
        else:
            assert code is None


def test_an_empty_block_is_not_sealed():
    state = founded()
    with pytest.raises(LedgerRefused):
        seal.make_seal(state, encoding.parse_time(TIME, "time"))
    empty = seal.format_seal(seal.Seal(5, 2, 1, state.seal.hash_hex, "00" * 32, TIME))
    with pytest.raises(LedgerRefused):
        seal.apply_seal(state, empty)
