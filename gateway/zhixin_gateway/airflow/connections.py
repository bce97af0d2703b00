"""The address of a source from an Airflow connection of its name.

Contracts travel, so no address stands in them; an operator may keep it, with its password, where
Airflow keeps such things. Airflow's URI calls PostgreSQL ``postgres``, which SQLAlchemy does not
load, so known names are mapped.
"""
# ruff: noqa: TID253 - Airflow's side

from __future__ import annotations

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

__all__ = ["connection_url"]

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
}


def connection_url(source: str) -> str | None:
    """Give the address that Airflow keeps under a source's name.

    Args:
        source: as ``servers[0].server`` of a contract has it.

    Returns:
        A URL for a connector, or None where Airflow has no such connection.
    """
    try:
        connection = Connection.get(source)
    except AirflowNotFoundException:
        return None
    scheme, separator, rest = str(connection.get_uri()).partition("://")
    return f"{_DRIVERS.get(scheme, scheme)}{separator}{rest}"
