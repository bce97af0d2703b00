"""Rejects of the version before that a run did not meet again: they stand in its quarantine too.

An incremental run reads some records only, and yet its quarantine is that of the whole version: it
holds every reject of the source that is not known to be mended. So an earlier one is carried
forward, with its texts and reasons, unless

- a record of its key was read: accepted, deleted, or rejected anew, or
- its watermark says that it would have been read, had it still been there.

One whose key can't be read is known by all its texts, and stays until a run that reads everything.
Where some of those were withheld, one that was read which says the very same stands for it.
One that could not be read as a whole counts as one without a watermark: every run reads it again.
Carried ones are numbered behind the records that the run read; where all rejects are those of the
version before, its file stays as it is.
"""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zhixin_gateway.datasets.arrow import pc
from zhixin_gateway.pipeline.judging import numpy_mask
from zhixin_gateway.pipeline.recasting import reading_of, recast, without_form
from zhixin_gateway.pipeline.rejects import ROW
from zhixin_gateway.quarantine import Rejects, alike, batches, digest, digests, schema_of

if TYPE_CHECKING:
    from pathlib import Path

    from zhixin_schemas.model import Contract

    from zhixin_gateway.pipeline.releasing import Before

__all__ = ["carry_rejects"]

_STAYS = ("gone", "unknown")
"""Of :data:`zhixin_gateway.pipeline.releasing.OUTCOMES` those that were not met again."""


def carry_rejects(
    before: Before,
    contract: Contract,
    path: Path,
    *,
    low: Any,  # noqa: ANN401 - a scalar
    extracted: int,
) -> int:
    """Put the earlier rejects that stand behind those of this run.

    Args:
        before: the rejects of the version before; it has seen what this run accepted and deleted.
        contract: both runs'.
        path: this run's file of rejects, which is replaced.
        low: the watermark that reading began at, a scalar.
        extracted: how many records this run read, accepted and rejected.

    Returns:
        How many rejects the file then holds.
    """
    outcome = before.outcome(path)["rows"]
    waiting = np.concatenate([np.asarray(outcome[name], dtype=np.int64) for name in _STAYS])
    now = Rejects(contract.dataset, "new", path)
    schema = schema_of(now)
    whole = path.with_suffix(".whole")
    count = 0
    with pq.ParquetWriter(whole, schema, store_schema=False) as writer:
        for batch in batches(now):
            writer.write_batch(batch)
            count += batch.num_rows
        at = extracted
        fresh = Counter(digests(now) if outcome["unknown"] else ())
        for batch in batches(before.rejects):
            rows = batch.column(ROW).to_numpy()
            stays = np.isin(rows, waiting) & ~_read_again(batch, contract, low)
            for place in np.flatnonzero(stays & np.isin(rows, outcome["unknown"])).tolist():
                told = digest(batch.slice(place, 1).to_pylist()[0])
                stays[place] = not fresh[told]  # each that was read stands for one
                fresh[told] -= not stays[place]
            kept = batch.filter(pa.array(stays)).select(schema.names)
            numbers = pa.array(np.arange(at, at + kept.num_rows, dtype=np.int64))
            writer.write_batch(
                pa.record_batch([numbers, *kept.columns[1:]], names=schema.names).cast(schema)
            )
            at += kept.num_rows
    if alike(Rejects(contract.dataset, "new", whole), before.rejects):
        whole.unlink()
        shutil.copyfile(before.rejects.path, path)
    else:
        whole.replace(path)
    return count + at - extracted


def _read_again(batch: pa.RecordBatch, contract: Contract, low: Any) -> np.ndarray:  # noqa: ANN401
    """Of which rejects the watermark lies where the run read, or is not there."""
    name = str(contract.options["watermark"])
    field = contract.schema.field(name)
    read = recast(batch, pa.schema([field]), reading_of(contract.options))
    column = read.batch.column(0)
    known = np.ones(batch.num_rows, dtype=bool)
    known[list(read.unread.get(name, ()))] = False
    known &= numpy_mask(pc.fill_null(pc.greater_equal(column, low), True))
    known |= without_form(batch)
    return known
