"""Counts of a whole run, and rules about the whole dataset."""

from __future__ import annotations

import datetime as dt

import pytest
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.loader import load_contract
from zhixin_schemas.quality import Past, Tally, stopping

NOW = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def outcomes(contract, batches, *, rejected=0, unique=(), now=NOW, past=()):
    rules = compile_rules(contract)
    tally = Tally(rules)
    for batch in batches:
        tally.add(rules.check(batch), batch)
    for name, failed in unique:
        tally.add_late(name, failed)
    return {o.rule: o for o in tally.outcomes(rejected=rejected, now=now, past=past)}


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


def test_an_external_rule_is_not_counted_here(contract_of):
    contract = contract_of(
        "name: x, logicalType: integer",
        quality=[
            "type: custom, engine: greatExpectations, name: gx, severity: warning, "
            "implementation: {expectation: expect_x, arguments: {column: x}}"
        ],
    )
    assert Tally(compile_rules(contract)).outcomes(rejected=0, now=NOW) == []


def custom(implementation, more=""):
    return f"type: custom, engine: zhixin, name: n{more}, implementation: {{{implementation}}}"


CHANGES = [
    ("mustBeBetween: [-10, 50], unit: percent", 4, [], True),
    ("mustBeBetween: [-10, 50], unit: percent", 4, [4], True),
    ("mustBeBetween: [-10, 50], unit: percent", 4, [3], True),
    ("mustBeBetween: [-10, 50], unit: percent", 6, [4], True),
    ("mustBeBetween: [-10, 50], unit: percent", 7, [4], False),
    ("mustBeBetween: [-10, 50], unit: percent", 9, [10], True),
    ("mustBeBetween: [-10, 50], unit: percent", 8, [10], False),
    ("mustBeBetween: [-10, 50], unit: percent", 4, [4, 400], True),
    ("mustBeBetween: [-10, 50], unit: percent", 0, [10], False),
    ("mustBeBetween: [-10, 50], unit: percent", 4, [0], False),
    ("mustBeBetween: [-10, 50], unit: percent", 0, [0], True),
    ("mustBeGreaterOrEqualTo: -10, unit: percent", 4, [0], True),
    ("mustBeGreaterOrEqualTo: -1", 3, [4], True),
    ("mustBeGreaterOrEqualTo: -1", 2, [4], False),
    ("mustBeGreaterOrEqualTo: -1, unit: rows", 2, [4], False),
]


@pytest.mark.parametrize(("entry", "rows", "before", "holds"), CHANGES)
def test_holds_the_row_count_to_the_last_version(contract_of, batch_of, entry, rows, before, holds):
    contract = contract_of(
        "name: x, logicalType: integer", quality=[custom(f"metric: rowCountChange, {entry}")]
    )
    past = [Past(9 - at, count, 0, {}) for at, count in enumerate(before)]
    (found,) = outcomes(contract, [batch_of(contract, x=[1] * rows)], past=past).values()
    assert (found.severity, found.failed) == ("critical", 0 if holds else 1)
    if not holds:
        assert f"{rows} records now, {before[0]} in version 9" in found.message
        assert "wanted" in found.message


JUMPS = [
    ("metric: rejectRate, mustNotJumpBy: 5", 2, [], True),
    ("metric: rejectRate, mustNotJumpBy: 5", 2, [(20, 2, None)], True),
    ("metric: rejectRate, mustNotJumpBy: 5", 2, [(20, 1, None)], True),
    ("metric: rejectRate, mustNotJumpBy: 5", 2, [(100, 4, None)], False),
    ("metric: rejectRate, mustNotJumpBy: 5", 0, [(100, 6, None)], False),
    (
        "metric: rejectRate, mustNotJumpBy: 5, versions: 2",
        2,
        [(100, 1, None), (100, 9, None)],
        True,
    ),
    ("metric: rejectRate, mustNotJumpBy: 5, versions: 2", 2, [(900, 0, None), (1, 1, None)], False),
    ("metric: rejectRate, mustNotJumpBy: 5", 2, [(0, 0, None)], False),
    ("metric: failureRate, rule: known, mustNotJumpBy: 5", 0, [(20, 0, 4)], True),
    ("metric: failureRate, rule: known, mustNotJumpBy: 5", 0, [(20, 0, 2)], False),
    ("metric: failureRate, rule: known, mustNotJumpBy: 5", 0, [(20, 0, None), (20, 0, 2)], False),
    ("metric: failureRate, rule: known, mustNotJumpBy: 5", 0, [(20, 0, None)], True),
]


