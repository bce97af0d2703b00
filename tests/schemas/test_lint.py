"""Every refusal of lint, with its place, and the advice."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import ConfigError, ContractError
from zhixin_schemas.lint import advice, lint
from zhixin_schemas.loader import load_contract, load_contract_file

_ID = "name: id, logicalType: integer, primaryKey: true"
_TEXT = "name: t, logicalType: string"


def said(text):
    return [str(problem) for problem in lint(text.encode())]


def check(text, where, says):
    found = said(text)
    assert any(where in problem and says in problem for problem in found), found


def test_a_sound_contract_has_no_problems(contract_text):
    assert said(contract_text(_ID, _TEXT)) == []


def test_problems_carry_line_and_path(contract_text):
    text = contract_text(_ID, _TEXT + ", requried: true")
    (problem,) = lint(text.encode())
    assert problem.path == "schema[0].properties[1].requried"
    assert text.splitlines()[problem.line - 1].endswith("requried: true}")
    assert problem.to_json() == {
        "line": 15,
        "column": 40,
        "path": problem.path,
        "message": 'unknown key; did you mean "required"?',
    }


HEADERS = [
    # (what to replace, by what, where, what it says)
    ("id: test.gov.example/things", "id: things", "id:", "member/dataset"),
    ("id: test.gov.example/things", "id: Test.gov.example/things", "id:", "lowercase"),
    ("id: test.gov.example/things", "id: gov/things", "id:", "member/dataset"),
    ("id: test.gov.example/things", "id: test.gov.example/Things_1", "id:", "member/dataset"),
    ("id: test.gov.example/things\n", "", "contract:", 'the key "id" is missing'),
    ("version: 1.0.0", "version: 1.0", "version:", "a text is wanted, this is a number"),
    ("version: 1.0.0", "version: '1.0'", "version:", "major.minor.patch"),
    ("version: 1.0.0", "version: 01.0.0", "version:", "major.minor.patch"),
    ("version: 1.0.0", "version: 1.0.0-rc1", "version:", "major.minor.patch"),
    ("apiVersion: v3.2.0", "apiVersion: v2.2.2", "apiVersion:", "reads v3.1.0 and v3.2.0"),
    ("apiVersion: v3.2.0", "apiVersion: 3.2.0", "apiVersion:", "not one of"),
    ("apiVersion: v3.2.0", "apiVersion: v3.0.2", "apiVersion:", "in v3.1.0 too: write that"),
    ("kind: DataContract", "kind: Contract", "kind:", 'did you mean "DataContract"'),
    ("status: active", "statuss: active", "statuss:", 'did you mean "status"'),
    ("status: active", "status: [active]", "status:", "a text is wanted, this is a list"),
    ("status: active", "status:", "status:", "a text is wanted, this is empty"),
    ("status: active", "description: {purposes: x}", "description.purposes", 'mean "purpose"'),
    ("status: active", "team: {name: x, lead: y}", "team.lead", "unknown key"),
    ("status: active", "tags: [1]", "tags[0]", "a text is wanted"),
    (
        "status: active",
        "customProperties: [{property: password, value: x}]",
        "customProperties[0].property",
        "looks like a credential",
    ),
    (
        "status: active",
        "description: {usage: 'see postgresql://me:secret@db/x'}",
        "description.usage",
        "an address with a user or password",
    ),
    (
        "status: active",
        "customProperties: [{property: zhixin.null, value: [NA]}]",
        "customProperties[0].property",
        "no meaning here",
    ),
    (
        "status: active",
        "customProperties: [{property: zhixin.nul, value: [NA]}]",
        "customProperties[0].property",
        'did you mean "zhixin.null"',
    ),
]


@pytest.mark.parametrize(("old", "new", "where", "says"), HEADERS)
def test_refuses_a_header(contract_text, old, new, where, says):
    text = contract_text(_ID, _TEXT)
    assert old in text
    check(text.replace(old, new), where, says)


SERVERS = [
    ("[]", "servers", "servers is missing"),
    ("[{server: files, type: postgres, host: db, port: 5432, database: x, schema: y}]",
     "servers[0].type", "type custom; whether the source is a postgres"),
    ("[{server: files, type: postgres, host: db, port: 5432, database: x, schema: y}]",
     "servers[0].host", "leave out host, port, database: contracts travel"),
    ("[{server: files, type: custm}]", "servers[0].type", 'did you mean "custom"'),
    ("[{server: files, type: custom, delimiter: ;}]", "servers[0].delimiter", "zhixin.delimiter"),
    ("[{server: files, type: custom, path: a.csv}]", "servers[0].path", "as physicalName"),
    ("[{server: files, type: custom, nviroment: x}]", "servers[0].nviroment", '"environment"'),
    ("[{server: files, type: custom}, {server: b, type: kafka, format: json, topic: x}]",
     "servers[1].topic", "unknown key"),
    ("[{server: files, type: custom}, {server: b, type: iceberg, warehouse: 's3://x/y'}]",
     "servers[1].warehouse", "contracts travel"),
    ("[{server: files, type: custom, host: db.example}]", "servers[0].host", "zhixin.toml"),
    ("[{server: files, type: custom, location: 's3://x'}]", "servers[0].location", "zhixin.toml"),
    ("[{server: files, type: custom}, {server: b, type: custom, host: h}]",
     "servers[1].host", "zhixin.toml"),
    ("[{server: a/b, type: custom}]", "servers[0].server", "letters, digits"),
    ("[{type: custom}]", "servers[0]", 'the key "server" is missing'),
    ("[{server: zhixin, type: custom}]", "servers[0]", "its SQL in zhixin.sql"),
    ("[{server: files, type: custom, customProperties: [{property: zhixin.sql, value: SELECT 1}]}]",
     "servers[0]", "its SQL in zhixin.sql"),
    *(
        (
            "[{server: files, type: custom, customProperties: "
            f"[{{property: zhixin.{name}, value: {value}}}]}}]",
            "servers[0].customProperties[0].value",
            says,
        )
        for name, value, says in [
            ("null", "NA", "a list of texts"),
            ("null", "[1]", "a list of texts"),
            ("nullQuoted", "'true'", "true or false"),
            ("headerRows", "'2'", "whole number"),
            ("skipRows", "-1", "whole number"),
            ("sheet", "true", "whole number"),
            ("range", "A3", "range of cells"),
            ("dateFormat", "y-m-d", "form of dates"),
            ("delimiter", "';;'", "one ASCII character"),
            ("delimiter", "''", "is a text"),
            ("delimiter", "；", "one ASCII character"),
            ("encoding", "utf-9", "no encoding"),
            ("timezone", "Asia/Peking2", "no zone"),
            ("timezone", "8", "is a text"),
            ("binary", "octal", "base64 or hex"),
        ]
    ),
    ("[{server: files, type: custom, customProperties: [{property: zhixin.delimiters, value: x}]}]",
     "customProperties[0].property", 'did you mean "zhixin.delimiter"'),
    ("[{server: files, type: custom, customProperties: [{property: zhixin.null, value: [a]}, "
     "{property: zhixin.null, value: [b]}]}]", "customProperties[1]", "stands twice"),
    ("[{server: files, type: custom, customProperties: [{property: zhixin.severity, value: x}]}]",
     "customProperties[0].property", "no meaning here"),
]  # fmt: skip


@pytest.mark.parametrize(("servers", "where", "says"), SERVERS)
def test_refuses_a_server(contract_text, servers, where, says):
    text = contract_text(_ID, _TEXT)
    old = "servers:\n  - {server: files, type: custom}\n"
    assert old in text
    check(text.replace(old, f"servers: {servers}\n"), where, says)


@pytest.mark.parametrize(
    ("name", "where", "says"),
    [
        ("    physicalName: https://x.example/t.csv\n", "schema[0].physicalName", "an address"),
        ("    physicalName: /etc/passwd\n", "schema[0].physicalName", "stays below it"),
        ("    physicalName: a/../../b\n", "schema[0].physicalName", "stays below it"),
        ("    physicalName: ~/b\n", "schema[0].physicalName", "stays below it"),
    ],
)
def test_refuses_an_object(contract_text, name, where, says):
    text = contract_text(_ID, _TEXT).replace("    physicalName: things.csv\n", name)
    check(text, where, says)


def test_an_object_without_physical_name_has_its_own_in_the_source(contract_text):
    text = contract_text(_ID, _TEXT).replace("    physicalName: things.csv\n", "")
    assert load_contract(text.encode()).object == "things"


def test_further_servers_are_words_where_they_tell_no_address(contract_text):
    old = "  - {server: files, type: custom}\n"
    more = old + "  - {server: lake, type: databricks, catalog: main, schema: things}\n"
    more += "  - {server: dump, type: local, path: dumps/things.csv, format: csv}\n"
    text = contract_text(_ID, _TEXT).replace(old, more)
    assert said(text) == []
    assert load_contract(text.encode()).server == "files"


def test_the_fields_of_a_key_without_positions_stand_in_their_order(contract_of):
    a = "name: a, logicalType: string, primaryKey: true, required: false"
    contract = contract_of(a, "name: b, logicalType: date", _ID)
    assert contract.primary_key == ("a", "id")
    assert contract.fields[0].required


OTHER_FORMATS = [
    ("dataContractSpecification: 1.1.0\nid: x\ninfo: {title: x}\nmodels: {}\n",
     "1:1: dataContractSpecification: this is a file of the Data Contract Specification"),
    ("datasetDomain: seller\napiVersion: v2.2.2\nkind: DataContract\ndataset: []\n",
     "2:1: apiVersion: this is a file of ODCS v2.2.2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), OTHER_FORMATS)
def test_says_of_another_format_what_it_is_and_nothing_else(text, says):
    (found,) = said(text)
    assert found.startswith(says)
    assert "zhixin source infer" in found


def test_refuses_two_objects_and_none(contract_text):
    text = contract_text(_ID)
    check(text + "  - {name: other, physicalName: o, properties: []}\n", "schema", "exactly one")
    check(text[: text.index("schema:")] + "schema: []\n", "schema", "exactly one object, not 0")


FIELDS = [
    ("name: x", "properties[1]", "logicalType is missing"),
    ("logicalType: string", "properties[1]", 'the key "name" is missing'),
    ("name: '', logicalType: string", "properties[1].name", "not empty"),
    ("name: id, logicalType: string", "properties[1].name", 'two fields are named "id"'),
    ("name: 'zhixin:x', logicalType: string", "properties[1].name", "kept for the gateway"),
    ("name: x, logicalType: strin", "properties[1].logicalType", 'did you mean "string"'),
    ("name: x, logicalType: String", "properties[1].logicalType", 'did you mean "string"'),
    ("name: x, logicalType: datetime", "properties[1].logicalType", "it is timestamp"),
    (
        "name: x, logicalType: 'decimal(18,2)'",
        "properties[1].logicalType",
        "boolean; for a decimal(18,2) it is number, with physicalType decimal(p,s)",
    ),
    ("name: x, logicalType: vector, logicalTypeOptions: {dimensions: 3}",
     "properties[1].logicalType", "vector has no form"),
    ("name: x, logicalType: map, map: {key: {logicalType: string}, value: {logicalType: string}}",
     "properties[1].logicalType", "map has no form"),
    ("name: x, logicalType: string, physicalName: y", "[1].physicalName", "keeps its name"),
    ("name: x, logicalType: string, isUnique: true", "properties[1].isUnique", '"unique"'),
    ("name: x, logicalType: string, isNullable: true", "[1].isNullable", "required, which says"),
    ("name: x, type: string", "properties[1].type", "write logicalType"),
    ("name: x, logicalType: string, required: 'yes'", "properties[1].required", "true or false"),
    ("name: x, logicalType: string, required: NO", "properties[1].required", "true or false is"),
    ("name: x, logicalType: string, logicalTypeOptions: {maxlength: 5}",
     "logicalTypeOptions.maxlength", '"maxLength"'),
    ("name: x, logicalType: string, logicalTypeOptions: {minimum: 5}",
     "logicalTypeOptions.minimum", "unknown key"),
    ("name: x, logicalType: string, logicalTypeOptions: {format: email}",
     "logicalTypeOptions.format", "by a pattern"),
    ("name: x, logicalType: string, logicalTypeOptions: {minLength: 5, maxLength: 4}",
     "logicalTypeOptions", "minLength is above maxLength"),
    ("name: x, logicalType: string, items: {logicalType: string}",
     "properties[1].items", "does not belong"),
    ("name: x, logicalType: integer, logicalTypeOptions: {format: u128}",
     "logicalTypeOptions.format", "at most 64 bits"),
    ("name: x, logicalType: integer, logicalTypeOptions: {minimum: 5, maximum: 4}",
     "logicalTypeOptions", "no value lies in this range"),
    ("name: x, logicalType: integer, logicalTypeOptions: {minimum: 5, exclusiveMaximum: 5}",
     "logicalTypeOptions", "no value lies in this range"),
    ("name: x, logicalType: integer, logicalTypeOptions: {minimum: 0.2, maximum: 0.8}",
     "logicalTypeOptions", "no value of the field's type, integer, lies"),
    ("name: x, logicalType: integer, logicalTypeOptions: {format: u64, maximum: -1}",
     "logicalTypeOptions", "no value of the field's type, unsigned"),
    ("name: x, logicalType: number, physicalType: 'decimal(5,2)', logicalTypeOptions: "
     "{minimum: 1000}", "logicalTypeOptions", "decimal(5,2), lies"),
    ("name: x, logicalType: number, logicalTypeOptions: {minimum: 1e400}",
     "logicalTypeOptions.minimum", "beyond the greatest float"),
    ("name: x, logicalType: integer, enum: [{value: 1}, {value: 1.5}]", "enum[1].value",
     "integer, can be this"),
    ("name: x, logicalType: integer, logicalTypeOptions: {format: u64}, enum: [{value: -1}]",
     "enum[0].value", "unsigned, can be this"),
    ("name: x, logicalType: number, physicalType: 'decimal(5,2)', enum: [{value: 1.234}]",
     "enum[0].value", "decimal(5,2), can be this"),
    ("name: x, logicalType: string, quality: [{metric: nullValues, mustBeBetween: [5, 1]}]",
     "mustBeBetween", "the smaller number stands first"),
    ("name: x, logicalType: integer, logicalTypeOptions: {minimum: 5, exclusiveMinimum: 5}",
     "exclusiveMinimum", "one is enough"),
    ("name: x, logicalType: integer, logicalTypeOptions: {multipleOf: 0.5}",
     "multipleOf", "whole number"),
    ("name: x, logicalType: integer, logicalTypeOptions: {minimum: '5'}",
     "logicalTypeOptions.minimum", "a number is wanted"),
    ("name: x, logicalType: number, physicalType: 'decimal(39,2)'", "physicalType", "1 to 38"),
    ("name: x, logicalType: number, physicalType: 'decimal(5,6)'", "physicalType", "1 to 38"),
    ("name: x, logicalType: number, physicalType: 'decimal(5;2)'", "physicalType",
     "decimal(precision,scale)"),
    ("name: x, logicalType: date, logicalTypeOptions: {minimum: '2013-13-01'}",
     "logicalTypeOptions.minimum", "no date; write it as 2013-01-31"),
    ("name: x, logicalType: date, logicalTypeOptions: {format: 'yyyy年M月d日'}",
     "logicalTypeOptions.format", "ISO 8601"),
    ("name: x, logicalType: time, logicalTypeOptions: {timezone: true}",
     "logicalTypeOptions.timezone", "only a timestamp"),
    ("name: x, logicalType: timestamp, logicalTypeOptions: {minimum: '2013-01-01T00:00:00Z'}",
     "logicalTypeOptions.minimum", "no timestamp;"),
    ("name: x, logicalType: timestamp, logicalTypeOptions: {timezone: true, "
     "minimum: '2013-01-01T00:00:00'}", "logicalTypeOptions.minimum", "no timestamptz;"),
    ("name: x, logicalType: timestamp, logicalTypeOptions: {defaultTimezone: Asia/Shanghai}",
     "defaultTimezone", "no zone is guessed"),
    ("name: x, logicalType: array", "properties[1]", "says what it holds in items"),
    ("name: x, logicalType: object", "properties[1]", "says what it holds in properties"),
    ("name: x, logicalType: object, properties: [{name: a, logicalType: string}, "
     "{name: a, logicalType: string}]", "properties[1].properties[1].name", "two fields"),
    ("name: x, logicalType: object, properties: [{name: a, logicalType: string, required: true}]",
     "properties[0].required", "not inside arrays and objects"),
    ("name: x, logicalType: array, items: {logicalType: string, logicalTypeOptions: "
     "{minLength: 1}}",
     "items.logicalTypeOptions.minLength", "not inside arrays and objects"),
    ("name: x, logicalType: array, items: {logicalType: string}, "
     "logicalTypeOptions: {uniqueItems: true}", "uniqueItems", "nothing checks this"),
    ("name: x, logicalType: object, logicalTypeOptions: {minProperties: 1}, "
     "properties: [{name: a, logicalType: string}]", "minProperties", "nothing checks this"),
    ("name: x, logicalType: string, enum: [{value: a}, {value: a, label: b}]",
     "enum[1].value", "listed twice"),
    ("name: x, logicalType: string, enum: [{value: 5}]", "enum[0].value", "no value of this"),
    ("name: x, logicalType: string, enum: [a]", "enum[0]", "write {value: …}"),
    ("name: x, logicalType: string, logicalTypeOptions: {enum: [{value: a}]}",
     "logicalTypeOptions.enum", "beside logicalType"),
    ("name: x, logicalType: string, pattern: '^a$'", "pattern",
     "write logicalTypeOptions: {pattern: …}"),
    ("name: x, logicalType: integer, minimum: 1", "minimum",
     "write logicalTypeOptions: {minimum: …}"),
    ("name: x, logicalType: string, enum: []", "enum", "at least 1 item must stand here"),
    ("name: x, logicalType: string, logicalTypeOptions: {maxLength: -1}",
     "logicalTypeOptions.maxLength", "must be at least 0"),
    ("name: x, physicalType: VARCHAR(20)", "properties[1]", "for a VARCHAR(20) it is string"),
    ("name: x, logicalType: string, logicalTypeOptions: {format: uuid}",
     "logicalTypeOptions.format", "such as '^[0-9A-Fa-f]{8}"),
    ("name: x, logicalType: boolean, enum: [{value: 1}]", "enum[0].value", "no value of this"),
    ("name: x, logicalType: integer, enum: [{value: true}]", "enum[0].value", "no value of this"),
    ("name: x, logicalType: string, primaryKeyPosition: 2", "primaryKeyPosition",
     "without primaryKey"),
    ("name: x, logicalType: string, primaryKey: true, primaryKeyPosition: 2", "properties",
     "1, 2, 3"),
    ("name: x, logicalType: array, items: {logicalType: string}, primaryKey: true",
     "properties[1].primaryKey", "can't be part of the primary key"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "where", "says"), FIELDS)
def test_refuses_a_field(contract_text, field, where, says):
    check(contract_text(_ID, field), where, says)


def test_refuses_nesting_beyond_eight(contract_text):
    inner = "logicalType: string"
    for _ in range(4):
        inner = f"logicalType: object, properties: [{{name: x, {inner}}}]"
        inner = f"logicalType: array, items: {{{inner}}}"
    assert said(contract_text(_ID, f"name: x, {inner}")) == []
    check(
        contract_text(_ID, f"name: x, logicalType: array, items: {{{inner}}}"), "items", "at most 8"
    )


def test_refuses_an_enum_before_its_version(contract_text):
    text = contract_text(_ID, _TEXT + ", enum: [{value: a}]")
    assert said(text) == []
    check(text.replace("v3.2.0", "v3.1.0"), "enum", "came with apiVersion v3.2.0")


def test_refuses_a_dataset_without_fields(contract_text):
    check(contract_text().replace("    properties:\n", ""), "schema[0]", "at least one field")


RULES = [
    ("type: sql, query: SELECT 1, mustBe: 0", "quality[0]", "type sql are not run"),
    ("type: library, mustBe: 0", "quality[0]", "metric"),
    ("type: library, rule: rowCount, mustBe: 0", "quality[0].rule", "write metric"),
    ("type: text, description: d, mustBe: 0", "quality[0].mustBe", "a rule of type text"),
    ("type: custom, engine: zhixin, name: r, implementation: id > 3, mustBe: 0",
     "quality[0].mustBe", "a rule of type custom"),
    ("type: library, metric: nulls, mustBe: 0", "quality[0].metric", 'mean "nullValues"'),
    ("type: library, metric: rowCount", "quality[0]", "exactly one of mustBe, mustNotBe"),
    ("type: library, metric: rowCount, mustBe: 1, mustNotBe: 2", "quality[0]", "exactly one of"),
    ("type: library, metric: rowCount, mustBe: '1'", "quality[0].mustBe", "a number is wanted"),
    ("type: library, metric: rowCount, mustBeGreaterThan: '1'", "quality[0].mustBeGreaterThan",
     "a number is wanted"),
    ("type: library, metric: rowCount, mustBe: 1, severity: error", "severity",
     "critical or warning"),
    ("type: library, metric: rowCount, mustBe: 1, severity: high", "severity",
     "error, warning or critical"),
    ("type: library, metric: rowCount, mustBe: 1, arguments: {x: 1}", "arguments.x",
     "unknown argument"),
    ("type: library, metric: nullValues, mustBe: 0", "quality[0]", "under that property"),
    ("type: library, metric: duplicateValues, mustBe: 0", "quality[0]", "arguments.properties"),
    ("type: library, metric: duplicateValues, mustBe: 0, arguments: {properties: [tt]}",
     "arguments.properties[0]", 'no field; did you mean "t"'),
    ("type: library, metric: duplicateValues, mustBe: 1, arguments: {properties: [t]}",
     "quality[0]", "mustBe: 0 only"),
    ("type: custom, engine: '', implementation: x", "quality[0].engine", "zhixin or great"),
    ("type: custom, engine: soda, implementation: x", "quality[0].engine", "zhixin or great"),
    ("type: custom, engine: zhixin", "quality[0]", '"implementation" is missing'),
    ("type: custom, engine: zhixin, implementation: t = 'x'", "quality[0]", "has a name"),
    ("type: custom, engine: zhixin, name: r, implementation: t =", "implementation",
     "does not parse"),
    ("type: custom, engine: zhixin, name: r, implementation: u = 'x'", "implementation",
     '"u" is no field'),
    ("type: custom, engine: zhixin, name: r, implementation: id = 'x'", "implementation",
     "compares an exact number with string"),
    ("type: custom, engine: zhixin, name: r, implementation: lower(t) = 'x'", "implementation",
     "is not admitted"),
    ("type: custom, engine: zhixin, name: r, implementation: id + 1", "implementation",
     "not true or false"),
    ("type: custom, engine: zhixin, implementation: {metric: freshness, field: t, hours: 4}",
     "implementation", "freshness has field"),
    ("type: custom, engine: zhixin, implementation: {metric: fresh}", "implementation",
     'metric freshness, rejectedRows, rowCountChange, rejectRate, failureRate; did you mean'),
    ("type: custom, engine: zhixin, implementation: {metric: freshness, field: t, hours: -4}",
     "implementation", "freshness has field"),
    ("type: custom, engine: zhixin, implementation: {metric: rowCountChange}", "implementation",
     "exactly one of"),
    ("type: custom, engine: zhixin, implementation: {metric: rejectRate}", "implementation",
     "mustNotJumpBy, percentage points"),
    ("type: custom, engine: zhixin, implementation: {metric: rejectRate, mustNotJumpBy: 1, "
     "versions: 0}", "implementation.versions", "from 1 to 100"),
    ("type: custom, engine: zhixin, implementation: {metric: rejectRate, mustNotJumpBy: 1, "
     "rule: id.required}", "implementation", "unknown argument"),
    ("type: custom, engine: zhixin, implementation: {metric: failureRate, mustNotJumpBy: 1}",
     "implementation", "failureRate names a rule"),
    ("type: custom, engine: zhixin, implementation: {metric: failureRate, mustNotJumpBy: 1, "
     "rule: id.requird}", "implementation.rule", 'did you mean "id.required"'),
    ("type: custom, engine: zhixin, implementation: {metric: rejectedRows}", "implementation",
     "exactly one of"),
    ("type: custom, engine: zhixin, implementation: {metric: rejectedRows, mustBe: 0, unit: kg}",
     "implementation.unit", "rows or percent"),
    ("type: custom, engine: zhixin, implementation: {metric: rejectedRows, mustBe: 0, unit: 5}",
     "implementation.unit", "rows or percent"),
    ("type: custom, engine: zhixin, implementation: {metric: rejectRate, mustNotJumpBy: 2, "
     "versions: '5'}", "implementation.versions", "a whole number"),
    ("type: custom, engine: greatExpectations, name: g, implementation: {expectation: drop}",
     "implementation", "wanted: {expectation"),
    ("type: custom, engine: greatExpectations, implementation: {expectation: expect_x, "
     "arguments: {}}", "quality[0]", "has a name"),
    ("type: custom, engine: greatExpectations, name: g, implementation: {expectation: expect_x, "
     "args: {}}", "implementation.args", "unknown argument"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "where", "says"), RULES)
def test_refuses_a_rule_of_the_object(contract_text, entry, where, says):
    check(contract_text(_ID, _TEXT, quality=[entry]), where, says)


FIELD_RULES = [
    ("metric: rowCount, mustBe: 1", "quality[0]", "put it under the schema object"),
    ("metric: invalidValues, mustBe: 0", "quality[0]", "validValues or pattern"),
    ("metric: invalidValues, mustBe: 0, arguments: {validValue: [a]}", "arguments.validValue",
     'did you mean "validValues"'),
    ("metric: invalidValues, mustBe: 0, arguments: {validValues: []}", "arguments.validValues",
     "a list of allowed values"),
    ("metric: invalidValues, mustBe: 0, arguments: {validValues: [1]}", "validValues[0]",
     "no value of this field's type"),
    ("metric: invalidValues, mustBe: 0, arguments: {pattern: '[0-9]'}", "arguments.pattern",
     "anchored"),
    ("metric: nullValues, mustBeLessThan: 5, unit: kilo", "quality[0].unit", "rows or percent"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "where", "says"), FIELD_RULES)
def test_refuses_a_rule_of_a_field(contract_text, entry, where, says):
    check(contract_text(_ID, f"{_TEXT}, quality: [{{{entry}}}]"), where, says)


def test_takes_an_expectation_as_great_expectations_writes_it(contract_of):
    ours = "{expectation: expect_column_values_to_not_be_null, arguments: {column: t}}"
    theirs = "{type: expect_column_values_to_not_be_null, kwargs: {column: t}, meta: {by: x}}"
    entry = "type: custom, engine: greatExpectations, name: known, implementation: "
    found = [contract_of(_ID, _TEXT, quality=[entry + form]).rules for form in (ours, theirs)]
    assert found[0] == found[1]


def test_refuses_two_rules_of_one_name(contract_text):
    entry = "type: custom, engine: zhixin, name: t.required, implementation: t = 'x'"
    text = contract_text(_ID, _TEXT + ", required: true", quality=[entry])
    check(text, "quality[0]", 'two rules are named "t.required"')


RELATIONS = [
    ("to: other.id", "relationships[0].to", "points to another dataset"),
    ("to: https://h.example/a.yaml#/schema/a/properties/b", "relationships[0].to", "points to"),
    ("to: 'faa/airports.yaml#/schema/a/properties/b'", "relationships[0].to", "points to"),
    ("from: t, to: faa.gov.example/airports.yaml#/schema/a/properties/b", "relationships[0]",
     "must not stand here"),
    ("to: '!!'", "relationships[0].to", "points to another dataset"),
    ("to: faa.gov.example/airports.yaml#/schema/a/properties/b, customProperties: "
     "[{property: zhixin.severity, value: low}]", "customProperties[0].value", "error, warning"),
    ("to: faa.gov.example/airports.yaml#/schema/a/properties/b, customProperties: "
     "[{property: zhixin.null, value: low}]", "customProperties[0].property", "no meaning here"),
]  # fmt: skip


@pytest.mark.parametrize(("relation", "where", "says"), RELATIONS)
def test_refuses_a_relationship(contract_text, relation, where, says):
    check(contract_text(_ID, f"{_TEXT}, relationships: [{{{relation}}}]"), where, says)


def test_takes_a_relationship_at_either_level(contract_of):
    to = "to: faa.gov.example/airports.yaml#/schema/airports/properties/faa"
    severity = "customProperties: [{property: zhixin.severity, value: warning}]"
    one = contract_of(_ID, f"{_TEXT}, relationships: [{{{to}, {severity}}}, {{{to}, id: twice}}]")
    assert [(r.rule, r.severity) for r in one.relationships] == [
        ("t.reference", "warning"),
        ("twice", "error"),
    ]
    other = contract_of(_ID, _TEXT, relationships=[f"from: things.t, {to}"])
    (found,) = other.relationships
    assert (found.fields, found.dataset, found.targets) == (
        ("t",), "faa.gov.example/airports", ("faa",),
    )  # fmt: skip


_A = "faa.gov.example/a.yaml#/schema/a/properties"


def test_takes_a_relationship_of_several_fields_and_one_within_the_dataset(contract_of):
    several = f"from: [things.t, things.id], to: ['{_A}/a', '{_A}/b']"
    within = "from: schema/things/properties/up, to: things.id, id: tree"
    contract = contract_of(
        _ID, _TEXT, "name: up, logicalType: integer", relationships=[several, within]
    )
    assert [(r.rule, r.fields, r.dataset, r.targets) for r in contract.relationships] == [
        ("t-id.reference", ("t", "id"), "faa.gov.example/a", ("a", "b")),
        ("tree", ("up",), "test.gov.example/things", ("id",)),
    ]
    assert contract.rules[-1].message == "up must stand in id of this dataset"


SEVERAL = [
    (f"from: things.x, to: '{_A}/a'", "from", "no field of this contract"),
    (f"from: other.t, to: '{_A}/a'", "from", "write things.<field>"),
    (f"from: [things.t, things.id], to: ['{_A}/a']", "to", "as many fields as in from"),
    (f"from: [things.t, things.id], to: ['{_A}/a', '{_A.replace('/a.', '/b.')}/b']", "to",
     "all of one dataset"),
    ("from: things.t, to: things.x", "to", "no field of this contract"),
    ("from: things.t, to: things.id", "to", "the same type and treatment"),
    ("from: things.t, to: test.gov.example/things.yaml#/schema/a/properties/no", "to",
     "this dataset has no field no"),
]  # fmt: skip


@pytest.mark.parametrize(("relation", "where", "says"), SEVERAL)
def test_refuses_a_relationship_of_several_fields(contract_text, relation, where, says):
    text = contract_text(_ID, _TEXT, relationships=[relation])
    check(text, f"relationships[0].{where}", says)


DERIVED = [
    ("SELEC 1", "does not parse"),
    ("SELECT 1; SELECT 2", "one statement"),
    ("DROP TABLE x", "is a SELECT"),
    ("SELECT 1 AS id", "reads no dataset"),
    ("SELECT * FROM flights", '"flights" is no dataset'),
    ('SELECT * FROM bts."gov.example/flights"', "is no dataset"),
    ("SELECT * FROM read_csv('x.csv')", "is no dataset"),
    ("SELECT * FROM 'x.parquet'", "is no dataset"),
    ('SELECT now() AS n FROM "a.example/b"', "other answers each time"),
    ('SELECT random() AS n FROM "a.example/b"', "other answers each time"),
    ('SELECT current_date AS n FROM "a.example/b"', "other answers each time"),
    ('SELECT read_text(t) AS n FROM "a.example/b"', "no verified dataset"),
    ('SELECT * FROM "test.gov.example/things"', "not made from itself"),
]


def derived(contract_text, sql):
    text = contract_text(_ID, _TEXT)
    server = (
        "  - server: zhixin\n    type: custom\n    customProperties:\n"
        f"      - property: zhixin.sql\n        value: |\n          {sql}\n"
    )
    return text.replace("  - {server: files, type: custom}\n", server)


@pytest.mark.parametrize(("sql", "says"), DERIVED)
def test_refuses_sql(contract_text, sql, says):
    check(derived(contract_text, sql), "servers[0].customProperties[0].value", says)


def test_reads_the_inputs_of_sql(contract_text):
    sql = (
        'WITH x AS (SELECT * FROM "b.example/two") SELECT * FROM "a.example/one" AS o '
        "JOIN x USING (id) WHERE id IN (SELECT id FROM \"b.example/two\") AND 'now' <> 'later'"
    )
    contract = load_contract(derived(contract_text, sql).encode())
    assert contract.inputs == ("a.example/one", "b.example/two")
    assert contract.derived
    assert contract.sql == sql + "\n"
    assert contract.options == {}


def test_lists_every_problem_at_once(contract_text):
    text = contract_text(_ID + ", requried: true", _TEXT + ", isUnique: true")
    with pytest.raises(ContractError) as caught:
        load_contract(text.encode(), "x.yaml")
    assert "x.yaml:14:60: schema[0].properties[0].requried: unknown key" in str(caught.value)
    assert "(and 1 more)" in str(caught.value)
    assert [p["path"].rpartition(".")[2] for p in caught.value.details["problems"]] == [
        "requried",
        "isUnique",
    ]


def test_refuses_what_is_no_contract(tmp_path):
    assert "a mapping of keys" in said("- a\n")[0]
    assert "1 MiB" in said("#" * (1 << 20) + "\n")[0]
    with pytest.raises(ConfigError) as caught:
        load_contract_file(tmp_path / "none.yaml")
    assert caught.value.code == "contract-missing"


def test_advises_on_nulls_keys_and_owners(contract_text):
    text = contract_text(
        "name: a, logicalType: integer",
        "name: b, logicalType: integer, required: true",
        quality=[
            "type: custom, engine: zhixin, name: r, implementation: a < b",
            "type: custom, engine: zhixin, name: s, implementation: a IS NULL OR a < b",
        ],
    )
    text = text.replace("team: {name: somebody}\n", "").replace("status: active\n", "")
    found = [str(item) for item in advice(text.encode())]
    assert sum("a null in a makes" in item for item in found) == 1
    for words in ("without a primary key", "no owner", "no status"):
        assert any(words in item for item in found), words
    assert advice(b"- a\n") == []


def test_advises_on_names_that_differ_by_capitals(contract_text):
    found = [
        str(item)
        for item in advice(contract_text(_ID, _TEXT, "name: T, logicalType: date").encode())
    ]
    assert any('properties[2].name: differs from "t"' in item for item in found)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_lint_never_raises_on_a_damaged_contract(contract_text, data):
    text = contract_text(
        _ID,
        _TEXT + ", logicalTypeOptions: {pattern: '^[a-z]+$'}, enum: [{value: a}]",
        quality=["type: custom, engine: zhixin, name: r, implementation: id > 3"],
    )
    lines = text.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["drop", "cut", "swap", "word"]))
    if how == "drop":
        lines.pop(at)
    elif how == "cut":
        lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
    elif how == "swap":
        lines[at] = lines[data.draw(st.integers(0, len(lines) - 1))]
    else:
        word = data.draw(st.sampled_from(["[]", "{}", "~", "5", "true", "x", "[{}]", "{a: []}"]))
        lines[at] = lines[at].split(":")[0] + ": " + word
    lint("\n".join(lines).encode())


@pytest.mark.parametrize(
    ("agreement", "says"),
    [
        ("value: 2, unit: d, element: things.day",
         'is the rule "sla.latency" (warning): the newest day must be at most 48 hours old'),
        ("value: 2, unit: d", "nothing checks this"),
    ],
)  # fmt: skip
def test_advises_what_a_service_level_has_become(contract_text, agreement, says):
    text = contract_text(_ID, "name: day, logicalType: date")
    told = f"slaProperties: [{{property: latency, {agreement}}}]\nservers:"
    found = [str(p) for p in advice(text.replace("servers:", told, 1).encode())]
    assert any("slaProperties[0]" in each and says in each for each in found), found
