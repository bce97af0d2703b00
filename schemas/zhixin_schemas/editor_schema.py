"""The JSON schema by which an editor completes and checks a contract while it is written.

It is ODCS's own schema narrowed to what :mod:`zhixin_schemas.loader` takes, flattened to draft 7,
which VS Code's YAML extension reads in full (it knows no ``unevaluatedProperties``)::

    # yaml-language-server: $schema=contract.schema.json
    apiVersion: v3.2.0

Whatever the loader takes, the schema takes. The other way it goes as far as a JSON schema can: that
names differ, that a bound has its field's type, that an expression names fields, only lint says.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from zhixin_schemas.editor_values import (
    CLEAR,
    SEVERITY,
    SOURCE_VALUES,
    TREATMENTS,
)
from zhixin_schemas.fields import INTEGER_FORMATS, ISO_FORMS
from zhixin_schemas.header import (
    ADDRESS_KEYS,
    DATASET_PATTERN,
    SOURCE_OPTIONS,
    SOURCE_PATTERN,
    VERSION_PATTERN,
)
from zhixin_schemas.odcs import API_VERSIONS, SERVER_KEYS, server_types, standard
from zhixin_schemas.quality_rules import OPERATORS, WHOLE
from zhixin_schemas.rules import SEVERITIES

__all__ = ["editor_schema"]

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_TYPES = ("boolean", "string", "integer", "number", "date", "time", "timestamp", "array", "object")
_ELSEWHERE = (
    "[a-z0-9-]+([.][a-z0-9-]+)+/[a-z][a-z0-9-]{0,62}[.]ya?ml"
    "#/schema/[A-Za-z0-9_-]+/properties/[A-Za-z0-9_-]+"
)
_HERE = "([A-Za-z0-9_-]+[.]|#?/?schema/[A-Za-z0-9_-]+/properties/)[A-Za-z0-9_-]+"
_LATER = {"map", "key", "value"}
"""Keys of properties that no dataset has a form for."""


def editor_schema() -> Schema:
    """Give the JSON schema, draft 7, of the contracts that the loader takes."""
    root = _closed(_standard_properties(standard()))
    root["properties"] |= {
        "apiVersion": _described(root, "apiVersion", {"enum": list(API_VERSIONS)}),
        "id": {
            "type": "string",
            "pattern": f"^{DATASET_PATTERN}$",
            "description": "The dataset's name, member/dataset, such as bts.gov.example/flights.",
        },
        "version": {
            "type": "string",
            "pattern": f"^{VERSION_PATTERN}$",
            "description": "major.minor.patch in quotes or as it is, such as 1.0.0; only rises.",
        },
        "servers": {
            "type": "array",
            "description": "The first names the source of the records; others are for people.",
            "minItems": 1,
            "items": [_ref("SourceServer")],
            "additionalItems": _ref("OtherServer"),
        },
        "schema": {
            "type": "array",
            "description": "Exactly one object: one contract is one dataset.",
            "minItems": 1,
            "maxItems": 1,
            "items": _ref("Object"),
        },
    }
    root["properties"]["description"]["additionalProperties"] = False
    return {
        "$schema": _DRAFT,
        "title": "Contract of Zhixin",
        "description": "What a dataset promises: ODCS v3.1.0 or v3.2.0 as Zhixin takes it.",
        **root,
        "required": ["apiVersion", "kind", "id", "version", "servers", "schema"],
        "definitions": _definitions(),
    }


def _definitions() -> Schema:
    definitions = {
        name: _draft7(definition)
        for name, definition in standard()["$defs"].items()
        if name not in _REPLACED
    }
    definitions["CustomProperty"]["properties"]["property"]["pattern"] = r"^(?!zhixin\.)"
    agreed = definitions["ServiceLevelAgreementProperty"]["properties"]
    agreed["customProperties"] = _custom_properties(SEVERITY)
    definitions |= {
        "SourceServer": _source_server(),
        "OtherServer": _other_server(),
        "Object": _object(),
        "Field": _field(),
        "InnerField": _inner_field(named=True),
        "InnerItem": _inner_field(named=False),
        "FieldQuality": _quality(of_field=True),
        "ObjectQuality": _quality(of_field=False),
        "FieldRelationship": _relationship(of_field=True),
        "ObjectRelationship": _relationship(of_field=False),
    }
    return definitions


_REPLACED = {
    "Server", "ServerSource", "SchemaElement", "SchemaObject", "SchemaBaseProperty",
    "SchemaProperty", "SchemaItemProperty", "DataQuality", "DataQualityChecks",
    "DataQualityOperators", "DataQualityLibrary", "DataQualitySql", "DataQualityCustom", "Port",
    "RelationshipBase", "RelationshipSchemaLevel", "RelationshipPropertyLevel", "Relationship",
    "ShorthandReference", "FullyQualifiedReference",
}  # fmt: skip


# ---- servers


def _source_server() -> Schema:
    server = _closed(_standard_properties(standard()["$defs"]["Server"]), SERVER_KEYS)
    server["properties"] |= {
        "type": {"const": "custom", "description": "Always custom: what it is stands in its url."},
        "server": {
            "type": "string",
            "pattern": f"^{SOURCE_PATTERN}$",
            "description": "Name of the source: its address is url in [sources.<name>] of "
            "zhixin.toml. zhixin for a dataset that is derived by zhixin.sql.",
        },
        "customProperties": _custom_properties(_source_options()),
    }
    return {**server, "required": ["server", "type"]}


def _other_server() -> Schema:
    keys = set(SERVER_KEYS).union(*server_types().values()) - set(ADDRESS_KEYS)
    server = _closed(_standard_properties(standard()["$defs"]["Server"]), SERVER_KEYS)
    server["properties"] |= {
        key: {"description": "For people: nothing reads it."} for key in sorted(keys)
        if key not in SERVER_KEYS
    }  # fmt: skip
    server["properties"]["customProperties"] = _custom_properties(_source_options())
    return {**server, "required": ["server", "type"]}


# ---- the object and its fields


def _object() -> Schema:
    found = _closed(_standard_properties(standard()["$defs"]["SchemaObject"]))
    found["properties"] |= {
        "physicalName": {
            "type": "string",
            "description": "Table, query file or path in the source; the object's name by default.",
        },
        "properties": {
            "type": "array",
            "minItems": 1,
            "description": "The fields. What is not named here never leaves the source.",
            "items": _ref("Field"),
        },
        "quality": {"type": "array", "items": _ref("ObjectQuality")},
        "relationships": {"type": "array", "items": _ref("ObjectRelationship")},
    }
    return {**found, "required": ["name", "properties"]}


def _field() -> Schema:
    found = _properties_of_field()
    found["properties"] |= {
        "quality": {"type": "array", "items": _ref("FieldQuality")},
        "relationships": {"type": "array", "items": _ref("FieldRelationship")},
        "customProperties": _custom_properties(TREATMENTS),
    }
    return {**found, "required": ["name", "logicalType"], "allOf": _by_type(_OPTIONS)}


def _inner_field(*, named: bool) -> Schema:
    """A field inside an array or object: a value with a type, without promises."""
    found = _properties_of_field()
    for key in ("required", "unique", "primaryKey"):
        found["properties"][key] = {"const": False, "description": "Rules hold for fields only."}
    for key in ("primaryKeyPosition", "quality", "enum", "relationships"):
        del found["properties"][key]
    found["properties"]["customProperties"] = _custom_properties(CLEAR)
    required = ["name", "logicalType"] if named else ["logicalType"]
    return {**found, "required": required, "allOf": _by_type(_INNER_OPTIONS)}


def _properties_of_field() -> Schema:
    base = standard()["$defs"]["SchemaBaseProperty"]
    found = _closed({k: v for k, v in _standard_properties(base).items() if k not in _LATER})
    found["properties"] |= {
        "name": {
            "type": "string",
            "minLength": 1,
            "pattern": "^(?!zhixin:)",
            "description": "Name of the column, in the source and in the dataset.",
        },
        "logicalType": _described(found, "logicalType", {"enum": list(_TYPES)}),
        "physicalType": {
            "type": "string",
            "description": "decimal(p,s) makes a number a decimal, p at most 38; else for people.",
        },
        "items": _ref("InnerItem"),
        "properties": {"type": "array", "minItems": 1, "items": _ref("InnerField")},
    }
    return found


def _by_type(options: dict[str, Schema]) -> list[Schema]:
    """Say what a field of each type may and must have besides."""
    found = []
    for name in _TYPES:
        then: Schema = {"properties": {"logicalTypeOptions": _options(options.get(name, {}))}}
        needs = {"array": "items", "object": "properties"}.get(name)
        then["required"] = [needs] if needs else []
        then["properties"] |= {key: False for key in ("items", "properties") if key != needs}
        when = {"properties": {"logicalType": {"const": name}}, "required": ["logicalType"]}
        found.append({"if": when, "then": then})
    return found


def _options(properties: Schema) -> Schema:
    """Close a type's options; of a bound and its exclusive form only one may stand."""
    pairs = [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")]
    clash = [{"required": list(pair)} for pair in pairs if pair[0] in properties]
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**closed, "not": {"anyOf": clash}} if clash else closed


