"""Random tables through a real MariaDB: ``content`` is that of the values themselves."""

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.connectors.random_tables import (
    SCALARS,
    VALUES,
    canonical,
    element,
    read_content,
    tables,
)

TYPES = {
    "boolean": "boolean",
    "integer": "bigint",
    "unsigned": "bigint unsigned",
    "float": "double",
    "string": "longtext",
    "binary": "longblob",
    "date": "date",
    "time": "time(6)",
    "timestamp": "datetime(6)",
    "timestamptz": "timestamp(6) null",
}
LESS = {
    "float": VALUES["float"].map(lambda value: value + 0.0),  # the server keeps no sign of zero
    "timestamptz": st.datetimes(
        dt.datetime(1970, 1, 1, 0, 0, 1),  # noqa: DTZ001
        dt.datetime(2038, 1, 19, 3, 14, 7, 999999),  # noqa: DTZ001
        timezones=st.just(dt.UTC),
    ),
}


def column_type(kind):
    return TYPES.get(kind, kind) if isinstance(kind, str) else "json"


def parameter(value, kind):
    """As text, which the server reads exactly; lists and structs are JSON."""
    if value is None or isinstance(value, (bytes, str)):
        return value
    if isinstance(kind, str):
        return int(value) if kind == "boolean" else canonical(value, kind).removesuffix("Z")
    return element(value, kind)


@pytest.fixture(scope="module")
def server(mariadb_url):
    import pymysql
    import sqlalchemy as sa

    at = sa.make_url(mariadb_url)
    connection = pymysql.connect(
        host=at.host, port=at.port, user=at.username, password=at.password,
        database=at.database, autocommit=True,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        yield mariadb_url, cursor
        cursor.execute("DROP TABLE IF EXISTS random_table")
    connection.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables((*SCALARS, "list", "struct"), LESS))
def test_random_values_come_back_to_the_byte(server, table):
    url, cursor = server
    kinds = list(table.types.values())
    quoted = ["`" + name.replace("`", "``") + "`" for name in table.types]
    columns = [f"{name} {column_type(k)}" for name, k in zip(quoted, kinds, strict=True)]
    cursor.execute("DROP TABLE IF EXISTS random_table")
    cursor.execute(f"CREATE TABLE random_table ({', '.join(columns)}) CHARACTER SET utf8mb4")
    marks = ", ".join(["%s"] * len(kinds))
    for row in table.rows:
        values = [parameter(*cell) for cell in zip(row, kinds, strict=True)]
        cursor.execute(f"INSERT INTO random_table VALUES ({marks})", values)
    assert read_content(url, "random_table", table, order_by=("id",)) == table.content
