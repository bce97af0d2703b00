"""Whether records come in the key's order, and which share their key, batch by batch.

The order is that of docs/formats.md 2.1: numbers and times by value, strings and binaries by their
bytes, false before true, field after field. While it holds, equal keys are neighbours, so that one
look at each batch tells what is unique; the last record of a batch is only decided with the next
one. Where it breaks, nothing that was said before is wrong, but a key may come again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from zhixin_gateway.datasets.arrow import pc
from zhixin_gateway.pipeline.judging import numpy_mask
from zhixin_gateway.pipeline.rejects import ROW
from zhixin_gateway.pipeline.sorting import equal_neighbours

__all__ = ["KeyOrder", "records_order", "with_rows"]

_NONE = np.empty(0, dtype=np.int64)


class KeyOrder:
    """Follows the keys of one extraction.

    Args:
        fields: the key's.

    Attributes:
        broken: a record came before one with a lesser key.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = tuple(fields)
        self._last: pa.RecordBatch | None = None
        self._last_told = False
        self.broken = False

    def take(self, keys: pa.RecordBatch) -> np.ndarray:
        """Look at the next records.

        Args:
            keys: the key's fields, without nulls and NaN, and the records' positions as the last
                column.

        Returns:
            Positions of records that share their key with a neighbour, rising; that of the record
            before these is the first, if it shares its key and was not told yet. None of them where
            the order is broken.
        """
        if self.broken or not keys.num_rows:
            return _NONE
        shared = np.zeros(keys.num_rows, dtype=bool)
        rows = keys.column(keys.num_columns - 1).to_numpy()
        same = equal_neighbours(keys, self._fields)
        self.broken = self._falls(keys)
        shared[1:] |= same
        shared[:-1] |= same
        before = _NONE
        if self._last is not None:
            pair = pa.Table.from_batches([self._last, keys.slice(0, 1)])
            (two,) = pair.combine_chunks().to_batches()
            equal = equal_neighbours(two, self._fields)
            self.broken |= self._falls(two)
            if equal[0]:
                shared[0] = True
                last = self._last.column(self._last.num_columns - 1)
                before = _NONE if self._last_told else last.to_numpy()
        if self.broken:
            return _NONE
        self._last, self._last_told = keys.slice(keys.num_rows - 1), bool(shared[-1])
        return np.concatenate([before, rows[shared]])

    def _falls(self, keys: pa.RecordBatch) -> bool:
        """Whether a record has a lesser key than the one before it."""
        count = max(keys.num_rows - 1, 0)
        alike: np.ndarray | None = None  # in the fields so far; None: there was none
        for name in self._fields:
            before, after = keys.column(name).slice(0, count), keys.column(name).slice(1)
            less = pc.less(after, before)
            if alike is None:
                fallen = bool(less.true_count)
                alike = np.ones(count, dtype=bool)
            else:
                fallen = bool((numpy_mask(less) & alike).any())
            if fallen:
                return True
            if name != self._fields[-1]:
                alike &= numpy_mask(pc.equal(after, before))
        return False


def records_order(key: Sequence[str]) -> tuple[str, ...]:
    """By what sorted runs of accepted records are sorted: equal keys stay in the source's order."""
    return (*key, ROW) if key else ()


def with_rows(schema: pa.Schema) -> pa.Schema:
    """A schema with the position in the extraction as its last column."""
    return schema.append(pa.field(ROW, pa.int64()))