def _bounds(kind: Schema) -> Schema:
    said = {
        "minimum": "The least value.",
        "maximum": "The greatest value.",
        "exclusiveMinimum": "Every value is above this.",
        "exclusiveMaximum": "Every value is below this.",
    }
    return {key: {**kind, "description": words} for key, words in said.items()}


def _sizes(low: str, high: str, what: str) -> Schema:
    return {
        low: {"type": "integer", "minimum": 0, "description": f"At least so many {what}."},
        high: {"type": "integer", "minimum": 0, "description": f"At most so many {what}."},
    }


_BINARY: Schema = {"const": "binary", "description": "The field holds bytes."}
_ZONED: Schema = {"type": "boolean", "description": "true: times with a zone (timestamptz)."}
_ISO: Schema = {"enum": list(ISO_FORMS), "description": "ISO 8601 is the only form."}
_WIDTH: Schema = {
    "enum": [*INTEGER_FORMATS, "u64"],
    "description": "A width is a range rule; u64 is a type of its own, unsigned.",
}
_FLOATS: Schema = {"enum": ["f32", "f64"], "description": "For people: a number is a double."}
_TEXT: Schema = {"type": "string"}
_OPTIONS: dict[str, Schema] = {
    "string": {
        **_sizes("minLength", "maxLength", "characters"),
        "pattern": {
            "type": "string",
            "pattern": r"^\^.*\$$",
            "not": {"pattern": r"^([^\\]|\\\\)*\\[dDwWsS]"},
            "description": "The whole text has this form: ^…$, characters spelled out, no \\d.",
        },
        "format": _BINARY,
    },
    "integer": {
        **_bounds({"type": "number"}),
        "multipleOf": {"type": "number", "minimum": 1, "multipleOf": 1},
        "format": _WIDTH,
    },
    "number": {**_bounds({"type": "number"}), "format": _FLOATS},
    "date": {**_bounds(_TEXT), "format": _ISO},
    "time": {**_bounds(_TEXT), "format": _ISO},
    "timestamp": {**_bounds(_TEXT), "format": _ISO, "timezone": _ZONED},
    "array": _sizes("minItems", "maxItems", "items"),
}
_INNER_OPTIONS: dict[str, Schema] = {
    name: {key: value for key, value in options.items() if key in ("format", "timezone")}
    for name, options in _OPTIONS.items()
}