@pytest.mark.parametrize(("entry", "rejected", "before", "holds"), JUMPS)
def test_alerts_when_a_rate_jumps_against_the_last_versions(
    contract_of, batch_of, entry, rejected, before, holds
):
    contract = contract_of(
        "name: x, logicalType: integer, quality: "
        "[{name: known, metric: nullValues, mustBe: 0, severity: warning}]",
        quality=[custom(entry, ", severity: warning")],
    )
    past = [
        Past(9 - at, extracted, gone, {} if failed is None else {"known": failed})
        for at, (extracted, gone, failed) in enumerate(before)
    ]
    batch = batch_of(contract, x=[None] * 4 + [1] * 16)
    found = outcomes(contract, [batch], rejected=rejected, past=past)
    assert found["n"].failed == (0 if holds else 1)
    assert (found["n"].severity, found["known"].failed) == ("warning", 4)
    if not holds:
        assert "% now" in found["n"].message
        assert "percentage points apart" in found["n"].message


def test_a_jump_names_what_is_now_and_what_was(contract_of, batch_of):
    contract = contract_of(
        "name: x, logicalType: integer",
        quality=[custom("metric: rejectRate, mustNotJumpBy: 2.5, versions: 5")],
    )
    past = [Past(4, 100, 1, {}), Past(3, 100, 2, {})]
    found = outcomes(contract, [batch_of(contract, x=[1] * 8)], rejected=1, past=past)
    assert found["n"].message == (
        "the share of rejects is not as the contract wants it: 12.5 % now, 1.5 % in version 3, 4, "
        "more than 2.5 percentage points apart"
    )


ZONES = [
    ("date", "", dt.date(2026, 2, 28), True),
    ("date", "Asia/Shanghai", dt.date(2026, 2, 28), False),
    ("date", "America/New_York", dt.date(2026, 2, 28), True),
    ("timestamp", "Asia/Shanghai", dt.datetime(2026, 3, 1, 7, 59), False),  # noqa: DTZ001
    ("timestamp", "Asia/Shanghai", dt.datetime(2026, 3, 1, 8, 0), True),  # noqa: DTZ001
    ("timestamp", "America/New_York", dt.datetime(9999, 12, 31, 23), True),  # noqa: DTZ001
]


@pytest.mark.parametrize(("kind", "zone", "value", "holds"), ZONES)
def test_a_day_ends_and_a_time_counts_in_the_zone_of_the_source(
    contract_text, batch_of, kind, zone, value, holds
):
    text = contract_text(
        f"name: x, logicalType: {kind}", quality=[custom("metric: freshness, field: x, hours: 24")]
    )
    told = f"customProperties: [{{property: zhixin.timezone, value: {zone}}}]"
    if zone:
        text = text.replace("type: custom}", f"type: custom, {told}}}", 1)
    contract = load_contract(text.encode())
    (found,) = outcomes(contract, [batch_of(contract, x=[value])]).values()
    assert found.failed == (0 if holds else 1)
    assert holds or "hours old, at most 24 are agreed" in found.message


def with_agreement(text, agreement):
    return text.replace("servers:", f"slaProperties:\n  - {{{agreement}}}\nservers:", 1).encode()


@pytest.mark.parametrize(
    ("agreement", "rule"),
    [
        ("property: latency, value: 1, unit: d, element: things.at",
         ("sla.latency", "warning", 24)),
        ("property: freshness, value: 90, unit: min, element: at",
         ("sla.freshness", "warning", 1.5)),
        ("property: ly, value: 2, unit: h, element: at, customProperties: "
         "[{property: zhixin.severity, value: critical}]", ("sla.ly", "critical", 2)),
        ("property: latency, value: 1, unit: d", None),
        ("property: latency, value: 1, unit: d, element: things.x", None),
        ("property: latency, value: soon, element: at", None),
        ("property: retention, value: 1, unit: y, element: at", None),
    ],
)  # fmt: skip
def test_a_service_level_about_age_becomes_a_rule(contract_text, batch_of, agreement, rule):
    text = contract_text(
        "name: x, logicalType: integer",
        "name: at, logicalType: timestamp, logicalTypeOptions: {timezone: true}",
    )
    contract = load_contract(with_agreement(text, agreement))
    made = [(o.name, o.severity, o.check.hours) for o in contract.rules]
    assert made == ([] if rule is None else [rule])
    if rule is not None:
        old = batch_of(contract, at=[dt.datetime(2026, 1, 1, tzinfo=dt.UTC)])
        (found,) = outcomes(contract, [old]).values()
        assert (found.failed, found.severity) == (1, rule[1])


def test_the_age_of_a_treated_field_is_not_told(contract_of, batch_of):
    contract = contract_of(
        "name: born, logicalType: date, "
        "customProperties: [{property: zhixin.treatment, value: {generalise: {to: year}}}]",
        quality=["type: custom, engine: zhixin, name: fresh, "
                 "implementation: {metric: freshness, field: born, hours: 24}"],
    )  # fmt: skip
    batch = batch_of(contract, born=[dt.date(1990, 11, 23)])
    found = outcomes(contract, [batch])["fresh"]
    assert found.failed == 1
    assert found.message.endswith(": it is older than 24 hours, which are agreed")
