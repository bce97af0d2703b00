"""Counts what the rules found over a whole run, and decides the rules about the whole dataset.

    tally = Tally(rules)
    for batch in batches:
        verdict = rules.check(batch, key_sets)
        tally.add(verdict, batch)
    tally.add_unique("primary-key", 2)
    outcomes = tally.outcomes(rejected=7, now=now)

``failed`` counts extracted records, ``checked`` how many were looked at. A rule about the whole
dataset is one check: ``checked`` is 1, and ``failed`` 1 where it is broken.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zhixin_schemas import rules as r
from zhixin_schemas.compile import RowVerdict, RuleSet

__all__ = ["Outcome", "Tally", "stopping"]


@dataclass(frozen=True)
class Outcome:
    """What a run found of one rule, as the manifest's quality states it."""

    rule: str
    severity: r.Severity
    checked: int
    failed: int
    message: str

    def to_json(self) -> dict[str, object]:
        """Give ``{rule, severity, checked, failed}``; integers are numbers."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "checked": self.checked,
            "failed": self.failed,
        }


def stopping(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Give the critical rules that are broken: with any, no version is published."""
    return [o for o in outcomes if o.severity == "critical" and o.failed]


class Tally:
    """Counts over all batches of a run.

    Args:
        rules: the set that judges.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.extracted = 0
        self._failed: dict[str, int] = {}
        self._external: dict[str, tuple[int, int]] = {}
        self._newest: dict[str, Any] = {}
        self._fresh = [rule for rule in rules.rules if isinstance(rule.check, r.Freshness)]

    def add(self, verdict: RowVerdict, batch: pa.RecordBatch) -> None:
        """Count a batch's verdict.

        Args:
            verdict: what :meth:`RuleSet.check` gave for it.
            batch: the batch, for the newest values that freshness looks at.
        """
        self.extracted += verdict.rows
        for masks in (verdict.failed, verdict.measured):
            for name, mask in masks.items():
                self._failed[name] = self._failed.get(name, 0) + mask.true_count
        for rule in self._fresh:
            newest = pc.max(batch.column(rule.fields[0])).as_py()
            known = self._newest.get(rule.name)
            if newest is not None and (known is None or newest > known):
                self._newest[rule.name] = newest

    def add_unique(self, rule: str, failed: int) -> None:
        """Count records that share a unique key: all of them."""
        self._failed[rule] = self._failed.get(rule, 0) + failed

    def add_external(self, rule: str, checked: int, failed: int) -> None:
        """Take what Great Expectations found of a rule that only it knows."""
        self._external[rule] = (checked, failed)

    def outcomes(self, *, rejected: int, now: dt.datetime) -> list[Outcome]:
        """Give every rule's outcome, in the contract's order.

        Args:
            rejected: records that went to quarantine, for whatever reason.
            now: aware; for freshness.
        """
        found = []
        for rule in self.rules.rules:
            if rule.kind == "external":
                if rule.name not in self._external:
                    continue
                checked, failed = self._external[rule.name]
            elif rule.kind == "dataset":
                checked, failed = 1, int(not self._holds(rule, rejected, now))
            else:
                checked, failed = self.extracted, self._failed.get(rule.name, 0)
            found.append(Outcome(rule.name, rule.severity, checked, failed, rule.message))
        return found

    def _holds(self, rule: r.Rule, rejected: int, now: dt.datetime) -> bool:
        match rule.check:
            case r.RowCount(threshold):
                return threshold.holds(self.extracted)
            case r.WithinThreshold(_, threshold, percent):
                return threshold.holds(self._share(self._failed.get(rule.name, 0), percent))
            case r.RejectedShare(threshold, percent):
                return threshold.holds(self._share(rejected, percent))
            case r.Freshness(_, hours):
                return _is_fresh(self._newest.get(rule.name), hours, now)
            case _:
                return True

    def _share(self, number: int, percent: bool) -> Decimal:
        if not percent:
            return Decimal(number)
        return Decimal(number * 100) / self.extracted if self.extracted else Decimal(0)


def _is_fresh(newest: dt.datetime | dt.date | None, hours: Decimal, now: dt.datetime) -> bool:
    """Whether the newest value is young enough; a date counts until its day ends in UTC."""
    if newest is None:
        return False
    if not isinstance(newest, dt.datetime):
        end = dt.datetime.combine(newest, dt.time(), dt.UTC)
        newest = end if newest == dt.date.max else end + dt.timedelta(days=1)
    return now - newest <= dt.timedelta(hours=float(hours))
