"""The schema for editors: it takes what the loader takes, and refuses what a schema can refuse."""

from __future__ import annotations

import json
from copy import deepcopy
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from zhixin_schemas.document import read_document
from zhixin_schemas.editor_schema import editor_schema
from zhixin_schemas.header import SOURCE_OPTIONS
from zhixin_schemas.lint import lint

ROOT = Path(__file__).parents[2]
CONTRACTS = sorted(
    path
    for folder in ("schemas", "gateway", "tests/schemas/examples")
    for path in (ROOT / folder).rglob("*.odcs.yaml")
)
WHOLE = """\
apiVersion: v3.2.0
kind: DataContract
id: test.gov.example/things
version: 1.0.0
status: active
name: things
domain: trade
tenant: test
tags: [a, b]
description: {purpose: p, usage: u, limitations: l}
team: {name: somebody, members: [{username: x@test.example, role: owner}]}
roles: [{role: reader, access: read}]
price: {priceAmount: 9.95, priceCurrency: CNY, priceUnit: megabyte}
support: [{channel: help, url: "https://help.test.example"}]
slaProperties:
  - {property: retention, value: 2, unit: y}
  - property: latency
    value: 2
    unit: d
    element: things.at
    customProperties: [{property: zhixin.severity, value: critical}]
authoritativeDefinitions: [{type: law, url: "https://law.test.example"}]
customProperties: [{property: ours, value: 5}]
servers:
  - server: files
    type: custom
    customProperties:
      - {property: zhixin.null, value: [NA]}
      - {property: zhixin.delimiter, value: ;}
  - {server: lake, type: databricks, catalog: c, schema: s}
schema:
  - name: things
    physicalName: things.csv
    logicalType: object
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
        logicalTypeOptions: {format: i32, minimum: 1, exclusiveMaximum: 99}
      - name: kind
        logicalType: string
        businessName: Kind
        synonyms: [{synonym: 种类, locale: zh}]
        enum: [{value: a}, {value: b, label: B}]
        logicalTypeOptions: {minLength: 1, maxLength: 5, pattern: "^[a-z]+$"}
      - name: holder
        logicalType: string
        classification: restricted
        customProperties: [{property: zhixin.treatment, value: {pseudonym: citizen}}]
      - name: price
        logicalType: number
        physicalType: decimal(10,2)
        required: true
        quality:
          - {type: library, metric: nullValues, mustBe: 0, severity: warning}
          - {metric: invalidValues, arguments: {validValues: [1, 2]}, mustBeLessThan: 5}
      - name: day
        logicalType: date
        logicalTypeOptions: {minimum: "2000-01-01"}
      - name: at
        logicalType: timestamp
        logicalTypeOptions: {timezone: true}
      - name: open
        logicalType: boolean
      - name: words
        logicalType: array
        items: {logicalType: string}
        logicalTypeOptions: {maxItems: 9}
      - name: where
        logicalType: object
        properties: [{name: x, logicalType: number}, {name: y, logicalType: number}]
      - name: code
        logicalType: string
        unique: true
        relationships:
          - to: faa.gov.example/airports.yaml#/schema/airports/properties/faa
            customProperties: [{property: zhixin.severity, value: warning}]
          - {to: things.kind, id: own}
    relationships:
      - from: [things.code, things.kind]
        to:
          - faa.gov.example/runways.yaml#/schema/runways/properties/airport
          - faa.gov.example/runways.yaml#/schema/runways/properties/name
    quality:
      - {name: grew, type: custom, engine: zhixin,
         implementation: {metric: rowCountChange, mustBeBetween: [-10, 50], unit: percent}}
      - {name: jumped, type: custom, engine: zhixin, severity: warning,
         implementation: {metric: failureRate, rule: r, mustNotJumpBy: 2, versions: 5}}
      - {name: r, type: custom, engine: zhixin, implementation: "price > 0"}
      - {type: text, description: for people}
      - {type: library, metric: rowCount, mustBeBetween: [0, 1000]}
      - name: fresh
        type: custom
        engine: zhixin
        severity: warning
        implementation: {metric: freshness, field: at, hours: 48}
"""


