"""The history inside a trust, and what it must not contradict (docs/formats.md 2.5, 2.6).

A key is held over a span of entry indexes, from the statement that set it up to, not including, the
one that ended it. A member is active exactly while a statement key of it is in force::

    statement_keys   |----- 0..16 -----|--- 16..32 ---|      (left)      |--- 38.. ---
    cosigners        |----------- 0..32 --------------|                  |--- 38.. ---

Pure functions over parsed values; the bytes are read in `zhixin_ledger.trust`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

from zhixin_errors import FormatError

from zhixin_ledger.keys import VerifierKey

__all__ = ["Held", "TrustMember", "check_history", "minimum_quorum"]

MAX_COSIGNERS = 64
SMALLEST_SIZE = 2  # genesis and its seal

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Held(Generic[K]):
    """A key and the span of entry indexes in which it was in force.

    Attributes:
        key: raw public key (32 bytes), or a vkey for cosigners and logs.
        start: index of the statement that set the key.
        end: index of the statement that ended it; None: still in force.
    """

    key: K
    start: int
    end: int | None

    def at(self, index: int) -> bool:
        """Whether the key was in force for the entry at ``index``."""
        return self.start <= index and (self.end is None or index < self.end)


AnyHeld = Held[bytes] | Held[VerifierKey]


@dataclass(frozen=True, slots=True)
class TrustMember:
    """One member's history; the order of members is that of the ledger's slots."""

    name: str
    titles: Mapping[str, str]
    active: bool
    statement_keys: tuple[Held[bytes], ...]
    cosigners: tuple[Held[VerifierKey], ...]
    logs: tuple[Held[VerifierKey], ...]
    validators: tuple[Held[bytes], ...]


def minimum_quorum(cosigners: int) -> int:
    """The least k of n that docs/formats.md 2.5 allows: 2k - n ≥ f + 1, f = ⌊(n - 1) / 3⌋.

    Args:
        cosigners: n, the number of active cosigning members, at least 1.
    """
    faulty = (cosigners - 1) // 3
    return (cosigners + faulty + 2) // 2


def check_history(
    size: int, quorums: Sequence[tuple[int, int]], members: Sequence[TrustMember]
) -> None:
    """Refuse a history that contradicts itself.

    Args:
        size: number of entries of the history.
        quorums: (from, quorum).
        members: in slot order.

    Raises:
        FormatError: it does; the message names the member and the rule.
    """
    if size < SMALLEST_SIZE:
        raise FormatError(f"size: at least {SMALLEST_SIZE}, genesis and its seal")
    if not members:
        raise FormatError("members: there is none")
    _check_quorums(size, quorums)
    for member in members:
        _check_member(member, size)
    _check_order(members)
    _check_unique(members)
    _check_every_index(quorums, members)


def _check_quorums(size: int, quorums: Sequence[tuple[int, int]]) -> None:
    if not quorums or quorums[0][0] != 0:
        raise FormatError("quorums: the first must be from index 0")
    for (before, k_before), (start, k) in pairwise(quorums):
        if start <= before:
            raise FormatError(f"quorums: from {start} does not come after {before}")
        if k == k_before:
            raise FormatError(f"quorums: the item from {start} changes nothing")
    if quorums[-1][0] >= size:
        raise FormatError(f"quorums: an index is not below the size, {size}")


def _check_member(member: TrustMember, size: int) -> None:
    all_keys: dict[str, Sequence[AnyHeld]] = {
        "statement_keys": member.statement_keys,
        "cosigners": member.cosigners,
        "logs": member.logs,
        "validators": member.validators,
    }
    for what, spans in all_keys.items():
        _check_spans(spans, f"{member.name}: {what}", size)
    if not member.statement_keys:
        raise FormatError(f"{member.name}: statement_keys: there is none")
    if member.active != (member.statement_keys[-1].end is None):
        raise FormatError(
            f"{member.name}: a statement key must be in force exactly while the member is active"
        )
    presence = _presence(member.statement_keys)
    for what, spans in all_keys.items():
        for held in spans:
            if not any(_within(held, start, end) for start, end in presence):
                raise FormatError(
                    f"{member.name}: {what}: the key from {held.start} was in force while the "
                    "member was not active"
                )


def _check_spans(spans: Sequence[AnyHeld], what: str, size: int) -> None:
    free_from: int | None = 0
    for held in spans:
        if free_from is None or held.start < free_from:
            raise FormatError(f"{what}: the span from {held.start} overlaps the one before it")
        if held.end is not None and held.end <= held.start:
            raise FormatError(f"{what}: the span from {held.start} ends before it begins")
        if max(held.start, held.end or 0) >= size:
            raise FormatError(f"{what}: an index is not below the size, {size}")
        free_from = held.end


def _presence(statement_keys: Sequence[Held[bytes]]) -> list[tuple[int, int | None]]:
    """The spans in which a member was active: those of its statement keys, joined."""
    spans: list[tuple[int, int | None]] = []
    for held in statement_keys:
        if spans and spans[-1][1] == held.start:
            spans[-1] = (spans[-1][0], held.end)
        else:
            spans.append((held.start, held.end))
    return spans


def _within(held: AnyHeld, start: int, end: int | None) -> bool:
    if held.start < start:
        return False
    return end is None or (held.end is not None and held.end <= end)


def _check_order(members: Sequence[TrustMember]) -> None:
    joined = 0
    for member in members:
        if member.statement_keys[0].start < joined:
            raise FormatError(
                f"{member.name}: members don't stand in the order in which they joined"
            )
        joined = member.statement_keys[0].start


def _check_unique(members: Sequence[TrustMember]) -> None:
    seen_names: set[str] = set()
    seen_keys: set[bytes] = set()
    seen_ids: set[tuple[str, bytes]] = set()
    for member in members:
        if member.name in seen_names:
            raise FormatError(f"{member.name}: the name stands twice")
        seen_names.add(member.name)
        for raw in _raw_keys(member):
            if raw in seen_keys:
                raise FormatError(f"{member.name}: a key was used before")
            seen_keys.add(raw)
        for held in (*member.cosigners, *member.logs):
            identity = (held.key.name, bytes(held.key.key_id))
            if identity in seen_ids:
                raise FormatError(f"{member.name}: two vkeys share a name and key ID")
            seen_ids.add(identity)


def _raw_keys(member: TrustMember) -> Iterator[bytes]:
    for plain in (*member.statement_keys, *member.validators):
        yield plain.key
    for vkey in (*member.cosigners, *member.logs):
        yield vkey.key.public_key


def _check_every_index(quorums: Sequence[tuple[int, int]], members: Sequence[TrustMember]) -> None:
    """Hold the quorum rule, the limit of cosigners and the need of a log at every index."""
    cosigning = _changes(held for member in members for held in member.cosigners)
    logging = _changes(held for member in members for held in member.logs)
    set_at = dict(quorums)
    cosigners = logs = quorum = 0
    for index in sorted({0, *cosigning, *logging, *set_at}):
        cosigners += cosigning.get(index, 0)
        logs += logging.get(index, 0)
        quorum = set_at.get(index, quorum)
        if logs < 1:
            raise FormatError(f"no log is in force at index {index}")
        if cosigners > MAX_COSIGNERS:
            raise FormatError(f"more than {MAX_COSIGNERS} members cosign at index {index}")
        if cosigners < 1 or not minimum_quorum(cosigners) <= quorum <= cosigners:
            raise FormatError(
                f"a quorum of {quorum} of {cosigners} cosigning members at index {index}"
                " breaks the quorum rule"
            )


def _changes(spans: Iterable[AnyHeld]) -> dict[int, int]:
    """How the number of keys in force changes at which index."""
    changes: dict[int, int] = {}
    for held in spans:
        changes[held.start] = changes.get(held.start, 0) + 1
        if held.end is not None:
            changes[held.end] = changes.get(held.end, 0) - 1
    return changes
