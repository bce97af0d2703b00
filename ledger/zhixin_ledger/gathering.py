"""Gathering cosignatures: the log's side of C2SP tlog-witness.

Each witness is told what it cosigned last, with the proof that the new checkpoint begins with that,
and answers with its signature lines. One that knows another size says so and is asked once more.
One that can't be reached or refuses is no fault as long as the quorum is there. All are asked at
once, each on a thread of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
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

__all__ = [
    "GRACE_S",
    "REFRESH_S",
    "WITNESS_CONFLICT",
    "Observer",
    "WitnessTransport",
    "conflict",
    "gather",
    "unobserved",
]

WITNESS_CONFLICT = "witness-conflict"
GRACE_S = 2.0
REFRESH_S = 3000.0
"""Members cosign an idle ledger at least once an hour: a little before that."""

_Answer = tuple[int, bytes | BaseException]


class WitnessTransport(Protocol):
    """How a witness is asked: in process, or over HTTP."""

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


Observer = Callable[[WitnessTransport, ZhixinError | None], None]
"""Told of a witness that was asked, and None or what was wrong with its answer."""


def conflict(last_size: int) -> LedgerRefused:
    """Give what a witness says that cosigned another size last than it was asked to go on from."""
    return LedgerRefused(
        f"the witness cosigned {last_size} entries last",
        code=WITNESS_CONFLICT,
        details={"size": last_size},
    )


def unobserved(witness: WitnessTransport, fault: ZhixinError | None) -> None:
    """Do nothing about what became of a witness."""
    del witness, fault


def gather(
    note: Note,
    state: State,
    witnesses: Sequence[WitnessTransport],
    source: TileSource,
    known_sizes: dict[str, int],
    *,
    observe: Observer = unobserved,
    grace_s: float = GRACE_S,
    quorum: int | None = None,
) -> Note:
    """Have a checkpoint cosigned.

    All are asked at once. Once the quorum is there the others have `grace_s` more: their answers
    are welcome, but one that is slow or hangs holds nothing up.

    Args:
        note: the checkpoint with the log's signature.
        state: the ledger's state at its size: whose cosignatures count, and the quorum.
        witnesses: who is asked.
        source: the log's tiles, up to its size; read by several threads.
        known_sizes: by witness, what it cosigned last; kept between calls.
        observe: told of each witness that answered, and None or what was wrong.
        grace_s: how long to wait for the rest.
        quorum: how many are enough; the ledger's own by default.

    Returns:
        The note with the cosignatures that count, in the order of the witnesses.

    Raises:
        LedgerUnavailable: `quorum`: too few; the message says who and why.
    """
    made = _Gathered(note, state, witnesses, observe)
    if quorum is not None:
        made.quorum = quorum
    answers: SimpleQueue[_Answer] = SimpleQueue()
    size = checkpoint.parse(note.text).size

    def ask(at: int, witness: WitnessTransport) -> None:
        try:
            answers.put((at, _ask(witness, note, Tiles(source, size), known_sizes)))
        except BaseException as fault:  # noqa: BLE001 - raised by who gathers
            answers.put((at, fault))

    for at, witness in enumerate(witnesses):
        Thread(target=ask, args=(at, witness), name=f"ask-{witness.name}", daemon=True).start()
    deadline: float | None = None
    for _ in witnesses:
        try:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            made.take(*answers.get(timeout=left_s))
        except Empty:
            break
        if deadline is None and made.enough():
            deadline = time.monotonic() + grace_s
    return made.note()


class _Gathered:
    """What has been answered so far."""

    def __init__(
        self,
        note: Note,
        state: State,
        witnesses: Sequence[WitnessTransport],
        observe: Observer,
    ) -> None:
        self._note = note
        self.quorum = state.quorum
        self._witnesses = witnesses
        self._observe = observe
        self._known = {(key.name, key.key_id): key for key in state.cosigner_keys()}
        self._good: dict[int, list[SignatureLine]] = {}
        self._faults: dict[int, str] = {}

    def take(self, at: int, answer: bytes | BaseException) -> None:
        """Judge one witness's answer."""
        fault = self._judge(at, answer)
        if fault is not None:
            self._faults[at] = fault.message
        self._observe(self._witnesses[at], fault)

    def _judge(self, at: int, answer: bytes | BaseException) -> ZhixinError | None:
        if isinstance(answer, ZhixinError):
            return answer
        if isinstance(answer, BaseException):
            raise answer  # no word of a witness: a fault of ours, or the end of this process
        try:
            lines = parse_signature_lines(answer)
            good = [line for line in lines if _verifies(line, self._known, self._note)]
        except ZhixinError as fault:
            return fault
        self._good[at] = good
        return None if good else LedgerRefused("none of its keys is in force", code="witness-key")

    def enough(self) -> bool:
        """Say whether the quorum is there."""
        return len(self._counted()) >= self.quorum

    def note(self) -> Note:
        """Give the cosigned note; `quorum` where there are too few."""
        cosigned = len(self._counted())
        if cosigned < self.quorum:
            faults = [f"{self._witnesses[at].name}: {self._faults[at]}" for at in self._order()]
            raise LedgerUnavailable(
                f"{cosigned} of {self.quorum} cosignatures that are due: "
                + ("; ".join(faults) or "too few witnesses are named in the settings"),
                code="quorum",
                hint="the entries are safe in the ledger: try again when its members are there",
                details={"cosigned": cosigned, "quorum": self.quorum},
            )
        return self._whole()

    def _order(self) -> list[int]:
        return sorted(self._faults)

    def _whole(self) -> Note:
        lines = [line for at in sorted(self._good) for line in self._good[at]]
        return self._note.with_signatures(lines)

    def _counted(self) -> dict[VerifierKey, int]:
        return cosignature.counted(self._whole(), self._known.values())


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
    if old_size > tree.size:  # it cosigned more while it was slow
        old_size = 0
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
