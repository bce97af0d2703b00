"""A span as a condition of SQL: with typed literals, where the database orders as the span does.

::

    "id" >= 500 AND "id" < 1000
    "updated_at" > '2024-01-05T09:30:00+00:00'::timestamptz OR "updated_at" IS NULL

Which columns a database orders as their wanted type does, each dialect says itself (``postgresql``,
``mysql``, ``generic``); of any other column the batches are filtered (``spans.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors.protocol import Span

__all__ = ["condition", "digits", "iso", "order_kind"]


def condition(span: Span, column: str, literal: Callable[[pa.Scalar[Any]], str]) -> str:
    """What stands after WHERE; empty where every record is in the span.

    Args:
        span: whose ``field`` is known to be ordered by the database as by us.
        column: the expression to compare.
        literal: a bound in the database's own words.
    """
    ends = []
    if span.low is not None:
        ends.append(f"{column} {'>' if span.low_open else '>='} {literal(span.low)}")
    if span.high is not None:
        ends.append(f"{column} < {literal(span.high)}")
    if not ends:
        return "" if span.nulls else f"{column} IS NOT NULL"
    both = " AND ".join(ends)
    return f"({both} OR {column} IS NULL)" if span.nulls else f"({both})"


def order_kind(wanted: pa.DataType) -> str:
    """How values of a type are ordered; empty for those that no span is made of."""
    if pt.is_timestamp(wanted):
        return "instant" if wanted.tz is not None else "timestamp"
    for kind, accepts in _KINDS.items():
        if accepts(wanted):
            return kind
    return ""


def digits(bound: pa.Scalar[Any]) -> str:
    """A number as a literal of SQL."""
    text = format(bound.as_py(), "f" if pt.is_decimal(bound.type) else "d")
    return f"({text})" if text.startswith("-") else text


def iso(bound: pa.Scalar[Any]) -> str:
    """A date or time as ISO 8601 writes it; an instant is in UTC."""
    return str(bound.as_py().isoformat())


_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "number": lambda wanted: pt.is_integer(wanted) or pt.is_decimal(wanted),
    "float": pt.is_floating,
    "date": pt.is_date,
    "text": pt.is_string,
}
