"""Merging what a run read into the parts of the version before.

::

    old parts     [a ······ c] [d ······ k] [l ······ p] [q ······ z]
    what is new                    f                 p′
    new parts     [  linked  ] [d ·· f ·· k] [l ····· p′][  linked  ]

A part that no new key falls into is carried over as it is: nothing of it is read. One that is
touched is read, merged and written, and so are those after it until a cut falls where an old part
ended. Where records are cut depends on them alone from the beginning of their part on, so the
parts are those that would come of writing all the records anew.

Every record that was read stands in the stream of what is new with a rank; of one key's records
only that of the highest rank stays, and it is written unless it only says that the key is gone::

    0  of the version before      1  the key is gone: rejected, or deleted      2  accepted

Pure of sources, ledgers and stores: old parts are read by a function, new ones go to a writer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from zhixin_errors import VerificationError

from zhixin_gateway.pipeline.sorting import count_up_to, equal_neighbours

if TYPE_CHECKING:
    from zhixin_gateway.datasets.manifest import PartEntry
    from zhixin_gateway.datasets.writer import VersionWriter

__all__ = ["ACCEPTED", "GONE", "RANK", "Merged", "OldPart", "ReadPart", "append", "merge"]

RANK = "_rank"
GONE = 1
ACCEPTED = 2

ReadPart = Callable[["PartEntry"], Iterator[pa.RecordBatch]]
"""Gives the records of a part of the version before, held to what is stated of it."""


@dataclass(frozen=True)
class OldPart:
    """A part of the version before.

    Args:
        entry: what its manifest says.
        last: its greatest key, a scalar for each field of it; without a primary key the greatest
            watermark.
    """

    entry: PartEntry
    last: Sequence[Any]


@dataclass
class Merged:
    """What came of the parts of the version before.

    Args:
        carried: parts that were taken over as they are, unread.
        rewritten: parts that were read.
        dropped: records that the new version does not have, or has anew.
    """

    carried: int = 0
    rewritten: int = 0
    dropped: int = 0


def merge(
    writer: VersionWriter,
    parts: Sequence[OldPart],
    read: ReadPart,
    new: Iterable[pa.RecordBatch],
    key: Sequence[str],
) -> Merged:
    """Write the version before with what is new in it, by the primary key.

    Args:
        writer: of the new version; its sink can carry the old parts.
        parts: of the version before, in their order.
        read: reads one of them.
        new: the version's fields and ``_rank``, sorted by ``key``, and of one key by rank.
        key: names of the primary key's fields.

    Raises:
        VerificationError: an old part is not what is stated of it.
    """
    told = Merged()
    stream = _Stream(new, key)
    for part in parts:
        whole = not stream.reaches(part.last) and not (part is parts[-1] and stream.more)
        if whole and writer.at_boundary and writer.carry(part.entry):
            told.carried += 1
            continue
        told.rewritten += 1
        for batch in _joined(part, read, stream, key, told):
            writer.write(batch)
    while (rest := stream.take(None)) is not None:
        writer.write(_combined(None, rest, key, told))
    return told


def append(
    writer: VersionWriter,
    parts: Sequence[OldPart],
    read: ReadPart,
    new: Iterable[pa.RecordBatch],
    *,
    watermark: str,
    low: Any,  # noqa: ANN401 - a scalar
) -> Merged:
    """Write the version before and after it what is new, where there is no primary key.

    What was read is all that the source has from ``low`` on; so it takes the place of all that the
    version before had from there on.

    Args:
        writer: of the new version; its sink can carry the old parts.
        parts: of the version before, in their order.
        read: reads one of them.
        new: the version's fields, in the source's order.
        watermark: the field that tells what is new; it has no nulls.
        low: where reading began.

    Raises:
        VerificationError: an old part is not what is stated of it.
    """
    told = Merged()
    stream = _Stream(new, ())
    for part in parts:
        below = bool(pc.less(part.last[0], low).as_py())
        whole = below and not (part is parts[-1] and stream.more)
        if whole and writer.at_boundary and writer.carry(part.entry):
            told.carried += 1
            continue
        told.rewritten += 1
        for batch in read(part.entry):
            kept = batch.filter(pc.less(batch.column(watermark), low))
            told.dropped += batch.num_rows - kept.num_rows
            writer.write(kept)
    while (rest := stream.take(None)) is not None:
        writer.write(rest)
    return told


class _Stream:
    """Sorted batches, of which the first are handed out up to a bound."""

    def __init__(self, batches: Iterable[pa.RecordBatch], key: Sequence[str]) -> None:
        self._batches = iter(batches)
        self._key = key
        self._head: pa.RecordBatch | None = None
        self._refill()

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._head is not None

    def reaches(self, bound: Sequence[Any]) -> bool:
        """Whether the next record's key is not beyond a bound."""
        head = self._head
        return head is not None and count_up_to(head.slice(0, 1), self._key, bound) == 1

    def take(self, bound: Sequence[Any] | None) -> pa.RecordBatch | None:
        """The next records up to a bound, or without one: as many as are in hand; None: none."""
        head = self._head
        if head is None:
            return None
        rows = head.num_rows if bound is None else count_up_to(head, self._key, bound)
        if not rows:
            return None
        self._head = head.slice(rows)
        self._refill()
        return head.slice(0, rows)

    def _refill(self) -> None:
        while self._head is None or not self._head.num_rows:
            self._head = next(self._batches, None)
            if self._head is None:
                return


def _joined(
    part: OldPart, read: ReadPart, stream: _Stream, key: Sequence[str], told: Merged
) -> Iterator[pa.RecordBatch]:
    """An old part's records with what is new among them, in bounded memory."""
    last: list[Any] = []
    for batch in read(part.entry):
        old, last = batch, _last_key(batch, key)
        while (new := stream.take(last)) is not None:
            rows = count_up_to(old, key, _last_key(new, key)) if stream.reaches(last) else None
            yield _combined(old.slice(0, rows), new, key, told)
            old = old.slice(old.num_rows if rows is None else rows)
        if old.num_rows:
            yield old
    if not last or any(x != y for x, y in zip(last, part.last, strict=True)):
        raise VerificationError(
            f"{part.entry.path} does not end with the key that it was thought to", code="record"
        )


def _combined(
    old: pa.RecordBatch | None, new: pa.RecordBatch, key: Sequence[str], told: Merged
) -> pa.RecordBatch:
    """Of each key the record of the highest rank, in the key's order, without those gone."""
    schema = new.schema
    pieces = [new]
    if old is not None:
        ranks = pa.array(np.zeros(old.num_rows, dtype=np.int8))
        pieces.insert(0, pa.RecordBatch.from_arrays([*old.columns, ranks], schema=schema))
    table = pa.Table.from_batches(pieces).combine_chunks()
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in (*key, RANK)])
    batches = table.take(order).combine_chunks().to_batches()
    if not batches:
        return new.slice(0, 0).drop_columns([RANK])
    (batch,) = batches
    ranks_sorted = batch.column(RANK).to_numpy()
    stays = np.ones(batch.num_rows, dtype=bool)
    stays[:-1] &= ~equal_neighbours(batch, key)
    told.dropped += int((~stays & (ranks_sorted == 0)).sum())
    stays &= ranks_sorted != GONE
    return batch.filter(pa.array(stays)).drop_columns([RANK])


def _last_key(batch: pa.RecordBatch, key: Sequence[str]) -> list[Any]:
    return [batch.column(name)[batch.num_rows - 1] for name in key]
