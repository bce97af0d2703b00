"""Rows that say of themselves that they are deleted (``zhixin.deleted``): each removes its key.

Such a row is no record: no rule judges it, it is neither accepted nor rejected, and where every
record is read it is left out. One whose key can't be read, or whose mark can't, removes nothing:
it stays among the records and is rejected there for what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from zhixin_connectors.protocol import Extracted
from zhixin_connectors.spans import chosen

from zhixin_gateway.datasets.arrow import pc
from zhixin_gateway.pipeline.judging import numpy_mask

if TYPE_CHECKING:
    from zhixin_schemas.model import Contract

    from zhixin_gateway.pipeline.rereading import Source

__all__ = ["Deletions"]


class Deletions:
    """Tells marked rows from records, while both are read.

    Args:
        contract: says which field marks a row (true, or any time), if one does, and the key.

    Attributes:
        count: how many rows were marked.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._field = contract.incremental.deleted if contract.incremental else ""
        self._key = contract.primary_key
        self._records = 0
        self.count = 0

    def take(self, extracted: Extracted) -> tuple[Extracted, Extracted | None]:
        """Take the next batch.

        Returns:
            Its records, numbered as if there were no marked rows, and these, if there are some.
        """
        if not self._field:
            return extracted, None
        marked = self._marked(extracted)
        records = chosen(extracted, pa.array(np.flatnonzero(~marked)), self._records)
        self._records += records.batch.num_rows
        if not marked.any():
            return records, None
        deleted = chosen(extracted, pa.array(np.flatnonzero(marked)), self.count)
        self.count += deleted.batch.num_rows
        return records, deleted

    def without(self, source: Source) -> Source:
        """The same source without marked rows, to be read once more."""
        if not self._field:
            return source

        def read() -> Iterator[Extracted]:
            again = Deletions(self._contract)
            for extracted in source():
                yield again.take(extracted)[0]

        return read

    def _marked(self, extracted: Extracted) -> np.ndarray:
        batch = extracted.batch
        column = batch.column(self._field)
        boolean = pa.types.is_boolean(column.type)
        mask: Any = pc.fill_null(column, False) if boolean else column.is_valid()
        for name in self._key:
            mask = pc.and_(mask, batch.column(name).is_valid())
        marked = numpy_mask(mask).copy()
        for misfit in extracted.misfits:
            if misfit.field in ("", self._field, *self._key):
                marked[misfit.row] = False
        return marked
