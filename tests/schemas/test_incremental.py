"""What a contract may say of how it takes only what is new, and what is refused beside it."""

import datetime as dt
from decimal import Decimal

import pytest
from zhixin_schemas.incremental import Incremental
from zhixin_schemas.loader import read_contract

HEAD = """apiVersion: v3.2.0
kind: DataContract
id: city.gov.example/people
version: 1.0.0
status: active
name: People
servers:
  - server: {server}
    type: custom
    customProperties:
{options}
schema:
  - name: people
    physicalName: people
    properties:
"""
KEY = "name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true"
COARSE = ", customProperties: [{property: zhixin.treatment, value: {generalise: {step: 10}}}]"
FIELDS = {
    "i": "integer",
    "n": "number, physicalType: 'decimal(8,2)'",
    "d": "date",
    "t": "timestamp",
    "z": "timestamp, logicalTypeOptions: {timezone: true}",
    "s": "string",
    "f": "number",
    "b": "boolean",
    "c": "time",
    "p": "integer, customProperties: [{property: zhixin.treatment, value: {pseudonym: k}}]",
}


def read(key=KEY, rules=(), server="silo", sql=False, **options):
    lines = [f"      - {{property: zhixin.{name}, value: {v}}}" for name, v in options.items()]
    if sql:
        lines.append("      - {property: zhixin.sql, value: 'SELECT 1 AS i FROM \"a.b/c\"'}")
    text = HEAD.format(server=server, options="\n".join(lines))
    text += f"      - {{{key}}}\n" if key else ""
    text += "".join(f"      - {{name: {n}, logicalType: {kind}}}\n" for n, kind in FIELDS.items())
    text += "    quality:\n" + "".join(f"      - {{{rule}}}\n" for rule in rules) if rules else ""
    return read_contract(text.encode())


def told(**what):
    reading = read(**what)
    assert reading.contract is None
    return " | ".join(str(problem) for problem in reading.problems)


def test_a_contract_without_the_options_reads_all():
    assert read(watermark="t").contract.incremental is None


@pytest.mark.parametrize(
    ("watermark", "lateness", "want"),
    [
        ("t", "PT1H", dt.timedelta(hours=1)),
        ("z", "P1W2DT3H4M5S", dt.timedelta(9, 3 * 3600 + 4 * 60 + 5)),
        ("d", "P2D", dt.timedelta(2)),
        ("d", "PT48H", dt.timedelta(2)),
        ("i", 100, Decimal(100)),
        ("n", 0.25, Decimal("0.25")),
    ],
)
def test_lateness_is_a_duration_of_times_and_a_number_of_numbers(watermark, lateness, want):
    got = read(incremental="key", watermark=watermark, lateness=lateness)
    assert got.problems == ()
    assert got.contract.incremental == Incremental("key", watermark, want)


@pytest.mark.parametrize("lateness", ["P", "PT", "1H", "P1M", "-PT1H", "PT1.5H", -1, "true", "[]"])
def test_another_lateness_is_refused(lateness):
    assert "zhixin.lateness is a duration" in told(
        incremental="key", watermark="t", lateness=lateness
    )


@pytest.mark.parametrize(
    ("watermark", "lateness", "says"),
    [
        ("i", "PT1H", "is a number"),
        ("t", 60, "is a duration"),
        ("d", "PT1H", "in whole days"),
    ],
)
def test_a_lateness_of_the_other_kind_is_refused(watermark, lateness, says):
    assert says in told(incremental="append", watermark=watermark, lateness=lateness)


@pytest.mark.parametrize("watermark", ["s", "f", "c", "b", "p", "nowhere"])
def test_a_watermark_that_does_not_rise_or_is_treated_is_refused(watermark):
    assert "names the field that tells what is new" in told(incremental="key", watermark=watermark)


