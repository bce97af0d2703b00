r"""Governance that verifies offline: a chain of every decision of a ledger's members.

docs/formats.md 9. A pinned trust follows it to the present, with nothing but these bytes::

    {"fact":{"entry":"40","fact":"ledger","origin":"ledger.gov.example/2026","quorum":"4",…},
     "heads":[{"path":["c623…",…],"size":"286"}],"path":["9a01…",…],
     "receipt":"c2sp.org/tlog-proof@v1\n…","seal":"eyJz…","slot":"0",
     "statements":[{"index":"0","path":["77f0…",…],"statement":"eyJw…"},…],
     "type":"zhixin/governance/v1"}

``statements`` are all that ever changed members or quorum, from genesis on; the ledger's fact, in
the state tree of the receipt's seal, names the last of them, and each names the one before, so that
none can be left out. ``heads`` tie older trees to the receipt's: one of them is the pinned trust's.

Pure functions: no clock, no network. That a checkpoint is recent is not judged here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from zhixin_errors import FormatError, LedgerRefused, LedgerUnavailable, VerificationError

from zhixin_ledger import admission, checkpoint, cosignature, dsse, encoding, facts, intoto, merkle
from zhixin_ledger.encoding import Json
from zhixin_ledger.facts import LedgerFact
from zhixin_ledger.kinds import KINDS
from zhixin_ledger.kinds.base import Entry, Kind
from zhixin_ledger.kinds.genesis import GENESIS
from zhixin_ledger.kinds.member import MEMBER
from zhixin_ledger.kinds.rules import RULES
from zhixin_ledger.note import Note
from zhixin_ledger.seal import Seal, is_seal, parse_seal
from zhixin_ledger.state import State
from zhixin_ledger.tiles import Tiles
from zhixin_ledger.tlogproof import Receipt, format_receipt, parse_receipt
from zhixin_ledger.trust import Trust, check_reaches

__all__ = [
    "MAX_CHAIN_BYTES",
    "TYPE",
    "Chain",
    "Decision",
    "Head",
    "decisions",
    "follow",
    "make_chain",
    "parse_chain",
    "sealed_size",
]

TYPE = "zhixin/governance/v1"
MAX_CHAIN_BYTES = 64 * 1024 * 1024
GOVERNING: tuple[Kind[Any], ...] = (GENESIS, MEMBER, RULES)
_SLOT = 0
"""The ledger's fact is always the first."""


