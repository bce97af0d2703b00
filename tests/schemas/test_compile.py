"""Arrow masks: every kind of rule, nulls and traps, reasons, misfits, key sets."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import ContractError
from zhixin_schemas import rules as r
from zhixin_schemas.bounds import inclusive_range, value_set
from zhixin_schemas.compile import RuleSet, compile_rules

NAN, INF = float("nan"), float("inf")
NAIVE = dt.datetime.fromisoformat("2013-01-01T00:00:00")


def rule_cases():
    utc = dt.UTC
    day = dt.date
    yield "integer", "", "logicalTypeOptions: {minimum: 1, maximum: 3}", "x.range", (
        [0, 1, 3, 4, None, -(2**63), 2**63 - 1], [0, 3, 5, 6])  # fmt: skip
    yield "integer", "", "logicalTypeOptions: {exclusiveMinimum: 0.5, exclusiveMaximum: 2}", (
        "x.range"), ([0, 1, 2], [0, 2])  # fmt: skip
    yield "integer", "", "logicalTypeOptions: {format: i8}", "x.range", (
        [-129, -128, 127, 128, None], [0, 3])  # fmt: skip
    yield "integer", "", "logicalTypeOptions: {format: u8, minimum: -5, maximum: 5}", "x.range", (
        [-1, 0, 5, 6], [0, 3])  # fmt: skip
    yield "integer", "", "logicalTypeOptions: {format: u64, maximum: 18446744073709551614}", (
        "x.range"), ([2**64 - 1, 2**64 - 2, 0], [0])  # fmt: skip
    yield "integer", "", "logicalTypeOptions: {maximum: 99999999999999999999}", "x.range", (
        [2**63 - 1, None], [])  # fmt: skip
    yield "integer", "", "logicalTypeOptions: {multipleOf: 5}", "x.multiple", (
        [0, 5, -10, 3, -3, None], [3, 4])  # fmt: skip
    yield "number", "physicalType: 'decimal(5,2)'", "logicalTypeOptions: {minimum: 0.005}", (
        "x.range"), ([Decimal("0.00"), Decimal("0.01"), None], [0])  # fmt: skip
    yield "number", "physicalType: 'decimal(5,2)'", "logicalTypeOptions: {maximum: 1e50}", (
        "x.range"), ([Decimal("999.99")], [])  # fmt: skip
    yield "number", "", "logicalTypeOptions: {minimum: 0, maximum: 253}", "x.range", (
        [-0.1, 0.0, -0.0, 253.0, 253.1, NAN, None, INF], [0, 4, 7])  # fmt: skip
    yield "number", "", "logicalTypeOptions: {exclusiveMinimum: 0}", "x.range", (
        [0.0, -0.0, 5e-324], [0, 1])  # fmt: skip
    yield "number", "", "required: false", "x.finite", ([1.0, NAN, INF, -INF, None], [1, 2, 3])
    yield "string", "", "required: true", "x.required", (["", None, " "], [1])
    yield "string", "", "logicalTypeOptions: {minLength: 1, maxLength: 2}", "x.length", (
        ["", "一二", "一二三", "é", None, "😀😀"], [0, 2])  # fmt: skip
    yield "string", "", "logicalTypeOptions: {format: binary, maxLength: 2}", "x.length", (
        [b"", b"ab", "一".encode(), None], [2])  # fmt: skip
    yield (
        "string",
        "",
        "logicalTypeOptions: {pattern: '^[0-9A-Z]{2}$'}",
        "x.pattern",
        (["AA", "AA\n", "１２", "12", "١٢", "aA", None, "AAA", "\nA"], [1, 2, 4, 5, 7, 8]),
    )
    yield "string", "", "enum: [{value: A}, {value: ''}]", "x.allowed", (
        ["A", "", "a", None, "A "], [2, 4])  # fmt: skip
    yield "integer", "", "enum: [{value: 1}, {value: 9e2}]", "x.allowed", (
        [1, 2, None], [1])  # fmt: skip
    yield "boolean", "", "enum: [{value: true}]", "x.allowed", ([True, False, None], [1])
    yield "string", "", "quality: [{metric: missingValues, mustBe: 0, arguments: "\
        "{missingValues: ['', 'n/a', null]}}]", "x.missingValues", (
        ["", "n/a", None, "N/A", "x"], [0, 1, 2])  # fmt: skip
    yield "string", "", "quality: [{metric: nullValues, mustBe: 0, severity: warning}]", (
        "x.nullValues"), (["", None], [1])  # fmt: skip
    yield (
        "string",
        "",
        "quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [N, S]}}]",
        "x.invalidValues",
        (["N", "X", None], [1]),
    )
    yield (
        "string",
        "",
        "quality: [{metric: invalidValues, mustBe: 0, arguments: {pattern: '^[0-9]$'}}]",
        "x.invalidValues",
        (["1", "1\n", None], [1]),
    )
    yield (
        "date",
        "",
        "logicalTypeOptions: {minimum: '1900-01-01', exclusiveMaximum: '2014-01-01'}",
        "x.range",
        ([day(1899, 12, 31), day(1900, 1, 1), day(2014, 1, 1), day(1, 1, 1), None], [0, 2, 3]),
    )
    yield "date", "", "enum: [{value: '2013-01-01'}]", "x.allowed", (
        [day(2013, 1, 1), day(2013, 1, 2), None], [1])  # fmt: skip
    yield "time", "", "logicalTypeOptions: {maximum: '12:00:00'}", "x.range", (
        [dt.time(12), dt.time(12, 0, 0, 1)], [1])  # fmt: skip
    yield "timestamp", "", "logicalTypeOptions: {minimum: '2013-01-01T00:00:00'}", "x.range", (
        [NAIVE - dt.timedelta(microseconds=1), NAIVE], [0])  # fmt: skip
    yield (
        "timestamp",
        "",
        "logicalTypeOptions: {timezone: true, minimum: '2013-01-01T08:00:00+08:00'}",
        "x.range",
        ([dt.datetime(2012, 12, 31, 23, 59, tzinfo=utc), dt.datetime(2013, 1, 1, tzinfo=utc)], [0]),
    )
    yield (
        "array",
        "items: {logicalType: string}",
        "logicalTypeOptions: {minItems: 1, maxItems: 2}",
        "x.items",
        ([[], ["a"], ["a", None, "b"], None], [0, 2]),
    )
    yield "array", "items: {logicalType: string}", "required: true", "x.required", (
        [[], None], [1])  # fmt: skip


@pytest.mark.parametrize(("kind", "more", "says", "rule", "data"), list(rule_cases()))
def test_a_rule_fails_exactly_where_it_should(
    contract_of, batch_of, broken_rows, kind, more, says, rule, data
):
    values, expected = data
    text = ", ".join(part for part in (f"name: x, logicalType: {kind}", more, says) if part)
    contract = contract_of("name: id, logicalType: integer", text)
    rules = compile_rules(contract)
    found = broken_rows(rules, batch_of(contract, x=values))
    assert found.get(rule, []) == expected
    others = {name for name in found if name not in (rule, "x.finite")}
    assert not others


def test_an_empty_batch_has_a_verdict(contract_of, batch_of):
    contract = contract_of("name: x, logicalType: integer, required: true")
    verdict = compile_rules(contract).check(batch_of(contract, x=[]))
    assert (verdict.rows, len(verdict.rejected), len(verdict.warned)) == (0, 0, 0)


def test_tells_every_rule_that_a_record_breaks(contract_of, batch_of):
    contract = contract_of(
        "name: a, logicalType: integer, logicalTypeOptions: {maximum: 7}",
        "name: b, logicalType: integer, required: true",
        quality=[
            "type: custom, engine: zhixin, name: small, implementation: a < 9, description: so so",
            "type: custom, engine: zhixin, name: warn, implementation: a < 8, severity: warning",
            "type: custom, engine: zhixin, name: stop, implementation: a < 7, severity: critical",
        ],
    )
    rules = compile_rules(contract)
    verdict = rules.check(batch_of(contract, a=[10, 8, 7, 1], b=[None, 1, 1, 1]))
    broken = [
        [(name, rules[name].field, rules[name].message)
         for name, mask in verdict.failed.items() if mask[row].as_py()]
        for row in range(4)
    ]  # fmt: skip
    assert broken[0] == [
        ("a.range", "a", "a must be at most 7"),
        ("b.required", "b", "b must not be empty"),
        ("small", "a", "so so"),
        ("warn", "a", "must hold: a < 8"),
        ("stop", "a", "must hold: a < 7"),
    ]
    assert verdict.rejected.to_pylist() == [True, True, True, False]
    assert verdict.warned.to_pylist() == [True, True, False, False]
    assert [name for name, _, _ in broken[2]] == ["stop"]
    assert broken[3] == []


def test_a_value_that_could_not_be_read_breaks_no_other_rule(contract_of, batch_of, broken_rows):
    contract = contract_of(
        "name: a, logicalType: integer, required: true",
        "name: b, logicalType: integer, required: true",
        quality=["type: custom, engine: zhixin, name: r, implementation: a IS NOT NULL OR b = 1"],
    )
    rules = compile_rules(contract)
    batch = batch_of(contract, a=[None, None, 1], b=[None, 2, None])
    assert broken_rows(rules, batch) == {"a.required": [0, 1], "b.required": [0, 2], "r": [1]}
    unread = {"a": pa.array([True, True, False])}
    assert broken_rows(rules, batch, misfits=unread) == {"b.required": [0, 2]}
    whole = {"": pa.array([True, True, True])}
    assert broken_rows(rules, batch, misfits=whole) == {}


def test_a_relationship_wants_its_keys(contract_of, batch_of, broken_rows):
    to = "to: faa.gov.example/airports.yaml#/schema/airports/properties/faa"
    contract = contract_of(f"name: t, logicalType: string, relationships: [{{{to}}}]")
    rules = compile_rules(contract)
    batch = batch_of(contract, t=["JFK", "jfk", None, "XXX"])
    keys = {"t.reference": pa.chunked_array([["JFK"], ["LGA"]])}
    assert broken_rows(rules, batch, key_sets=keys) == {"t.reference": [1, 3]}
    with pytest.raises(ContractError, match="needs the verified faa of faa"):
        rules.check(batch)
    with pytest.raises(ContractError, match="both must have the same type"):
        rules.check(batch, {"t.reference": pa.array([1])})


def test_measures_reject_nothing(contract_of, batch_of):
    contract = contract_of(
        "name: t, logicalType: string, quality: "
        "[{metric: nullValues, mustBeLessThan: 50, unit: percent, name: few-nulls}]"
    )
    verdict = compile_rules(contract).check(batch_of(contract, t=[None, "a"]))
    assert verdict.measured["few-nulls"].to_pylist() == [True, False]
    assert not verdict.failed
    assert verdict.rejected.to_pylist() == [False, False]


def test_rules_have_kinds_and_names(contract_of):
    contract = contract_of(
        "name: id, logicalType: integer, primaryKey: true",
        "name: t, logicalType: string, unique: true",
        quality=[
            "metric: rowCount, mustBeGreaterThan: 0",
            "metric: duplicateValues, mustBe: 0, arguments: {properties: [id, t]}",
            "type: custom, engine: greatExpectations, name: gx, implementation: "
            "{expectation: expect_column_median_to_be_between, arguments: {column: id}}",
            "type: text, description: for people",
        ],
    )
    rules = compile_rules(contract)
    assert [rule.name for rule in rules.rules] == [
        "id.required", "t.unique", "primary-key", "row-count", "id-t.duplicateValues", "gx",
    ]  # fmt: skip
    assert [rule.fields for rule in rules.unique] == [("t",), ("id",), ("id", "t")]
    assert rules["row-count"].severity == "critical"
    assert rules["gx"].kind == "external"
    assert contract.primary_key == ("id",)


def test_a_set_without_a_rule_judges_without_it(contract_of, batch_of):
    contract = contract_of("name: t, logicalType: string, required: true")
    fewer = RuleSet(contract, [])
    assert fewer.check(batch_of(contract, t=[None])).rejected.to_pylist() == [False]


def test_the_types_of_the_manifest(contract_of):
    contract = contract_of(
        "name: a, logicalType: boolean",
        "name: b, logicalType: integer, logicalTypeOptions: {format: i16}",
        "name: c, logicalType: integer, logicalTypeOptions: {format: u64}",
        "name: d, logicalType: number, physicalType: 'NUMERIC(10, 2)'",
        "name: d0, logicalType: number, physicalType: decimal(10)",
        "name: e, logicalType: number, physicalType: real",
        "name: f, logicalType: string",
        "name: g, logicalType: string, logicalTypeOptions: {format: binary}",
        "name: h, logicalType: date",
        "name: i, logicalType: time",
        "name: j, logicalType: timestamp",
        "name: k, logicalType: timestamp, logicalTypeOptions: {timezone: true}",
        "name: l, logicalType: array, items: {logicalType: object, properties: "
        "[{name: x, logicalType: integer}, {name: y, logicalType: array, items: "
        "{logicalType: date}}]}",
    )
    assert [field.written_type for field in contract.fields] == [
        "boolean", "integer", "unsigned", "decimal(10,2)", "decimal(10,0)", "float", "string",
        "binary", "date", "time", "timestamp", "timestamptz",
        {"list": {"struct": [{"name": "x", "type": "integer"},
                             {"name": "y", "type": {"list": "date"}}]}},
    ]  # fmt: skip
    assert contract.schema.field("k").type == pa.timestamp("us", "UTC")
    assert contract.schema.field("d").type == pa.decimal128(10, 2)
    assert str(contract.schema.field("l").type) == (
        "list<element: struct<x: int64, y: list<element: date32[day]>>>"
    )


_BOUND = st.decimals(-200, 200, places=2).map(Decimal) | st.integers(-(2**65), 2**65)


@settings(deadline=None)
@given(
    low=st.none() | _BOUND,
    high=st.none() | _BOUND,
    open_low=st.booleans(),
    open_high=st.booleans(),
    numbers=st.lists(st.integers(-200, 200) | st.integers(-(2**63), 2**63 - 1), min_size=1),
)
def test_a_range_of_integers_is_exact(low, high, open_low, open_high, numbers):
    check = r.Range(
        "x",
        None if low is None else r.Bound(low, exclusive=open_low),
        None if high is None else r.Bound(high, exclusive=open_high),
    )
    ends = inclusive_range(check, pa.int64())
    for number in numbers:
        above = low is None or (number > low if open_low else number >= low)
        below = high is None or (number < high if open_high else number <= high)
        inside = not ends.empty
        inside = inside and (ends.low is None or number >= ends.low.as_py())
        inside = inside and (ends.high is None or number <= ends.high.as_py())
        assert inside == (above and below)


def test_a_value_set_leaves_out_what_the_type_can_not_hold():
    assert value_set((1, Decimal("1.5"), 2**64), pa.int64()).to_pylist() == [1]
    assert value_set((Decimal("1.5"), Decimal("1.55")), pa.decimal128(3, 1)).to_pylist() == [
        Decimal("1.5")
    ]
    assert value_set((Decimal("0.1"), 1), pa.float64()).to_pylist() == [0.1, 1.0]


def test_both_zeros_are_one_value_of_a_set(contract_of, batch_of, broken_rows):
    contract = contract_of("name: f, logicalType: number, enum: [{value: 0.0}, {value: 1.5}]")
    batch = batch_of(contract, f=[0.0, -0.0, 1.5, -1.5, None])
    assert broken_rows(compile_rules(contract), batch) == {"f.allowed": [3]}
