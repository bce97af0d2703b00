"""Reads the SQL of a derived dataset: what it is made from.

::

    SELECT f.*, w.temp FROM "bts.gov.example/flights" f
    LEFT JOIN "noaa.gov.example/weather" w USING (origin, time_hour)

Its inputs are the tables that it names, each ``"member/dataset"``. It is one SELECT; it reads
nothing else, and the same inputs give the same records: functions that read files, the clock or
chance are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zhixin_schemas.document import Place
from zhixin_schemas.header import is_dataset_name

__all__ = ["read_inputs"]

_UNSTEADY = frozenset(
    ["now", "random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "setseed", "current_date", "current_time", "current_timestamp", "currentdate", "currenttime", "currenttimestamp", "localtime", "localtimestamp", "today", "rand", "get_current_time", "get_current_timestamp", "transaction_timestamp", "nextval", "currval", "getenv", "current_user", "session_user", "current_database", "current_schema"]
)
_READING = ("read_", "glob", "query", "parquet_", "sniff_", "sqlite_", "postgres_", "mysql_", "iceberg_",
            "delta_", "duckdb_", "pragma_", "arrow_scan", "pandas_scan", "seq_scan")  # fmt: skip


def read_inputs(place: Place, sql: str, dataset: str) -> tuple[str, ...]:
    """Give the datasets that the SQL names, sorted; problems go to `place`.

    Args:
        place: of the SQL in the contract.
        sql: the text.
        dataset: the contract's own name, which can't be its input.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        statements = sqlglot.parse(sql, dialect="duckdb")
    except (SqlglotError, RecursionError):
        place.report("the SQL does not parse (DuckDB's dialect)")
        return ()
    if len(statements) != 1 or statements[0] is None:
        place.report("the SQL is one statement")
        return ()
    return _inputs(place, statements[0], dataset)


def _inputs(place: Place, tree: Any, dataset: str) -> tuple[str, ...]:  # noqa: ANN401 - sqlglot
    from sqlglot import exp

    if not isinstance(tree, exp.Query):
        place.report("the SQL is a SELECT (WITH, UNION … are fine)")
        return ()
    local = {cte.alias for cte in tree.find_all(exp.CTE)}
    found: set[str] = set()
    for table in tree.find_all(exp.Table):
        name = table.name
        if not isinstance(table.this, exp.Identifier) or table.db:
            place.report(f'"{_short(table)}" is no dataset; tables are written "member/dataset"')
        elif is_dataset_name(name):
            found.add(name)
        elif name not in local:
            place.report(f'"{name}" is no dataset; tables are written "member/dataset"')
    for message in _forbidden(tree):
        place.report(message)
    if dataset in found:
        place.report("a dataset is not made from itself")
    if not found:
        place.report('the SQL reads no dataset; tables are written "member/dataset"')
    return tuple(sorted(found))


def _forbidden(tree: Any) -> Iterator[str]:  # noqa: ANN401
    from sqlglot import exp

    for function in tree.find_all(exp.Func):
        name = (
            function.name if isinstance(function, exp.Anonymous) else function.sql_name()
        ).lower()
        if name in _UNSTEADY:
            yield f"{name}() gives another answer each time; a version is made from its inputs alone"
        elif name.startswith(_READING):
            yield f"{name}() reads what is no verified dataset"


def _short(tree: Any) -> str:  # noqa: ANN401
    text = str(tree)
    return text if len(text) <= 60 else text[:57] + "…"