@dataclass(frozen=True, slots=True)
class Head:
    """The proof that the receipt's tree begins with the tree of ``size`` entries."""

    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """A statement that changed members or quorum: its place, its bytes, its inclusion proof."""

    index: int
    entry: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A governance chain in good form; nothing is verified.

    Attributes:
        heads: by rising size, each below the receipt's.
        fact: the ledger's, as the chain says that it is.
        path: of the fact in the state tree.
        entry: the seal's bytes, the last entry of the receipt's tree.
        seal: what it says.
        receipt: the seal's.
        statements: by rising index, the first at 0.
    """

    heads: tuple[Head, ...]
    fact: LedgerFact
    path: tuple[bytes, ...]
    entry: bytes
    seal: Seal
    receipt: Receipt
    statements: tuple[Decision, ...]

    @property
    def size(self) -> int:
        """How many entries the ledger had."""
        return self.receipt.checkpoint.size


# --- making ---------------------------------------------------------------------------------------


def decisions(tree: Tiles, state: State) -> list[tuple[int, bytes]]:
    """Give every statement that changed members or quorum: (index, entry), genesis first.

    Args:
        tree: entries of a ledger that the caller replayed.
        state: what follows from them.

    Raises:
        FormatError: the entries are not those that the state follows from.
    """
    index = 0 if state.ledger is None else state.ledger.entry
    found: list[tuple[int, bytes]] = []
    while True:
        entry = tree.entry(index)
        found.append((index, entry))
        if index == 0:
            return found[::-1]
        statement = intoto.parse_statement(dsse.parse_envelope(entry).payload)
        before = encoding.parse_uint(statement.predicate.get("previous"), "previous")
        if before >= index:
            raise FormatError(f"entry {index} names a decision that is not before it")
        index = before


def sealed_size(tree: Tiles, index: int) -> int:
    """Give the size at which the block that holds an entry ends.

    Raises:
        FormatError: its block is open.
    """
    for at, entry in enumerate(tree.entries(index), index):
        if is_seal(entry):
            return at + 1
    raise FormatError(f"the block of entry {index} is open")


def make_chain(tree: Tiles, state: State, note: bytes, sizes: Iterable[int]) -> bytes:
    """Make the chain of a ledger that the caller replayed.

    Args:
        tree: its entries.
        state: what follows from them, at the checkpoint's size.
        note: that checkpoint, with its quorum.
        sizes: of the trusts that shall be able to follow; the checkpoint's own needs none.

    Returns:
        The chain's bytes.

    Raises:
        LedgerUnavailable: `quorum`: the copy has gone further than that checkpoint.
        FormatError: a size that is beyond the checkpoint's, or 0.
    """
    made = checkpoint.parse(Note.parse(note).text)
    if state.size != made.size or state.ledger is None:
        raise LedgerUnavailable(
            f"the copy has {state.size} entries, its newest checkpoint with a quorum {made.size}",
            code="quorum",
            hint="try again when the quorum can be reached",
        )
    tree = Tiles(tree.source, made.size)
    _, path = state.fact_path(state.ledger)
    last = made.size - 1
    value: Json = {
        "type": TYPE,
        "heads": [
            {"size": str(size), "path": _hexes(tree.consistency_path(size))}
            for size in sorted(set(sizes))
            if size != made.size
        ],
        "fact": state.ledger.to_json(),
        "slot": str(_SLOT),
        "path": _hexes(path),
        "seal": encoding.b64(tree.entry(last)),
        "receipt": format_receipt(last, tree.inclusion_path(last), note).decode(),
        "statements": [
            {
                "index": str(index),
                "statement": encoding.b64(entry),
                "path": _hexes(tree.inclusion_path(index)),
            }
            for index, entry in decisions(tree, state)
        ],
    }
    data = encoding.jcs(value)
    parse_chain(data)
    return data


def _hexes(path: Iterable[bytes]) -> list[Json]:
    return [item.hex() for item in path]


# --- the form -------------------------------------------------------------------------------------


def parse_chain(data: bytes, what: str = "governance chain") -> Chain:
    """Read a chain.

    Args:
        data: the whole file, at most `MAX_CHAIN_BYTES`.
        what: how a message names it.

    Returns:
        The chain, its receipt and seal in good form too.

    Raises:
        FormatError: another form; heads or statements that do not rise, are beyond the receipt's
            tree, or do not begin with genesis; a seal that is not the last entry; another fact
            than the ledger's, or another slot.
    """
    if len(data) > MAX_CHAIN_BYTES:
        raise FormatError(f"{what} is longer than {MAX_CHAIN_BYTES} bytes")
    fact, heads, path, receipt, seal, slot, statements, kind = encoding.members(
        encoding.parse_jcs(data, what),
        what,
        ("fact", "heads", "path", "receipt", "seal", "slot", "statements", "type"),
    )
    if kind != TYPE:
        raise FormatError(f"{what}: type is not {TYPE}")
    parsed = facts.parse_fact(fact, f"{what}: fact")
    if not isinstance(parsed, LedgerFact):
        raise FormatError(f"{what}: the fact is not the ledger's")
    if encoding.parse_uint(slot, f"{what}: slot") != _SLOT:
        raise FormatError(f"{what}: slot is not {_SLOT}")
    entry = encoding.unb64(seal, f"{what}: seal")
    text = encoding.as_text(receipt, f"{what}: receipt")
    chain = Chain(
        tuple(
            _parse_head(item, f"{what}: heads[{at}]")
            for at, item in enumerate(encoding.as_array(heads, f"{what}: heads"))
        ),
        parsed,
        _parse_path(path, f"{what}: path"),
        entry,
        parse_seal(entry),
        parse_receipt(text.encode("utf-8", "surrogatepass"), f"{what}: receipt"),
        tuple(
            _parse_decision(item, f"{what}: statements[{at}]")
            for at, item in enumerate(encoding.as_array(statements, f"{what}: statements"))
        ),
    )
    _check_places(chain, what)
    return chain


def _check_places(chain: Chain, what: str) -> None:
    if chain.receipt.index != chain.size - 1:
        raise FormatError(f"{what}: the seal is not the last entry of its receipt's checkpoint")
    sizes = [head.size for head in chain.heads]
    if not _rise([0, *sizes, chain.size]):
        raise FormatError(f"{what}: the sizes of heads do not rise, up to below the receipt's")
    indexes = [decision.index for decision in chain.statements]
    if not indexes or indexes[0] != 0 or not _rise([*indexes, chain.size - 1]):
        raise FormatError(f"{what}: the statements do not rise from genesis to before the seal")


def _rise(numbers: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(numbers))


def _parse_head(value: Json, what: str) -> Head:
    size, path = encoding.members(value, what, ("size", "path"))
    return Head(encoding.parse_uint(size, f"{what}.size"), _parse_path(path, f"{what}.path"))


def _parse_decision(value: Json, what: str) -> Decision:
    index, statement, path = encoding.members(value, what, ("index", "statement", "path"))
    return Decision(
        encoding.parse_uint(index, f"{what}.index"),
        encoding.unb64(statement, f"{what}.statement"),
        _parse_path(path, f"{what}.path"),
    )


def _parse_path(value: Json, what: str) -> tuple[bytes, ...]:
    hashes = encoding.as_array(value, what)
    if len(hashes) > merkle.MAX_PATH + 1:  # a consistency proof may have one more
        raise FormatError(f"{what} has {len(hashes)} hashes, at most {merkle.MAX_PATH + 1}")
    return tuple(encoding.parse_hex(item, f"{what}[{at}]") for at, item in enumerate(hashes))


# --- following ------------------------------------------------------------------------------------


def follow(trust: Trust, data: bytes, what: str = "governance chain") -> Trust:
    """Move a pinned trust forward along a chain of quorum decisions.

    Args:
        trust: what the caller pinned.
        data: the chain's bytes.
        what: how a message names it.

    Returns:
        The trust as of the chain's seal: the pinned one's history, and what was decided since.

    Raises:
        FormatError: `malformed`: the chain, or a statement in it, is in another form.
        VerificationError: `other-origin`; `stale`: it ends before the trust does; `head-missing`:
            it does not go out from the trust's size; `forked`: root or history are not the
            trust's; `inclusion`; a rule's name (`quorum`, `signature`, `unknown-signer`,
            `previous` and the others of docs/formats.md 5), `details["index"]` being the
            statement's; `incomplete`: a decision was left out at the end; `log-signature` or
            `quorum`: the checkpoint is not signed or cosigned as the new history wants it.
    """
    chain = parse_chain(data, what)
    made = chain.receipt.checkpoint
    check_reaches(trust, made.origin, made.size, what)
    for decision in chain.statements:
        _check_included(chain, decision.index, decision.entry, decision.path, what)
    _check_included(chain, made.size - 1, chain.entry, chain.receipt.path, what)
    _check_heads(chain, trust, what)
    state = _replay(chain, trust, what)
    _check_complete(chain, state, what)
    new = _trust_at(state, made.size, made.root)
    _check_signed(chain, new, what)
    return new


def _check_included(
    chain: Chain, index: int, entry: bytes, path: tuple[bytes, ...], what: str
) -> None:
    made = chain.receipt.checkpoint
    try:
        merkle.verify_inclusion(index, made.size, merkle.leaf_hash(entry), path, made.root)
    except VerificationError as fault:
        raise VerificationError(
            f"{what}: entry {index} is not in its tree: {fault.message}",
            code="inclusion",
            details={"index": index},
        ) from fault


def _check_heads(chain: Chain, trust: Trust, what: str) -> None:
    """Hold every head to the receipt's tree, and the trust's own to the trust."""
    made = chain.receipt.checkpoint
    if trust.size == made.size:
        if trust.root != made.root:
            raise _forked(chain, trust.size, what)
    elif trust.size not in [head.size for head in chain.heads]:
        raise VerificationError(
            f"{what} does not go out from the trust's {trust.size} entries",
            code="head-missing",
            hint=f"ask for one made with `zhixin trust chain OUT --from {trust.size}`",
            details={"trusted": trust.size},
        )
    for head in chain.heads:
        own = head.size == trust.size
        before = trust.root if own else _complete_root(chain, head.size)
        old, new = merkle.roots_from_consistency(head.size, made.size, before, head.path)
        if new != made.root or (own and old != trust.root):
            raise _forked(chain, head.size, what)


def _forked(chain: Chain, size: int, what: str) -> VerificationError:
    return VerificationError(
        f"{what}: its tree of {chain.size} entries does not begin with the {size} that "
        "were known before: somebody shows two ledgers, keep both as evidence",
        code="forked",
        details={"size": size},
    )


def _complete_root(chain: Chain, size: int) -> bytes:
    """Give the root of the first 2^k entries by genesis's path; any hash for other sizes.

    A consistency proof from a complete tree goes out from that tree's root; from any other size it
    brings its own first hash along.
    """
    genesis = chain.statements[0]
    top = merkle.leaf_hash(genesis.entry)
    for sibling in genesis.path[: size.bit_length() - 1]:
        top = merkle.node_hash(top, sibling)
    return top


def _replay(chain: Chain, trust: Trust, what: str) -> State:
    """Put every decision through the rules; on the way, hold the history to the trust's."""
    state = State()
    compared = False
    for decision in chain.statements:
        if decision.index >= trust.size and not compared:
            _check_history(state, trust, what)
            compared = True
        try:
            _decide(state, decision)
        except LedgerRefused as fault:
            raise VerificationError(
                f"{what}: the statement at {decision.index} is refused: {fault.message}",
                code=fault.code,
                details={**fault.details, "index": decision.index},
            ) from fault
    if not compared:
        _check_history(state, trust, what)
    return state


