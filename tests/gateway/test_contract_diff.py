"""What a change of a contract means: for whom, and which version number it asks for."""

# ruff: noqa: E501

import functools

import pytest
from zhixin_errors import ContractError
from zhixin_gateway.contract_diff import contract_changes, next_version, refuse_small_step
from zhixin_schemas.loader import load_contract, read_contract

BASE = """apiVersion: v3.2.0
kind: DataContract
id: a.example/b
version: 1.2.3
status: active
name: b
description: {purpose: to be read}
servers:
  - {server: silo, type: custom}
slaProperties:
  - {property: latency, value: 24, unit: h}
  - {property: retention, value: 10, unit: y}
  - {property: endOfLife, value: '2030-01-01'}
schema:
  - name: b
    physicalName: b
    logicalType: object
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: x, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 9}}
      - {name: y, logicalType: string}
      - {name: fee, logicalType: number, physicalType: 'decimal(10,2)'}
      - {name: code, logicalType: string, required: true, unique: true, logicalTypeOptions: {pattern: '^[A-Z]{2}$'}}
      - {name: kind, logicalType: string, enum: [{value: a}, {value: b}], businessName: Kind}
      - {name: text, logicalType: string, logicalTypeOptions: {minLength: 1, maxLength: 9}}
      - {name: step, logicalType: integer, logicalTypeOptions: {multipleOf: 4}}
      - {name: real, logicalType: number}
      - {name: day, logicalType: date, classification: internal, logicalTypeOptions: {minimum: '2000-01-01'}}
      - {name: tags, logicalType: array, items: {logicalType: string}, logicalTypeOptions: {maxItems: 3}}
      - name: at
        logicalType: object
        properties: [{name: lat, logicalType: number}, {name: lon, logicalType: number}]
      - name: place
        logicalType: string
        relationships: [{id: at-c, to: 'c.example/d.yaml#/schema/d/properties/e'}]
    quality:
      - {name: count, type: library, metric: rowCount, mustBeBetween: [10, 100]}
      - {name: pair, type: library, metric: duplicateValues, mustBe: 0, arguments: {properties: [x, step]}}
      - {name: order, type: custom, engine: zhixin, implementation: x < step, description: x before step}
      - {name: hint, type: custom, engine: zhixin, implementation: x > 1, severity: warning}
      - {name: rejects, type: custom, engine: zhixin, implementation: {metric: rejectedRows, mustBeLessOrEqualTo: 5, unit: percent}}
      - {name: fresh, type: custom, engine: zhixin, implementation: {metric: freshness, field: day, hours: 48}}
"""

MAJOR, MINOR, PATCH, SAME = "2.0.0", "1.3.0", "1.2.4", None
Y = "{name: y, logicalType: string}"

