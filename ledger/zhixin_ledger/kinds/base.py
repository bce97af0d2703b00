"""What a kind of statement is made of, and how its signatures are counted.

A kind is one model and one rule, in one file, and one line in ``kinds/__init__.py``. ``read`` takes
the parsed in-toto statement and gives the model or refuses the form (`FormatError`); ``rule`` takes
the state before the entry and gives what it changes, or refuses (`LedgerRefused`). Both are pure:
no clock, no network, no random order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import encoding
from zhixin_ledger.encoding import Json
from zhixin_ledger.facts import LedgerFact
from zhixin_ledger.intoto import Statement
from zhixin_ledger.state import Change, SignerKey, State
from zhixin_ledger.trust_history import MAX_COSIGNERS, minimum_quorum

__all__ = [
    "Entry",
    "Kind",
    "check_quorum",
    "check_quorum_rule",
    "check_subject",
    "check_subject_is_predicate",
    "governed",
    "owner_signs",
    "predicate",
    "voting",
]

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry that is judged, once its signatures verified.

    Args:
        index: its place in the ledger.
        hash: H of its bytes, 32 bytes.
        statement: what it states.
        signers: whose keys signed, by `keyid`, each key in force or the statement's own.
    """

    index: int
    hash: bytes
    statement: Statement
    signers: Mapping[str, SignerKey]


@dataclass(frozen=True)
class Kind(Generic[M]):
    """One kind of statement.

    Args:
        predicate_type: its `predicateType`.
        read: the form: statement → model.
        rule: what may enter: (state, model, entry) → change.
        own_keys: statement keys that the statement itself names: they may sign it though they are
            not in force before it.
    """

    predicate_type: str
    read: Callable[[Statement], M]
    rule: Callable[[State, M, Entry], Change]
    own_keys: Callable[[M], Mapping[str, SignerKey]] = field(default=lambda _: {})


def predicate(statement: Statement, names: tuple[str, ...]) -> tuple[Json, ...]:
    """Give exactly these members of the predicate, or refuse the form."""
    return encoding.members(statement.predicate, "the predicate", names)


def check_subject(statement: Statement, name: str) -> None:
    """Refuse a subject of another name."""
    if statement.subject_name != name:
        raise FormatError(f"the subject is not named {name}")


def check_subject_is_predicate(statement: Statement) -> None:
    """Refuse a subject whose digest is not that of the predicate's JCS."""
    if encoding.sha256(encoding.jcs(statement.predicate)) != statement.subject_sha256:
        raise FormatError("the subject's digest is not the predicate's")


def owner_signs(entry: Entry, dataset: str) -> str:
    """Hold a statement to its owner's signature alone; gives the owner.

    Raises:
        LedgerRefused: `owner`: more than one signature, or another member's.
    """
    owner = dataset.partition("/")[0]
    if [signer.member for signer in entry.signers.values()] != [owner]:
        raise LedgerRefused(f"only {owner} may state this, and alone", code="owner")
    return owner


def voting(state: State, entry: Entry) -> int:
    """Count the signatures by keys, in force before the entry, of members that vote."""
    return sum(
        1
        for keyid, signer in entry.signers.items()
        if state.signer(keyid) == signer and state.members[signer.member].votes
    )


def check_quorum(state: State, entry: Entry) -> None:
    """Hold a statement to the quorum before it.

    Raises:
        LedgerRefused: `quorum`.
    """
    votes = voting(state, entry)
    if votes < state.quorum:
        raise LedgerRefused(
            f"{votes} of the members that cosign signed, want {state.quorum}", code="quorum"
        )


def governed(state: State, previous: int) -> LedgerFact:
    """Hold a member or rules statement to the chain of governance; gives the ledger's fact.

    Raises:
        LedgerRefused: `previous`.
    """
    ledger = state.ledger
    if ledger is None or previous != ledger.entry:
        raise LedgerRefused(
            "`previous` is not the last statement that changed members or rules", code="previous"
        )
    return ledger


def check_quorum_rule(quorum: int, cosigners: int) -> None:
    """Hold a quorum k of n cosigners to 2k − n ≥ ⌊(n − 1) / 3⌋ + 1 and 1 ≤ k ≤ n ≤ 64.

    Raises:
        LedgerRefused: `quorum-rule`.
    """
    least = minimum_quorum(cosigners)
    if not 1 <= least <= quorum <= cosigners <= MAX_COSIGNERS:
        fits = f": {least} to {cosigners} do" if 1 <= least <= cosigners <= MAX_COSIGNERS else ""
        raise LedgerRefused(
            f"a quorum of {quorum} does not fit {cosigners} members that cosign{fits}",
            code="quorum-rule",
        )
