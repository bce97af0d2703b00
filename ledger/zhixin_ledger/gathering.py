"""Gathering cosignatures: the log's side of C2SP tlog-witness.

Each witness is told what it cosigned last, with the proof that the new checkpoint begins with that,
and answers with its signature lines. One that knows another size says so and is asked once more.
One that can't be reached or refuses is no fault as long as the quorum is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zhixin_errors import (
    FormatError,
    LedgerRefused,
    LedgerUnavailable,
    VerificationError,
    ZhixinError,
)

from zhixin_ledger import checkpoint, cosignature
from zhixin_ledger.keys import VerifierKey
from zhixin_ledger.note import Note, SignatureLine, parse_signature_lines
from zhixin_ledger.state import State
from zhixin_ledger.tiles import Tiles, TileSource

__all__ = ["WITNESS_CONFLICT", "WitnessTransport", "gather"]


WITNESS_CONFLICT = "witness-conflict"


class WitnessTransport(Protocol):
    """How a witness is asked: in process now, HTTP later."""

    @property
    def name(self) -> str:
        """The member's name."""

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        """Ask a witness to cosign.

        Args:
            old_size: what it cosigned last, 0 for nothing.
            proof: consistency proof from there to the note's size.
            note: the checkpoint, signed by the log.

        Returns:
            Its signature lines.

        Raises:
            LedgerRefused: `witness-conflict`: it cosigned another size last, `details["size"]`;
                or another code: it refuses.
            LedgerUnavailable: it can't be reached.
        """

    def latest(self, origin: str) -> bytes | None:
        """Give the latest checkpoint of a ledger that it cosigned, with its cosignatures, or None.

        Raises:
            LedgerUnavailable: it can't be reached.
        """


def gather(
    note: Note,
    state: State,
    witnesses: Sequence[WitnessTransport],
    source: TileSource,
    known_sizes: dict[str, int],
) -> Note:
    """Have a checkpoint cosigned.

    Args:
        note: the checkpoint with the log's signature.
        state: the ledger's state at its size: whose cosignatures count, and the quorum.
        witnesses: who is asked.
        source: the log's tiles, up to its size.
        known_sizes: by witness, what it cosigned last; kept between calls.

    Returns:
        The note with the cosignatures that count.

    Raises:
        LedgerUnavailable: `quorum`: too few; the message says who and why.
    """
    size = checkpoint.parse(note.text).size
    tree = Tiles(source, size)
    faults: list[str] = []
    known = {(key.name, key.key_id): key for key in state.cosigner_keys()}
    for witness in witnesses:
        try:
            lines = parse_signature_lines(_ask(witness, note, tree, known_sizes))
            good = [line for line in lines if _verifies(line, known, note)]
        except ZhixinError as fault:
            faults.append(f"{witness.name}: {fault.message}")
            continue
        if not good:
            faults.append(f"{witness.name}: none of its keys is in force")
        note = note.with_signatures(good)
    cosigned = cosignature.counted(note, known.values())
    if len(cosigned) < state.quorum:
        raise LedgerUnavailable(
            f"{len(cosigned)} of {state.quorum} cosignatures that are due: "
            + ("; ".join(faults) or "too few witnesses are named in the settings"),
            code="quorum",
            hint="the entries are safe in the ledger; try again when its members can be reached",
            details={"cosigned": len(cosigned), "quorum": state.quorum},
        )
    return note


def _verifies(line: SignatureLine, known: dict[tuple[str, bytes], VerifierKey], note: Note) -> bool:
    """Say whether a line counts; a witness's further lines are ignored."""
    key = known.get((line.name, line.key_id))
    if key is None:
        return False
    try:
        cosignature.verify(line, key, note.text)
    except (VerificationError, FormatError) as fault:
        raise LedgerUnavailable(fault.message, code="quorum") from fault
    return True


def _ask(witness: WitnessTransport, note: Note, tree: Tiles, known_sizes: dict[str, int]) -> bytes:
    signed = note.text + b"\n" + note.signatures[0].line.encode()
    old_size = known_sizes.get(witness.name, 0)
    try:
        lines = witness.add_checkpoint(old_size, _proof(tree, old_size), signed)
    except LedgerRefused as fault:
        last = fault.details.get("size")
        if fault.code != WITNESS_CONFLICT or not isinstance(last, int) or last > tree.size:
            raise
        lines = witness.add_checkpoint(last, _proof(tree, last), signed)
    known_sizes[witness.name] = tree.size
    return lines


def _proof(tree: Tiles, old_size: int) -> list[bytes]:
    return tree.consistency_path(old_size) if 0 < old_size < tree.size else []
