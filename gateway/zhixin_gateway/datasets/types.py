"""The one Arrow type that each type of a field stands for.

Section 2.2 of the formats; which types there are, and their form, is said in
:mod:`~zhixin_gateway.datasets.fields`. Every level is nullable. The Arrow type is fixed: two
schemas are the same fields exactly when ``equals`` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from zhixin_errors import FormatError

from zhixin_gateway.datasets.fields import (
    MAX_NESTING,
    check_fields,
    check_type,
    decimal_digits,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zhixin_ledger.encoding import Json

__all__ = ["fields_schema", "parse_type", "schema_fields", "type_json"]

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


def parse_type(value: Json, what: str = "type") -> pa.DataType:
    """Read one type of the manifest.

    Args:
        value: the JSON value.
        what: the place, for the message.

    Raises:
        FormatError: it is no type of section 2.2.
    """
    check_type(value, what)
    return _arrow(value)


def fields_schema(fields: Json, what: str = "fields") -> pa.Schema:
    """Read the manifest's ``fields`` as an Arrow schema.

    Raises:
        FormatError: it is no list of {name, type}, is empty, or a name is empty or there twice.
    """
    return pa.schema(_arrow_members(check_fields(fields, what)))


def type_json(arrow: pa.DataType, what: str = "type") -> Json:
    """Write an Arrow type as the manifest has it.

    Raises:
        FormatError: no type of the manifest stands for exactly this Arrow type.
    """
    return _type_json(arrow, what, 0)


def schema_fields(schema: pa.Schema) -> list[Json]:
    """Write an Arrow schema as the manifest's ``fields``; the reverse of :func:`fields_schema`."""
    return _members_json(schema, "fields", 0)


def _arrow(value: Json) -> pa.DataType:
    """The type of a value that is in its form."""
    if isinstance(value, str):
        digits = decimal_digits(value)
        return _SCALARS[value] if digits is None else pa.decimal128(*digits)
    ((kind, inner),) = cast("dict[str, Json]", value).items()
    if kind == "list":
        return pa.list_(pa.field(LIST_ITEM, _arrow(inner)))
    return pa.struct(_arrow_members(cast("list[Json]", inner)))


def _arrow_members(members: list[Json]) -> list[pa.Field[Any]]:
    listed = cast("list[dict[str, Any]]", members)
    return [pa.field(item["name"], _arrow(item["type"])) for item in listed]


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
