"""Governing a ledger from a member's home: read, sign and submit what was proposed.

A proposal is one file: the statement's envelope with the signatures so far. It goes from member to
member in any way and order, copies that were signed in parallel are merged, and what is in it can
always be read in words (``describe``) from the own replayed copy of the ledger, not from what its
sender says of it. Nothing is in force before `submit` has brought it in with its quorum.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, LedgerRefused
from zhixin_ledger import encoding, proposals
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, MLDSA44, VerifierKey
from zhixin_ledger.proposals import Proposal, Weighed

from zhixin_gateway import keyring
from zhixin_gateway.home import STATEMENT_KEY, Home
from zhixin_gateway.proposing import own_signer

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.facts import MemberFact
    from zhixin_ledger.proposal_box import ProposalBox
    from zhixin_ledger.state import State

__all__ = [
    "Submitted",
    "box_of",
    "bring_in",
    "describe",
    "find_proposal",
    "finish",
    "key_print",
    "missing_witnesses",
    "read_proposals",
    "sign",
    "to_json",
]

_PRINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a proposal that was brought in.

    Attributes:
        index: its entry.
        receipt: its receipt: the quorum has cosigned it.
        exchanged: uses of this home's keys that were exchanged by it.
    """

    index: int
    receipt: bytes
    exchanged: tuple[str, ...]


# --- reading --------------------------------------------------------------------------------------


def read_proposals(state: State, copies: Iterable[bytes], names: Sequence[str] = ()) -> Weighed:
    """Read copies of one proposal, drop what does not hold, and bring the rest together.

    Args:
        state: the ledger's.
        copies: the files' bytes, at least one.
        names: how a message names each; ``proposal`` by default.

    Raises:
        FormatError: another form, or several proposals.
        LedgerRefused: it can't enter as things stand.
    """
    parsed = map(proposals.parse_proposal, copies, names or repeat("proposal"))
    held = [proposals.weigh(state, each).proposal for each in parsed]
    return proposals.weigh(state, proposals.merge(held))


def key_print(key: str) -> str:
    """A key's fingerprint in four groups of four letters, to be compared by people.

    Args:
        key: a raw key in base64, or a vkey.
    """
    import base64

    digest = encoding.sha256(key.encode())[:_PRINT_BYTES]
    text = base64.b32encode(digest).decode("ascii").lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def describe(state: State, weighed: Weighed) -> list[str]:
    """Say in words what a proposal would change, and who has signed.

    Args:
        state: the ledger's.
        weighed: the proposal held against it.
    """
    effect = weighed.effect
    proposal = weighed.proposal
    count = sum(member.votes for member in state.members.values())
    after = count
    lines = [f"proposal {proposal.digest_hex} for {proposal.origin}"]
    if effect.after is not None:
        lines += _member_lines(proposal.action, effect.before, effect.after)
        after += int(effect.after.votes) - int(effect.before is not None and effect.before.votes)
    if (effect.quorum_before, count) == (effect.quorum_after, after):
        lines.append(f"the quorum stays {effect.quorum_before} of {count} members")
    else:
        lines.append(
            f"the quorum was {effect.quorum_before} of {count} members that cosign, "
            f"and is {effect.quorum_after} of {after} then"
        )
    signed = ", ".join(weighed.votes) or "nobody"
    lines.append(f"signed by {signed}: {len(weighed.votes)} of {weighed.due} votes that are due")
    if weighed.others:
        lines.append(f"signed too, without a vote: {', '.join(weighed.others)}")
    if weighed.own_key_due:
        lines.append(f"the new statement key of {proposal.member} must sign too, and has not yet")
    return lines


def _member_lines(action: str, before: MemberFact | None, after: MemberFact) -> list[str]:
    titles = f"{after.titles.en} / {after.titles.zh}"
    if action == "leave":
        return [f"{after.name} ({titles}) LEAVES: all its keys end, it cosigns no more"]
    if action == "join":
        again = "JOINS AGAIN" if before is not None else "JOINS"
        head = f"{after.name} ({titles}) {again}"
    else:
        head = f"{after.name} ({titles}) CHANGES"
    lines = [head]
    if before is not None and action == "rotate" and before.titles != after.titles:
        lines.append(f"  titles: was {before.titles.en} / {before.titles.zh}")
    were = (None,) * 4 if before is None else _keys(before)
    names = ("statement", "cosigner", "log", "validator")
    lines += [
        f"  {name} key: {_named(was)} → {_named(now)}"
        for name, was, now in zip(names, were, _keys(after), strict=True)
        if was != now
    ]
    return lines


def _keys(member: MemberFact) -> tuple[str | None, ...]:
    return member.statement_key, member.cosigner, member.log, member.validator


