"""The manifest's types in Arrow (docs/formats.md 2.2).

::

    "integer" → int64      "decimal(p,s)" → decimal128(p, s)     {"list": T} → list<element: T>
    "unsigned" → uint64    "timestamptz" → timestamp[us, UTC]    {"struct": […]} → struct<…>
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import pyarrow as pa

if TYPE_CHECKING:
    from zhixin_schemas.model import Field, FieldType

__all__ = ["arrow_schema", "arrow_type"]

_DECIMAL = re.compile(r"decimal\(([0-9]+),([0-9]+)\)")
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


def arrow_type(kind: FieldType) -> pa.DataType:
    """Give the Arrow type of a manifest type.

    Args:
        kind: a type that the loader made; others are a programming error.
    """
    if isinstance(kind, str):
        found = _DECIMAL.fullmatch(kind)
        if found:
            return pa.decimal128(int(found[1]), int(found[2]))
        return _SCALARS[kind]
    if "list" in kind:
        item = arrow_type(cast("FieldType", kind["list"]))
        return pa.list_(pa.field("element", item))
    members = cast("list[dict[str, FieldType]]", kind["struct"])
    return pa.struct([pa.field(str(m["name"]), arrow_type(m["type"])) for m in members])


def arrow_schema(fields: Iterable[Field]) -> pa.Schema:
    """Give the schema of a contract's fields: all nullable, without metadata."""
    return pa.schema([pa.field(f.name, arrow_type(f.type)) for f in fields])
