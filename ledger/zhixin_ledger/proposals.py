"""Proposals: member and rules statements on their way to a quorum.

A proposal is the statement's own envelope (`dsse`), which admission takes as it is once enough
members have signed. It travels in files or over HTTP; signatures are added and merged anywhere, in
any order, and the payload never changes. Its name is the payload's SHA-256 in hex.

`weigh` says against a state what a proposal would change and whose signatures are still due: the
rule of its kind is asked as if all had signed. Pure functions; nothing is submitted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import dsse, encoding, intoto
from zhixin_ledger.dsse import Envelope
from zhixin_ledger.facts import LedgerFact, MemberFact
from zhixin_ledger.intoto import Statement
from zhixin_ledger.keys import verify_ed25519
from zhixin_ledger.kinds.base import Entry, Kind
from zhixin_ledger.kinds.member import MEMBER, MemberChange
from zhixin_ledger.kinds.rules import RULES, RulesChange
from zhixin_ledger.signers import Signer
from zhixin_ledger.state import SignerKey, State

__all__ = [
    "Effect",
    "Proposal",
    "Weighed",
    "add_signature",
    "merge",
    "parse_proposal",
    "signature_of",
    "weigh",
]

_KINDS: dict[str, Kind[Any]] = {kind.predicate_type: kind for kind in (MEMBER, RULES)}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal in good form; nothing is verified.

    Attributes:
        envelope: with the signatures so far, at least one.
        statement: what it states.
        change: what the kind's reader makes of it.
    """

    envelope: Envelope
    statement: Statement
    change: MemberChange | RulesChange

    @property
    def digest_hex(self) -> str:
        """Its name: SHA-256 of the payload."""
        return encoding.sha256_hex(self.envelope.payload)

    @property
    def origin(self) -> str:
        """The ledger that it was made for."""
        return str(self.statement.predicate["origin"])

    @property
    def action(self) -> str:
        """`join`, `leave`, `rotate`, or `quorum`."""
        return self.change.action if isinstance(self.change, MemberChange) else "quorum"

    @property
    def member(self) -> str | None:
        """The member that it is about; None where it changes the quorum alone."""
        return self.change.member.name if isinstance(self.change, MemberChange) else None

    @property
    def own_keys(self) -> Mapping[str, SignerKey]:
        """The statement key that it names and that must sign, by `keyid`."""
        return _kind(self.statement).own_keys(self.change)

    def to_bytes(self) -> bytes:
        """The envelope's bytes, as the ledger keeps them."""
        return dsse.format_envelope(self.envelope)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a proposal would change.

    Attributes:
        before: the member as it is; None where it never was one, or none is concerned.
        after: the member as it would be.
        quorum_before: the quorum as it is.
        quorum_after: the quorum from then on.
    """

    before: MemberFact | None
    after: MemberFact | None
    quorum_before: int
    quorum_after: int


@dataclass(frozen=True, slots=True)
class Weighed:
    """A proposal held against a state.

    Attributes:
        proposal: with the signatures that hold.
        effect: what it would change.
        votes: the members whose signatures count for the quorum.
        others: active members that signed and do not vote.
        due: how many votes are due.
        own_key_due: the statement key that it names has not signed yet.
    """

    proposal: Proposal
    effect: Effect
    votes: tuple[str, ...]
    others: tuple[str, ...]
    due: int
    own_key_due: bool

    @property
    def ready(self) -> bool:
        """Whether the ledger would let it in."""
        return len(self.votes) >= self.due and not self.own_key_due


def _kind(statement: Statement) -> Kind[Any]:
    kind = _KINDS.get(statement.predicate_type)
    if kind is None:
        raise FormatError("the statement is no proposal: it changes neither members nor quorum")
    return kind


def parse_proposal(data: bytes, what: str = "proposal") -> Proposal:
    """Read a proposal in any layout that admission takes.

    Args:
        data: the envelope, at most 256 KiB.
        what: how a message names it.

    Raises:
        FormatError: another form, or a statement of another kind.
    """
    envelope = dsse.parse_envelope(dsse.normalise_envelope(data, what), what)
    statement = intoto.parse_statement(envelope.payload, f"{what}'s statement")
    change: MemberChange | RulesChange = _kind(statement).read(statement)
    return Proposal(envelope, statement, change)


def signature_of(proposal: Proposal, signer: Signer) -> tuple[str, bytes]:
    """Sign a proposal: (keyid, signature)."""
    return dsse.keyid(signer.public_key), signer.sign(proposal.envelope.signed)


def add_signature(proposal: Proposal, keyid_hex: str, signature: bytes) -> Proposal:
    """Give the proposal with one signature more; one of the same key is replaced.

    Raises:
        FormatError: it would be longer than an entry may be.
    """
    kept = {**dict(proposal.envelope.signatures), keyid_hex: signature}
    envelope = Envelope(
        proposal.envelope.payload_type, proposal.envelope.payload, tuple(sorted(kept.items()))
    )
    dsse.parse_envelope(dsse.format_envelope(envelope), "proposal")
    return Proposal(envelope, proposal.statement, proposal.change)


def merge(proposals: Iterable[Proposal]) -> Proposal:
    """Bring copies of one proposal together: one with all their signatures.

    Args:
        proposals: one or more, of one payload. Of two signatures of one key the later one stays;
            `weigh` before drops those that fail.

    Raises:
        FormatError: they are of several payloads.
    """
    merged, *others = proposals
    for other in others:
        if other.envelope.payload != merged.envelope.payload:
            raise FormatError("these are several proposals: each is signed for itself")
        for keyid_hex, signature in other.envelope.signatures:
            merged = add_signature(merged, keyid_hex, signature)
    return merged


def weigh(state: State, proposal: Proposal) -> Weighed:
    """Hold a proposal against a state.

    Args:
        state: the ledger's newest that the caller has replayed.
        proposal: with any signatures; those of strangers and those that fail are left out.

    Raises:
        LedgerRefused: it can't enter as things stand, whoever signs: the rule's name as code; or
            `other-origin`; or `duplicate`: it is in already, `details["index"]`; or `signature`:
            none holds.
    """
    if state.ledger is None or proposal.origin != state.origin:
        raise LedgerRefused(
            f"the proposal was made for the ledger {proposal.origin}", code="other-origin"
        )
    index = state.payload_index(proposal.envelope.payload)
    if index is not None:
        raise LedgerRefused(
            f"the proposal is in the ledger already, entry {index}",
            code="duplicate",
            details={"index": index},
        )
    effect = _effect(state, proposal)
    own = proposal.own_keys
    held: dict[str, SignerKey] = {}
    for keyid_hex, signature in proposal.envelope.signatures:
        signer = state.signer(keyid_hex) or own.get(keyid_hex)
        if signer and verify_ed25519(signer.public_key, proposal.envelope.signed, signature):
            held[keyid_hex] = signer
    if not held:
        raise LedgerRefused(
            "the proposal has no signature of an active member, nor of the key that it names",
            code="signature",
        )
    signatures = tuple(item for item in proposal.envelope.signatures if item[0] in held)
    active = {key: signer.member for key, signer in held.items() if state.signer(key) == signer}
    votes = [name for name in active.values() if state.members[name].votes]
    return Weighed(
        Proposal(
            Envelope(proposal.envelope.payload_type, proposal.envelope.payload, signatures),
            proposal.statement,
            proposal.change,
        ),
        effect,
        tuple(sorted(votes)),
        tuple(sorted(set(active.values()) - set(votes))),
        state.quorum,
        not own.keys() <= held.keys(),
    )


def _effect(state: State, proposal: Proposal) -> Effect:
    """Ask the kind's rule what would change if everyone had signed."""
    everyone = dict(proposal.own_keys)
    for member in state.members.values():
        if member.active and member.statement_key is not None:
            raw = encoding.unb64(member.statement_key, "statement key", 32)
            everyone[dsse.keyid(raw)] = SignerKey(member.name, raw)
    entry = Entry(state.size, encoding.sha256(proposal.to_bytes()), proposal.statement, everyone)
    change = _kind(proposal.statement).rule(state, proposal.change, entry)
    quorums = [fact.quorum for fact in change.facts if isinstance(fact, LedgerFact)]
    after = [fact for fact in change.facts if isinstance(fact, MemberFact)]
    name = proposal.member
    return Effect(
        None if name is None else state.members.get(name),
        after[0] if after else None,
        state.quorum,
        quorums[0],
    )
