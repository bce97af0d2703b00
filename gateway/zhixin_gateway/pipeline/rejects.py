"""Rejected records with every reason, outside memory (docs/formats.md 2.1, quarantine).

While records are extracted, two piles grow on disk: raw texts of rejected records, and pairs
(row, rule) of every rule that any record broke. At the end both are sorted by row and joined into

    <quarantine>/<member>/<dataset>/<number>.parquet
    _row  int64                    position in the extraction, from 0
    _reasons                       list of {rule, field, message}
    one string column a field      the source's own text

Rules are small numbers here: their position in the list of reasons that the pile was opened with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zhixin_gateway.pipeline import sorting

__all__ = ["REASONS", "ROW", "Reason", "ReasonPile", "RejectPile", "write_quarantine"]

ROW = "_row"
REASONS = "_reasons"
_REASON_TYPE = pa.list_(
    pa.struct([("rule", pa.string()), ("field", pa.string()), ("message", pa.string())])
)
_PAIRS = pa.schema([(ROW, pa.int64()), ("rule", pa.int32())])


class Reason(NamedTuple):
    """One reason for people: a rule, the field it looks at, and a sentence without a value."""

    rule: str
    field: str
    message: str


class ReasonPile:
    """Collects (row, rule) pairs."""

    def __init__(self, folder: Path) -> None:
        self._writer = sorting.RunWriter(folder, _PAIRS, [ROW, "rule"])

    def add(self, rows: np.ndarray, rule: int) -> None:
        """Tell that records broke a rule.

        Args:
            rows: their positions in the extraction.
            rule: the rule's number.
        """
        if len(rows):
            numbers = pa.array(np.full(len(rows), rule, dtype=np.int32))
            self._writer.add(pa.record_batch([pa.array(rows), numbers], schema=_PAIRS))

    def add_renumbered(self, pairs: Path, numbers: np.ndarray) -> None:
        """Take the pairs of another pile.

        Args:
            pairs: the folder of a closed one.
            numbers: this pile's number for each rule of that one.
        """
        for batch in sorting.merged(pairs, [ROW, "rule"]):
            renumbered = pa.array(numbers[batch.column(1).to_numpy()], pa.int32())
            self._writer.add(pa.record_batch([batch.column(0), renumbered], schema=_PAIRS))

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()


class RejectPile:
    """Collects rejected records as raw texts."""

    def __init__(self, folder: Path, fields: Sequence[str]) -> None:
        columns: list[pa.Field[Any]] = [pa.field(name, pa.string()) for name in fields]
        columns.insert(0, pa.field(ROW, pa.int64()))
        self.schema = pa.schema(columns)
        self._writer = sorting.RunWriter(folder, self.schema, [ROW])

    def add(self, rows: np.ndarray, texts: pa.RecordBatch) -> None:
        """Take rejected records.

        Args:
            rows: their positions in the extraction.
            texts: a string column for each field, a row for each of ``rows``.
        """
        if len(rows):
            columns = [pa.array(rows, pa.int64()), *texts.columns]
            self._writer.add(pa.record_batch(columns, schema=self.schema))

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()


def write_quarantine(
    path: Path,
    schema: pa.Schema,
    rejects: Path,
    pairs: Path,
    reasons: Sequence[Reason],
    *,
    position: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
) -> int:
    """Join both piles into a quarantine file.

    Args:
        path: the Parquet file to make.
        schema: of the rejects.
        rejects: the folder of a closed ``RejectPile``.
        pairs: the folder of a closed ``ReasonPile``.
        reasons: what each rule's number means.
        position: gives the positions in the extraction of rows that are numbered otherwise.

    Returns:
        How many records it holds.
    """
    columns = [pa.field(ROW, pa.int64()), pa.field(REASONS, _REASON_TYPE)]
    columns += [field for field in schema if field.name != ROW]
    finder = _Finder(sorting.merged(pairs, [ROW, "rule"]), reasons)
    count = 0
    with pq.ParquetWriter(path, pa.schema(columns), store_schema=False) as writer:
        for batch in sorting.merged(rejects, [ROW], 8_192):
            rows = batch.column(0).to_numpy()
            told = finder.reasons_of(rows)
            joined = [pa.array(position(rows), pa.int64()), told, *batch.columns[1:]]
            writer.write_batch(pa.record_batch(joined, schema=pa.schema(columns)))
            count += batch.num_rows
    return count


class _Finder:
    """Walks the sorted pairs beside sorted rows, and hands out lists of reasons."""

    def __init__(self, pairs: Iterator[pa.RecordBatch], reasons: Sequence[Reason]) -> None:
        self._pairs = pairs
        self._rows = np.empty(0, dtype=np.int64)
        self._rules = np.empty(0, dtype=np.int32)
        self._more = True
        self._meaning = pa.StructArray.from_arrays(
            [
                pa.array([reason.rule for reason in reasons], pa.string()),
                pa.array([reason.field for reason in reasons], pa.string()),
                pa.array([reason.message for reason in reasons], pa.string()),
            ],
            names=["rule", "field", "message"],
        )

    def reasons_of(self, rows: np.ndarray) -> Any:  # noqa: ANN401 - a list array
        """Lists of reasons for rows that rise and were not asked for before."""
        self._read_past(rows)
        starts = np.searchsorted(self._rows, rows, "left")
        ends = np.searchsorted(self._rows, rows, "right")
        lengths = ends - starts
        picked = np.repeat(starts - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
        picked += np.arange(len(picked))
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        numbers: Any = pa.array(self._rules[picked])
        values = self._meaning.take(numbers)
        last = int(ends[-1])
        self._rows, self._rules = self._rows[last:], self._rules[last:]
        starts_at: Any = pa.array(offsets)
        return pa.ListArray.from_arrays(starts_at, values).cast(_REASON_TYPE)

    def _read_past(self, rows: np.ndarray) -> None:
        """Read pairs up to the last of ``rows``, and keep those that somebody asks for."""
        last = rows[-1]
        kept = [_asked_for(self._rows, self._rules, rows)]
        highest = self._rows[-1] if len(self._rows) else -1
        while self._more and highest <= last:
            batch = next(self._pairs, None)
            if batch is None:
                self._more = False
                break
            found = batch.column(0).to_numpy()
            highest = found[-1]
            kept.append(_asked_for(found, batch.column(1).to_numpy(), rows))
        self._rows = np.concatenate([pair[0] for pair in kept])
        self._rules = np.concatenate([pair[1] for pair in kept])


def _asked_for(
    found: np.ndarray, rules: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of these rows or of later ones; the others are warnings of accepted records."""
    nearest = rows[np.minimum(np.searchsorted(rows, found), len(rows) - 1)]
    keep = (nearest == found) | (found > rows[-1])
    return found[keep], rules[keep]
