"""Reads the SQL of a derived dataset: what it is made from.

::

    SELECT f.*, w.temp FROM "bts.gov.example/flights" f
    LEFT JOIN "noaa.gov.example/weather" w USING (origin, time_hour)

Its inputs are the tables that it names, each ``"member/dataset"``. It is one SELECT; it reads
nothing else, and the same inputs give the same records: functions that read files, the clock or
chance are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from zhixin_schemas.document import Place
from zhixin_schemas.header import is_dataset_name

__all__ = ["read_inputs"]

_UNSTEADY = re.compile(
    "(now|today|rand|random|setseed|uuid(v[0-9])?|gen_random_uuid|nextval|currval|getenv)"
    "|(get_)?(current|local|transaction)_?(date|time|timestamp|localtime|localtimestamp)"
    "|(current|session)_?(user|database|schema|role|catalog)"
)
_READING = re.compile(
    "(read|parquet|sniff|sqlite|postgres|mysql|iceberg|delta|duckdb|pragma|glob|query)_?.*"
    "|(arrow|pandas|seq)_scan.*"
)


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
        if _UNSTEADY.fullmatch(name):
            yield f"{name}() gives other answers each time; only the inputs make a version"
        elif _READING.fullmatch(name):
            yield f"{name}() reads what is no verified dataset"


def _short(tree: Any) -> str:  # noqa: ANN401
    text = str(tree)
    return text if len(text) <= 60 else text[:57] + "…"
