"""Small helpers of the connectors' tests."""

from __future__ import annotations

import pyarrow as pa
import pytest
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source


@pytest.fixture
def take():
    """Read a whole object: (table, [(row, field, reason, raw)], table of raw texts)."""

    def read(source, name, fields, **request):
        schema = fields if isinstance(fields, pa.Schema) else pa.schema(list(fields.items()))
        source = open_source(str(source)) if not hasattr(source, "read") else source
        batches, misfits, raws = [], [], []
        expected = 0
        for each in source.read(ReadRequest(name, schema, **request)):
            assert each.first_row == expected
            assert each.batch.schema == schema
            each.batch.validate(full=True)
            expected += each.batch.num_rows
            misfits += [(each.first_row + m.row, m.field, m.reason, m.raw) for m in each.misfits]
            batches.append(each.batch)
            raws.append(each.raw_texts(range(each.batch.num_rows)))
        texts = pa.schema([(field, pa.string()) for field in schema.names])
        return pa.Table.from_batches(batches, schema), misfits, pa.Table.from_batches(raws, texts)

    return read


@pytest.fixture
def postgresql(postgresql_url):
    """A fresh database: (url, run), where run executes SQL in it."""
    import sqlalchemy as sa

    engine = sa.create_engine(
        postgresql_url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    name = "one_case"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    url = postgresql_url.rsplit("/", 1)[0] + f"/{name}"
    inside = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))

    def run(sql):
        with inside.begin() as connection:
            connection.connection.driver_connection.execute(sql)

    yield url, run
    inside.dispose()


@pytest.fixture
def mariadb(mariadb_url):
    """A fresh database in utf8mb4: (url, run), where run executes a script in it, unstrictly."""
    import pymysql
    import sqlalchemy as sa
    from pymysql.constants import CLIENT

    name = "one_case"
    at = sa.make_url(mariadb_url)
    connection = pymysql.connect(
        host=at.host, port=at.port, user=at.username, password=at.password,
        sql_mode="", autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS,
    )  # fmt: skip

    def run(sql, values=None):
        with connection.cursor() as cursor:
            if values is not None:
                cursor.executemany(sql, values)
                return
            cursor.execute(sql)
            while cursor.nextset():
                pass

    run(f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4; USE {name}")
    yield mariadb_url.rsplit("/", 1)[0] + f"/{name}", run
    connection.close()
