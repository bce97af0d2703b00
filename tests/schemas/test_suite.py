"""The suite: which expectation says which rule, and what nobody pretends to have checked."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from zhixin_schemas.suite import build_suite


def made(contract, **more):
    suite = build_suite(contract, **more)
    return {e.rule: (e.type, dict(e.arguments)) for e in suite.expectations}, suite.not_checked


def test_says_each_rule_as_a_built_in_expectation(contract_of):
    contract = contract_of(
        "name: id, logicalType: integer, primaryKey: true",
        "name: s, logicalType: string, logicalTypeOptions: "
        "{minLength: 1, pattern: '^[a-z]+$'}, enum: [{value: a}]",
        "name: d, logicalType: date, logicalTypeOptions: {minimum: '2013-01-01'}",
        quality=["metric: rowCount, mustBeGreaterThan: 0, name: n"],
    )
    expectations, not_checked = made(contract)
    assert expectations == {
        "id.required": ("expect_column_values_to_not_be_null", {"column": "id"}),
        "primary-key": ("expect_column_values_to_be_unique", {"column": "id"}),
        "s.length": (
            "expect_column_value_lengths_to_be_between",
            {"column": "s", "min_value": 1, "max_value": None},
        ),
        "s.pattern": (
            "expect_column_values_to_match_regex",
            {"column": "s", "regex": r"\A(?:[a-z]+)\Z"},
        ),
        "s.allowed": ("expect_column_values_to_be_in_set", {"column": "s", "value_set": ["a"]}),
        "d.range": (
            "expect_column_values_to_be_between",
            {"column": "d", "min_value": dt.date(2013, 1, 1), "max_value": None,
             "strict_min": False, "strict_max": False},
        ),
        "n": ("expect_table_row_count_to_be_between", {"min_value": 1, "max_value": None}),
    }  # fmt: skip
    assert not_checked == ()


def test_a_sample_tells_nothing_of_the_whole(contract_of):
    contract = contract_of(
        "name: id, logicalType: integer, primaryKey: true",
        quality=["metric: rowCount, mustBeGreaterThan: 0, name: n"],
    )
    expectations, not_checked = made(contract, sample=True)
    assert list(expectations) == ["id.required"]
    assert not_checked == ("primary-key", "n")


def test_what_is_new_tells_nothing_of_the_count_of_all(contract_of):
    contract = contract_of(
        "name: id, logicalType: integer, primaryKey: true",
        quality=["metric: rowCount, mustBeGreaterThan: 0, name: n"],
    )
    expectations, not_checked = made(contract, delta=True)
    assert list(expectations) == ["id.required", "primary-key"]
    assert not_checked == ("n",)


def test_names_what_has_no_built_in_expectation(contract_of):
    to = "to: faa.gov.example/airports.yaml#/schema/airports/properties/faa"
    contract = contract_of(
        f"name: s, logicalType: string, relationships: [{{{to}}}]",
        "name: f, logicalType: number",
        "name: i, logicalType: integer, logicalTypeOptions: {multipleOf: 5}",
        "name: t, logicalType: time, logicalTypeOptions: {maximum: '12:00:00'}",
        "name: day, logicalType: date, enum: [{value: '2013-01-01'}]",
        "name: b, logicalType: string, logicalTypeOptions: {format: binary, maxLength: 3}",
        "name: l, logicalType: array, items: {logicalType: string}, "
        "logicalTypeOptions: {maxItems: 3}",
        "name: big, logicalType: integer, logicalTypeOptions: {maximum: 9007199254740993}",
        quality=[
            "type: custom, engine: zhixin, name: cross, implementation: i > 3",
            "type: custom, engine: zhixin, name: share, implementation: "
            "{metric: rejectedRows, mustBe: 0}",
        ],
    )
    expectations, not_checked = made(contract)
    assert expectations == {}
    assert set(not_checked) == {
        "s.reference", "f.finite", "i.multiple", "t.range", "day.allowed", "b.length", "l.items",
        "big.range", "cross", "share",
    }  # fmt: skip


@pytest.mark.parametrize("bound", ["0.1", "0.3", "1.15", "-0.7", "12345.67", "0.00", "9999999.99"])
def test_a_decimal_bound_survives_being_a_float(contract_of, bound):
    contract = contract_of(
        "name: x, logicalType: number, physicalType: 'decimal(9,2)', "
        f"logicalTypeOptions: {{minimum: {bound}, maximum: {bound}}}"
    )
    expectations, _ = made(contract)
    arguments = expectations["x.range"][1] if "x.range" in expectations else {}
    step = Decimal("0.01")
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if low is not None:
        assert Decimal(bound) - step < Decimal(low) <= Decimal(bound)
    if high is not None:
        assert Decimal(bound) <= Decimal(high) < Decimal(bound) + step


def test_a_pass_through_expectation_keeps_its_arguments(contract_of):
    contract = contract_of(
        "name: x, logicalType: integer",
        quality=[
            "type: custom, engine: greatExpectations, name: gx, implementation: {expectation: "
            "expect_column_median_to_be_between, arguments: {column: x, min_value: 1}}"
        ],
    )
    expectations, _ = made(contract)
    assert expectations == {
        "gx": ("expect_column_median_to_be_between", {"column": "x", "min_value": 1})
    }
