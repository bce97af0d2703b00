"""External merge sort of record batches, in bounded memory.

A sorted run is an Arrow IPC file ``run-00000.arrow`` of small blocks (lz4). Records are buffered up
to ``run_bytes``, sorted and written as a run; the runs are merged block by block::

    bound  = the smallest last key among the blocks in hand whose run goes on
    emit     every record in hand with key ≤ bound, sorted; refill the blocks that are used up

so that at most one block a run is in memory, and all comparing is vectorised. The order is that of
docs/formats.md 2.1: numbers and times by value, strings and binaries by their bytes, false before
true, field after field. Keys hold no nulls and no NaN: such records never get here.

Not here: what a duplicate means (``duplicates`` only marks neighbours of equal key).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["BATCH_ROWS", "RunWriter", "duplicates", "merged", "rebatched", "share", "unmatched"]

BATCH_ROWS = 65_536
RUN_BYTES = 48 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class RunWriter:
    """Buffers batches and writes them as sorted runs into a folder.

    Args:
        folder: where runs go; made if missing.
        schema: of every batch.
        key: names of the fields to sort by; none: runs keep the order in which records came.
        run_bytes: how much is buffered before a run is written.
        block_bytes: about how much of a run is in memory while runs are merged.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        key: Sequence[str],
        run_bytes: int = RUN_BYTES,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._schema = schema
        self._key = tuple(key)
        self._run_bytes = run_bytes
        self._block_bytes = block_bytes
        self._buffer: list[pa.RecordBatch] = []
        self._buffered = 0
        self._runs = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch, of any size and order."""
        if batch.num_rows == 0:
            return
        self._buffer.append(batch)
        self._buffered += batch.nbytes
        if self._buffered >= self._run_bytes:
            self._write()

    def close(self) -> None:
        """Write what is still buffered."""
        if self._buffer:
            self._write()

    def _write(self) -> None:
        table = pa.Table.from_batches(self._buffer, self._schema)
        size = self._buffered
        self._buffer, self._buffered = [], 0
        if self._key:
            table = _sorted(table, self._key)
        block_rows = max(1, min(BATCH_ROWS, self._block_bytes * table.num_rows // max(size, 1)))
        path = self._folder / f"run-{self._runs:05d}.arrow"
        with (
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, self._schema, options=_OPTIONS) as writer,
        ):
            writer.write_table(table, max_chunksize=block_rows)
        self._runs += 1


class _Cursor:
    """The place in one run: the block in hand, and whether more follow."""

    def __init__(self, path: Path) -> None:
        self._file = pa.OSFile(str(path), "rb")
        self._reader = pa.ipc.open_file(self._file)
        self._next = 0
        self.block: pa.RecordBatch | None = None
        self.refill()

    @property
    def more(self) -> bool:
        return self._next < self._reader.num_record_batches

    def refill(self) -> None:
        """Read the next block, if the one in hand is used up."""
        while (self.block is None or self.block.num_rows == 0) and self.more:
            self.block = self._reader.get_batch(self._next)
            self._next += 1
        if self.block is not None and self.block.num_rows == 0:
            self.block = None
        if self.block is None:
            self._file.close()

    def take(self, rows: int) -> pa.RecordBatch:
        """Hand out the first rows of the block in hand."""
        if self.block is None:
            raise ValueError("a run is used up")
        head, self.block = self.block.slice(0, rows), self.block.slice(rows)
        self.refill()
        return head


def share(source: Path, target: Path, prefix: str) -> None:
    """Let the runs of a folder lie in another one too, folders in it likewise.

    Args:
        source: where they lie; they stay.
        target: of a pile to which they are added.
        prefix: what tells them from those of other folders.
    """
    for path in sorted(source.rglob("run-*.arrow")):
        place = target / path.relative_to(source).with_name(f"run-{prefix}-{path.name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        try:
            place.hardlink_to(path)
        except OSError:  # a file system without links
            shutil.copyfile(path, place)


def merged(folder: Path, key: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """Read the runs of a folder as one sorted stream.

    Args:
        folder: what a ``RunWriter`` filled; a missing one has no records.
        key: the key that it sorted by; none: run after run.
        rows: how many records a batch of the stream has, the last one fewer.

    Yields:
        Batches, in the order of the key.
    """
    paths = sorted(folder.glob("run-*.arrow"))
    stream = _merge(paths, key) if key else _concatenated(paths)
    yield from rebatched(stream, rows)


def rebatched(
    batches: Iterable[pa.RecordBatch], rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Cut a stream of batches into batches of one size.

    Args:
        batches: of one schema, of any sizes.
        rows: how many records a batch has, the last one fewer.

    Yields:
        The same records in the same order.
    """
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= rows:
            whole = _joined(waiting)
            yield whole.slice(0, rows)
            rest = whole.slice(rows)
            waiting, count = ([rest] if rest.num_rows else []), rest.num_rows
    if count:
        yield _joined(waiting)


