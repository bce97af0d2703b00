"""Counts what the rules found over a whole run, and decides the rules about the whole dataset.

    tally = Tally(rules)
    for batch in batches:
        verdict = rules.check(batch, key_sets)
        tally.add(verdict, batch)
    tally.add_late("primary-key", 2)
    outcomes = tally.outcomes(rejected=7, now=now, past=past)

``failed`` counts extracted records, ``checked`` how many were looked at. A rule about the whole
dataset is one check: ``checked`` is 1, and ``failed`` 1 where it is broken.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from zhixin_schemas import rules as r
from zhixin_schemas.compile import RowVerdict, RuleSet

__all__ = ["Outcome", "Past", "Tally", "stopping"]


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


@dataclass(frozen=True)
class Past:
    """What an earlier version's quality says.

    Args:
        version: its number.
        extracted: records, accepted and rejected together.
        rejected: those that went to quarantine.
        failed: by rule, how many records broke it; only rules that check the same as now.
    """

    version: int
    extracted: int
    rejected: int
    failed: Mapping[str, int]

    def counts(self, rule: str) -> tuple[int, int] | None:
        """How many records broke a rule (an empty one: any), of how many; None: not known."""
        number = self.failed.get(rule) if rule else self.rejected
        return None if number is None else (number, self.extracted)


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
        self._whole = 0
        self._failed: dict[str, int] = {}
        self._newest: dict[str, Any] = {}
        self._fresh = [rule for rule in rules.rules if isinstance(rule.check, r.Freshness)]

    def add(self, verdict: RowVerdict, batch: pa.RecordBatch) -> None:
        """Count a batch's verdict.

        Args:
            verdict: what :meth:`RuleSet.check` gave for it.
            batch: its records that are not rejected, for the newest values of freshness: a
                day in 2999 that a rule rejects makes nothing fresh.
        """
        self.extracted += verdict.rows
        for masks in (verdict.failed, verdict.measured):
            for name, mask in masks.items():
                self._failed[name] = self._failed.get(name, 0) + mask.true_count
        self.add_newest(batch)

    def add_newest(self, batch: pa.RecordBatch) -> None:
        """Look at values that make the dataset fresh, and count nothing.

        Args:
            batch: records that are not rejected, or rows that say that theirs are deleted.
        """
        for rule in self._fresh:
            self._see(rule.name, pc.max(batch.column(rule.fields[0])).as_py())

    def add_late(self, rule: str, failed: int) -> None:
        """Count the records that break a rule which was decided over all of them."""
        self._failed[rule] = self._failed.get(rule, 0) + failed

    def counts(self) -> dict[str, Any]:
        """What was counted so far, as JSON, to be added to another tally."""
        newest = {name: value.isoformat() for name, value in self._newest.items()}
        return {"extracted": self.extracted, "failed": dict(self._failed), "newest": newest}

    def add_counts(self, told: Mapping[str, Any]) -> None:
        """Add what another tally, of the same rules, counted of other records.

        Args:
            told: what :meth:`counts` gave.
        """
        self.extracted += told["extracted"]
        for name, failed in told["failed"].items():
            self.add_late(name, failed)
        for name, text in told["newest"].items():
            kind = dt.datetime if "T" in text else dt.date
            self._see(name, kind.fromisoformat(text))

    def _see(self, rule: str, newest: Any) -> None:  # noqa: ANN401 - a date or datetime
        known = self._newest.get(rule)
        if newest is not None and (known is None or newest > known):
            self._newest[rule] = newest

    def outcomes(
        self,
        *,
        rejected: int,
        now: dt.datetime,
        past: Sequence[Past] = (),
        whole: int | None = None,
    ) -> list[Outcome]:
        """Give each rule's outcome, in the contract's order; external ones are not known here.

        Args:
            rejected: records that are in quarantine, for whatever reason.
            now: aware; for freshness.
            past: the versions before that stand, the newest first.
            whole: how many records the version has, accepted and rejected, where not all were
                read by this run; rules about the whole are about these.
        """
        self._whole = self.extracted if whole is None else whole
        found = []
        for rule in self.rules.rules:
            message = rule.message
            if rule.kind == "external":
                continue
            if rule.kind == "dataset":
                broken = self._broken(rule, rejected, now, past)
                checked, failed = 1, int(bool(broken))
                message += f": {broken}" if broken else ""
            else:
                checked, failed = self.extracted, self._failed.get(rule.name, 0)
            found.append(Outcome(rule.name, rule.severity, checked, failed, message))
        return found

    def _broken(  # noqa: PLR0911 - one return a kind of check
        self, rule: r.Rule, rejected: int, now: dt.datetime, past: Sequence[Past]
    ) -> str:
        """What breaks a rule about the whole, in counts; empty where it holds."""
        match rule.check:
            case r.RowCount(threshold):
                return _outside(Decimal(self._whole), threshold, "records")
            case r.WithinThreshold(_, threshold, percent):
                share = self._share(self._failed.get(rule.name, 0), percent)
                return _outside(share, threshold, _unit(percent))
            case r.RejectedShare(threshold, percent):
                return _outside(self._share(rejected, percent), threshold, _unit(percent))
            case r.CountChange(threshold, percent):
                return self._count_change(threshold, percent, past)
            case r.RateJump():
                return self._jump(rule.check, rejected, past)
            case r.Freshness(field):
                exact = field not in self.rules.contract.treated
                return _stale(rule.check, self._newest.get(rule.name), now, exact=exact)
            case _:
                return ""

    def _share(self, number: int, percent: bool) -> Decimal:
        return _rate(number, self._whole) if percent else Decimal(number)

    def _count_change(self, threshold: r.Threshold, percent: bool, past: Sequence[Past]) -> str:
        if not past:
            return ""
        before = past[0].extracted
        change = Decimal(self._whole - before)
        if percent and before:
            change = change * 100 / before
        elif percent and self._whole:
            change = Decimal("Infinity")
        told = _outside(change, threshold, _unit(percent))
        counts = f"{self._whole} records now, {before} in version {past[0].version}"
        return told and f"{counts}: {told}"

    def _jump(self, check: r.RateJump, rejected: int, past: Sequence[Past]) -> str:
        """Compare a share with that of the last versions together."""
        known = [(each.version, each.counts(check.rule)) for each in past]
        theirs = [(version, counts) for version, counts in known if counts][: check.versions]
        if not theirs:
            return ""
        then = _rate(*map(sum, zip(*(counts for _, counts in theirs), strict=True)))
        now = _rate(self._failed.get(check.rule, 0) if check.rule else rejected, self._whole)
        if abs(now - then) <= check.points:
            return ""
        named = ", ".join(str(version) for version, _ in reversed(theirs))
        return (
            f"{_plain(now)} % now, {_plain(then)} % in version {named}, more than "
            f"{_plain(check.points)} percentage points apart"
        )


def _rate(number: int, of: int) -> Decimal:
    return Decimal(number * 100) / of if of else Decimal(0)


def _unit(percent: bool) -> str:
    return "%" if percent else "records"


def _outside(number: Decimal, threshold: r.Threshold, unit: str) -> str:
    """A number and what it must be, where it is not."""
    if threshold.holds(number):
        return ""
    return f"{_plain(number)} {unit}, wanted {threshold}"


def _plain(number: Decimal) -> str:
    if not number.is_finite():
        return "infinitely many"
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _stale(
    check: r.Freshness, newest: dt.datetime | dt.date | None, now: dt.datetime, *, exact: bool
) -> str:
    """How old the newest value is, where that is too old; a date counts until its day ends.

    Of a treated field the age would tell the value: that it is too old is all that is said.
    """
    if newest is None:
        return f"no record has a {check.field}"
    zone = ZoneInfo(check.zone)
    if not isinstance(newest, dt.datetime):
        day = newest if newest == dt.date.max else newest + dt.timedelta(days=1)
        newest = dt.datetime.combine(day, dt.time(), zone)
    elif newest.tzinfo is None:
        newest = newest.replace(tzinfo=zone)
    age = now - newest
    if age <= dt.timedelta(hours=float(check.hours)):
        return ""
    if not exact:
        return f"it is older than {_plain(check.hours)} hours, which are agreed"
    hours = Decimal(age // dt.timedelta(hours=1))
    return f"it is {_plain(hours)} hours old, at most {_plain(check.hours)} are agreed"
