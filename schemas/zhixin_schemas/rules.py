"""Rules as values: what is checked, how much it matters, and what to tell a person.

A rule says nothing about how it is computed: :mod:`zhixin_schemas.compile` turns it into an Arrow
mask and :mod:`zhixin_schemas.suite` into an expectation, each from this one description.

Null semantics are SQL's: only :class:`Required` and :class:`Missing` fail on a null.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import datetime as dt

    from zhixin_schemas.expressions import Expression

__all__ = [
    "SEVERITIES",
    "Allowed",
    "Bound",
    "Check",
    "CountChange",
    "External",
    "Finite",
    "Freshness",
    "Items",
    "Kind",
    "Length",
    "Missing",
    "MultipleOf",
    "Pattern",
    "Range",
    "RateJump",
    "Reference",
    "RejectedShare",
    "Required",
    "RowCheck",
    "RowCount",
    "Rule",
    "Satisfies",
    "Severity",
    "Threshold",
    "Unique",
    "Value",
    "WithinThreshold",
]

Severity: TypeAlias = Literal["error", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("warning", "error", "critical")
"""The weakest first."""

Kind: TypeAlias = Literal["row", "dataset", "unique", "relationship", "external"]
Value: TypeAlias = "bool | int | Decimal | float | str | bytes | dt.date | dt.datetime | dt.time"


@dataclass(frozen=True)
class Bound:
    """One end of a range."""

    value: Value
    exclusive: bool = False


@dataclass(frozen=True)
class Required:
    """No null."""

    field: str


@dataclass(frozen=True)
class Finite:
    """Neither NaN nor an infinity: the first rule of every float, before any range."""

    field: str


@dataclass(frozen=True)
class Range:
    """Between two ends, either of which may be open (None)."""

    field: str
    low: Bound | None = None
    high: Bound | None = None


@dataclass(frozen=True)
class Length:
    """Number of code points (of bytes for binary) within two ends, both included."""

    field: str
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Items:
    """Number of a list's items within two ends, both included."""

    field: str
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class MultipleOf:
    """An integer without remainder by `divisor` ≥ 1."""

    field: str
    divisor: int


@dataclass(frozen=True)
class Pattern:
    """The whole text matches; the pattern is anchored and means the same in RE2 and Python."""

    field: str
    pattern: str


@dataclass(frozen=True)
class Allowed:
    """One of the listed values."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Missing:
    """Neither null nor one of the words that mean that nothing is there."""

    field: str
    words: tuple[Value, ...]


@dataclass(frozen=True)
class Satisfies:
    """An expression across fields is not false."""

    expression: Expression


@dataclass(frozen=True)
class Reference:
    """The values, if none is null, stand together in fields of a dataset, another or the same."""

    fields: tuple[str, ...]
    dataset: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Unique:
    """No two records share these values; a record with a null among them shares with none."""

    fields: tuple[str, ...]


@dataclass(frozen=True)
class Threshold:
    """What a number must be: ``low`` and ``high`` are the ends, `negated` turns it round.

    ``mustBe: 5`` is low = high = 5; ``mustNotBeBetween`` is negated.
    """

    low: Bound | None = None
    high: Bound | None = None
    negated: bool = False

    def holds(self, number: float | Decimal) -> bool:
        """Whether the number is as it must be."""
        inside = _above(number, self.low) and _below(number, self.high)
        return inside != self.negated

    def __str__(self) -> str:
        """Say it: ``between 10 and 50``."""
        low, high = self.low, self.high
        words = "not " if self.negated else ""
        if low and high:
            ends = f"between {_number(low)} and {_number(high)}"
            return words + (_number(low) if low.value == high.value else ends)
        if low:
            return f"{words}{'above' if low.exclusive else 'at least'} {_number(low)}"
        return f"{words}{'below' if high.exclusive else 'at most'} {_number(high)}" if high else ""


@dataclass(frozen=True)
class RowCount:
    """The number of records extracted, held to a threshold."""

    threshold: Threshold


@dataclass(frozen=True)
class WithinThreshold:
    """The number (or percentage) of records that break `check` is held to a threshold."""

    check: RowCheck
    threshold: Threshold
    percent: bool = False


@dataclass(frozen=True)
class RejectedShare:
    """The number (or percentage) of quarantined records is held to a threshold."""

    threshold: Threshold
    percent: bool = True


@dataclass(frozen=True)
class CountChange:
    """The number (or percentage) of records more than in the version before; without one it holds.

    Fewer records are a negative number; of a version without records any growth is infinite.
    """

    threshold: Threshold
    percent: bool = True


@dataclass(frozen=True)
class RateJump:
    """The share of records that break `rule` is near theirs: at most `points` percent points away.

    Theirs is the share over the records of the last `versions` that stand, taken together; without
    any it holds. An empty `rule` means the share of rejects.
    """

    rule: str
    points: Decimal
    versions: int


@dataclass(frozen=True)
class Freshness:
    """The newest value of `field` is not older than `hours` when the version is made.

    `zone` is the one in which a date's day ends, and in which a time without one is read.
    """

    field: str
    hours: Decimal
    zone: str = "UTC"


@dataclass(frozen=True)
class External:
    """An expectation that the contract hands to Great Expectations as it is."""

    expectation: str
    arguments: tuple[tuple[str, object], ...]


RowCheck: TypeAlias = (
    Required
    | Finite
    | Range
    | Length
    | Items
    | MultipleOf
    | Pattern
    | Allowed
    | Missing
    | Satisfies
    | Reference
)
Check: TypeAlias = (
    RowCheck
    | Unique
    | RowCount
    | WithinThreshold
    | RejectedShare
    | CountChange
    | RateJump
    | Freshness
    | External
)


@dataclass(frozen=True)
class Rule:
    """One rule of a contract.

    Args:
        name: unique in the contract; stands in the manifest's quality.
        severity: error (the record goes to quarantine), warning (counted), critical (no version).
        kind: row is decided record by record, relationship too where the keys fit in memory,
            unique over all records, dataset at the end, external by Great Expectations alone.
        fields: those that it looks at.
        message: one sentence for people; never a record's value.
        check: what is checked.
    """

    name: str
    severity: Severity
    kind: Kind
    fields: tuple[str, ...]
    message: str
    check: Check

    @property
    def field(self) -> str:
        """The fields as one text, as quarantine's reasons give them."""
        return ", ".join(self.fields)


def _number(bound: Bound) -> str:
    return format(Decimal(bound.value), "f")  # type: ignore[arg-type]


def _above(number: float | Decimal, bound: Bound | None) -> bool:
    if bound is None:
        return True
    return bool(number > bound.value if bound.exclusive else number >= bound.value)  # type: ignore[operator]


def _below(number: float | Decimal, bound: Bound | None) -> bool:
    if bound is None:
        return True
    return bool(number < bound.value if bound.exclusive else number <= bound.value)  # type: ignore[operator]