def _decide(state: State, decision: Decision) -> None:
    """Take in one decision: `admission.judge` at an index of its own, for these kinds alone."""
    try:
        envelope = dsse.parse_envelope(decision.entry)
        statement = intoto.parse_statement(envelope.payload)
        kind = KINDS.get(statement.predicate_type)
        if kind not in GOVERNING:
            raise FormatError("it decides nothing on members or quorum")
        model = kind.read(statement)
    except FormatError as fault:
        raise LedgerRefused(fault.message, code="malformed") from fault
    if (kind is GENESIS) != (decision.index == 0):
        raise LedgerRefused("genesis stands at index 0, and only there", code="genesis-place")
    signers = admission.check_signers(state, kind, model, envelope)
    if state.origin is not None and statement.predicate["origin"] != state.origin:
        raise LedgerRefused("it was made for another ledger", code="other-origin")
    entry = Entry(decision.index, encoding.sha256(decision.entry), statement, signers)
    state.advance(decision.entry, envelope.payload, kind.rule(state, model, entry))


def _check_history(state: State, trust: Trust, what: str) -> None:
    if _trust_at(state, trust.size, trust.root) != trust:
        raise VerificationError(
            f"{what}: its members and quorums up to {trust.size} entries are not the trust's",
            code="forked",
            details={"size": trust.size},
        )


