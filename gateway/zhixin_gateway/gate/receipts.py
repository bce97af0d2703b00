"""One receipt judged by the trust: log signature, quorum, the trust's own root, inclusion.

The rows ``log-signature``, ``quorum`` and ``inclusion`` of the table (docs/formats.md 4), in this
order, for a version's receipt, a record proof's and a standing's alike. What is in force is asked
of the trust at the checkpoint's size. A receipt's time is the k-th latest of its counted
cosignature times: k members say that this was the ledger then, or later.

Pure functions: the clock comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from zhixin_errors import VerificationError
from zhixin_ledger import checkpoint, cosignature, merkle
from zhixin_ledger.note import known_lines

if TYPE_CHECKING:
    from zhixin_ledger.note import Note
    from zhixin_ledger.tlogproof import Receipt
    from zhixin_ledger.trust import Trust

__all__ = [
    "MAX_AHEAD",
    "Clock",
    "check_cosigned",
    "check_included",
    "check_log",
    "check_receipt",
]

MAX_AHEAD = timedelta(minutes=5)
"""A cosignature further ahead of the verifier's clock than this does not count."""


@dataclass(frozen=True, slots=True)
class Clock:
    """By what a receipt is judged besides the trust.

    Attributes:
        now: the verifier's time, aware.
        current_keys: cosigner keys that have ended since do not count.
    """

    now: datetime
    current_keys: bool = False


def check_log(note: Note, trust: Trust) -> None:
    """Hold a checkpoint to the trust's origin and a log key in force.

    Args:
        note: whose text is a checkpoint.
        trust: what the caller pinned.

    Raises:
        VerificationError: ``log-signature``.
    """
    size = checkpoint.parse(note.text).size
    checkpoint.verify_log(note, trust.origin, trust.log_keys(size))


def check_cosigned(note: Note, trust: Trust, clock: Clock, what: str = "the receipt") -> datetime:
    """Hold a checkpoint to the quorum in force, and to the trust's own root.

    Args:
        note: whose text is a checkpoint.
        trust: what the caller pinned.
        clock: the verifier's.
        what: how a message names the receipt.

    Returns:
        The receipt's time.

    Raises:
        VerificationError: ``quorum``; ``forked`` where the trust has another root of this size.
    """
    stated = checkpoint.parse(note.text)
    times = _counted(note, trust, stated.size, clock)
    due = trust.quorum(stated.size)
    if len(times) < due:
        raise VerificationError(
            f"{what} has {len(times)} cosignatures that count, {due} are due: "
            + ("renew it" if clock.current_keys else "it proves no agreement of the members"),
            code="quorum",
            details={"expected": due, "got": len(times)},
        )
    if stated.size == trust.size and stated.root != trust.root:
        raise VerificationError(
            f"{what} and the trust have two roots of the ledger's first {stated.size} entries:"
            " somebody shows two ledgers",
            code="forked",
        )
    return _aware(sorted(times, reverse=True)[due - 1])


def _counted(note: Note, trust: Trust, size: int, clock: Clock) -> list[int]:
    """Each known cosigner's latest time that is not ahead of the clock; a bad line refuses all."""
    cosigners = {cosigner.key: cosigner for cosigner in trust.cosigners(size)}
    latest_s = int((clock.now + MAX_AHEAD).timestamp() // 1)
    times: dict[str, int] = {}
    for number, line, key in known_lines(note, cosigners):
        try:
            time_s = cosignature.verify(line, key, note.text)
        except VerificationError as error:
            raise VerificationError(
                f"signature line {number} of the checkpoint: {error.message}", code="quorum"
            ) from error
        cosigner = cosigners[key]
        if time_s <= latest_s and not (clock.current_keys and cosigner.ended):
            times[cosigner.member] = max(time_s, times.get(cosigner.member, 0))
    return list(times.values())


def _aware(time_s: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_s)


def check_included(receipt: Receipt, entry: bytes, what: str = "the statement") -> None:
    """Hold an entry to its place in the tree.

    Args:
        receipt: with the index, the path and the checkpoint.
        entry: the entry's exact bytes.
        what: how a message names the entry.

    Raises:
        VerificationError: ``inclusion``.
    """
    stated = receipt.checkpoint
    try:
        merkle.verify_inclusion(
            receipt.index, stated.size, merkle.leaf_hash(entry), receipt.path, stated.root
        )
    except VerificationError as error:
        raise VerificationError(
            f"{what} is not entry {receipt.index} of the ledger's {stated.size}: {error.message}",
            code="inclusion",
        ) from error


def check_receipt(
    receipt: Receipt, entry: bytes, trust: Trust, clock: Clock, what: str
) -> datetime:
    """All rows that a receipt has, in their order, and the entry's place.

    Args:
        receipt: in good form.
        entry: the entry's exact bytes.
        trust: what the caller pinned.
        clock: the verifier's.
        what: how a message names whose receipt it is.

    Returns:
        The receipt's time.

    Raises:
        VerificationError: ``log-signature``, ``quorum``, ``forked`` or ``inclusion``.
    """
    check_log(receipt.signed, trust)
    time = check_cosigned(receipt.signed, trust, clock, f"the receipt of {what}")
    check_included(receipt, entry, f"the seal of {what}")
    return time
