"""What the second opinion looks at: the extracted records, with what the rules found of each.

A Parquet file holds accepted and rejected records together, and beside the contract's columns

    zhixin:row            position in the extraction
    zhixin:unread         true where a value could not be read: no engine judges the record's fields
    zhixin:failed:<rule>  true where the engine found the rule broken

so that a second engine's counts can be compared record by record, and on a sample too. Beyond
`limit` records the file keeps a random sample: each record draws a number, and those below a
threshold stay; the threshold halves whenever too many do. It holds records: it lies in the member's
home and is removed after the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zhixin_schemas import rules as r
from zhixin_schemas.compile import Mask, RowVerdict, RuleSet

__all__ = [
    "FAILED",
    "ROW",
    "SAMPLE_LIMIT",
    "UNREAD",
    "StagedInput",
    "merge_staged",
    "read_staged",
]

SAMPLE_LIMIT = 500_000
ROW = "zhixin:row"
UNREAD = "zhixin:unread"
FAILED = "zhixin:failed:"
_DRAW = "zhixin:draw"


class StagedInput:
    """Writes the second opinion's input while the run streams by.

    Args:
        path: file to write.
        rules: the set that judges.
        limit: records to keep at most.
        seed: of the sample; the same records and seed give the same sample.
    """

    def __init__(
        self, path: Path, rules: RuleSet, *, limit: int = SAMPLE_LIMIT, seed: int = 0
    ) -> None:
        self._rules = rules
        self._limit = limit
        self._seed = seed
        self._threshold = 1.0
        self._draws: pa.Array[Any] = pa.array([], pa.float64())
        self._total = 0
        self._batches = 0
        self._names = [
            rule.name
            for rule in rules.rules
            if rule.kind == "row" or isinstance(rule.check, r.WithinThreshold)
        ]
        extra = [(ROW, pa.int64()), (_DRAW, pa.float64()), (UNREAD, pa.bool_())]
        masks = [(FAILED + name, pa.bool_()) for name in self._names]
        written = rules.contract.written_schema
        self._schema = pa.schema([*written, *map(pa.field, *zip(*extra, strict=True)),
                                  *(pa.field(name, kind) for name, kind in masks)])  # fmt: skip
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def add(
        self,
        batch: pa.RecordBatch,
        verdict: RowVerdict,
        misfits: Mapping[str, Mask] | None = None,
    ) -> None:
        """Keep a batch, or what the sample takes of it.

        Args:
            batch: as extracted, in order, its treated fields as they are written.
            verdict: what the rules said of it.
            misfits: as handed to :meth:`RuleSet.check`.
        """
        rows = batch.num_rows
        draw = pc.random(rows, initializer=self._seed + self._batches)
        masks = {**verdict.failed, **verdict.measured}
        columns = [
            *batch.columns,
            pa.array(np.arange(self._total, self._total + rows, dtype=np.int64)),
            draw,
            self._unread(verdict, misfits or {}),
            *(masks[name] for name in self._names),
        ]
        self._total += rows
        self._batches += 1
        whole = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        if self._threshold < 1.0:
            whole = whole.filter(pc.less(draw, pa.scalar(self._threshold)))
        self._draws = pa.concat_arrays([self._draws, whole.column(_DRAW)])
        while len(self._draws) > self._limit:
            self._threshold /= 2
            self._draws = self._draws.filter(pc.less(self._draws, pa.scalar(self._threshold)))
        self._writer.write_batch(whole)

    def _unread(self, verdict: RowVerdict, misfits: Mapping[str, Mask]) -> Mask:
        """Mark records with a value that no engine should judge: unread, NaN or infinite."""
        result: Mask = pa.repeat(pa.scalar(False), verdict.rows)
        for mask in misfits.values():
            result = pc.or_(result, mask)
        for name, mask in verdict.failed.items():
            if isinstance(self._rules[name].check, r.Finite):
                result = pc.or_(result, mask)
        return result

    def close(self) -> None:
        """Finish the file."""
        self._writer.add_key_value_metadata(
            {"zhixin:threshold": repr(self._threshold), "zhixin:total": str(self._total)}
        )
        self._writer.close()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()


def merge_staged(
    paths: Sequence[Path], offsets: Sequence[int], target: Path, *, limit: int = SAMPLE_LIMIT
) -> None:
    """Put the inputs of several spans together into one, a sample of all where they are too many.

    Args:
        paths: what a :class:`StagedInput` of each span wrote.
        offsets: the position in the extraction of each span's first record.
        target: the file to write.
        limit: records to keep at most.
    """
    files = [pq.ParquetFile(path) for path in paths]
    told = [file.metadata.metadata or {} for file in files]
    threshold = min(float(each[b"zhixin:threshold"]) for each in told)
    draws = np.concatenate([file.read([_DRAW]).column(0).to_numpy() for file in files])
    while np.count_nonzero(draws < threshold) > limit:
        threshold /= 2
    schema = files[0].schema_arrow
    at = schema.get_field_index(ROW)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for file, offset in zip(files, offsets, strict=False):
            for batch in file.iter_batches():
                kept = batch.filter(pc.less(batch.column(_DRAW), pa.scalar(threshold)))
                rows = pc.add(kept.column(at), pa.scalar(offset, pa.int64()))
                writer.write_batch(kept.set_column(at, schema.field(at), rows))
        total = sum(int(each[b"zhixin:total"]) for each in told)
        writer.add_key_value_metadata(
            {"zhixin:threshold": repr(threshold), "zhixin:total": str(total)}
        )


def read_staged(path: Path) -> tuple[pa.Table, int]:
    """Give the records of the sample, and how many were extracted in all."""
    file = pq.ParquetFile(path)
    told = file.metadata.metadata or {}
    threshold = float(told[b"zhixin:threshold"])
    parts = []
    for batch in file.iter_batches():
        kept = batch
        if threshold < 1.0:
            kept = batch.filter(pc.less(batch.column(_DRAW), pa.scalar(threshold)))
        parts.append(kept)
    table = pa.Table.from_batches(parts, file.schema_arrow)
    return table.drop_columns([_DRAW]), int(told[b"zhixin:total"])