def _named(key: str | None) -> str:
    if key is None:
        return "none"
    kinds = {COSIGNATURE_V1: "Ed25519", ED25519: "Ed25519", MLDSA44: "ML-DSA-44"}
    kind = VerifierKey.parse(key).kind if "+" in key[:-44] else ED25519
    return f"{key_print(key)} ({kinds[kind]})"


def to_json(weighed: Weighed) -> dict[str, Any]:
    """The same for programs."""
    effect = weighed.effect
    return {
        "digest": weighed.proposal.digest_hex,
        "origin": weighed.proposal.origin,
        "action": weighed.proposal.action,
        "member": weighed.proposal.member,
        "before": None if effect.before is None else effect.before.to_json(),
        "after": None if effect.after is None else effect.after.to_json(),
        "quorum": {"before": effect.quorum_before, "after": effect.quorum_after},
        "votes": list(weighed.votes),
        "others": list(weighed.others),
        "due": weighed.due,
        "own_key_due": weighed.own_key_due,
        "ready": weighed.ready,
    }


# --- signing and bringing in ----------------------------------------------------------------------


def box_of(home: Home) -> ProposalBox:
    """The box of proposals beside the ledger that this home's settings name.

    Raises:
        ConfigError: the settings name none.
    """
    from zhixin_ledger.proposal_box import open_box

    return open_box(home.ledger_url, home.path)


def sign(home: Home, state: State, weighed: Weighed) -> Proposal:
    """Add this member's signature: of its statement key in force, and of its new one if named.

    Args:
        home: the member's.
        state: the ledger's.
        weighed: the proposal, read by whoever signs.

    Raises:
        ConfigError: this member has no key that could sign it.
    """
    proposal = weighed.proposal
    own = own_signer(home, state)
    signers = [] if own is None else [own]
    named = {signer.public_key for signer in proposal.own_keys.values()}
    for file in (home.keys_dir / STATEMENT_KEY, keyring.next_key_file(home, "statement")):
        if file.exists() and (signer := home.load_key(file)).public_key in named:
            signers.append(signer)
    if not signers:
        raise ConfigError(
            f"{home.member} has no key in force that could sign this proposal", code="key-pending"
        )
    for signer in signers:
        proposal = proposals.add_signature(proposal, *proposals.signature_of(proposal, signer))
    return proposals.weigh(state, proposal).proposal


def bring_in(client: LedgerClient, weighed: Weighed) -> int:
    """Bring a proposal with its quorum into the ledger; gives its index, durable. Safe to repeat.

    Args:
        client: any member's view of the ledger.
        weighed: the proposal.

    Raises:
        LedgerRefused: `quorum`, `own-key`: signatures are missing; or a rule's name.
        LedgerUnavailable: the ledger can't be reached.
    """
    if not weighed.ready:
        short = len(weighed.votes) < weighed.due
        raise LedgerRefused(
            f"the proposal has {len(weighed.votes)} of {weighed.due} votes that are due"
            + (", and the new key that it names has not signed" if weighed.own_key_due else ""),
            code="quorum" if short else "own-key",
            hint="have it signed: `zhixin member sign FILE` in the other members' homes",
            details={"votes": list(weighed.votes), "due": weighed.due},
        )
    return client.submit(weighed.proposal.to_bytes())


def finish(home: Home, client: LedgerClient, index: int, *, timeout_s: float = 30) -> Submitted:
    """Wait for a decision's receipt, and exchange this home's keys if it says so.

    Args:
        home: any member's.
        client: its view of the ledger.
        index: the decision's entry.
        timeout_s: how long to wait.

    Raises:
        LedgerUnavailable: the receipt is pending (`quorum`).
    """
    receipt = client.receipt(index, timeout_s)
    return Submitted(index, receipt, tuple(keyring.settle_keys(home)))


def missing_witnesses(home: Home, state: State) -> Sequence[str]:
    """Members that cosign and whose witness this home's settings don't name.

    Its own counts only in the home of the log, which has to ask it.
    """
    from zhixin_ledger.transport import LOG_FOLDER

    named = {witness.name for witness in home.settings.witnesses}
    if not (home.path / LOG_FOLDER).is_dir():
        named.add(home.member)
    return [name for name, fact in state.members.items() if fact.votes and name not in named]


def find_proposal(home: Home, text: str) -> Proposal:
    """Find a proposal in the ledger's box by its digest, or by how that begins.

    Raises:
        ConfigError: none or several begin so.
    """
    found = [each for each in box_of(home).waiting() if each.digest_hex.startswith(text)]
    if len(found) == 1:
        return found[0]
    raise ConfigError(
        f"{len(found) or 'no'} proposals that wait at the ledger begin with {text}",
        code="not-found",
        hint="`zhixin member list --via-ledger` shows them",
    )
