"""Any other dialect of SQLAlchemy's: what its driver can't say exactly is refused, not guessed.

The rows are the driver's own Python values, from a cursor of the server's, in one transaction of
the strictest isolation that keeps a snapshot. A driver may lose digits before we see a value; where
the database says that it had more (a DECIMAL that comes as a float, a time finer than
microseconds), the value is a misfit. A query's text in the contract is the way out: it can cast.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from zhixin_connectors.columns import Doubtful
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.relations import quoter
from zhixin_connectors.sqlspans import condition, digits, order_kind
from zhixin_connectors.sqltypes import columns_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["losses", "prepared", "shown", "where"]

_SNAPSHOTS = ("SNAPSHOT", "REPEATABLE READ", "SERIALIZABLE")
_FINE = 6  # digits of a second that Python's times have


def prepared(connection: Connection) -> Connection:
    """A streaming cursor, and one snapshot where the dialect knows of any."""
    known: Sequence[str] = ()
    with suppress(NotImplementedError):
        driver: Any = connection.connection.dbapi_connection
        known = list(connection.dialect.get_isolation_level_values(driver))
    level = next((name for name in _SNAPSHOTS if name in known), None)
    if level is not None:
        connection = connection.execution_options(isolation_level=level)
    return connection.execution_options(stream_results=True)


def losses(connection: Connection, found: tuple[str | None, str] | None) -> dict[str, str]:
    """Why the floats of a column are doubtful, by its name.

    Args:
        connection: a prepared one.
        found: schema and name of a table; None for a query, of which nothing is declared.
    """
    import sqlalchemy as sa
    from sqlalchemy import types as st

    if found is None:
        return {}
    schema, name = found
    return {
        column["name"]: "a float from the driver, where the database has a decimal"
        for column in columns_of(sa.inspect(connection), name, schema)
        if isinstance(column["type"], st.Numeric) and not isinstance(column["type"], st.Float)
    }


def where(
    connection: Connection, found: tuple[str | None, str] | None, request: ReadRequest
) -> tuple[str, bool]:
    """The clause for a span, and whether it says all of it.

    Of a column that is declared as a number any database says all. SQLite holds values of any kind
    in any column, so that its clause lets through what it can't judge, and says only part.

    Args:
        connection: a prepared one.
        found: as in :func:`losses`.
        request: whose span it is.
    """
    span = request.span
    if span is None:
        return "", True
    column, wanted = quoter(connection)(span.field), request.schema.field(span.field).type
    ordered = order_kind(wanted)
    if connection.dialect.name == "sqlite":
        kind, literal = _KEPT.get(ordered, ("", digits))
        texts = [str(end.as_py()) for end in (span.low, span.high) if end is not None]
        if not kind or span.nulls or (kind == "text" and not _is_plain(connection, texts)):
            return "", False
        bare = f"+{column}" if kind == "text" else column  # its own affinity would change a bound
        # a misfit counts as null here, and is left to the span that has the nulls
        return f" WHERE typeof({column}) <> '{kind}' OR {condition(span, bare, literal)}", False
    if ordered != "number" or span.field not in _numbers(connection, found):
        return "", False
    clause = condition(span, column, digits)
    return f" WHERE {clause}" if clause else "", True


def _is_plain(connection: Connection, texts: Sequence[str]) -> bool:
    """Whether SQLite orders texts by their bytes in UTF-8, and can be told these."""
    encoding = connection.exec_driver_sql("PRAGMA encoding").scalar()
    return encoding == "UTF-8" and not any("\0" in text for text in texts)


def _numbers(connection: Connection, found: tuple[str | None, str] | None) -> set[str]:
    """The columns that a table declares as exact numbers."""
    import sqlalchemy as sa
    from sqlalchemy import types as st

    if found is None:
        return set()
    schema, name = found
    return {
        column["name"]
        for column in columns_of(sa.inspect(connection), name, schema)
        if isinstance(column["type"], (st.Integer, st.Numeric))
        and not isinstance(column["type"], st.Float)
    }


def _text(bound: pa.Scalar[Any]) -> str:
    return "'" + str(bound.as_py()).replace("'", "''") + "' COLLATE BINARY"


_KEPT = {"number": ("integer", digits), "text": ("text", _text)}


def shown(values: Sequence[object], description: Any, loss: str | None) -> Sequence[object]:  # noqa: ANN401
    """A batch's values of a column, those that lost something marked.

    Args:
        values: the driver's.
        description: the driver's, of the column: name, type, …, precision, scale, nullable.
        loss: why floats are doubtful; None where they are not.
    """
    if loss is not None and any(isinstance(value, float) for value in values):
        values = [Doubtful(repr(v), loss) if isinstance(v, float) else v for v in values]
    scale = description[5] if len(description) > 5 else None
    if isinstance(scale, int) and scale > _FINE:
        timed = (dt.datetime, dt.time, dt.timedelta)
        finer = "finer than a microsecond in the database, and cut by the driver"
        values = [Doubtful(str(v), finer) if isinstance(v, timed) else v for v in values]
    return values
