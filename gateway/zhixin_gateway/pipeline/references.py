"""Relationships that are decided over all records, outside memory.

Those of several fields, those within a dataset (the parent may come after its child), and those
whose keys are too many for memory. Own keys ("seekers") and the keys that they may have ("targets")
go into sorted runs of one pile; after the merge a key's targets stand before its seekers.

A record that is rejected is no target: who pointed to it points to nothing in the version, and is
rejected too, and so on until nothing changes (:func:`rejected_by_references`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from zhixin_errors import ContractError, ValidationRefused
from zhixin_schemas.rules import Reference, Rule

from zhixin_gateway.pipeline import sorting
from zhixin_gateway.pipeline.rejects import ROW
from zhixin_gateway.pipeline.uniqueness import whole_keys

__all__ = ["MOST_ROUNDS", "ReferencePile", "rejected_by_references"]

MOST_ROUNDS = 100
"""How long a chain of rejected parents is followed; a longer one stops the version."""

_NONE = np.empty(0, dtype=np.int64)


class ReferencePile:
    """Collects the keys of one relationship.

    Args:
        folder: where runs go.
        schema: of the batches.
        rule: the relationship.
        own: the targets are in the same dataset.
    """

    def __init__(self, folder: Path, schema: pa.Schema, rule: Rule, *, own: bool) -> None:
        assert isinstance(rule.check, Reference)  # noqa: S101 (for the type alone)
        self.rule = rule
        self.own = own
        self._check = rule.check
        self._folder = folder
        self._schema = pa.schema(
            [*(schema.field(name) for name in self._check.fields), pa.field(ROW, pa.int64())]
        )
        self._writer = sorting.RunWriter(folder, self._schema, self._schema.names)

    def add(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Take the keys of a batch's records; within a dataset, as targets too.

        Args:
            batch: with the contract's columns, as they are written.
            first_row: position of its first record in the extraction.
        """
        rows = np.arange(first_row, first_row + batch.num_rows, dtype=np.int64)
        self._pile(batch, self._check.fields, rows)
        if self.own:
            self._pile(batch, self._check.targets, -1 - rows)

    def add_targets(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take the keys of the other dataset.

        Raises:
            ContractError: it has no such field, or one of another type.
        """
        for batch in batches:
            self._check_types(batch.schema)
            self._pile(batch, self._check.targets, np.full(batch.num_rows, -1, dtype=np.int64))

    @property
    def folder(self) -> Path:
        """Where its runs lie."""
        return self._folder

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()

    def missing(self, gone: np.ndarray) -> np.ndarray:
        """Positions of the records that point to nothing, rising.

        Args:
            gone: positions of records that are no target, rising.
        """
        self.close()
        stream = sorting.merged(self._folder, self._schema.names)
        none = gone if self.own else _NONE
        found = [_NONE, *sorting.unmatched(stream, self._check.fields, none)]
        return np.sort(np.concatenate(found))

    def _pile(self, batch: pa.RecordBatch, names: Iterable[str], rows: np.ndarray) -> None:
        names = list(names)
        columns = [*(batch.column(name) for name in names), pa.array(rows)]
        keys = pa.record_batch(columns, schema=self._schema)
        self._writer.add(whole_keys(keys, len(names)))

    def _check_types(self, schema: pa.Schema) -> None:
        for name, target in zip(self._check.fields, self._check.targets, strict=True):
            kind = self._schema.field(name).type
            if schema.field(target).type != kind:
                raise ContractError(
                    f'the rule "{self.rule.name}" compares {name} ({kind}) with {target} of '
                    f"{self._check.dataset} ({schema.field(target).type}); both must have the "
                    "same type",
                    code="relationship-type",
                )


def rejected_by_references(
    piles: Iterable[ReferencePile], gone: np.ndarray
) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """Find the records that point to nothing, and those that thereby do.

    Args:
        piles: of all relationships that are decided here.
        gone: positions of the records that are rejected already, rising.

    Returns:
        By rule, the records that break it, rising; and the positions of all rejected, rising.

    Raises:
        ValidationRefused: a chain of records that point to rejected ones is too long to follow.
    """
    piles = list(piles)
    broken: dict[str, np.ndarray] = {}
    for _ in range(MOST_ROUNDS):
        for pile in piles:
            if pile.own or pile.rule.name not in broken:
                broken[pile.rule.name] = pile.missing(gone)
        rejecting = [broken[p.rule.name] for p in piles if p.rule.severity != "warning"]
        more = np.setdiff1d(np.concatenate([_NONE, *rejecting]), gone)
        if not len(more):
            return broken, gone
        gone = np.union1d(gone, more)
        if not any(pile.own for pile in piles):
            return broken, gone
    raise ValidationRefused(
        f"records point to rejected ones in a chain of more than {MOST_ROUNDS}",
        code="relationship-depth",
        hint="mend the records at its beginning in the source",
    )