PAIRS = [
    # fields
    (f"      - {Y}\n", "", MAJOR, "y is gone", "whoever reads y"),
    ("name: y,", "name: y2,", MAJOR, "y is gone; was it renamed to y2?", "whoever reads y"),
    ("name: y,", "name: z,", MAJOR, "renamed to z?", "whoever reads y"),
    (Y, Y.replace("y,", "n,") + "\n      - {name: y2, logicalType: date}", MAJOR, "y is gone; was it renamed to n?", ""),
    (Y, "{name: y2, logicalType: date}", MAJOR, "y is gone", "whoever reads y"),
    (Y, f"{Y}\n      - {{name: z, logicalType: date}}", MINOR, "z is new", "nobody who reads by name"),
    (Y, f"{Y}\n      - {{name: z, logicalType: date, required: true}}", MINOR, "z.required is checked too", "more may be rejected"),
    ("y, logicalType: string", "y, logicalType: date", MAJOR, "y was string and is date", "whoever reads y"),
    ("x, logicalType: integer", "x, logicalType: number, physicalType: 'decimal(19,0)'", MAJOR, "x was integer and is decimal(19,0)", "whoever reads x"),
    ("x, logicalType: integer, logicalTypeOptions: {", "x, logicalType: integer, logicalTypeOptions: {format: u64, ", MAJOR, "x was integer and is unsigned", ""),
    ("decimal(10,2)", "decimal(12,2)", MAJOR, "fee was decimal(10,2) and is decimal(12,2)", "whoever reads fee"),
    ("decimal(10,2)", "decimal(8,2)", MINOR, "fee was decimal(10,2) and is decimal(8,2)", "whoever reads fee"),
    ("decimal(10,2)", "decimal(10,1)", MAJOR, "is decimal(10,1)", "whoever reads fee"),
    ("decimal(10,2)", "decimal(11,3)", MAJOR, "is decimal(11,3)", "whoever reads fee"),
    ("real, logicalType: number", "real, logicalType: number, physicalType: 'decimal(9,3)'", MAJOR, "real was float", ""),
    ("items: {logicalType: string}", "items: {logicalType: date}", MAJOR, "tags was", "whoever reads tags"),
    (", {name: lon, logicalType: number}]", "]", MAJOR, "at was", "whoever reads at"),
    ("{name: lon, logicalType: number}]", "{name: lon, logicalType: number}, {name: alt, logicalType: number}]", MINOR, "at was", ""),
    ("{name: lon, logicalType: number}", "{name: lon, logicalType: string}", MAJOR, "at was", ""),
    ("y, logicalType: string", "y, logicalType: string, businessName: Why", PATCH, "y is described otherwise", "nobody"),
    ("y, logicalType: string", "y, logicalType: string, description: why", PATCH, "y is described otherwise", "nobody"),
    ("businessName: Kind", "businessName: Sort", PATCH, "kind is described otherwise", "nobody"),
    # what may be null
    (Y, Y.replace("}", ", required: true}"), MINOR, "y.required is checked too", "more may be rejected"),
    ("code, logicalType: string, required: true", "code, logicalType: string", MAJOR, "code.required is no longer checked", "whoever reads code and relies on"),
    # values
    ("enum: [{value: a}, {value: b}]", "enum: [{value: a}, {value: b}, {value: c}]", MAJOR, "kind.allowed is looser: it also admits c", "whoever reads kind"),
    ("enum: [{value: a}, {value: b}]", "enum: [{value: a}]", MINOR, "kind.allowed is tighter: it no longer admits b", "more may be rejected"),
    ("enum: [{value: a}, {value: b}]", "enum: [{value: b}, {value: a}]", None, "", ""),
    ("enum: [{value: a}, {value: b}]", "enum: [{value: a}, {value: c}]", MAJOR, "it also admits c; it no longer admits b", ""),
    (", enum: [{value: a}, {value: b}]", "", MAJOR, "kind.allowed is no longer checked", "whoever reads kind"),
    ("minimum: 0", "minimum: -1", MAJOR, "x.range is looser: x must be at least 0", "whoever reads x"),
    ("minimum: 0", "minimum: 1", MINOR, "x.range is tighter", "more may be rejected"),
    ("minimum: 0", "exclusiveMinimum: 0", MINOR, "x.range is tighter", ""),
    ("maximum: 9}", "maximum: 10}", MAJOR, "x.range is looser", "whoever reads x"),
    ("minimum: 0, maximum: 9", "minimum: 1, maximum: 10", MAJOR, "x.range checks something else", ""),
    ("minimum: 0, maximum: 9", "minimum: 0", MAJOR, "x.range is looser", ""),
    (", logicalTypeOptions: {minimum: 0, maximum: 9}", "", MAJOR, "x.range is no longer checked", "relies on x.range"),
    ("minimum: '2000-01-01'", "minimum: '1999-12-31'", MAJOR, "day.range is looser", "whoever reads day"),
    ("'^[A-Z]{2}$'", "'^[A-Z]{2,3}$'", MAJOR, "code.pattern checks something else", "whoever reads code"),
    ("minLength: 1", "minLength: 0", MAJOR, "text.length is looser", "whoever reads text"),
    ("maxLength: 9", "maxLength: 8", MINOR, "text.length is tighter", "more may be rejected"),
    ("maxItems: 3", "maxItems: 4", MAJOR, "tags.items is looser", "whoever reads tags"),
    ("multipleOf: 4", "multipleOf: 8", MINOR, "step.multiple is tighter", ""),
    ("multipleOf: 4", "multipleOf: 2", MAJOR, "step.multiple is looser", "whoever reads step"),
    ("multipleOf: 4", "multipleOf: 6", MAJOR, "step.multiple checks something else", ""),
    ("implementation: x < step", "implementation: x <= step", MAJOR, "order checks something else", "whoever reads x, step"),
    ("description: x before step", "description: x comes first", PATCH, "order is worded otherwise", "nobody"),
    ("name: order", "name: in-order", MINOR, "order is called in-order", "whoever looks order up"),
    ("implementation: x < step", "implementation: x < step, severity: critical", MINOR, "order was error and is critical", ""),
    ("implementation: x < step", "implementation: x < step, severity: warning", MAJOR, "order was error and is warning", "relies on order"),
    ("implementation: x > 1, severity: warning", "implementation: x > 2, severity: warning", MINOR, "hint checks something else", "whoever counts hint"),
    ("implementation: x > 1, severity: warning", "implementation: x > 1, severity: error", MINOR, "hint was warning and is error", "more may be rejected"),
    ("      - {name: hint, type: custom, engine: zhixin, implementation: x > 1, severity: warning}\n", "", MINOR, "hint is no longer checked", "whoever counts hint"),
    # keys and relationships
    (", primaryKey: true, primaryKeyPosition: 1", "", MAJOR, "the primary key was id and is gone", "whoever tells records apart"),
    (Y, Y.replace("}", ", primaryKey: true, primaryKeyPosition: 2, required: true}"), MAJOR, "the primary key was id and is id, y", ""),
    (", unique: true", "", MAJOR, "code.unique is no longer checked", "whoever reads code"),
    (Y, Y.replace("}", ", unique: true}"), MINOR, "y.unique is checked too", "more may be rejected"),
    ("{properties: [x, step]}", "{properties: [x]}", MINOR, "pair is tighter", ""),
    ("{properties: [x, step]}", "{properties: [x, step, kind]}", MAJOR, "pair is looser", ""),
    ("\n        relationships: [{id: at-c, to: 'c.example/d.yaml#/schema/d/properties/e'}]", "", MAJOR, "at-c is no longer checked", "whoever reads place"),
    ("c.example/d.yaml", "c.example/f.yaml", MAJOR, "at-c checks something else", "whoever reads place"),
    (Y, Y.replace("}", ", relationships: [{to: 'c.example/d.yaml#/schema/d/properties/e'}]}"), MINOR, "y.reference is checked too", "more may be rejected"),
    # about the whole
    ("mustBeBetween: [10, 100]", "mustBeBetween: [10, 200]", MAJOR, "count is looser", "every consumer and relies on count"),
    ("mustBeBetween: [10, 100]", "mustBeBetween: [20, 100]", MINOR, "count is tighter", ""),
    ("mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: 6", MAJOR, "rejects is looser", "every consumer"),
    ("mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: 4", MINOR, "rejects is tighter", ""),
    ("hours: 48", "hours: 72", MAJOR, "fresh is looser", "whoever reads day"),
    ("hours: 48", "hours: 24", MINOR, "fresh is tighter", ""),
    # treatment and class
    ("y, logicalType: string", "y, logicalType: string, customProperties: [{property: zhixin.treatment, value: {pseudonym: k}}]", MAJOR, "y was written as it is and is pseudonym with the key k", "whoever reads y"),
    ("y, logicalType: string", "y, logicalType: string, customProperties: [{property: zhixin.treatment, value: {generalise: {prefix: 2}}}]", MAJOR, "first 2 characters", "whoever reads y"),
    ("classification: internal", "classification: confidential", MAJOR, "day was internal and is confidential", "whoever holds day"),
    ("classification: internal", "classification: public", MINOR, "day was internal and is public", "whoever holds day"),
    # service levels
    ("value: 24, unit: h", "value: 2, unit: d", MAJOR, "latency was 24 h and is 2 d", "whoever relies on latency"),
    ("value: 24, unit: h", "value: 12, unit: h", MINOR, "latency was 24 h and is 12 h", "the owner's run"),
    ("value: 24, unit: h", "value: 1, unit: d", PATCH, "only words changed", "nobody"),
    ("value: 10, unit: y", "value: 5, unit: y", MAJOR, "retention was 10 y and is 5 y", "whoever relies on retention"),
    ("value: 10, unit: y", "value: 20, unit: y", MINOR, "retention was 10 y and is 20 y", "the owner's run"),
    ("'2030-01-01'", "'2029-01-01'", MAJOR, "endOfLife was", "whoever relies on endOfLife"),
    ("  - {property: retention, value: 10, unit: y}\n", "", MAJOR, "retention is no longer agreed", ""),
    ("slaProperties:", "slaProperties:\n  - {property: support, value: weekdays}", MINOR, "support is agreed: weekdays", ""),
    # where records come from, and words
    ("physicalName: b", "physicalName: c", PATCH, "the records come from elsewhere", "the owner's run alone"),
    ("server: silo", "server: lake", PATCH, "the records come from elsewhere", "the owner's run alone"),
    ("name: b\ndescription", "name: B\ndescription", PATCH, "only words changed", "nobody"),
    ("to be read", "to be read well", PATCH, "only words changed", "nobody"),
    ("status: active", "status: deprecated", PATCH, "the status was active and is deprecated", "every consumer"),
    ("a.example/b", "a.example/c", MAJOR, "a.example/b became a.example/c", "every consumer"),
    ("server: silo", "server: tower", PATCH, "the records come from elsewhere", "the owner"),
    ("silo, type: custom}",
     "silo, type: custom, customProperties: [{property: zhixin.null, value: [NA]}]}", MINOR,
     "the records are read otherwise: zhixin.null", "every consumer: the records may differ"),
]  # fmt: skip