def _trust_at(state: State, size: int, root: bytes) -> Trust:
    return Trust.make(
        state.origin or "",
        size,
        root,
        state.quorums,
        [member.to_json() for member in state.members.values()],
    )


def _check_complete(chain: Chain, state: State, what: str) -> None:
    """Hold the last decision to the ledger's fact, and the fact to the seal's state tree."""
    if state.ledger != chain.fact:
        raise VerificationError(
            f"{what}: its last decision, at {chain.statements[-1].index}, does not lead to the "
            f"ledger's fact, which the one at {chain.fact.entry} set: something was left out",
            code="incomplete",
            details={"index": chain.fact.entry},
        )
    try:
        merkle.verify_inclusion(
            _SLOT,
            chain.seal.facts,
            merkle.leaf_hash(facts.leaf_data(chain.fact)),
            chain.path,
            bytes.fromhex(chain.seal.state_hex),
        )
    except VerificationError as fault:
        raise VerificationError(
            f"{what}: the ledger's fact is not in the seal's state: {fault.message}",
            code="inclusion",
        ) from fault


def _check_signed(chain: Chain, trust: Trust, what: str) -> None:
    """Hold the checkpoint to the keys that the new history has in force at its size."""
    size = chain.size
    checkpoint.verify_log(chain.receipt.signed, trust.origin, trust.log_keys(size))
    cosigners = [cosigner.key for cosigner in trust.cosigners(size)]
    counted = cosignature.counted(chain.receipt.signed, cosigners)
    if len(counted) < trust.quorum(size):
        raise VerificationError(
            f"{what}: {len(counted)} members cosigned its checkpoint, {trust.quorum(size)} are due",
            code="quorum",
            details={"expected": trust.quorum(size), "got": len(counted)},
        )
