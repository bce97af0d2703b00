"""Small helpers of the connectors' tests."""

from __future__ import annotations

import pyarrow as pa
import pytest
from zhixin_connectors import testing
from zhixin_connectors.registry import open_source


@pytest.fixture
def take():
    """Read a whole object: (table, [(row, field, reason, raw)], table of raw texts)."""

    def read(source, name, fields, **request):
        schema = fields if isinstance(fields, pa.Schema) else pa.schema(list(fields.items()))
        source = open_source(str(source)) if not hasattr(source, "read") else source
        return testing.take(source, name, schema, **request)

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