@functools.cache
def loaded(text):
    return load_contract(text.encode())


def changed(old, new, version="1.2.3"):
    assert old in BASE, old
    text = BASE.replace(old, new, 1).replace("version: 1.2.3", f"version: {version}")
    return loaded(BASE), loaded(text)


@pytest.mark.parametrize(("old", "new", "wanted", "message", "affects"), PAIRS)
def test_says_what_breaks_whom_and_which_version_that_wants(old, new, wanted, message, affects):
    before, after = changed(old, new)
    changes = contract_changes(before, after)
    if wanted is None:
        assert [change.level for change in changes] == ["patch"]
        return
    told = [change for change in changes if message in change.message]
    assert told, [change.message for change in changes]
    assert any(affects in change.affects for change in told), told
    assert next_version(before, changes) == wanted
    levels = ["breaking", "additive", "patch"]
    order = [levels.index(change.level) for change in changes]
    assert order == sorted(order)


def test_the_table_has_sixty_pairs_and_more():
    assert len(PAIRS) >= 60


def test_a_field_that_goes_is_told_once():
    before, after = changed("      - {name: text, logicalType: string, logicalTypeOptions: "
                            "{minLength: 1, maxLength: 9}}\n", "")  # fmt: skip
    assert [change.message for change in contract_changes(before, after)] == ["text is gone"]


