"""Accepted records on their way into parts, while more are being read.

::

    judge ─▶ (queue) ─ cut and hash ─▶ (queue) ─ Parquet and the file's digest ─▶ the sink

Records reach the parts in the order in which they come, so this serves where that is the version's
order: that of the key, or without a key the source's. What was written can be taken back: the k-th
written record is the k-th that was not rejected, so that its position in the extraction follows
from the positions of the rejected ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from zhixin_gateway.datasets.writer import VersionWriter
from zhixin_gateway.lanes import Lane

if TYPE_CHECKING:
    import pyarrow as pa
    from zhixin_schemas.model import Contract

    from zhixin_gateway.datasets.manifest import PartEntry
    from zhixin_gateway.datasets.sinks import PartSink
    from zhixin_gateway.pipeline.previous import Previous
    from zhixin_gateway.pipeline.releasing import Before

__all__ = ["Parts", "opened_parts", "read_back"]


class Parts:
    """Takes accepted records, in the version's order.

    Args:
        sink: where the parts go.
        writer: of the version.
        lane: the thread in which it cuts and hashes.
        before: the rejects of the version before, which are looked for among the records.

    Attributes:
        entries: what the manifest says of each part, once all is finished.
        rejects_before: those that were given.
    """

    def __init__(
        self, sink: PartSink, writer: VersionWriter, lane: Lane, before: Before | None
    ) -> None:
        self._sink = sink
        self._writer = writer
        self._lane = lane
        self.rejects_before = before
        self.entries: tuple[PartEntry, ...] = ()

    def add(self, batch: pa.RecordBatch) -> None:
        """Hand records on; waits while too many wait.

        Args:
            batch: of the dataset's schema.

        Raises:
            ZhixinError: what earlier records met with.
        """
        if batch.num_rows:
            self._lane.put(partial(self._write, batch))

    def _write(self, batch: pa.RecordBatch) -> None:
        self._writer.write(batch)
        if self.rejects_before is not None:
            self.rejects_before.see(batch)

    def take_all(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Hand on all that there are, and finish."""
        for batch in batches:
            self.add(batch)
        self.finish()

    def finish(self) -> None:
        """Wait until all that was added is durable; ``entries`` are then the manifest's."""
        self._lane.join()
        self.entries = self._writer.finish()

    def taken_back(
        self, schema: pa.Schema, first_row: int, rejected: np.ndarray
    ) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """Read what was written back, and remove it.

        Args:
            schema: the dataset's.
            first_row: position of the first extracted record.
            rejected: positions of the records that were not written, rising.

        Yields:
            Records with their positions in the extraction, in order.
        """
        yield from read_back(self._sink, self.entries, schema, first_row, rejected)
        for entry in self.entries:
            self._sink.remove(entry.path)
        self.entries = ()


def read_back(
    sink: PartSink,
    entries: Sequence[PartEntry],
    schema: pa.Schema,
    first_row: int,
    rejected: np.ndarray,
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Read written parts, with the positions of their records; see :meth:`Parts.taken_back`."""
    from zhixin_gateway.datasets.parquet import PartReader

    gone = rejected - first_row
    gone = gone - np.arange(len(gone))  # so many were written before each of them
    written = 0
    for entry in entries:
        with sink.open(entry.path) as file:
            reader = PartReader(file, schema, entry.records, entry.path)
            for batch in reader.batches():
                at = np.arange(written, written + batch.num_rows, dtype=np.int64)
                yield batch, first_row + at + np.searchsorted(gone, at, side="right")
                written += batch.num_rows


@contextmanager
def opened_parts(
    sink: PartSink,
    contract: Contract,
    before: Previous | None = None,
    rejects_before: Before | None = None,
) -> Iterator[Parts]:
    """Open the way into parts; leaving it ends its threads, whatever happened.

    Args:
        sink: where the parts go.
        contract: the dataset's.
        before: the version before, whose parts are carried over where they repeat.
        rejects_before: are looked for among the records.
    """
    manifest = None if before is None else before.manifest
    schema, key = contract.written_schema, contract.primary_key
    with VersionWriter(sink, schema, key, before=manifest) as writer:
        lane = Lane("zhixin-hash")
        try:
            yield Parts(sink, writer, lane, rejects_before)
        finally:
            lane.abandon()
