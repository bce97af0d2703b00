"""One batch judged: by the rules over what was read, by those over what is written, by length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from zhixin_connectors.protocol import Misfit
from zhixin_schemas.compile import RowVerdict, RuleSet

__all__ = ["Judge", "numpy_mask", "unread_cells"]


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