# ---- rules

_METRICS = {
    True: ("nullValues", "missingValues", "invalidValues", "duplicateValues"),
    False: ("rowCount", "duplicateValues"),
}
"""What is counted under a field, and under the object."""


def _quality(*, of_field: bool) -> Schema:
    found = _closed(_standard_properties(standard()["$defs"]["DataQuality"]))
    counted = {"required": ["metric"], "oneOf": [{"required": [key]} for key in OPERATORS]}
    named = {"required": ["engine", "implementation"]}
    found["properties"] |= {
        "type": {
            "enum": ["library", "custom", "text"],
            "description": "library: a metric; custom: an expression, a rule about the whole, an "
            "expectation; text: for people, checks nothing.",
        },
        "metric": {"enum": list(_METRICS[of_field]), "description": "What is counted."},
        "arguments": _ARGUMENTS,
        "unit": {"type": "string"},
        "severity": {
            "type": "string",
            "description": "error: the record goes to quarantine; warning: it is counted; "
            "critical: the version is not published.",
        },
        **_thresholds(),
        "engine": {"enum": ["zhixin", "greatExpectations"], "description": "Who checks it."},
        "implementation": {"anyOf": [_EXPRESSION, _implementation()]},
    }
    found["allOf"] = [
        {"if": _type_is("library"), "then": {**_without("engine", "implementation"), **counted}},
        {
            "if": _type_is("custom"),
            "then": {**_without("metric", "arguments", *OPERATORS), **named},
        },
        {
            "if": _type_is("text"),
            "then": _without("metric", "arguments", "engine", "implementation", *OPERATORS),
        },
        {
            "if": {"not": _type_is("text")},
            "then": {"properties": {"severity": {"enum": list(SEVERITIES)}}},
        },
    ]
    return found


_ARGUMENTS: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "missingValues": {"type": "array", "description": "What means missing, besides null."},
        "validValues": {"type": "array", "description": "Of invalidValues: the allowed values."},
        "pattern": {"type": "string", "description": "Of invalidValues: the form, ^…$."},
        "properties": {"type": "array", "description": "Of duplicateValues: the fields."},
    },
}
_EXPRESSION: Schema = {
    "type": "string",
    "description": "An expression across fields, such as closed IS NULL OR closed >= opened.",
}
_NUMBER: Schema = {"type": "number"}


