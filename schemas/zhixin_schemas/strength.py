"""Which of two checks promises more: what a changed rule means to those who rely on it.

``implies(a, b)`` is true only where every record (or dataset) that passes ``a`` passes ``b`` too.
So a new check that implies the old one is tighter, one that the old implies is looser, and where
neither is known (two patterns, two expressions) it is another promise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from zhixin_schemas import rules as r

__all__ = ["implies", "shift"]


def shift(old: r.Check, new: r.Check) -> Literal["same", "tighter", "looser", "other"]:
    """How a check moved."""
    if old == new:
        return "same"
    forth, back = implies(new, old), implies(old, new)
    if forth and back:
        return "same"
    if forth:
        return "tighter"
    return "looser" if back else "other"


def implies(a: r.Check, b: r.Check) -> bool:
    """Whether what passes ``a`` is known to pass ``b``."""
    if a == b:
        return True
    if isinstance(a, r.Missing) and isinstance(b, r.Required):
        return a.field == b.field
    compare = _COMPARE.get(type(a))
    return type(a) is type(b) and compare is not None and compare(a, b)


def _threshold(a: r.Threshold, b: r.Threshold) -> bool:
    if a.negated != b.negated:
        return False
    inner, outer = (b, a) if a.negated else (a, b)
    return _inside(inner, outer)


def _inside(inner: Any, outer: Any) -> bool:  # noqa: ANN401 (a Range or a Threshold each)
    return _not_below(inner.low, outer.low) and _not_above(inner.high, outer.high)


def _counts(a: r.Length | r.Items, b: r.Length | r.Items) -> bool:
    low = b.low is None or (a.low is not None and a.low >= b.low)
    return low and (b.high is None or (a.high is not None and a.high <= b.high))


def _not_below(end: r.Bound | None, limit: r.Bound | None) -> bool:
    if end is None or limit is None:
        return limit is None
    if end.value == limit.value:
        return end.exclusive or not limit.exclusive
    return bool(end.value > limit.value)  # type: ignore[operator]


def _not_above(end: r.Bound | None, limit: r.Bound | None) -> bool:
    if end is None or limit is None:
        return limit is None
    if end.value == limit.value:
        return end.exclusive or not limit.exclusive
    return bool(end.value < limit.value)  # type: ignore[operator]


_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    r.Range: lambda a, b: a.field == b.field and _inside(a, b),
    r.Length: lambda a, b: a.field == b.field and _counts(a, b),
    r.Items: lambda a, b: a.field == b.field and _counts(a, b),
    r.Allowed: lambda a, b: a.field == b.field and set(a.values) <= set(b.values),
    r.Missing: lambda a, b: a.field == b.field and set(a.words) >= set(b.words),
    r.MultipleOf: lambda a, b: a.field == b.field and a.divisor % b.divisor == 0,
    r.Unique: lambda a, b: set(a.fields) <= set(b.fields),
    r.RowCount: lambda a, b: _threshold(a.threshold, b.threshold),
    r.WithinThreshold: lambda a, b: (
        (a.check, a.percent) == (b.check, b.percent) and _threshold(a.threshold, b.threshold)
    ),
    r.RejectedShare: lambda a, b: a.percent == b.percent and _threshold(a.threshold, b.threshold),
    r.CountChange: lambda a, b: a.percent == b.percent and _threshold(a.threshold, b.threshold),
    r.RateJump: lambda a, b: (a.rule, a.versions) == (b.rule, b.versions) and a.points <= b.points,
    r.Freshness: lambda a, b: (a.field, a.zone) == (b.field, b.zone) and a.hours <= b.hours,
}