def test_what_was_named_in_vain_is_said():
    assert 'no field tt; did you mean "t"?' in told(incremental="key", watermark="tt")
    assert "; s is of type string" in told(incremental="key", watermark="s")
    assert "; p is treated" in told(incremental="key", watermark="p")
    assert "no field nowhere" in told(incremental="key", watermark="t", deleted="nowhere")
    assert "; id is in the key" in told(incremental="key", watermark="t", deleted="id")


def test_no_watermark_and_another_word_are_refused():
    assert "names the field that tells what is new" in told(incremental="key")
    assert "append or key" in told(incremental="upsert", watermark="t")
    assert "beside zhixin.incremental" in told(lateness="PT1H")
    assert "beside zhixin.incremental" in told(deleted="b")


def test_without_a_primary_key_rows_can_be_appended_only_by_a_watermark_that_is_always_there():
    assert "replaces records by their primary key" in told(key="", incremental="key", watermark="i")
    assert "say required: true" in told(key="", incremental="append", watermark="i")
    at = "name: at, logicalType: timestamp, required: true"
    assert read(key=at, incremental="append", watermark="at").problems == ()


def test_a_generalised_key_is_refused():
    assert "does not tell what a row replaces" in told(
        key=KEY + COARSE.replace("step: 10", "step: 1"), incremental="key", watermark="t"
    )


@pytest.mark.parametrize("field", ["b", "d", "t", "z"])
def test_a_field_may_mark_what_is_deleted(field):
    got = read(incremental="key", watermark="t", deleted=field).contract
    assert got.incremental.deleted == field


@pytest.mark.parametrize("field", ["s", "i", "p", "id", "nowhere"])
def test_a_mark_of_another_kind_is_refused(field):
    assert "zhixin.deleted names" in told(incremental="key", watermark="t", deleted=field)


def test_what_is_only_added_is_never_deleted():
    assert "goes with key" in told(incremental="append", watermark="t", deleted="b")


def test_it_goes_neither_with_partitions_nor_with_sql():
    assert "choose it or" in told(incremental="key", watermark="t", partition="id", partitions=2)
    assert "made anew from its inputs" in told(
        incremental="key", watermark="t", server="zhixin", sql=True
    )


WHOLE = "type: custom, engine: zhixin, name: x, implementation: "


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (
            "type: library, metric: duplicateValues, mustBe: 0, arguments: {properties: [i]}",
            "only the primary key can be unique",
        ),
        (WHOLE + "{metric: freshness, field: z, hours: 4}", "let it ask for t"),
        (
            WHOLE + "{metric: failureRate, rule: id.required, mustNotJumpBy: 2, versions: 5}",
            "watch the rejects' share",
        ),
    ],
)
def test_rules_over_all_records_are_refused_where_only_some_are_read(rule, says):
    assert says in told(rules=[rule], incremental="key", watermark="t")
    assert read(rules=[rule], watermark="t").contract is not None


def test_a_count_of_what_breaks_a_rule_and_a_relationship_within_are_refused():
    key = KEY + ", quality: [{metric: nullValues, mustBeLessThan: 5}]"
    assert "let it reject, or warn" in told(key=key, incremental="key", watermark="t")
    to = "city.gov.example/people.yaml#/schema/people/properties/id"
    key = KEY + f", relationships: [{{id: boss, to: '{to}'}}]"
    assert "with each other" in told(key=key, incremental="key", watermark="t")


@pytest.mark.parametrize(
    "rule",
    [
        "type: library, metric: rowCount, mustBeGreaterThan: 5",
        WHOLE + "{metric: freshness, field: z, hours: 4}",
        WHOLE + "{metric: rejectedRows, mustBeLessOrEqualTo: 1, unit: percent}",
        WHOLE + "{metric: rowCountChange, mustBeBetween: [-10, 50], unit: percent}",
        WHOLE + "{metric: rejectRate, mustNotJumpBy: 2, versions: 5}",
    ],
)
def test_rules_over_what_is_known_of_the_whole_stay(rule):
    assert read(rules=[rule], incremental="key", watermark="z").problems == ()
