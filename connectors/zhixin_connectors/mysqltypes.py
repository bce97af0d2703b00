"""What MariaDB and MySQL declare of tables and columns, asked of the server itself.

By ``SHOW COLUMNS``, not by an inspector: that reads ``SHOW CREATE``, which a login with SELECT on a
view, or on some columns, may not have.

=====================================  ===========================================================
declared                               proposed
=====================================  ===========================================================
``tinyint(1)``                         boolean, unless another value than 0 and 1 was seen
``tinyint`` to ``bigint``, ``year``    integer; unsigned for ``bigint unsigned``
``decimal(p,s)``                       the same up to 38 digits; beyond, what the values say
``float``, ``double``                  float
``bit(1)``, ``bit(n)``                 boolean; integer, ``bit(64)`` unsigned
``date``, ``datetime``, ``timestamp``  date, timestamp, timestamptz
``time``                               time, unless a value is no time of day: then string
``binary``, ``blob``, geometries       binary
all else                               string: text, enum, set, json, uuid, inet6
=====================================  ===========================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from zhixin_connectors import mysqlerrors
from zhixin_connectors.describe import Declared
from zhixin_connectors.protocol import TableInfo
from zhixin_connectors.relations import quoter

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["columns", "counted", "found", "primary_key", "tables"]

_SYSTEM = "('information_schema', 'mysql', 'performance_schema', 'sys')"
_DENIED = {1044, 1142}  # the server answers so of what is not there, too
_NOT_THERE = _DENIED | {1046, 1049, 1059, 1102, 1103, 1146}
_COUNTED = {"MyISAM", "Aria", "MEMORY", "ARCHIVE"}  # InnoDB only estimates
_INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint", "year"}
_BINARIES = {
    "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector",
    "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
    "geometrycollection", "geomcollection",
}  # fmt: skip
_TIMES: dict[str, pa.DataType] = {
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_ZERO = "zero dates are rejects, or null where zhixin.null lists them, such as 0000-00-00"


def tables(connection: Connection) -> list[TableInfo]:
    """Tables and views of all databases that the login sees, but for the server's own."""
    own = connection.exec_driver_sql("SELECT DATABASE()").scalar()
    found = connection.exec_driver_sql(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS"
        f" FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN {_SYSTEM}"
        " AND TABLE_TYPE <> 'SEQUENCE'"
    ).all()
    of: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in connection.exec_driver_sql(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS"
        f" WHERE TABLE_SCHEMA NOT IN {_SYSTEM}"
        " ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    ):
        of.setdefault((schema, table), []).append(column)
    return [
        TableInfo(
            table if schema == own else f"{schema}.{table}",
            "view" if "VIEW" in kind else "table",
            of.get((schema, table), []),
            int(rows) if rows is not None and engine in _COUNTED else None,
        )
        for schema, table, kind, engine, rows in found
    ]


def counted(connection: Connection, schema: str | None, table: str) -> int | None:
    """How many records the server thinks a table has; None of a view."""
    place = "DATABASE()" if schema is None else _text(schema)
    return connection.exec_driver_sql(
        "SELECT TABLE_ROWS FROM information_schema.TABLES"
        f" WHERE TABLE_SCHEMA = {place} AND TABLE_NAME = {_text(table)}"
    ).scalar()


def _text(value: str) -> str:
    return f"CONVERT(X'{value.encode().hex()}' USING utf8mb4)"


def found(connection: Connection, named: str) -> tuple[str | None, str] | None:
    """Database and name of a table or view; None where the server shows none of that name.

    Raises:
        DBAPIError: it is there, and this login may not read it.
    """
    import sqlalchemy as sa

    schema, dot, table = named.partition(".")
    refusal: sa.exc.DBAPIError | None = None
    for place in [(None, named), (schema, table)][: 2 if dot else 1]:
        try:
            relation = ".".join(map(quoter(connection), filter(None, place)))
            connection.exec_driver_sql(f"SHOW COLUMNS FROM {relation}").close()
        except sa.exc.DBAPIError as error:
            number = mysqlerrors.judged(error.orig)[0] if error.orig else 0
            if number not in _NOT_THERE:
                raise
            if number in _DENIED:
                refusal = error
        else:
            return place
    if refusal is not None:
        raise refusal
    return None


def columns(connection: Connection, relation: str) -> dict[str, Declared]:
    """What is declared of a table's or view's columns, invisible ones too.

    Args:
        connection: a prepared one.
        relation: a quoted name.
    """
    shown = connection.exec_driver_sql(f"SHOW COLUMNS FROM {relation}")
    return {row[0]: _declared(row[1], row[2] == "YES") for row in shown}


def primary_key(connection: Connection, relation: str) -> list[str]:
    """The key's columns in its own order; of a view none."""
    shown = connection.exec_driver_sql(f"SHOW INDEX FROM {relation}").all()
    key = sorted((row[3], row[4]) for row in shown if row[2] == "PRIMARY")
    return [name for _, name in key]


def _declared(written: str, nullable: bool) -> Declared:
    kind = re.split(r"\W", written, maxsplit=1)[0]
    if kind == "tinyint" and written.startswith("tinyint(1)"):
        return Declared(pa.int64(), written, nullable, narrow=pa.bool_())
    if kind == "time":
        return Declared(pa.string(), written, nullable, narrow=pa.time64("us"))
    if kind in _TIMES:
        return Declared(_TIMES[kind], written, nullable, odd=_ZERO)
    if kind in _INTEGERS or kind in {"bit", "decimal"}:
        return Declared(_number(kind, written), written, nullable)
    floats = pa.float64() if kind in {"float", "double"} else pa.string()
    return Declared(pa.binary() if kind in _BINARIES else floats, written, nullable)


def _number(kind: str, written: str) -> pa.DataType | None:
    first, second = (int(digits) for digits in [*re.findall(r"\d+", written), "0", "0"][:2])
    if kind == "decimal":
        return pa.decimal128(first, second) if first <= 38 else None
    if kind == "bit" and first == 1:
        return pa.bool_()
    wide = first == 64 if kind == "bit" else written.startswith("bigint") and "unsigned" in written
    return pa.uint64() if wide else pa.int64()
