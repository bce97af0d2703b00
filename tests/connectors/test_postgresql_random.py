"""Random tables through a real PostgreSQL: ``content`` is that of the values themselves."""

import json

import pytest
from hypothesis import HealthCheck, given, settings

from tests.connectors.random_tables import SCALARS, element, read_content, tables, texts

TYPES = {
    "boolean": "boolean",
    "integer": "bigint",
    "unsigned": "numeric(20)",
    "float": "double precision",
    "string": "text",
    "binary": "bytea",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
}
NO_NUL = {"string": texts(nul=False)}  # its text has no U+0000


def column_type(kind):
    if isinstance(kind, str):
        return TYPES.get(kind) or kind.replace("decimal", "numeric")
    return f"{column_type(kind['list'])}[]" if "list" in kind else "json"


def parameter(value, kind):
    """As psycopg sends it; a struct is JSON with its members in the order of the type."""
    if value is None or isinstance(kind, str) or "list" in kind:
        return value
    return json.dumps({m["name"]: json.loads(element(value[m["name"]], m["type"]))
                       for m in kind["struct"]}, ensure_ascii=False)  # fmt: skip


@pytest.fixture(scope="module")
def server(postgresql_url):
    import psycopg

    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        yield postgresql_url, connection
        connection.execute("DROP TABLE IF EXISTS random_table")


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables((*SCALARS, "list", "struct"), NO_NUL))
def test_random_values_come_back_to_the_byte(server, table):
    from psycopg import sql

    url, connection = server
    kinds = list(table.types.values())
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(column_type(kind)))
        for name, kind in table.types.items()
    )
    connection.execute("DROP TABLE IF EXISTS random_table")
    connection.execute(sql.SQL("CREATE TABLE random_table ({})").format(columns))
    marks = sql.SQL(", ").join(sql.SQL("%s::" + column_type(kind)) for kind in kinds)
    insert = sql.SQL("INSERT INTO random_table VALUES ({})").format(marks)
    for row in table.rows:
        connection.execute(insert, [parameter(*cell) for cell in zip(row, kinds, strict=True)])
    assert read_content(url, "random_table", table, order_by=("id",)) == table.content