def plain(value):
    """Numbers as JSON has them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


def document(text):
    return plain(read_document(text if isinstance(text, bytes) else text.encode()).value)


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(json.dumps(editor_schema()))
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def problems(content):
    return lint(yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode())


def test_the_draft_is_one_that_editors_read():
    text = json.dumps(editor_schema())
    assert "draft-07" in text
    assert "unevaluated" not in text
    assert "$defs" not in text


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.name)
def test_takes_every_contract_of_ours(validator, path):
    assert list(validator.iter_errors(document(path.read_bytes()))) == []


def test_takes_a_contract_with_everything(validator):
    content = document(WHOLE)
    assert lint(WHOLE.encode()) == []
    assert [error.message for error in validator.iter_errors(content)] == []


def test_tells_of_every_key_what_it_means(validator):
    """Completion shows a description for all that Zhixin adds or narrows."""
    definitions = validator.schema["definitions"]
    server = definitions["SourceServer"]["properties"]["customProperties"]["items"]
    named = {
        each["const"]: each["description"]
        for each in server["properties"]["property"]["anyOf"]
        if "const" in each
    }
    assert set(named) == {f"zhixin.{name}" for name in (*SOURCE_OPTIONS, "sql")}
    assert all(named.values()), named
    for holder in ("Field", "Object", "SourceServer"):
        for name, part in definitions[holder]["properties"].items():
            said = part.get("description") or "$ref" in part or part.get("items")
            assert said or part.get("allOf"), (holder, name)


_FIELD = ("schema", 0, "properties")
REFUSED = [
    # (where, what stands there instead; DELETE: nothing does)
    (("apiVersion",), "v2.2.2"), (("kind",), "Contract"), (("id",), "things"), (("id",), "DELETE"),
    (("version",), "1.0"), (("version",), 1.0), (("statuss",), "active"), (("tags",), [1]),
    (("description", "purposes"), "x"), (("team", "lead"), "x"), (("servers",), []),
    (("servers",), "DELETE"), (("servers", 0, "type"), "postgres"),
    (("servers", 0, "host"), "db.example"), (("servers", 0, "server"), "a/b"),
    (("servers", 1, "host"), "db.example"), (("schema",), []),
    (("servers", 0, "customProperties", 0, "property"), "zhixin.nul"),
    (("servers", 0, "customProperties", 0, "value"), "NA"),
    (("servers", 0, "customProperties", 1, "value"), ";;;"),
    (("customProperties", 0, "property"), "zhixin.null"),
    (("schema", 0, "properties"), []), (("schema", 0, "physicalName"), 5),
    ((*_FIELD, 0, "requried"), True), ((*_FIELD, 0, "required"), "NO"),
    ((*_FIELD, 0, "isUnique"), True), ((*_FIELD, 0, "name"), "DELETE"),
    ((*_FIELD, 0, "name"), ""), ((*_FIELD, 0, "logicalType"), "DELETE"),
    ((*_FIELD, 0, "logicalType"), "int"), ((*_FIELD, 0, "logicalType"), "map"),
    ((*_FIELD, 0, "logicalTypeOptions", "format"), "i128"),
    ((*_FIELD, 0, "logicalTypeOptions", "minimum"), "1"),
    ((*_FIELD, 0, "logicalTypeOptions", "exclusiveMinimum"), 0),
    ((*_FIELD, 0, "logicalTypeOptions", "maxLength"), 5),
    ((*_FIELD, 0, "logicalTypeOptions", "multipleOf"), 0.5),
    ((*_FIELD, 0, "minimum"), 1), ((*_FIELD, 1, "enum"), ["a"]), ((*_FIELD, 1, "enum"), []),
    ((*_FIELD, 1, "logicalTypeOptions", "maxlength"), 5),
    ((*_FIELD, 1, "logicalTypeOptions", "pattern"), "[a-z]"),
    ((*_FIELD, 1, "logicalTypeOptions", "pattern"), r"^\d+$"),
    ((*_FIELD, 1, "logicalTypeOptions", "format"), "email"),
    ((*_FIELD, 2, "customProperties", 0, "value"), {"pseudonym": "Citizen"}),
    ((*_FIELD, 2, "customProperties", 0, "value"), {"hash": "x"}),
    ((*_FIELD, 3, "quality", 0, "metric"), "nulls"),
    ((*_FIELD, 3, "quality", 0, "metric"), "rowCount"),
    ((*_FIELD, 3, "quality", 0, "mustBe"), "0"), ((*_FIELD, 3, "quality", 0, "mustBe"), "DELETE"),
    ((*_FIELD, 3, "quality", 0, "mustNotBe"), 1),
    ((*_FIELD, 3, "quality", 0, "severity"), "high"), ((*_FIELD, 3, "quality", 0, "type"), "sql"),
    ((*_FIELD, 4, "logicalTypeOptions", "minimum"), 2000),
    ((*_FIELD, 4, "logicalTypeOptions", "format"), "yyyy年M月d日"),
    ((*_FIELD, 5, "logicalTypeOptions", "defaultTimezone"), "Asia/Shanghai"),
    ((*_FIELD, 6, "logicalTypeOptions"), {"minimum": 1}), ((*_FIELD, 6, "items"), {}),
    ((*_FIELD, 7, "items"), "DELETE"), ((*_FIELD, 7, "items", "required"), True),
    ((*_FIELD, 7, "items", "logicalTypeOptions"), {"minLength": 1}),
    ((*_FIELD, 7, "logicalTypeOptions", "uniqueItems"), True),
    ((*_FIELD, 8, "properties"), "DELETE"), ((*_FIELD, 8, "properties", 0, "unique"), True),
    ((*_FIELD, 9, "relationships", 0, "to"), "airports.csv#faa"),
    ((*_FIELD, 9, "relationships", 0, "from"), "things.code"),
    ((*_FIELD, 9, "relationships", 0, "customProperties", 0, "value"), "low"),
    (("schema", 0, "quality", 2, "engine"), "soda"), (("schema", 0, "quality", 2, "mustBe"), 0),
    (("schema", 0, "quality", 3, "metric"), "rowCount"),
    ((*_FIELD, 3, "quality", 0, "implementation"), "price > 0"),
    (("schema", 0, "quality", 2, "implementation"), "DELETE"),
    (("schema", 0, "quality", 4, "metric"), "nullValues"),
    (("schema", 0, "quality", 5, "implementation", "metric"), "fresh"),
    (("schema", 0, "quality", 5, "implementation", "hour"), 5),
    (("schema", 0, "quality", 4, "mustBeBetween"), [1]),
]  # fmt: skip


def changed(content, path, value):
    """Give the content with another value in one place."""
    content = deepcopy(content)
    holder = content
    for step in path[:-1]:
        holder = holder[step]
    if value == "DELETE":
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return content


@pytest.mark.parametrize(("path", "value"), REFUSED, ids=str)
def test_refuses_what_lint_refuses(validator, path, value):
    content = changed(document(WHOLE), path, value)
    assert problems(content), "lint takes it"
    assert list(validator.iter_errors(content)), "the schema takes it"


def places(content, path=()):
    """Go through all places of a document."""
    if path:
        yield path
    if isinstance(content, dict):
        for key in content:
            yield from places(content[key], (*path, key))
    elif isinstance(content, list):
        for at, item in enumerate(content):
            yield from places(item, (*path, at))


_VALUES = st.sampled_from(
    [None, True, False, 0, 1, 5, -1, 0.5, "", "x", "a", "NO", "1.0.0", "2000-01-01", "date", [], {},
     [1, 2], ["a"], [{"value": "a"}], {"x": 1}, "string", "error", "warning", "critical", "custom",
     "text", "^[a-z]$", "decimal(5,2)", "u64", {"logicalType": "string"}, "things.t", "DELETE",
     "integer", "time", "timestamp", "number", "boolean", "binary", "unsigned", [{"a": 1}]]
)  # fmt: skip
_KEYS = st.sampled_from(
    ["required", "unique", "enum", "description", "quality", "tags", "examples", "severity", "unit",
     "format", "timezone", "minimum", "maximum", "pattern", "id", "items", "properties", "name",
     "multipleOf", "minLength", "relationships", "customProperties", "context", "deprecated",
     "physicalName", "physicalType", "primaryKey", "primaryKeyPosition", "metric", "arguments",
     "mustBe", "classification", "partitioned", "environment", "schema", "rule", "type", "vendor"]
)  # fmt: skip


def holder_of(content, path):
    for step in path[:-1]:
        content = content[step]
    return content


@settings(deadline=None, max_examples=60)
@given(st.randoms(use_true_random=False), st.lists(st.tuples(_KEYS, _VALUES), max_size=2))
def test_refuses_nothing_that_lint_takes(validator, chance, changes):
    content = document(WHOLE)
    for key, value in changes:
        path = chance.choice(list(places(content)))
        if isinstance(holder_of(content, path), dict) and chance.random() < 0.5:
            path = (*path[:-1], key)
        there = path in set(places(content))
        content = changed(content, path, value) if there or value != "DELETE" else content
    if not problems(content):
        assert [(list(e.absolute_path), e.message) for e in validator.iter_errors(content)] == []
