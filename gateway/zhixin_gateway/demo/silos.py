"""The demo's agency databases, filled once with the real records.

Three kinds, because agencies have three: BTS keeps a SQLite database, NOAA a folder of CSV files
as its stations sent them, FAA a folder of Parquet files. Each can be put into any other database
that SQLAlchemy opens, and yields the same datasets from there.
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
from zhixin_errors import PermanentSourceError, TransientSourceError

from zhixin_gateway.demo.records import COLUMNS, batches, raw_file

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["SILOS", "Silo", "seed"]

_ROWS_A_STATEMENT = 5_000


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
        url: a database to use in place of the silo's own kind.

    Returns:
        The source's URL.

    Raises:
        ConfigError: the records are not installed.
        TransientSourceError: the database can't be reached.
        PermanentSourceError: a table of that name is there and holds something else.
    """
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
    import sqlalchemy as sa

    name = sa.make_url(url)
    if name.drivername in {"postgres", "postgresql"}:
        name = name.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(name)
    try:
        with engine.begin() as connection:
            for table in silo.tables:
                _seed_table(connection, table)
    except sa.exc.OperationalError as error:
        raise TransientSourceError(
            f"the {silo.member} silo's database can't be reached",
            hint="check the address, the login and that the server runs",
        ) from error
    finally:
        engine.dispose()


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
    sqlite = connection.dialect.name == "sqlite"
    table = sa.Table(
        name,
        sa.MetaData(),
        *[sa.Column(each.name, _sql_type(each.type, sqlite)) for each in columns],
    )
    table.create(connection)
    for batch in batches(name):
        for rows in _rows(batch, sqlite):
            connection.execute(table.insert(), rows)


def _sql_type(kind: pa.DataType, sqlite: bool) -> sa.types.TypeEngine[Any]:
    import sqlalchemy as sa

    if pa.types.is_timestamp(kind):
        # SQLite has no times: agencies that use it keep them as ISO 8601 texts.
        return sa.Text() if sqlite else sa.TIMESTAMP(timezone=True)
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
