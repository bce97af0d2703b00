"""Fields as a manifest has them: whether they are in their form, without Arrow.

Section 2.2 of the formats. A type is a name, or one list or struct around types::

    "boolean" "integer" "unsigned" "decimal(7,2)" "float" "string" "binary"
    "date" "time" "timestamp" "timestamptz"
    {"list": "integer"}
    {"struct": [{"name": "amount", "type": "decimal(7,2)"}, {"name": "paid", "type": "boolean"}]}

At most 8 lists and structs stand around a scalar. Names are unique and not empty. Who holds a
directory to its digests needs no more than this; which Arrow type each stands for is said in
:mod:`~zhixin_gateway.datasets.types`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zhixin_errors import FormatError

if TYPE_CHECKING:
    from zhixin_ledger.encoding import Json

__all__ = ["MAX_NESTING", "SCALARS", "check_fields", "check_type", "decimal_digits"]

MAX_NESTING = 8
"""Lists and structs around a scalar."""

SCALARS = (
    *("boolean", "integer", "unsigned", "float", "string", "binary"),
    *("date", "time", "timestamp", "timestamptz"),
)
"""Names of types that stand alone; ``decimal(p,s)`` has its digits besides."""

_DECIMAL = re.compile(r"decimal\(([1-9][0-9]?),(0|[1-9][0-9]?)\)", re.ASCII)


def check_fields(fields: Json, what: str = "fields") -> list[Json]:
    """Hold the manifest's ``fields`` to their form.

    Args:
        fields: the JSON value.
        what: the place, for the message.

    Returns:
        The same.

    Raises:
        FormatError: it is no list of {name, type}, is empty, or a name is empty or there twice.
    """
    return _members(fields, what, 0)


def check_type(value: Json, what: str = "type") -> None:
    """Hold one type to its form.

    Raises:
        FormatError: it is no type of section 2.2.
    """
    _type(value, what, 0)


def decimal_digits(name: str) -> tuple[int, int] | None:
    """Precision and scale of ``decimal(p,s)``, as they stand there; None: another name."""
    match = _DECIMAL.fullmatch(name)
    return None if match is None else (int(match[1]), int(match[2]))


def _type(value: Json, what: str, depth: int) -> None:
    if isinstance(value, str):
        _scalar(value, what)
        return
    if not isinstance(value, dict) or len(value) != 1:
        raise FormatError(f"{what}: a type is a name, or one list or struct, and this is neither")
    if depth == MAX_NESTING:
        raise FormatError(f"{what}: more than {MAX_NESTING} lists and structs around a scalar")
    kind, inner = next(iter(value.items()))
    if kind == "list":
        _type(inner, f"{what}.list", depth + 1)
    elif kind == "struct":
        _members(inner, f"{what}.struct", depth + 1)
    else:
        raise FormatError(f"{what}: a type is a name, a list or a struct, not {kind[:40]!r}")


def _scalar(name: str, what: str) -> None:
    if name in SCALARS:
        return
    digits = decimal_digits(name)
    if digits is None:
        raise FormatError(f"{what}: unknown type {name[:40]!r}")
    precision, scale = digits
    if precision > 38 or scale > precision:
        raise FormatError(f"{what}: {name}: decimal(p,s) needs 1 <= p <= 38 and 0 <= s <= p")


def _members(value: Json, what: str, depth: int) -> list[Json]:
    if not isinstance(value, list) or not value:
        raise FormatError(f"{what}: want a list of at least one {{name, type}}")
    names: set[str] = set()
    for position, item in enumerate(value):
        place = f"{what}[{position}]"
        if not isinstance(item, dict) or item.keys() != {"name", "type"}:
            raise FormatError(f"{place}: want exactly the members name and type")
        name = item["name"]
        if not isinstance(name, str) or not name:
            raise FormatError(f"{place}: the name is not a string, or empty")
        if name in names:
            raise FormatError(f"{place}: the name {name[:80]!r} is there twice")
        names.add(name)
        _type(item["type"], f"{place}.type", depth)
    return value
