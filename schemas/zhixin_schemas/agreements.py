"""What a contract agrees to besides its rules: service levels (``slaProperties``), classification.

::

    slaProperties:
      - {property: latency, value: 48, unit: h, element: permits.updated_at}   # becomes a rule
      - {property: retention, value: 10, unit: y}                              # for people

``latency`` and ``freshness`` with an element that tells the time become a rule about the whole,
:class:`zhixin_schemas.rules.Freshness`; the rest binds people.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, NamedTuple

__all__ = [
    "AGES",
    "RULE_PREFIX",
    "Agreement",
    "agreements",
    "classifications",
    "hours_of",
    "moved",
]

AGES = ("latency", "ly", "freshness")
"""Properties that say how old the newest value may be."""

RULE_PREFIX = "sla."
"""What the names of the rules that service levels became begin with."""

_HOURS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), Decimal(1) / 3_600),
    **dict.fromkeys(("m", "min", "minute", "minutes"), Decimal(1) / 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), Decimal(1)),
    **dict.fromkeys(("d", "day", "days"), Decimal(24)),
    **dict.fromkeys(("w", "wk", "week", "weeks"), Decimal(7 * 24)),
    **dict.fromkeys(("mo", "month", "months"), Decimal(30 * 24)),
    **dict.fromkeys(("y", "yr", "year", "years"), Decimal(365 * 24)),
}
_LESS_IS_MORE = (*AGES, "frequency", "fy", "errorrate", "er", "timetodetect", "td",
                 "timetonotify", "tn", "timetorepair", "tr")  # fmt: skip
_MORE_IS_MORE = ("availability", "av", "throughput", "th", "retention", "re", "endofsupport", "es",
                 "endoflife", "el")  # fmt: skip


class Agreement(NamedTuple):
    """One service level: what it is about, and its value in words and as a number."""

    name: str  # "latency", "latency of permits.updated_at"
    kind: str
    value: object
    unit: str
    severity: str

    @property
    def words(self) -> str:
        """The value as the contract writes it, and what breaking it does."""
        return f"{self.value} {self.unit}".strip() + (f" ({self.severity})" * bool(self.severity))

    @property
    def size(self) -> Decimal | str | None:
        """The value to compare: hours of a duration, a number, a text (a date); else None."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | Decimal | str):
            return None
        if isinstance(self.value, str):
            return self.value
        return hours_of(self.value, self.unit) or Decimal(self.value)


def hours_of(value: int | Decimal, unit: str) -> Decimal | None:
    """A duration in hours; a month has 30 days, a year 365. None where the unit is no time."""
    factor = _HOURS.get(unit.strip().lower())
    return None if factor is None else Decimal(value) * factor


def agreements(document: Any) -> dict[str, Agreement]:  # noqa: ANN401 (a YAML mapping)
    """The service levels of a contract's document, by name."""
    found = {}
    for item in document.get("slaProperties") or []:
        element = item.get("element", "")
        name = f"{item['property']} of {element}" if element else str(item["property"])
        unit = str(item.get("unit", ""))
        severity = _severity(item)
        found[name] = Agreement(name, str(item["property"]), item.get("value"), unit, severity)
    return found


def _severity(item: Any) -> str:  # noqa: ANN401 (a YAML mapping)
    known = {each.get("property"): each.get("value") for each in item.get("customProperties") or []}
    return str(known.get("zhixin.severity", ""))


def moved(old: Agreement, new: Agreement) -> Literal["same", "tighter", "looser", "other"]:
    """How a service level moved."""
    before, after = old.size, new.size
    if before == after and (before is not None or old.value == new.value):
        if old.severity == new.severity:
            return "same"
        return "tighter" if new.severity == "critical" else "looser"
    kind = old.kind.replace("_", "").replace("-", "").lower()
    if before is None or after is None or isinstance(before, str) != isinstance(after, str):
        return "other"
    grew = after > before  # type: ignore[operator]
    if kind in _LESS_IS_MORE:
        return "looser" if grew else "tighter"
    if kind in _MORE_IS_MORE:
        return "tighter" if grew else "looser"
    return "other"


def classifications(document: Any) -> dict[str, str]:  # noqa: ANN401 (a YAML mapping)
    """What each field is classified as; only those that say it."""
    (schema_object,) = document["schema"]
    return {
        item["name"]: item["classification"]
        for item in schema_object.get("properties") or []
        if item.get("classification")
    }
