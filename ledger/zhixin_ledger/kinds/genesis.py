"""Genesis: who founds a ledger, with which quorum (`urn:zhixin:genesis:v1`).

::

    {"members":[…member objects…],"origin":"ledger.gov.example/2026","quorum":"3","rules":"1"}

Subject: the origin, with H of the predicate's JCS. Signed by every founding member. It stands at
index 0 and nowhere else; that is ``admission``'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zhixin_errors import LedgerRefused

from zhixin_ledger import encoding, names
from zhixin_ledger.facts import LedgerFact
from zhixin_ledger.intoto import Statement
from zhixin_ledger.kinds import base, membership
from zhixin_ledger.kinds.membership import MemberObject
from zhixin_ledger.state import Change, SignerKey, State

__all__ = ["GENESIS", "RULES", "Genesis"]

RULES = "1"


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a genesis statement says."""

    origin: str
    rules: str
    quorum: int
    members: tuple[MemberObject, ...]


def read(statement: Statement) -> Genesis:
    """Read the form.

    Raises:
        FormatError: another form.
    """
    origin, rules, quorum, members = base.predicate(
        statement, ("origin", "rules", "quorum", "members")
    )
    origin = names.check_origin(origin, "origin")
    base.check_subject(statement, origin)
    base.check_subject_is_predicate(statement)
    return Genesis(
        origin,
        encoding.as_text(rules, "rules"),
        encoding.parse_uint(quorum, "quorum"),
        tuple(
            membership.read_member(member, origin, f"members[{at}]")
            for at, member in enumerate(encoding.as_array(members, "members"))
        ),
    )


def own_keys(genesis: Genesis) -> Mapping[str, SignerKey]:
    """Give the founders' statement keys: they alone sign."""
    return {keyid: signer for member in genesis.members for keyid, signer in member.signer.items()}


def rule(state: State, genesis: Genesis, entry: base.Entry) -> Change:
    """Say what genesis changes.

    Raises:
        LedgerRefused: `rules-unknown`, `member-twice`, `key-used`, `founder-unsigned`,
            `quorum-rule`, `no-log`.
    """
    del state  # nothing is before it
    if genesis.rules != RULES:
        raise LedgerRefused("the rules are of an unknown version", code="rules-unknown")
    if len({member.name for member in genesis.members}) != len(genesis.members):
        raise LedgerRefused("a founding member is named twice", code="member-twice")
    membership.check_new_keys((key for member in genesis.members for key in member.key_texts()), ())
    if len(entry.signers) != len(genesis.members):
        raise LedgerRefused("every founding member must sign", code="founder-unsigned")
    members = tuple(membership.set_keys(None, member, entry.index) for member in genesis.members)
    membership.check_members(members, genesis.quorum)
    ledger = LedgerFact(genesis.origin, genesis.rules, genesis.quorum, entry.index)
    return Change((ledger, *members))


GENESIS = base.Kind("urn:zhixin:genesis:v1", read, rule, own_keys)
