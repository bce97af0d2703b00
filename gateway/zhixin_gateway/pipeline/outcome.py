"""What an extraction found, as the next steps and the manifest want it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from zhixin_errors import ZhixinError
from zhixin_schemas.quality import Past, Tally, stopping

from zhixin_gateway.datasets.manifest import PartEntry

__all__ = ["Outcome", "Whole", "check_balance", "outcome_of"]


class Whole(NamedTuple):
    """A version: accepted and rejected records, and its parts where they are written."""

    records: int
    quarantined: int
    entries: tuple[PartEntry, ...] | None


@dataclass(frozen=True)
class Outcome:
    """What an extraction found.

    Args:
        extracted: records that the source gave.
        accepted: those that go into the dataset; with ``quarantined`` they are all.
        quarantined: rejected ones.
        warned: accepted ones with at least one warning.
        rules: {rule, severity, checked, failed} of every rule.
        broken: messages of broken critical rules, by rule; with any, nothing is published.
        alerts: messages of broken rules about the whole that only warn.
        entries: the parts that hold the accepted records; None: they are in sorted runs.
    """

    extracted: int
    accepted: int
    quarantined: int
    warned: int
    rules: list[dict[str, Any]]
    broken: dict[str, str]
    alerts: list[str]
    entries: tuple[PartEntry, ...] | None = None

    def told(self) -> dict[str, Any]:
        """What the staged state says of it."""
        return {
            "extracted": self.extracted,
            "records": self.accepted,
            "quarantined": self.quarantined,
            "warned": self.warned,
            "rules": self.rules,
            "alerts": self.alerts,
        }


def outcome_of(
    tally: Tally, unfit: Mapping[str, int], past: Sequence[Past], whole: Whole, warned: int
) -> Outcome:
    """Decide the rules about the whole, and put together what was found.

    Args:
        tally: of the records that were read.
        unfit: by line of the quality, records that no rule of the contract's rejected.
        past: what the versions before say, the newest first.
        whole: the version.
        warned: accepted records with at least one warning.
    """
    accepted, quarantined, entries = whole
    extracted, now = accepted + quarantined, dt.datetime.now(dt.UTC)
    found = tally.outcomes(rejected=quarantined, now=now, past=past, whole=extracted)
    rules = [outcome.to_json() for outcome in found]
    names = {outcome.rule for outcome in found}
    rules += [
        {
            "rule": name if name not in names else f"{name} (as read)",
            "severity": "error",
            "checked": tally.extracted,
            "failed": failed,
        }
        for name, failed in sorted(unfit.items())
    ]
    broken = {outcome.rule: outcome.message for outcome in stopping(found)}
    alerts = [
        f"{o.rule}: {o.message}"
        for o in found
        if o.severity == "warning" and o.failed and tally.rules[o.rule].kind == "dataset"
    ]
    return Outcome(extracted, accepted, quarantined, warned, rules, broken, alerts, entries)


def check_balance(extracted: int, accepted: int, quarantined: int) -> None:
    """Hold what was counted apart against each other: nothing is lost, nothing is there twice.

    Raises:
        ZhixinError: an error of ours; nothing is published.
    """
    if accepted + quarantined != extracted:
        raise ZhixinError(
            f"{extracted:,} records were extracted, but {accepted:,} accepted and "
            f"{quarantined:,} quarantined",
            code="records-lost",
            hint="nothing was published; this is an error of Zhixin's own, please report it",
        )
