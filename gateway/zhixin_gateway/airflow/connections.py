"""A source from an Airflow connection of its name: its address, and how to log in.

Contracts travel, so no address stands in them; an operator may keep it, with its password, where
Airflow keeps such things. Airflow's URI calls PostgreSQL ``postgres``, which SQLAlchemy does not
load, so known names are mapped. A connection of type ``http`` is put together as Airflow's own
HttpHook does it::

    host https://api.example or api.example with schema https, port, login, password
    login and password: auth = "basic"     password alone: auth = "bearer"
    extra {"auth": "oauth", "token_url": …, "client_id": …}: as in [sources.X], the password is the
    secret
"""
# ruff: noqa: TID253 - Airflow's side

from __future__ import annotations

from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from zhixin_connectors.access import ACCESS_NAMES
from zhixin_connectors.options import SECRET, Secret

__all__ = ["connection_source"]

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
}


def connection_source(source: str) -> tuple[str, dict[str, Any]] | None:
    """Give the address that Airflow keeps under a source's name.

    Args:
        source: as ``servers[0].server`` of a contract has it.

    Returns:
        A URL for a connector and options, a secret among them; None where Airflow has no such
        connection.
    """
    try:
        connection = Connection.get(source)
    except AirflowNotFoundException:
        return None
    if connection.conn_type in {"http", "https"}:
        return _http(connection)
    scheme, separator, rest = str(connection.get_uri()).partition("://")
    return f"{_DRIVERS.get(scheme, scheme)}{separator}{rest}", {}


def _http(connection: Connection) -> tuple[str, dict[str, Any]]:
    host = connection.host or ""
    url = host if "://" in host else f"{connection.schema or connection.conn_type}://{host}"
    if connection.port:
        url += f":{connection.port}"
    extra = connection.extra_dejson
    options = {name: extra[name] for name in ACCESS_NAMES - {SECRET} if name in extra}
    if connection.password:
        auth = "basic" if connection.login else "bearer"
        options = {"auth": auth, SECRET: Secret(connection.password), **options}
    if connection.login:
        options = {"user": connection.login, **options}
    return url, options
