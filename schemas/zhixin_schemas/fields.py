"""Reads the properties of a contract: names, types and the primary key.

The types (ODCS → manifest)::

    boolean, string, date, time     the same            string, format binary       binary
    integer i8 … i64, u8 … u32      integer             integer, format u64         unsigned
    number, physicalType decimal(p,s) or numeric(p,s)   decimal(p,s);  other number float
    timestamp                       timestamp           timestamp, timezone: true   timestamptz
    array with items                {"list": T}         object with properties      {"struct": […]}
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from zhixin_schemas.document import Place
from zhixin_schemas.model import Field, FieldType
from zhixin_schemas.treatment import read_treatment, refuse_inside

__all__ = ["INTEGER_FORMATS", "ISO_FORMS", "NO_FORM", "logical_of", "read_fields", "titles_of"]

_DECIMAL = re.compile(r"(?:decimal|numeric)\(([0-9]{1,3})(?:,([0-9]{1,3}))?\)", re.IGNORECASE)
INTEGER_FORMATS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32")
ISO_FORMS = ("yyyy-MM-dd", "HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ssXXX")
NO_FORM = ("map", "vector")  # types of ODCS that a dataset has none for
_BY_PHYSICAL = {
    name: logical
    for logical, names in {
        "string": "char character varchar varchar2 nvarchar nchar text string clob uuid enum json",
        "integer": "int integer bigint smallint tinyint mediumint long int64 int32 serial",
        "number, with physicalType decimal(p,s)": "decimal numeric",
        "number": "number double float real float64 float32 money",
        "boolean": "bool boolean bit",
        "date": "date",
        "time": "time",
        "timestamp": "timestamp datetime datetime2 timestamp_ntz",
        "timestamp, with logicalTypeOptions: {timezone: true}": "timestamptz timestamp_tz",
    }.items()
    for name in names.split()
}
_FORMS = {
    "uuid": "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
    "email": "^[^@ ]+@[^@ ]+[.][^@. ]+$",
    "ipv4": "^([0-9]{1,3}[.]){3}[0-9]{1,3}$",
    "uri": "^[A-Za-z][A-Za-z0-9+.-]*:[^ ]+$",
    "hostname": "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
}
_MAX_DEPTH = 8
_NESTED_ONLY = ("required", "unique", "primaryKey", "primaryKeyPosition", "quality", "enum",
                "relationships")  # fmt: skip


def read_fields(schema_object: Place) -> tuple[Field, ...]:
    """Read the properties of the schema object; problems go to its document."""
    fields: list[Field] = []
    places = schema_object.items("properties")
    if not places:
        schema_object.report("a dataset has at least one field: properties is missing or empty")
    for place in places:
        name = _name(place, {f.name for f in fields})
        kind = _type(place, 0)
        if not name or kind is None:
            continue
        fields.append(
            Field(
                name=name,
                type=kind,
                required=place.flag("required") or place.flag("primaryKey"),
                key_position=_key_position(place, kind),
                titles=titles_of(place),
                description=place.text("description"),
                treatment=read_treatment(place, kind),
            )
        )
    _check_key(schema_object, fields)
    return tuple(fields)


def titles_of(place: Place) -> dict[str, str]:
    """Read titles by language: ``businessName`` is English, a synonym with a locale its own."""
    titles = {}
    if place.text("businessName"):
        titles["en"] = place.text("businessName")
    for synonym in place.items("synonyms"):
        locale = synonym.text("locale").partition("-")[0].lower()
        if locale and synonym.text("synonym"):
            titles.setdefault(locale, synonym.text("synonym"))
    return titles


def _name(place: Place, taken: Iterable[str]) -> str:
    name = place.text("name")
    if "name" in place and not name:
        place.at("name").report("a field's name is a text that is not empty")
    if name.startswith("zhixin:"):
        place.at("name").report("names that begin with zhixin: are kept for the gateway")
    if name in taken:
        place.at("name").report(f'two fields are named "{name}"')
        return ""
    physical = place.text("physicalName")
    if physical and physical != name:
        place.at("physicalName").report(
            "a column keeps its name: leave physicalName out, or rename it in a view of the source"
        )
    return name


def _type(place: Place, depth: int) -> FieldType | None:
    logical = place.text("logicalType")
    options = place.at("logicalTypeOptions")
    kind: FieldType | None
    match logical:
        case "array" | "object":
            kind = _nested(place, logical, depth)
        case "number":
            kind = _number(place)
        case "integer":
            kind = _integer(options)
        case "string":
            kind = _string(options)
        case "date" | "time" | "timestamp":
            kind = _time(logical, options)
        case "boolean":
            kind = "boolean"
            for key in options.names():
                options.at(key).report("a boolean has no options; leave it out")
        case _:
            _report_type(place, logical)
            kind = None
    return kind


def logical_of(physical: str) -> str:
    """What a database's type is written as in a contract; empty where that is not known.

    Args:
        physical: as a database writes it, such as ``varchar(80)``.
    """
    return _BY_PHYSICAL.get(re.split(r"[ (<]", physical.lower())[0], "")


def _report_type(place: Place, logical: str) -> None:
    if not logical:
        near = logical_of(place.text("physicalType"))
        says = f"; for a {place.text('physicalType')} it is {near}" if near else ""
        place.report(f"logicalType is missing: it decides the field's type{says}")
    elif logical in NO_FORM:
        place.at("logicalType").report(
            f"{logical} has no form in a dataset; use an array of objects, or a text"
        )


def _time(logical: str, options: Place) -> FieldType:
    form = options.text("format")
    if form and form not in ISO_FORMS:
        options.at("format").report(
            "dates and times are read in ISO 8601's form (2013-01-31, 08:30:00, "
            "2013-01-31T08:30:00Z); a file's other dates by zhixin.dateFormat of the server, a "
            "database's in a view"
        )
    if "timezone" in options and logical != "timestamp":
        options.at("timezone").report("only a timestamp has a time zone")
    if "defaultTimezone" in options:
        options.at("defaultTimezone").report(
            "no zone is guessed; where the source has one for all, say so in the server's "
            "zhixin.timezone"
        )
    return "timestamptz" if logical == "timestamp" and options.flag("timezone") else logical


def _nested(place: Place, logical: str, depth: int) -> FieldType | None:
    if depth >= _MAX_DEPTH:
        place.report(f"at most {_MAX_DEPTH} arrays and objects around a value")
        return None
    if logical == "array":
        items = place.at("items")
        if items.value is None:
            place.report("an array says what it holds in items, such as {logicalType: string}")
            return None
        _no_rules_inside(items)
        kind = _type(items, depth + 1)
        return None if kind is None else {"list": kind}
    members: list[dict[str, object]] = []
    for member in place.items("properties"):
        _no_rules_inside(member)
        name = _name(member, {str(m["name"]) for m in members})
        kind = _type(member, depth + 1)
        if name and kind is not None:
            members.append({"name": name, "type": kind})
    if not place.items("properties"):
        place.report(
            "an object says what it holds in properties; for one without a fixed form (JSON, XML) "
            "write logicalType: string, which takes the source's own text"
        )
        return None
    for key in place.at("logicalTypeOptions").names():
        place.at("logicalTypeOptions").at(key).report("nothing checks this yet; leave it out")
    return {"struct": members}


def _no_rules_inside(place: Place) -> None:
    """Refuse promises inside arrays and objects, which nothing would hold."""
    refuse_inside(place)
    for key in _NESTED_ONLY:
        if place.at(key).value not in (None, False):
            place.at(key).report(
                "rules hold for fields of a record, not inside arrays and objects; leave it out, "
                "or make the value a field of its own"
            )
    kinds = ("format", "timezone") if place.text("logicalType") != "array" else ()
    for key in place.at("logicalTypeOptions").names():
        if key not in kinds and place.text("logicalType") != "object":
            place.at("logicalTypeOptions").at(key).report(
                "rules hold for fields of a record, not inside arrays and objects; leave it out"
            )


def _number(place: Place) -> FieldType | None:
    physical = place.text("physicalType").replace(" ", "")
    found = _DECIMAL.fullmatch(physical)
    if not found:
        if physical.lower().startswith(("decimal(", "numeric(")):
            place.at("physicalType").report("a decimal is written decimal(precision,scale)")
            return None
        return "float"
    precision, scale = int(found[1]), int(found[2] or 0)
    if not (1 <= precision <= 38 and 0 <= scale <= precision):
        place.at("physicalType").report(
            f"decimal({precision},{scale}): precision is 1 to 38, scale 0 to precision"
        )
        return None
    return f"decimal({precision},{scale})"


def _integer(options: Place) -> FieldType | None:
    width = options.text("format")
    if width == "u64":
        return "unsigned"
    if width and width not in INTEGER_FORMATS:
        options.at("format").report(
            f"integers have at most 64 bits; for {width} use a number with "
            "physicalType decimal(38,0)"
        )
        return None
    return "integer"


def _string(options: Place) -> FieldType | None:
    form = options.text("format")
    if form == "binary":
        return "binary"
    if form:
        options.at("format").report(
            f'nothing checks the format "{form}"; say what you mean by a pattern'
            + (f", such as '{_FORMS[form]}'" if form in _FORMS else "")
        )
        return None
    return "string"


def _key_position(place: Place, kind: FieldType) -> int:
    position = place.number("primaryKeyPosition")
    if not place.flag("primaryKey"):
        if position is not None and position != -1:
            place.at("primaryKeyPosition").report("a position without primaryKey: true")
        return 0
    if not isinstance(kind, str):
        place.at("primaryKey").report("an array or object can't be part of the primary key")
        return 0
    return int(position) if position is not None and position >= 1 else -1


def _check_key(schema_object: Place, fields: list[Field]) -> None:
    """Number the fields of a key without positions as they stand; else they are 1, 2, 3 … ."""
    keys = [f for f in fields if f.key_position]
    if all(f.key_position == -1 for f in keys):
        for position, found in enumerate(keys, 1):
            fields[fields.index(found)] = replace(found, key_position=position)
        return
    positions = sorted(f.key_position for f in keys)
    if positions != list(range(1, len(keys) + 1)):
        schema_object.at("properties").report(
            "the fields of a primary key have primaryKeyPosition 1, 2, 3 …, each once, or none "
            "has one"
        )