def _implementation() -> Schema:
    """A rule about the whole dataset, or an expectation with its arguments."""
    whole = {
        "metric": {"enum": list(WHOLE), "description": "What is asked of the whole."},
        "field": {**_TEXT, "description": "Of freshness: a date or timestamp."},
        "hours": {**_NUMBER, "description": "Of freshness: how old the newest value may be."},
        "rule": {**_TEXT, "description": "Of failureRate: whose share of records is compared."},
        "versions": {**_NUMBER, "description": "With how many of the last versions; 1 by default."},
        "mustNotJumpBy": {**_NUMBER, "description": "Percentage points away from theirs."},
        "unit": {"enum": ["rows", "percent"]},
        **_thresholds(),
    }
    expectation = {
        "expectation": {"type": "string", "description": "Its name, expect_…"},
        "arguments": {"type": ["object", "null"]},
        "type": {"type": "string", "description": "The same as expectation."},
        "kwargs": {"type": ["object", "null"], "description": "The same as arguments."},
        "meta": {},
    }
    return {
        "type": "object",
        "properties": {**whole, **expectation},
        "additionalProperties": False,
    }


def _type_is(kind: str) -> Schema:
    """Whether a rule is of a type; library is what it is where it says none."""
    said = {"properties": {"type": {"const": kind}}}
    return said if kind == "library" else {**said, "required": ["type"]}


def _without(*keys: str) -> Schema:
    return {"properties": dict.fromkeys(keys, False)}


def _thresholds() -> Schema:
    pair: Schema = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
    return {key: pair if key.endswith("Between") else _NUMBER for key in OPERATORS}


def _relationship(*, of_field: bool) -> Schema:
    found = _closed(_standard_properties(standard()["$defs"]["RelationshipBase"]))
    one: Schema = {
        "type": "string",
        "description": "member/dataset.yaml#/schema/object/properties/field of another dataset, or "
        "object.field of this one.",
    }
    many: Schema = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    target = {**one, "pattern": f"^({_ELSEWHERE}|{_HERE})$"}
    found["properties"]["to"] = target if of_field else {"anyOf": [target, many]}
    found["properties"]["customProperties"] = _custom_properties(SEVERITY)
    if of_field:
        del found["properties"]["from"]
    else:
        found["properties"]["from"] = {"anyOf": [{"type": "string"}, many]}
    return {**found, "required": ["to"] if of_field else ["from", "to"]}


# ---- custom properties


def _source_options() -> dict[str, Schema]:
    return {name: SOURCE_VALUES.get(name, {}) for name in (*SOURCE_OPTIONS, "sql")}


def _custom_properties(ours: dict[str, Schema]) -> Schema:
    """A list of custom properties, of which ``zhixin.*`` are only ours, with their values."""
    item = _draft7(standard()["$defs"]["CustomProperty"])
    names = [
        {"const": f"zhixin.{name}", "description": value.get("description", "")}
        for name, value in ours.items()
    ]
    other = {"type": "string", "pattern": r"^(?!zhixin\.)"}
    item["properties"]["property"] = {"anyOf": [*names, other]}
    item["allOf"] = [
        {
            "if": {
                "properties": {"property": {"const": f"zhixin.{name}"}},
                "required": ["property"],
            },
            "then": {"properties": {"value": value}},
        }
        for name, value in ours.items()
    ]
    return {"type": "array", "items": item}


# ---- from ODCS's draft to draft 7


def _standard_properties(definition: Schema) -> Schema:
    """Collect the properties of a definition and of all that it is made of."""
    found: Schema = {}
    reference = definition.get("$ref")
    if reference:
        found |= _standard_properties(standard()["$defs"][reference.rpartition("/")[2]])
    for part in definition.get("allOf", []):
        if "if" not in part:
            found |= _standard_properties(part)
    found |= {key: _draft7(value) for key, value in definition.get("properties", {}).items()}
    return found


def _closed(properties: Schema, keys: tuple[str, ...] = ()) -> Schema:
    kept = {key: value for key, value in properties.items() if not keys or key in keys}
    return {"type": "object", "properties": kept, "additionalProperties": False}


def _described(schema: Schema, key: str, narrowed: Schema) -> Schema:
    """Narrow a property and keep what ODCS says of it."""
    said = schema["properties"][key].get("description", "")
    return {"type": "string", "description": said, **narrowed}


def _draft7(schema: Any) -> Any:  # noqa: ANN401 - a schema's parts are JSON
    if isinstance(schema, list):
        return [_draft7(part) for part in schema]
    if not isinstance(schema, dict):
        return deepcopy(schema)
    found = {key: _draft7(part) for key, part in schema.items()}
    if isinstance(found.get("$ref"), str):
        target = _ref(found.pop("$ref").rpartition("/")[2])
        return {"allOf": [target], **found} if found else target
    return found


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}
