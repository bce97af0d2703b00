"""Types of fields: what the manifest says, and the one Arrow type that each stands for.

Section 2.2 of the formats. A type is a name, or one list or struct around types::

    "boolean" "integer" "unsigned" "decimal(7,2)" "float" "string" "binary"
    "date" "time" "timestamp" "timestamptz"
    {"list": "integer"}
    {"struct": [{"name": "amount", "type": "decimal(7,2)"}, {"name": "paid", "type": "boolean"}]}

At most 8 lists and structs stand around a scalar. Names are unique and not empty. Every level is
nullable. The Arrow type is fixed: two schemas are the same fields exactly when ``equals`` says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from zhixin_errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zhixin_ledger.encoding import Json

__all__ = ["MAX_NESTING", "fields_schema", "parse_type", "schema_fields", "type_json"]

MAX_NESTING = 8
"""Lists and structs around a scalar."""

LIST_ITEM = "element"
"""The inner name of a list that we write; readers take any."""

_SCALARS: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "unsigned": pa.uint64(),
    "float": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
_NAMES = {arrow: name for name, arrow in _SCALARS.items()}
_DECIMAL = re.compile(r"decimal\(([1-9][0-9]?),(0|[1-9][0-9]?)\)", re.ASCII)


def parse_type(value: Json, what: str = "type") -> pa.DataType:
    """Read one type of the manifest.

    Args:
        value: the JSON value.
        what: the place, for the message.

    Raises:
        FormatError: it is no type of section 2.2.
    """
    return _parse_type(value, what, 0)


def fields_schema(fields: Json, what: str = "fields") -> pa.Schema:
    """Read the manifest's ``fields`` as an Arrow schema.

    Raises:
        FormatError: it is no list of {name, type}, is empty, or a name is empty or there twice.
    """
    return pa.schema(_parse_members(fields, what, 0))


def type_json(arrow: pa.DataType, what: str = "type") -> Json:
    """Write an Arrow type as the manifest has it.

    Raises:
        FormatError: no type of the manifest stands for exactly this Arrow type.
    """
    return _type_json(arrow, what, 0)


def schema_fields(schema: pa.Schema) -> list[Json]:
    """Write an Arrow schema as the manifest's ``fields``; the reverse of :func:`fields_schema`."""
    return _members_json(schema, "fields", 0)


def _parse_type(value: Json, what: str, depth: int) -> pa.DataType:
    if isinstance(value, str):
        return _parse_scalar(value, what)
    if not isinstance(value, dict) or len(value) != 1:
        raise FormatError(f"{what}: a type is a name, or one list or struct, and this is neither")
    if depth == MAX_NESTING:
        raise FormatError(f"{what}: more than {MAX_NESTING} lists and structs around a scalar")
    kind, inner = next(iter(value.items()))
    if kind == "list":
        item = _parse_type(inner, f"{what}.list", depth + 1)
        return pa.list_(pa.field(LIST_ITEM, item))
    if kind == "struct":
        return pa.struct(_parse_members(inner, f"{what}.struct", depth + 1))
    raise FormatError(f"{what}: a type is a name, a list or a struct, not {kind[:40]!r}")


def _parse_scalar(name: str, what: str) -> pa.DataType:
    scalar = _SCALARS.get(name)
    if scalar is not None:
        return scalar
    match = _DECIMAL.fullmatch(name)
    if match is None:
        raise FormatError(f"{what}: unknown type {name[:40]!r}")
    precision, scale = int(match[1]), int(match[2])
    if precision > 38 or scale > precision:
        raise FormatError(f"{what}: {name}: decimal(p,s) needs 1 <= p <= 38 and 0 <= s <= p")
    return pa.decimal128(precision, scale)


def _parse_members(value: Json, what: str, depth: int) -> list[pa.Field[Any]]:
    if not isinstance(value, list) or not value:
        raise FormatError(f"{what}: want a list of at least one {{name, type}}")
    members: dict[str, pa.Field[Any]] = {}
    for position, item in enumerate(value):
        place = f"{what}[{position}]"
        if not isinstance(item, dict) or item.keys() != {"name", "type"}:
            raise FormatError(f"{place}: want exactly the members name and type")
        name = item["name"]
        if not isinstance(name, str) or not name:
            raise FormatError(f"{place}: the name is not a string, or empty")
        if name in members:
            raise FormatError(f"{place}: the name {name[:80]!r} is there twice")
        members[name] = pa.field(name, _parse_type(item["type"], f"{place}.type", depth))
    return list(members.values())


def _type_json(arrow: pa.DataType, what: str, depth: int) -> Json:
    if arrow in _NAMES:
        return _NAMES[arrow]
    if isinstance(arrow, pa.Decimal128Type) and 0 <= arrow.scale <= arrow.precision:
        return f"decimal({arrow.precision},{arrow.scale})"
    if depth == MAX_NESTING:
        raise FormatError(f"{what}: more than {MAX_NESTING} lists and structs around a scalar")
    if isinstance(arrow, pa.ListType):
        return {"list": _type_json(arrow.value_type, f"{what}.list", depth + 1)}
    if isinstance(arrow, pa.StructType):
        return {"struct": _members_json(arrow, f"{what}.struct", depth + 1)}
    raise FormatError(f"{what}: the Arrow type {arrow} is none of the manifest's")


def _members_json(members: Iterable[pa.Field[Any]], what: str, depth: int) -> list[Json]:
    written: dict[str, Json] = {}
    for position, member in enumerate(members):
        place = f"{what}[{position}]"
        if not member.name or member.name in written:
            raise FormatError(f"{place}: the name {member.name[:80]!r} is empty or there twice")
        written[member.name] = {
            "name": member.name,
            "type": _type_json(member.type, f"{place}.type", depth),
        }
    if not written:
        raise FormatError(f"{what}: there is no field")
    return list(written.values())
