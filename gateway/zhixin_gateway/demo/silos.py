"""The demo's agency databases, filled once with the real records.

Three kinds, because agencies have three: BTS keeps a SQLite database, NOAA a folder of CSV files
as its stations sent them, FAA a folder of Parquet files. Each can be put into any other database
that SQLAlchemy opens, such as PostgreSQL or MariaDB, or be served as JSON over HTTP by somebody,
and yields the same datasets from there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from zhixin_connectors.sqlerrors import translated
from zhixin_errors import PermanentSourceError

from zhixin_gateway.demo.records import COLUMNS, batches, raw_file

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["SILOS", "Silo", "seed"]

_ROWS_A_STATEMENT = 5_000
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}


@dataclass(frozen=True)
class Silo:
    """One agency's source: its name in contracts, its member, its tables, its kind of store."""

    member: str
    source: str
    tables: tuple[str, ...]
    kind: str


SILOS = (
    Silo("bts.gov.example", "operations", ("flights", "airlines"), "sqlite"),
    Silo("noaa.gov.example", "stations", ("weather",), "csv"),
    Silo("faa.gov.example", "registry", ("airports", "planes"), "parquet"),
)


def seed(silo: Silo, folder: Path, url: str | None = None) -> str:
    """Fill a silo if it is empty.

    Args:
        silo: which one.
        folder: where SQLite, CSV and Parquet silos of the demo lie.
        url: a database to use in place of the silo's own kind, or an address under which its tables
            are served already, as JSON.

    Returns:
        The source's URL.

    Raises:
        ConfigError: the records are not installed.
        TransientSourceError: the database can't be reached.
        PermanentSourceError: the database refuses, or has a table of that name which is not ours.
    """
    if url is not None and url.partition(":")[0].lower() in {"http", "https"}:
        return url
    folder.mkdir(parents=True, exist_ok=True)
    if url is None and silo.kind == "sqlite":
        url = "sqlite:///" + quote(str(folder / f"{silo.member}.db"))
    if url is not None:
        _seed_database(url, silo)
        return url
    place = folder / silo.member
    place.mkdir(exist_ok=True)
    write = _copy_csv if silo.kind == "csv" else _write_parquet
    for table in silo.tables:
        _once(place / f"{table}.{silo.kind}", table, write)
    return f"file:{quote(str(place))}"


def _once(path: Path, table: str, write: Callable[[str, Path], None]) -> None:
    """Write a file whole or not at all; one that is there stays as it is."""
    if path.exists():
        return
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(table, half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _copy_csv(table: str, path: Path) -> None:
    with raw_file(table) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)


def _write_parquet(table: str, path: Path) -> None:
    with pq.ParquetWriter(path, COLUMNS[table]) as writer:
        for batch in batches(table):
            writer.write_batch(batch)


def _seed_database(url: str, silo: Silo) -> None:
    with translated(silo.source), _engine(url).begin() as connection:
        for table in silo.tables:
            _seed_table(connection, table)


def _engine(url: str) -> sa.Engine:
    import sqlalchemy as sa
    from sqlalchemy.pool import NullPool

    name = sa.make_url(url)
    driver = _DRIVERS.get(name.drivername)
    told = {}
    if driver is not None:
        name = name.set(drivername=driver)
    if name.get_driver_name() == "pymysql":
        told["init_command"] = "SET time_zone = '+00:00'"  # of what goes into a TIMESTAMP
    return sa.create_engine(name, connect_args=told, poolclass=NullPool)


def _seed_table(connection: sa.Connection, name: str) -> None:
    import sqlalchemy as sa

    columns = COLUMNS[name]
    if sa.inspect(connection).has_table(name):
        found = {column["name"] for column in sa.inspect(connection).get_columns(name)}
        if found != set(columns.names):
            raise PermanentSourceError(
                f"there is a table {name} in that database which is not the demo's",
                hint="give the demo an empty database",
            )
        return
    dialect = connection.dialect.name
    table = sa.Table(
        name,
        sa.MetaData(),
        *[sa.Column(each.name, _sql_type(each.type, dialect)) for each in columns],
        mysql_charset="utf8mb4",
        mariadb_charset="utf8mb4",
    )
    table.create(connection)
    for batch in batches(name):
        for rows in _rows(batch, dialect == "sqlite"):
            connection.execute(table.insert(), rows)


def _sql_type(kind: pa.DataType, dialect: str) -> sa.types.TypeEngine[Any]:
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql

    if pa.types.is_timestamp(kind):
        if dialect == "sqlite":  # it has no times: agencies that use it keep ISO 8601 texts
            return sa.Text()
        own = dialect in {"mysql", "mariadb"}  # whose TIMESTAMP has whole seconds if not told
        return mysql.TIMESTAMP(fsp=6) if own else sa.TIMESTAMP(timezone=True)
    if pa.types.is_integer(kind):
        return sa.BigInteger()
    return sa.Double() if pa.types.is_floating(kind) else sa.String(255)


def _rows(batch: pa.RecordBatch, sqlite: bool) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, batch.num_rows, _ROWS_A_STATEMENT):
        rows = batch.slice(start, _ROWS_A_STATEMENT).to_pylist()
        if sqlite and "time_hour" in batch.schema.names:
            for row in rows:
                row["time_hour"] = row["time_hour"].strftime("%Y-%m-%dT%H:%M:%SZ")
        yield rows
