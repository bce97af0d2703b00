r"""Compiles a contract's rules into expectations of Great Expectations (GX): the second opinion.

    carrier.required   → expect_column_values_to_not_be_null(column="carrier")
    month.range        → expect_column_values_to_be_between(column="month", min_value=1, …)
    carrier.pattern    → expect_column_values_to_match_regex(column="carrier", regex=r"\A(?:…)\Z")
    primary-key        → expect_compound_columns_to_be_unique(column_list=[…], ignore_row_if=…)

A rule that no built-in expectation says exactly is named in ``not_checked``, and nothing pretends
that it was checked twice: expressions across fields, relationships, freshness, lists; sets and
ranges of times; a bound that GX, which keeps bounds as floats, can't hold. Plain values only: GX is
imported where the suite runs, in a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from zhixin_schemas import rules as r
from zhixin_schemas.bounds import inclusive_range, value_set
from zhixin_schemas.model import Contract
from zhixin_schemas.patterns import python_pattern

__all__ = ["Expectation", "Suite", "build_suite"]


@dataclass(frozen=True)
class Expectation:
    """One expectation of the suite.

    Args:
        rule: that it checks; the counts of one rule's expectations add up.
        type: GX's name, ``expect_…``.
        arguments: its keywords.
        whole: looks at all records, unread ones too (uniqueness, row count).
    """

    rule: str
    type: str
    arguments: Mapping[str, Any]
    whole: bool = False


@dataclass(frozen=True)
class Suite:
    """A contract's expectations.

    Args:
        name: the dataset and the contract's version, without the signs that GX keeps for paths.
        expectations: in the contract's order.
        not_checked: rules that only the first engine decides.
    """

    name: str
    expectations: tuple[Expectation, ...]
    not_checked: tuple[str, ...]


def build_suite(contract: Contract, *, sample: bool = False, delta: bool = False) -> Suite:
    """Build the suite of a contract.

    Args:
        contract: whose rules are compiled.
        sample: leave out what only all records that were read can tell: uniqueness and their count.
        delta: an incremental run read them: leave out the row count, which is the version's.
    """
    found: list[Expectation] = []
    not_checked: list[str] = []
    for rule in contract.rules:
        of_whole = delta and isinstance(rule.check, r.RowCount)
        skipped = of_whole or _judged_clear(rule, contract)
        made = [] if skipped else _expectations(rule, contract.schema)
        kept = [e for e in made if not (sample and e.whole)]
        found += kept
        if not kept:
            not_checked.append(rule.name)
    name = f"{contract.dataset} {contract.version}".replace("/", " ").replace(".", "-")
    return Suite(name, tuple(found), tuple(not_checked))


def _judged_clear(rule: r.Rule, contract: Contract) -> bool:
    """Whether a rule judged values that were treated before they were kept for GX.

    A null stays null and equal keys stay equal; an expectation of GX's own means what is written.
    """
    kept = r.Required | r.Unique | r.External
    check = rule.check.check if isinstance(rule.check, r.WithinThreshold) else rule.check
    return not isinstance(check, kept) and not contract.treated.keys().isdisjoint(rule.fields)


def _expectations(rule: r.Rule, schema: pa.Schema) -> list[Expectation]:
    match rule.check:
        case r.WithinThreshold(check):
            return _row(rule.name, check, schema)
        case r.Unique(fields):
            return [_unique(rule.name, fields)]
        case r.RowCount(threshold):
            return _row_count(rule.name, threshold)
        case r.External(expectation, arguments):
            return [Expectation(rule.name, expectation, dict(arguments))]
        case r.Freshness() | r.RejectedShare() | r.CountChange() | r.RateJump():
            return []
        case check:
            return _row(rule.name, check, schema)


def _row(  # noqa: PLR0911 - one return a kind of check
    name: str, check: r.RowCheck, schema: pa.Schema
) -> list[Expectation]:
    match check:
        case r.Required(field):
            return [Expectation(name, "expect_column_values_to_not_be_null", {"column": field})]
        case r.Range(field):
            return _range(name, check, schema.field(field).type)
        case r.Length(field, low, high) if pa.types.is_string(schema.field(field).type):
            arguments = {"column": field, "min_value": low, "max_value": high}
            return [Expectation(name, "expect_column_value_lengths_to_be_between", arguments)]
        case r.Pattern(field, pattern):
            arguments = {"column": field, "regex": python_pattern(pattern)}
            return [Expectation(name, "expect_column_values_to_match_regex", arguments)]
        case r.Allowed(field, values):
            return _allowed(name, field, values, schema)
        case r.Missing(field, values):
            return _missing(name, field, values, schema)
        case _:
            return []


def _unique(name: str, fields: tuple[str, ...]) -> Expectation:
    if len(fields) == 1:
        kind, arguments = "expect_column_values_to_be_unique", {"column": fields[0]}
        return Expectation(name, kind, arguments, whole=True)
    several = {"column_list": list(fields), "ignore_row_if": "any_value_is_missing"}
    return Expectation(name, "expect_compound_columns_to_be_unique", several, whole=True)


def _row_count(name: str, threshold: r.Threshold) -> list[Expectation]:
    if threshold.negated:
        return []
    low, high = _whole(threshold.low, 1), _whole(threshold.high, -1)
    arguments = {"min_value": low, "max_value": high}
    kind = "expect_table_row_count_to_be_between"
    return [Expectation(name, kind, arguments, whole=True)]


def _whole(bound: r.Bound | None, inward: int) -> int | None:
    if bound is None:
        return None
    number = Decimal(bound.value)  # type: ignore[arg-type]
    nearest = math.ceil(number) if inward > 0 else math.floor(number)
    return nearest + inward if bound.exclusive and nearest == number else nearest


def _range(name: str, check: r.Range, kind: pa.DataType) -> list[Expectation]:
    ends = inclusive_range(check, kind)
    if ends.empty or pa.types.is_time(kind) or (ends.low is None and ends.high is None):
        return []
    low, high = _end(ends.low, -1), _end(ends.high, 1)
    if (low is None) != (ends.low is None) or (high is None) != (ends.high is None):
        return []
    arguments = {
        "column": check.field,
        "min_value": low,
        "max_value": high,
        "strict_min": ends.low_exclusive,
        "strict_max": ends.high_exclusive,
    }
    return [Expectation(name, "expect_column_values_to_be_between", arguments)]


def _end(end: pa.Scalar[Any] | None, outward: int) -> Any:  # noqa: ANN401
    """Give a bound as GX keeps it; None where that would change what is inside.

    GX turns numbers into floats. A float just outside the bound, but not as far as the type's next
    value, says the same.
    """
    if end is None:
        return None
    value = end.as_py()
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return value
    step = Decimal(1)
    if isinstance(end.type, pa.Decimal128Type):
        step = Decimal(1).scaleb(-end.type.scale)
    near = float(value)
    if (Decimal(near) - Decimal(value)) * outward < 0:
        near = math.nextafter(near, outward * math.inf)
    return near if abs(Decimal(near) - Decimal(value)) < step else None


def _listed(field: str, values: tuple[r.Value, ...], schema: pa.Schema) -> list[Any] | None:
    kind = schema.field(field).type
    if pa.types.is_temporal(kind) or pa.types.is_binary(kind):
        return None
    return list(value_set(values, kind).to_pylist())


def _allowed(
    name: str, field: str, values: tuple[r.Value, ...], schema: pa.Schema
) -> list[Expectation]:
    listed = _listed(field, values, schema)
    if not listed:
        return []
    arguments = {"column": field, "value_set": listed}
    return [Expectation(name, "expect_column_values_to_be_in_set", arguments)]


def _missing(
    name: str, field: str, values: tuple[r.Value, ...], schema: pa.Schema
) -> list[Expectation]:
    """Two expectations whose failures can't meet: a null, and a word."""
    listed = _listed(field, values, schema)
    if listed is None:
        return []
    found = [Expectation(name, "expect_column_values_to_not_be_null", {"column": field})]
    if listed:
        arguments = {"column": field, "value_set": listed}
        found.append(Expectation(name, "expect_column_values_to_not_be_in_set", arguments))
    return found
