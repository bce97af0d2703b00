"""One batch judged: by the rules over what was read, by those over what is written, by length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from zhixin_connectors.protocol import Misfit
from zhixin_schemas.compile import RowVerdict, RuleSet

from zhixin_gateway.datasets.arrow import is_binary, is_string, pc

__all__ = ["Judge", "most_text_bytes", "numpy_mask", "unread_cells"]

_ESCAPE_BYTES = 6
"""A byte of a text becomes at most so many: ``\\u001f``."""
_SCALAR_BYTES = 64
"""No number and no time has a longer text, with quotes and comma."""


class Judge:
    """The rules over what was read, relationships of treated fields over what is written.

    Args:
        rules: the contract's.
        key_sets: verified keys, by the name of a relationship's rule.
    """

    def __init__(self, rules: RuleSet, key_sets: dict[str, Any]) -> None:
        contract = rules.contract
        named = [
            rule
            for rule in rules.rules
            if rule.kind == "relationship" and not contract.treated.keys().isdisjoint(rule.fields)
        ]
        self._rules = rules
        self._key_sets = key_sets
        late = [rule.name for rule in rules.late]
        clear = [rule for rule in rules.rules if rule not in named]
        self._clear = RuleSet(contract, clear, late)
        self._written = RuleSet(replace(contract, fields=contract.written_fields), named, late)

    def __call__(
        self, clear: pa.RecordBatch, written: pa.RecordBatch, unread: dict[str, Any]
    ) -> RowVerdict:
        """Judge every record of a batch, given as it was read and as it is written."""
        verdict = self._clear.check(clear, self._key_sets, unread)
        also = self._written.check(written, self._key_sets, unread)
        failed = {**verdict.failed, **also.failed}
        return replace(verdict, failed=failed, rules=self._rules)


def unread_cells(misfits: Iterable[Misfit], batch: pa.RecordBatch) -> dict[str, Any]:
    """For each field, a mask of the records whose cell, or which altogether, could not be read."""
    masks: dict[str, np.ndarray] = {}
    for misfit in misfits:
        for field in [misfit.field] if misfit.field else batch.schema.names:
            if field not in masks:
                masks[field] = np.zeros(batch.num_rows, dtype=bool)
            masks[field][misfit.row] = True
    return {field: pa.array(mask) for field, mask in masks.items()}


def numpy_mask(mask: Any) -> np.ndarray:  # noqa: ANN401 - an Arrow mask without nulls
    """A mask as numpy has it."""
    found: np.ndarray = np.asarray(mask.to_numpy(zero_copy_only=False))
    return found


def most_text_bytes(batch: pa.RecordBatch) -> int:
    """A bound on the text of the batch's longest record, from the lengths of its values alone."""
    most = _SCALAR_BYTES
    for column in batch.columns:
        most += _SCALAR_BYTES
        if is_string(column.type) or is_binary(column.type):
            most += _ESCAPE_BYTES * (pc.max(pc.binary_length(column)).as_py() or 0)
        elif pa.types.is_nested(column.type):
            most += _ESCAPE_BYTES * column.nbytes + _SCALAR_BYTES * _values(column)
    return most


def _values(column: Any) -> int:  # noqa: ANN401 - an Arrow array
    """How many values a nested column has at most, at every level."""
    if pa.types.is_list(column.type):
        return len(column) + _values(column.values)
    if pa.types.is_struct(column.type):
        return len(column) + sum(_values(column.field(at)) for at in range(column.type.num_fields))
    return len(column)
