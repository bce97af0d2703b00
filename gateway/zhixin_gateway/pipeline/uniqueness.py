"""Keys that must be unique over all records, checked outside memory.

Every extracted record counts, also one that another rule rejects: of records that share a key all
are rejected. A record with a null among the key's fields shares with none (SQL's rule). The fields
and the record's position go into sorted runs of their own; after the merge, equal keys are
neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhixin_gateway.pipeline import sorting
from zhixin_gateway.pipeline.rejects import ROW

__all__ = ["KeyPile", "whole_keys"]


class KeyPile:
    """Collects one key of every record.

    Args:
        folder: where runs go.
        schema: the contract's.
        fields: the key's.
    """

    def __init__(self, folder: Path, schema: pa.Schema, fields: Sequence[str]) -> None:
        self._folder = folder
        self._fields = tuple(fields)
        self._schema = pa.schema(
            [*(schema.field(name) for name in fields), pa.field(ROW, pa.int64())]
        )
        self._writer = sorting.RunWriter(folder, self._schema, self._fields)

    def keys(self, batch: pa.RecordBatch, rows: np.ndarray) -> pa.RecordBatch:
        """The keys that can be compared, with their records' positions as the last column.

        Args:
            batch: with the contract's columns.
            rows: positions of its records in the extraction.
        """
        columns = [*(batch.column(name) for name in self._fields), pa.array(rows)]
        return whole_keys(pa.record_batch(columns, schema=self._schema), len(self._fields))

    def add(self, batch: pa.RecordBatch, rows: np.ndarray) -> None:
        """Take the key of records.

        Args:
            batch: with the contract's columns.
            rows: positions of its records in the extraction.
        """
        self._writer.add(self.keys(batch, rows))

    @property
    def folder(self) -> Path:
        """Where its runs lie."""
        return self._folder

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()

    def shared(self) -> np.ndarray:
        """Positions of all records that share their key with another, rising."""
        self.close()
        found = [np.empty(0, dtype=np.int64)]
        stream = sorting.duplicates(sorting.merged(self._folder, self._fields), self._fields)
        for batch, mask in stream:
            if mask.any():
                found.append(batch.column(len(self._fields)).to_numpy()[mask])
        return np.sort(np.concatenate(found))


def whole_keys(keys: pa.RecordBatch, fields: int) -> pa.RecordBatch:
    """Only the keys that can be compared: with no null among their first fields, and no NaN."""
    for column in keys.columns[:fields]:
        if column.null_count or pa.types.is_floating(column.type):
            masks: list[Any] = [
                pc.invert(pc.is_null(each, nan_is_null=True)) for each in keys.columns[:fields]
            ]
            return keys.filter(reduce(pc.and_, masks))
    return keys
