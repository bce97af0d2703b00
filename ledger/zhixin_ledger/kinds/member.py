"""A member joins, leaves or changes (`urn:zhixin:member:v1`), by a quorum.

::

    {"action":"rotate","member":{…},"origin":"ledger.gov.example/2026","previous":"38","quorum":"4"}

Subject: the member's name, with H of the predicate's JCS. A join or rotate is signed besides by
the statement key that it names, which counts for the quorum only if it was in force before.
`previous` is the ledger fact's `entry`, so that none can be replayed or reordered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import encoding, names
from zhixin_ledger.facts import LedgerFact, MemberFact
from zhixin_ledger.intoto import Statement
from zhixin_ledger.kinds import base, membership
from zhixin_ledger.kinds.membership import MemberObject
from zhixin_ledger.state import Change, SignerKey, State

__all__ = ["MEMBER", "MemberChange"]

ACTIONS = ("join", "leave", "rotate")


@dataclass(frozen=True, slots=True)
class MemberChange:
    """What a member statement says; `quorum` holds from then on."""

    action: str
    member: MemberObject
    quorum: int
    previous: int


def read(statement: Statement) -> MemberChange:
    """Read the form.

    Raises:
        FormatError: another form.
    """
    origin, action, member, quorum, previous = base.predicate(
        statement, ("origin", "action", "member", "quorum", "previous")
    )
    action = encoding.as_text(action, "action")
    if action not in ACTIONS:
        raise FormatError(f"the action is none of {', '.join(ACTIONS)}")
    change = MemberChange(
        action,
        membership.read_member(member, names.check_origin(origin, "origin")),
        encoding.parse_uint(quorum, "quorum"),
        encoding.parse_uint(previous, "previous"),
    )
    base.check_subject(statement, change.member.name)
    base.check_subject_is_predicate(statement)
    return change


def own_keys(change: MemberChange) -> Mapping[str, SignerKey]:
    """Give the statement key that a join or rotate names."""
    return {} if change.action == "leave" else change.member.signer


def rule(state: State, change: MemberChange, entry: base.Entry) -> Change:
    """Say what a member statement changes.

    Raises:
        LedgerRefused: `quorum`, `previous`, `member-active`, `member-inactive`, `own-key`,
            `key-used`, `leave-changed`, `nothing-changed`, `quorum-rule`, `no-log`.
    """
    base.check_quorum(state, entry)
    ledger = base.governed(state, change.previous)
    before = state.members.get(change.member.name)
    if change.action != "leave" and not change.member.signer.keys() <= entry.signers.keys():
        raise LedgerRefused("the statement key that is named must sign too", code="own-key")
    after = _ACTS[change.action](state, change, before, entry.index)
    if _content(after, change.quorum) == _content(before, ledger.quorum):
        raise LedgerRefused("the statement changes nothing", code="nothing-changed")
    others = [member for name, member in state.members.items() if name != after.name]
    membership.check_members([*others, after], change.quorum)
    return Change((LedgerFact(ledger.origin, ledger.rules, change.quorum, entry.index), after))


def _join(state: State, change: MemberChange, before: MemberFact | None, index: int) -> MemberFact:
    if before is not None and before.active:
        raise LedgerRefused(f"{before.name} is a member already", code="member-active")
    membership.check_new_keys(change.member.key_texts(), state.members.values())
    return membership.set_keys(before, change.member, index)


def _rotate(
    state: State, change: MemberChange, before: MemberFact | None, index: int
) -> MemberFact:
    if before is None or not before.active:
        raise _inactive(change)
    kept = (before.statement_key, before.cosigner, before.log, before.validator)
    named = (
        change.member.statement_key,
        change.member.cosigner,
        change.member.log,
        change.member.validator,
    )
    new = [now for was, now in zip(kept, named, strict=True) if now is not None and now != was]
    membership.check_new_keys(new, state.members.values())
    return membership.set_keys(before, change.member, index)


def _leave(state: State, change: MemberChange, before: MemberFact | None, index: int) -> MemberFact:
    del state
    if before is None or not before.active:
        raise _inactive(change)
    if _content(membership.set_keys(before, change.member, index), 0) != _content(before, 0):
        raise LedgerRefused("a leave repeats the member as it is", code="leave-changed")
    return membership.end_keys(before, index)


_ACTS = {"join": _join, "leave": _leave, "rotate": _rotate}


def _inactive(change: MemberChange) -> LedgerRefused:
    return LedgerRefused(f"{change.member.name} is no active member", code="member-inactive")


def _content(member: MemberFact | None, quorum: int) -> tuple[MemberFact | None, int]:
    """Give what a statement may change: all but the index of the statement."""
    return None if member is None else replace(member, entry=0), quorum


MEMBER = base.Kind("urn:zhixin:member:v1", read, rule, own_keys)
