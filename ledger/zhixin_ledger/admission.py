"""What may enter the ledger: one pure function over the state and an entry.

Order, which is part of the rules (docs/formats.md, "Ledger rules"):

1. at most 256 KiB; normalise the envelope (admission only: an entry in the ledger is exact);
2. the form: envelope, payload, kind, predicate;
3. the payload's digest: one that is in already gives its index again;
4. genesis at index 0 and nothing else there;
5. every signer's key in force (or named by the statement itself), every signature good;
6. the ledger's origin, and the rule of the kind.

Nothing is taken in before all of it held. Engines differ only in how entries come here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import dsse, encoding, intoto, seal
from zhixin_ledger.dsse import Envelope
from zhixin_ledger.intoto import Statement
from zhixin_ledger.keys import verify_ed25519
from zhixin_ledger.kinds import KINDS
from zhixin_ledger.kinds.base import Entry, Kind
from zhixin_ledger.kinds.genesis import GENESIS
from zhixin_ledger.state import Change, SignerKey, State

__all__ = ["Admitted", "admit", "apply", "check_signers", "judge", "take_in"]


Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) → whether it verifies."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What may enter, or is in already.

    Args:
        index: its place in the ledger.
        entry: its bytes in the ledger.
        payload: the payload's bytes.
        change: what it changes; None for a payload that is in already.
    """

    index: int
    entry: bytes
    payload: bytes
    change: Change | None

    @property
    def duplicate(self) -> bool:
        """Say whether the payload is in the ledger already, at `index`."""
        return self.change is None


def admit(state: State, data: bytes) -> Admitted:
    """Judge an envelope as someone submitted it; changes nothing.

    Args:
        state: the state before it.
        data: at most 256 KiB, in any layout.

    Raises:
        LedgerRefused: with the rule's name as code (docs/formats.md lists them).
    """
    try:
        entry, envelope = dsse.read_submitted(data)
    except FormatError as fault:
        raise _malformed(fault) from fault
    return _judge(state, entry, envelope)


def judge(state: State, entry: bytes, verify: Verify = verify_ed25519) -> Admitted:
    """Judge an entry in the form that the ledger keeps; changes nothing. `verify` as in `apply`.

    Raises:
        LedgerRefused: with the rule's name as code.
    """
    try:
        envelope = dsse.parse_envelope(entry)
    except FormatError as fault:
        raise _malformed(fault) from fault
    return _judge(state, entry, envelope, verify)


def _judge(
    state: State, entry: bytes, envelope: Envelope, verify: Verify = verify_ed25519
) -> Admitted:
    try:
        statement = intoto.parse_statement(envelope.payload)
        kind = _kind(statement)
        model = kind.read(statement)
    except FormatError as fault:
        raise _malformed(fault) from fault
    known = state.payload_index(envelope.payload)
    if known is not None:
        return Admitted(known, entry, envelope.payload, None)
    if (kind is GENESIS) != (state.size == 0):
        raise LedgerRefused("genesis stands at index 0, and only there", code="genesis-place")
    signers = check_signers(state, kind, model, envelope, verify=verify)
    if state.origin is not None and statement.predicate["origin"] != state.origin:
        raise LedgerRefused("the statement was made for another ledger", code="other-origin")
    made = Entry(state.size, encoding.sha256(entry), statement, signers)
    return Admitted(state.size, entry, envelope.payload, kind.rule(state, model, made))


def take_in(state: State, admitted: Admitted) -> int:
    """Change the state by what was admitted to it just now; gives the index."""
    if admitted.change is None:
        return admitted.index
    return state.advance(admitted.entry, admitted.payload, admitted.change)


def apply(state: State, entry: bytes, verify: Verify = verify_ed25519) -> int:
    """Replay the ledger's next entry, statement or seal; gives its index.

    Args:
        state: the state before it, which is changed only if the entry holds.
        entry: its exact bytes.
        verify: says whether a signature verifies; another than the default is for an audit that
            knows that these very bytes were checked before.

    Raises:
        LedgerRefused: `seal` or `state` for a seal; `duplicate`; or the rule's name.
    """
    if seal.is_seal(entry):
        return seal.apply_seal(state, entry)
    if state.size > 0 and state.seal is None:
        raise LedgerRefused("block 0 holds more than genesis and its seal", code="seal")
    admitted = judge(state, entry, verify)
    if admitted.duplicate:
        raise LedgerRefused(
            f"the payload is in the ledger already, at {admitted.index}", code="duplicate"
        )
    return take_in(state, admitted)


def _kind(statement: Statement) -> Kind[Any]:
    kind = KINDS.get(statement.predicate_type)
    if kind is None:
        raise FormatError("the predicateType is unknown to these rules")
    return kind


def check_signers(
    state: State,
    kind: Kind[Any],
    model: object,
    envelope: Envelope,
    *,
    verify: Verify = verify_ed25519,
) -> dict[str, SignerKey]:
    """Hold a statement's signatures to the keys in force before it, or to those that it names.

    Args:
        state: the state before it.
        kind: the statement's.
        model: what it says, as the kind reads it.
        envelope: with the signatures.
        verify: as in `apply`.

    Returns:
        Whose keys signed, by `keyid`.

    Raises:
        LedgerRefused: `unknown-signer`, `signature`.
    """
    own = kind.own_keys(model)
    signers: dict[str, SignerKey] = {}
    for keyid, _ in envelope.signatures:
        signer = state.signer(keyid) or own.get(keyid)
        if signer is None:
            raise LedgerRefused(
                "a signature is by a key that is not in force", code="unknown-signer"
            )
        signers[keyid] = signer
    for keyid, signature in envelope.signatures:
        if not verify(signers[keyid].public_key, envelope.signed, signature):
            raise LedgerRefused("a signature does not verify", code="signature")
    return signers


def _malformed(fault: FormatError) -> LedgerRefused:
    return LedgerRefused(fault.message, code="malformed", details=fault.details)
