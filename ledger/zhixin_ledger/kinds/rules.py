"""The ledger's rules and quorum change (`urn:zhixin:rules:v1`), by a quorum.

::

    {"origin":"ledger.gov.example/2026","previous":"32","quorum":"4","rules":"1"}

Subject: the origin, with H of the predicate's JCS. Rules other than "1" are refused: who does not
know them stops there.
"""

from __future__ import annotations

from dataclasses import dataclass

from zhixin_errors import LedgerRefused

from zhixin_ledger import encoding, names
from zhixin_ledger.facts import LedgerFact
from zhixin_ledger.intoto import Statement
from zhixin_ledger.kinds import base, membership
from zhixin_ledger.kinds.genesis import RULES as KNOWN
from zhixin_ledger.state import Change, State

__all__ = ["RULES", "RulesChange"]


@dataclass(frozen=True, slots=True)
class RulesChange:
    """What a rules statement says."""

    rules: str
    quorum: int
    previous: int


def read(statement: Statement) -> RulesChange:
    """Read the form.

    Raises:
        FormatError: another form.
    """
    origin, rules, quorum, previous = base.predicate(
        statement, ("origin", "rules", "quorum", "previous")
    )
    base.check_subject(statement, names.check_origin(origin, "origin"))
    base.check_subject_is_predicate(statement)
    return RulesChange(
        encoding.as_text(rules, "rules"),
        encoding.parse_uint(quorum, "quorum"),
        encoding.parse_uint(previous, "previous"),
    )


def rule(state: State, change: RulesChange, entry: base.Entry) -> Change:
    """Say what a rules statement changes.

    Raises:
        LedgerRefused: `quorum`, `previous`, `rules-unknown`, `nothing-changed`, `quorum-rule`,
            `no-log`.
    """
    base.check_quorum(state, entry)
    ledger = base.governed(state, change.previous)
    if change.rules != KNOWN:
        raise LedgerRefused("the rules are of an unknown version", code="rules-unknown")
    if (change.rules, change.quorum) == (ledger.rules, ledger.quorum):
        raise LedgerRefused("the statement changes nothing", code="nothing-changed")
    membership.check_members(state.members.values(), change.quorum)
    return Change((LedgerFact(ledger.origin, change.rules, change.quorum, entry.index),))


RULES = base.Kind("urn:zhixin:rules:v1", read, rule)