def duplicates(
    batches: Iterable[pa.RecordBatch], key: Sequence[str]
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Mark, in a stream sorted by key, every record that shares its key with another.

    Args:
        batches: sorted by ``key``, without nulls in it.
        key: names of the fields.

    Yields:
        Each batch with a mask of its records.
    """
    held: tuple[pa.RecordBatch, np.ndarray] | None = None
    for batch in batches:
        if batch.num_rows == 0:
            continue
        mask = np.zeros(batch.num_rows, dtype=bool)
        if key:
            same = equal_neighbours(batch, key)
            mask[1:] |= same
            mask[:-1] |= same
        if held is not None:
            before, before_mask = held
            if key and _same_key(before.slice(before.num_rows - 1), batch.slice(0, 1), key):
                before_mask[-1] = mask[0] = True
            yield before, before_mask
        held = batch, mask
    if held is not None:
        yield held


def unmatched(
    batches: Iterable[pa.RecordBatch], key: Sequence[str], gone: np.ndarray
) -> Iterator[np.ndarray]:
    """Find, in a stream of seekers and targets, the seekers whose key no target has.

    Args:
        batches: sorted by ``key`` and then by their last column: -1 - row of a target, row of a
            seeker, so that a key's targets come before its seekers.
        key: names of the fields.
        gone: rows of targets that do not count, rising.

    Yields:
        Rows of seekers, of each batch that has some.
    """
    held: tuple[pa.RecordBatch, bool] | None = None
    for batch in batches:
        rows = batch.column(batch.num_columns - 1).to_numpy()
        group = np.concatenate(([0], np.cumsum(~equal_neighbours(batch, key))))
        known = np.zeros(group[-1] + 1, dtype=bool)
        known[group[(rows < 0) & ~np.isin(-1 - rows, gone)]] = True
        if held is not None and held[1] and _same_key(held[0], batch.slice(0, 1), key):
            known[0] = True
        found = rows[(rows >= 0) & ~known[group]]
        if len(found):
            yield found
        held = batch.slice(batch.num_rows - 1), bool(known[-1])


def _merge(paths: list[Path], key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    live = [cursor for cursor in map(_Cursor, paths) if cursor.block is not None]
    while live:
        bound = _bound(live, key)
        pieces = []
        for cursor in live:
            block = cursor.block
            if block is None:
                continue
            rows = block.num_rows if bound is None else count_up_to(block, key, bound)
            if rows:
                pieces.append(cursor.take(rows))
        live = [cursor for cursor in live if cursor.block is not None]
        if len(pieces) == 1:
            yield pieces[0]
        elif pieces:
            yield from _sorted(pa.Table.from_batches(pieces), key).to_batches()


def _concatenated(paths: list[Path]) -> Iterator[pa.RecordBatch]:
    for path in paths:
        cursor = _Cursor(path)
        while cursor.block is not None:
            yield cursor.take(cursor.block.num_rows)


def _bound(live: list[_Cursor], key: Sequence[str]) -> list[Any] | None:
    """The smallest last key in hand of the runs that go on; None if none goes on."""
    lasts = [
        cursor.block.slice(cursor.block.num_rows - 1).select(list(key))
        for cursor in live
        if cursor.more and cursor.block is not None
    ]
    if not lasts:
        return None
    table = pa.Table.from_batches(lasts)
    first = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in key])[0].as_py()
    return [table.column(name)[first] for name in key]


def count_up_to(block: pa.RecordBatch, key: Sequence[str], bound: Sequence[Any]) -> int:
    """Count the records of a sorted block whose key is not beyond a bound.

    Args:
        block: sorted by ``key``.
        key: names of the fields.
        bound: a scalar for each.
    """
    mask: Any = None
    for name, value in reversed(list(zip(key, bound, strict=True))):
        column = block.column(name)
        if mask is None:
            mask = pc.less_equal(column, value)
        else:
            mask = pc.or_(pc.less(column, value), pc.and_(pc.equal(column, value), mask))
    return int(pc.sum(mask).as_py() or 0)


def _sorted(table: pa.Table, key: Sequence[str]) -> pa.Table:
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in key])
    return table.combine_chunks().take(order)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def equal_neighbours(batch: pa.RecordBatch, key: Sequence[str]) -> np.ndarray:
    """Whether each record but the first has the key of the one before it."""
    same = np.ones(max(batch.num_rows - 1, 0), dtype=bool)
    for name in key:
        column = batch.column(name)
        equal = pc.equal(column.slice(1), column.slice(0, batch.num_rows - 1))
        same &= equal.to_numpy(zero_copy_only=False)
    return same


def _same_key(left: pa.RecordBatch, right: pa.RecordBatch, key: Sequence[str]) -> bool:
    return all(pc.equal(left.column(n), right.column(n))[0].as_py() for n in key)
