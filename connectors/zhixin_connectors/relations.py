"""What all databases share: quoted names, the columns of what stands after FROM, an order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow.types as pt

from zhixin_connectors.protocol import ReadRequest

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["described", "order_by", "quoter"]


def quoter(connection: Connection) -> Callable[[str], str]:
    """Quotes names as the dialect does, without the doubled % that parameters would ask for."""
    rules: Any = connection.dialect.identifier_preparer

    def quoted(name: str) -> str:
        inner = name.replace(rules.escape_quote, rules.escape_to_quote)
        return f"{rules.initial_quote}{inner}{rules.final_quote}"

    return quoted


def described(connection: Connection, relation: str) -> list[Any]:
    """The driver's descriptions of a relation's columns, the name first in each.

    Args:
        connection: a prepared one.
        relation: a quoted name, or a query in parentheses.
    """
    cursor: Any = connection.exec_driver_sql(f"SELECT * FROM {relation} WHERE 1 = 0").cursor
    try:
        return list(cursor.description or ())
    finally:
        cursor.close()


def order_by(
    request: ReadRequest, quoted: Callable[[str], str], by_bytes: Callable[[str], str]
) -> str:
    """The clause for the order that is wanted; empty where none is.

    Args:
        request: names the columns.
        quoted: what :func:`quoter` gives.
        by_bytes: the key that orders a column of texts by their bytes in UTF-8.
    """
    keys = [
        by_bytes(name) if pt.is_string(request.schema.field(name).type) else quoted(name)
        for name in request.order_by
    ]
    return f" ORDER BY {', '.join(keys)}" if keys else ""
