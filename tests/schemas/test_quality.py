"""Counts of a whole run, and rules about the whole dataset."""

from __future__ import annotations

import datetime as dt

import pytest
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.quality import Tally, stopping

NOW = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def outcomes(contract, batches, *, rejected=0, unique=(), now=NOW):
    rules = compile_rules(contract)
    tally = Tally(rules)
    for batch in batches:
        tally.add(rules.check(batch), batch)
    for name, failed in unique:
        tally.add_unique(name, failed)
    return {o.rule: o for o in tally.outcomes(rejected=rejected, now=now)}


def test_adds_up_over_batches(contract_of, batch_of):
    contract = contract_of("name: id, logicalType: integer, primaryKey: true")
    batches = [batch_of(contract, id=[1, None]), batch_of(contract, id=[1, None, None])]
    found = outcomes(contract, batches, unique=[("primary-key", 2)])
    assert found["id.required"].to_json() == {
        "rule": "id.required", "severity": "error", "checked": 5, "failed": 3,
    }  # fmt: skip
    assert (found["primary-key"].checked, found["primary-key"].failed) == (5, 2)


def test_an_empty_run_has_checked_nothing(contract_of):
    contract = contract_of("name: id, logicalType: integer, required: true")
    found = outcomes(contract, [])
    assert (found["id.required"].checked, found["id.required"].failed) == (0, 0)


THRESHOLDS = [
    ("mustBe: 4", True),
    ("mustBe: 5", False),
    ("mustNotBe: 4", False),
    ("mustNotBe: 5", True),
    ("mustBeGreaterThan: 4", False),
    ("mustBeGreaterThan: 3.9", True),
    ("mustBeGreaterOrEqualTo: 4", True),
    ("mustBeLessThan: 4", False),
    ("mustBeLessOrEqualTo: 4", True),
    ("mustBeBetween: [4, 9]", True),
    ("mustBeBetween: [5, 9]", False),
    ("mustNotBeBetween: [1, 4]", False),
    ("mustNotBeBetween: [5, 9]", True),
]


@pytest.mark.parametrize(("operator", "holds"), THRESHOLDS)
def test_holds_a_row_count(contract_of, batch_of, operator, holds):
    contract = contract_of(
        "name: x, logicalType: integer", quality=[f"metric: rowCount, name: n, {operator}"]
    )
    found = outcomes(contract, [batch_of(contract, x=[1, 2, 3, 4])])
    assert (found["n"].checked, found["n"].failed) == (1, 0 if holds else 1)
    assert [o.rule for o in stopping(found.values())] == ([] if holds else ["n"])


@pytest.mark.parametrize(
    ("entry", "holds"),
    [
        ("metric: nullValues, mustBeLessThan: 50, unit: percent", False),
        ("metric: nullValues, mustBeLessOrEqualTo: 50, unit: percent", True),
        ("metric: nullValues, mustBeLessThan: 2", False),
        ("metric: nullValues, mustBe: 2", True),
        ("metric: nullValues, mustBe: 2, severity: warning", True),
        ("metric: invalidValues, arguments: {validValues: [1]}, mustBeLessThan: 1", False),
    ],
)
def test_holds_a_share_of_records(contract_of, batch_of, entry, holds):
    contract = contract_of(f"name: x, logicalType: integer, quality: [{{name: n, {entry}}}]")
    found = outcomes(contract, [batch_of(contract, x=[1, None, 3, None])])
    assert found["n"].failed == (0 if holds else 1)
    assert outcomes(contract, [])["n"].failed == (1 if "mustBe: 2" in entry else 0)


@pytest.mark.parametrize(
    ("rejected", "entry", "holds"),
    [
        (1, "mustBeLessOrEqualTo: 25, unit: percent", True),
        (2, "mustBeLessOrEqualTo: 25, unit: percent", False),
        (1, "mustBe: 0", False),
        (0, "mustBe: 0", True),
    ],
)
def test_holds_the_share_of_rejects(contract_of, batch_of, rejected, entry, holds):
    contract = contract_of(
        "name: x, logicalType: integer",
        quality=[
            "type: custom, engine: zhixin, name: n, "
            f"implementation: {{metric: rejectedRows, {entry}}}"
        ],
    )
    found = outcomes(contract, [batch_of(contract, x=[1, 2, 3, 4])], rejected=rejected)
    assert found["n"].failed == (0 if holds else 1)


FRESH = [
    ("timestamp", [dt.datetime(2026, 3, 1, tzinfo=dt.UTC), None], True),
    ("timestamp", [dt.datetime(2026, 2, 28, 23, 59, tzinfo=dt.UTC)], False),
    ("timestamp", [None], False),
    ("timestamp", [], False),
    ("date", [dt.date(2026, 2, 28), dt.date(2020, 1, 1)], True),
    ("date", [dt.date(2026, 2, 27)], False),
    ("date", [dt.date(9999, 12, 31)], True),
]


@pytest.mark.parametrize(("kind", "values", "holds"), FRESH)
def test_holds_freshness(contract_of, batch_of, kind, values, holds):
    options = ", logicalTypeOptions: {timezone: true}" if kind == "timestamp" else ""
    contract = contract_of(
        f"name: x, logicalType: {kind}{options}",
        quality=[
            "type: custom, engine: zhixin, name: n, "
            "implementation: {metric: freshness, field: x, hours: 24}"
        ],
    )
    half = len(values) // 2
    batches = [batch_of(contract, x=values[:half]), batch_of(contract, x=values[half:])]
    assert outcomes(contract, batches)["n"].failed == (0 if holds else 1)


def test_an_external_rule_counts_only_where_it_was_asked(contract_of):
    contract = contract_of(
        "name: x, logicalType: integer",
        quality=[
            "type: custom, engine: greatExpectations, name: gx, severity: warning, "
            "implementation: {expectation: expect_x, arguments: {column: x}}"
        ],
    )
    tally = Tally(compile_rules(contract))
    assert tally.outcomes(rejected=0, now=NOW) == []
    tally.add_external("gx", 4, 1)
    (found,) = tally.outcomes(rejected=0, now=NOW)
    assert (found.checked, found.failed) == (4, 1)