def test_the_order_of_fields_touches_who_reads_by_place():
    before, after = changed(f"      - {Y}\n      - {{name: fee", "      - {name: fee")
    rest = after.bytes.decode().replace("    quality:", f"      - {Y}\n    quality:")
    (change,) = contract_changes(before, load_contract(rest.encode()))
    assert (change.level, change.affects) == ("additive", "whoever reads columns by their place")


def test_a_rule_of_a_field_named_sla_is_no_service_level():
    named = (
        BASE.replace("{name: x, ", "{name: sla, ").replace("x <", "sla <").replace("x >", "sla >")
    )
    named = named.replace("properties: [x,", "properties: [sla,")
    bound = ", logicalTypeOptions: {minimum: 0, maximum: 9}}"
    changes = contract_changes(loaded(named), loaded(named.replace(bound, "}")))
    assert [change.message for change in changes] == ["sla.range is no longer checked"]
    problems = read_contract(BASE.replace("{name: fresh,", "{name: sla.fresh,").encode()).problems
    assert [problem.message for problem in problems] == [
        "sla.… are the rules of service levels; name this one otherwise"
    ]


def test_the_same_contract_has_no_changes():
    before, after = changed("a.example/b", "a.example/b")
    assert contract_changes(before, after) == []


@pytest.mark.parametrize(
    ("old", "new", "version", "wanted"),
    [
        ("maximum: 9}", "maximum: 10}", "1.3.0", "2.0.0"),
        ("maximum: 9}", "maximum: 8}", "1.2.4", "1.3.0"),
        ("maximum: 9}", "maximum: 10}", "2.0.0", None),
        ("maximum: 9}", "maximum: 10}", "3.4.1", None),
        ("maximum: 9}", "maximum: 8}", "1.3.0", None),
        ("maximum: 9}", "maximum: 8}", "2.0.0", None),
        ("to be read", "to be", "1.2.4", None),
    ],
)
def test_a_step_too_small_for_its_changes_is_refused(old, new, version, wanted):
    before, after = changed(old, new, version)
    if wanted is None:
        refuse_small_step(before, after)
        return
    with pytest.raises(ContractError, match=r"x\.range is") as caught:
        refuse_small_step(before, after)
    assert caught.value.code == "contract-version"
    assert f"wants version {wanted}" in caught.value.message
    assert caught.value.details["wanted"] == wanted
