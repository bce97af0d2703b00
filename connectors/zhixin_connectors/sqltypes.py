"""What a database declares of a table's columns, and which type to propose for each."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from zhixin_connectors.describe import Declared

__all__ = ["columns_of", "declared"]


def columns_of(inspector: Any, table: str, schema: str | None) -> list[Any]:  # noqa: ANN401
    """What is declared of a table's columns; that a type is new to SQLAlchemy is no news."""
    from sqlalchemy.exc import SAWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)
        return list(inspector.get_columns(table, schema))


def declared(column: Any, *, dynamic: bool) -> Declared:  # noqa: ANN401 (SQLAlchemy's own dict)
    """What an inspector says of a column.

    Args:
        column: one of :func:`columns_of`.
        dynamic: the database lets any value into any column (SQLite).
    """
    import sqlalchemy.types as st

    kind = column["type"]
    proposed = _proposed(kind)
    text = dynamic and isinstance(kind, st.String)
    return Declared(proposed, _name(kind), column.get("nullable"), text)


def _name(kind: Any) -> str:  # noqa: ANN401 (a type of SQLAlchemy's)
    try:
        return str(kind)
    except Exception:  # noqa: BLE001 (a dialect's type that can't be written down has only a class)
        return type(kind).__name__


def _proposed(kind: Any) -> pa.DataType | None:  # noqa: ANN401
    for base, propose in _rules():
        if isinstance(kind, base):
            return propose(kind)
    return pa.string()


def _rules() -> list[tuple[type, Callable[[Any], pa.DataType | None]]]:
    """The first that fits counts: Float is a Numeric."""
    import sqlalchemy.types as st

    return [
        (st.ARRAY, _list),
        (st.NullType, lambda _: None),
        (st.Float, lambda _: pa.float64()),
        (st.Numeric, _decimal),
        (st.Integer, lambda k: pa.uint64() if getattr(k, "unsigned", False) else pa.int64()),
        (st.DateTime, lambda k: pa.timestamp("us", tz="UTC" if k.timezone else None)),
        (st.Date, lambda _: pa.date32()),
        (st.Time, lambda k: pa.string() if k.timezone else pa.time64("us")),
        (st.Boolean, lambda _: pa.bool_()),
        (st.LargeBinary, lambda _: pa.binary()),
    ]


def _list(kind: Any) -> pa.DataType | None:  # noqa: ANN401
    item = _proposed(kind.item_type)
    return pa.list_(item) if item is not None and (kind.dimensions or 1) == 1 else pa.string()


def _decimal(kind: Any) -> pa.DataType | None:  # noqa: ANN401
    if kind.precision is None:
        return None
    precision, scale = int(kind.precision), int(kind.scale or 0)
    return pa.decimal128(precision, scale) if 0 <= scale <= precision <= 38 else None
