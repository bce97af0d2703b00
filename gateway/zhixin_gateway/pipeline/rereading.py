"""Raw texts of records that had passed, and were then found to share a key.

Nearly all records pass, so their raw texts are not kept. Where keys reject some afterwards, the
source is read once more, and a text is believed only where the record reads as it did before: the
source may have changed meanwhile, or be gone. Elsewhere the canonical texts of what was first read
stand in, which say the same values. A record is never lost, nor given another one's text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pyarrow as pa
from zhixin_connectors.protocol import Extracted
from zhixin_errors import SourceError

from zhixin_gateway.datasets.canonical import texts

__all__ = ["Source", "raw_texts"]

Source = Callable[[], Iterator[Extracted]]
"""Gives the records of a source; may be called again to read them once more."""


def raw_texts(
    source: Source, kept: Iterator[pa.RecordBatch]
) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """Give the raw texts of records.

    Args:
        source: reads the source once more.
        kept: the records as first read; the last column is their position, which rises.

    Returns:
        Positions with a string column for each field, in order, all of ``kept``.
    """
    left = next(kept, None)
    for extracted in _while_it_lasts(source) if left is not None else ():
        end = extracted.first_row + extracted.batch.num_rows
        while left is not None and (count := int(np.searchsorted(_rows(left), end))):
            here, left = left.slice(0, count), left.slice(count)
            yield _rows(here), _believed(extracted, here)
            left = left if left.num_rows else next(kept, None)
        if left is None:
            return
    while left is not None:
        yield _rows(left), _own_texts(left)
        left = next(kept, None)


def _while_it_lasts(source: Source) -> Iterator[Extracted]:
    """All values were read already: that the source can't be read again stops nothing."""
    with suppress(SourceError):
        yield from source()


def _rows(batch: pa.RecordBatch) -> np.ndarray:
    rows: np.ndarray = batch.column(batch.num_columns - 1).to_numpy()
    return rows


def _believed(extracted: Extracted, kept: pa.RecordBatch) -> pa.RecordBatch:
    at = (_rows(kept) - extracted.first_row).tolist()
    raw = extracted.raw_texts(at)
    unread = {misfit.row for misfit in extracted.misfits}
    again = [list(row.values()) for row in extracted.batch.take(pa.array(at)).to_pylist()]
    before = [list(row.values())[:-1] for row in kept.to_pylist()]
    same = [
        row not in unread and left == right
        for row, left, right in zip(at, again, before, strict=True)
    ]
    if all(same):
        return raw
    own = _own_texts(kept)
    columns = [
        pa.array([r if s else o for s, r, o in zip(same, theirs, ours, strict=True)], pa.string())
        for theirs, ours in zip(
            (column.to_pylist() for column in raw.columns),
            (column.to_pylist() for column in own.columns),
            strict=True,
        )
    ]
    return pa.RecordBatch.from_arrays(columns, schema=raw.schema)


def _own_texts(kept: pa.RecordBatch) -> pa.RecordBatch:
    """The canonical texts of the values, field by field."""
    names = kept.schema.names[:-1]
    records = [json.loads(str(text)) for text in texts(kept.select(names)).to_pylist()]
    return pa.RecordBatch.from_arrays(
        [
            pa.array([_cell(record[at]) for record in records], pa.string())
            for at in range(len(names))
        ],
        schema=pa.schema([pa.field(name, pa.string()) for name in names]),
    )


def _cell(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
