"""Would they pass now? A version's rejects, judged anew under another contract.

The raw texts that the quarantine keeps are read as the contract wants them and its rules for single
records judge them. What needs more than the record is left out, by name: keys that are unique over
all records, other members' datasets, rules about the whole, and rules on a treated field, of which
nobody has the value any more. So it is a preview; the next run is what decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from zhixin_errors import ConfigError
from zhixin_schemas.compile import RuleSet

from zhixin_gateway.pipeline.recasting import FORM, reading_of, recast, without_form
from zhixin_gateway.pipeline.treating import UNREAD, WITHHELD
from zhixin_gateway.quarantine import Rejects, batches, schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zhixin_schemas.model import Contract

__all__ = ["Retrial", "try_rejects"]


@dataclass(frozen=True)
class Retrial:
    """What a contract would do to a version's rejects.

    Args:
        records: how many they are.
        passing: how many of them break no rule that was judged.
        broken: by rule, how many break it.
        left_out: rules that were not judged.
    """

    records: int
    passing: int
    broken: Mapping[str, int]
    left_out: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Give the JSON object."""
        return {
            "records": self.records,
            "passing": self.passing,
            "broken": dict(self.broken),
            "left_out": list(self.left_out),
        }


def try_rejects(rejects: Rejects, contract: Contract) -> Retrial:
    """Judge rejects under a contract; nothing is changed.

    Args:
        rejects: a version's.
        contract: the contract to try.

    Raises:
        ConfigError: it is another dataset's, or asks for a field that the rejects don't have.
    """
    if contract.dataset != rejects.dataset:
        raise ConfigError(f"the contract is of {contract.dataset}, not of {rejects.dataset}")
    there = set(schema_of(rejects).names)
    missing = [field.name for field in contract.fields if field.name not in there]
    if missing:
        raise ConfigError(
            f"{rejects.name} has no texts of {', '.join(missing)}, which the contract asks for",
            hint="`zhixin run CONTRACT --dry-run` tries the source itself",
        )
    judged = [
        rule
        for rule in contract.rules
        if rule.kind == "row" and contract.treated.keys().isdisjoint(rule.fields)
    ]
    trial = _Trial(contract, RuleSet(contract, judged))
    for batch in batches(rejects):
        trial.judge(batch)
    left_out = tuple(rule.name for rule in contract.rules if rule not in judged)
    return Retrial(trial.records, trial.passing, trial.broken, left_out)


class _Trial:
    def __init__(self, contract: Contract, rules: RuleSet) -> None:
        self._contract = contract
        self._rules = rules
        self._schema = contract.schema
        clear = [field for field in self._schema if field.name not in contract.treated]
        self._clear = pa.schema(clear)
        self._reading = reading_of(contract.options)
        self.records = self.passing = 0
        self.broken: dict[str, int] = {}

    def judge(self, texts: pa.RecordBatch) -> None:
        """Count a batch's records that pass, and what the others break."""
        count = texts.num_rows
        read = recast(texts, self._clear, self._reading)
        failed = {FORM: without_form(texts)}
        for name, places in read.unread.items():
            failed[f"{name}.type"] = np.isin(np.arange(count), list(places))
        for name in self._contract.treated:
            told = texts.column(name).to_pylist()
            failed[f"{name}.type"] = np.array(
                [
                    text is not None and (text == WITHHELD or text.startswith(UNREAD))
                    for text in told
                ],
                dtype=bool,
            )
        columns = [
            read.batch.column(field.name)
            if field.name in read.batch.schema.names
            else pa.nulls(count, field.type)
            for field in self._schema
        ]
        whole = pa.record_batch(columns, schema=self._schema)
        unread = {
            field: pa.array(failed[f"{field}.type"])
            for field in self._schema.names
            if f"{field}.type" in failed
        }
        verdict = self._rules.check(whole, {}, {**unread, "": pa.array(failed[FORM])})
        rejected = np.asarray(verdict.rejected.to_numpy(zero_copy_only=False)).copy()
        for mask in failed.values():
            rejected |= mask
        for name, broke in verdict.failed.items():
            if self._rules[name].severity != "warning":
                failed[name] = np.asarray(broke.to_numpy(zero_copy_only=False))
        self.records += count
        self.passing += int((~rejected).sum())
        for name, mask in failed.items():
            if mask.any():
                self.broken[name] = self.broken.get(name, 0) + int(mask.sum())
