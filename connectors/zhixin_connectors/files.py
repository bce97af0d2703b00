"""Files as a source: a folder whose files are the tables, or one file.

::

    /data/silo/     objects: weather.csv, weather (where no other file has that name),
                    sub/planes.parquet, parts/ (a folder of Parquet files)
    /data/a.csv     objects: a.csv, a

.csv, .tsv, .txt (also .gz, .zip) and .parquet. A path in an object stays inside of the folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.types as pt
from zhixin_errors import ConfigError, PermanentSourceError

from zhixin_connectors import csvfile, parquetfile
from zhixin_connectors.checks import check_columns
from zhixin_connectors.columns import ArrowColumn, extracted, null_words
from zhixin_connectors.describe import Declared, describe
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions, parse_options
from zhixin_connectors.protocol import (
    Extracted,
    Misfit,
    ReadRequest,
    SeenColumn,
    TableDescription,
    TableInfo,
)

__all__ = ["FileSource", "open_files"]

_SQLITE = b"SQLite format 3\0"
_TEXT = re.compile(r"\.(csv|tsv|txt)(\.gz|\.zip)?$|^[^.]+\.zip$", re.IGNORECASE)
_PARQUET = re.compile(r"\.(parquet|pq)$", re.IGNORECASE)
_MAX_NAMED = 20


def open_files(url: str, options: Mapping[str, Any], name: str) -> FileSource:
    """What the registry calls for paths, ``file:``, ``csv:`` and ``parquet:``."""
    kind, path = "", url
    found = re.match(r"(file|csv|parquet):", url, re.IGNORECASE)
    if found:
        kind = found.group(1).lower().replace("file", "")
        parts = urlsplit(url)
        path = unquote(parts.path) if url[found.end() :].startswith("//") else url[found.end() :]
    if not path:
        raise ConfigError("the source has no path", hint="write file:/path/to/folder")
    return FileSource(Path(path).expanduser(), options, name, kind)


class FileSource:
    """A connector to a folder or a file."""

    def __init__(self, root: Path, options: Mapping[str, Any], name: str, kind: str = "") -> None:
        self.name = name
        self._root = root
        self._options = dict(options)
        self._kind = kind

    def check(self) -> None:
        """See that it is there and can be read."""
        parse_options(self._options)
        if not self._root.exists():
            raise PermanentSourceError(
                f"source {self.name}: there is no such file or folder",
                hint="check the path, or url in [sources] of zhixin.toml",
            )
        if not os.access(self._root, os.R_OK):
            raise PermanentSourceError(f"source {self.name}: no permission to read it")
        if self._root.is_file() and not self._kind:
            _check_no_database(self._root, self.name)

    def tables(self) -> list[TableInfo]:
        """The files that can be read, by their path within the folder."""
        self.check()
        if self._root.is_file():
            return [_info(self._root, self._root.name)]
        found = []
        for folder, folders, files in os.walk(self._root):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for file in files:
                path = Path(folder, file)
                if not file.startswith(".") and (_TEXT.search(file) or _PARQUET.search(file)):
                    found.append(_info(path, path.relative_to(self._root).as_posix()))
        return sorted(found, key=lambda table: table.name)

    def columns(self, table: str) -> list[SeenColumn]:
        """The columns of a file: a CSV's header, a Parquet file's own types."""
        self.check()
        path = self._resolve(table)
        if self._is_parquet(path):
            own = parquetfile.schema_of(path, f"{self.name}, {table}")
            return [SeenColumn(each.name, str(each.type), each.nullable) for each in own]
        header = csvfile.read_header(path, self._csv_options(path, {}))
        return [SeenColumn(name) for name in header if name]

    def describe(self, table: str, *, rows: int = 100_000) -> TableDescription:
        """Look at a file for `source infer`."""
        self.check()
        path = self._resolve(table)
        if self._is_parquet(path):
            own = parquetfile.schema_of(path, f"{self.name}, {table}")
            columns = {each.name: Declared(_as_wanted(each.type), str(each.type)) for each in own}
            return describe(self, table, columns, rows=rows)
        header = csvfile.read_header(path, self._csv_options(path, {}))
        if len(header) == 1 and (other := re.search("[;\t|]", header[0])):
            raise PermanentSourceError(
                f"source {self.name}, {table}: the header has one column",
                hint=f"set zhixin.delimiter, if {other.group()!r} stands between the columns",
            )
        named = {name: Declared() for name in header if name}
        return describe(self, table, named, rows=rows, options=self._options)

    def read(self, request: ReadRequest) -> Iterator[Extracted]:
        """Yield a file's records in its order."""
        self.check()
        path = self._resolve(request.object)
        if self._is_parquet(path):
            yield from self._read_parquet(path, request)
        else:
            yield from self._read_csv(path, request)

    def _read_parquet(self, path: Path, request: ReadRequest) -> Iterator[Extracted]:
        options = parse_options(self._options, request.options)
        readings = [Reading(options.timezone, "")] * len(request.schema)
        place = f"{self.name}, {request.object}"
        first_row = 0
        for batch in parquetfile.batches(path, place, request.schema, request.batch_rows):
            columns = [null_words(ArrowColumn(each), options.null) for each in batch.columns]
            yield extracted(columns, request.schema, readings, first_row)
            first_row += batch.num_rows

    def _read_csv(self, path: Path, request: ReadRequest) -> Iterator[Extracted]:
        options = self._csv_options(path, request.options)
        header = csvfile.read_header(path, options)
        check_columns(header, request.schema.names, f"{self.name}, {request.object}")
        readings = [Reading(options.timezone, options.binary)] * len(request.schema)
        first_row = 0
        for rows in csvfile.read_rows(path, header, request.schema.names, options):
            for part in csvfile.split(rows, request.batch_rows):
                columns = [ArrowColumn(column, part.escaped) for column in part.columns]
                batch = extracted(columns, request.schema, readings, first_row)
                yield _with_ragged(batch, part, len(header))
                first_row += part.length

    def _csv_options(self, path: Path, layer: Mapping[str, Any]) -> SourceOptions:
        tabs = {"delimiter": "\t"} if re.search(r"\.tsv(\.|$)", path.name, re.IGNORECASE) else {}
        return parse_options(tabs, self._options, layer)

    def _is_parquet(self, path: Path) -> bool:
        if path.is_dir() or self._kind:
            return self._kind != "csv"
        return _PARQUET.search(path.name) is not None

    def _resolve(self, table: str) -> Path:
        if self._root.is_file():
            if table in {"", self._root.name, self._root.name.split(".")[0]}:
                return self._root
            raise self._missing(table, [self._root.name])
        inside = os.path.normpath(table or ".")
        if Path(inside).is_absolute() or inside.startswith(".."):
            raise PermanentSourceError(
                f"source {self.name}: {table} lies outside of its folder",
                hint="physicalName is a path within the source's folder",
            )
        path = self._root / inside
        if not path.exists():
            path = self._root / self._whole_name(inside)
        if not os.access(path, os.R_OK):
            raise PermanentSourceError(f"source {self.name}: no permission to read {table}")
        return path

    def _whole_name(self, table: str) -> str:
        """Find the one file that a name without its ending means; tables have no endings."""
        there = [each.name for each in self.tables()]
        meant = [name for name in there if name.startswith(f"{table}.")]
        if len(meant) != 1:
            raise self._missing(table, there)
        return meant[0]

    def _missing(self, table: str, there: Sequence[str]) -> PermanentSourceError:
        listed = ", ".join(there[:_MAX_NAMED]) or "nothing that can be read"
        return PermanentSourceError(
            f"source {self.name} has no {table}", hint=f"there is {listed}", code="object-missing"
        )


def _check_no_database(path: Path, name: str) -> None:
    """Refuse a database whose path was given plain: its bytes are no CSV."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            raise PermanentSourceError(
                f"source {name}: this is a SQLite database, not a CSV or Parquet file",
                hint=f"write sqlite:///{path}",
            )


def _with_ragged(batch: Extracted, rows: csvfile.CsvRows, width: int) -> Extracted:
    """Add the rows that have too few or too many fields, as misfits of the whole record."""
    if not rows.ragged:
        return batch
    whole = [
        Misfit(row, "", f"fields in the row: {bad.fields}, in the header: {width}", bad.text)
        for row, bad in rows.ragged.items()
    ]
    schema = pa.schema([pa.field(name, pa.string()) for name in batch.batch.schema.names])

    def raw(chosen: Sequence[int]) -> pa.RecordBatch:
        texts = [list(column.to_pylist()) for column in batch.raw_source(chosen).columns]
        for place, row in enumerate(chosen):
            if row in rows.ragged:
                for column, text in zip(texts, rows.ragged[row].shown, strict=True):
                    column[place] = text
        return pa.RecordBatch.from_arrays([pa.array(t, pa.string()) for t in texts], schema=schema)

    misfits = sorted([*batch.misfits, *whole], key=lambda misfit: misfit.row)
    return replace(batch, misfits=misfits, raw_source=raw)


def _info(path: Path, name: str) -> TableInfo:
    rows, columns = parquetfile.shape(path) if _PARQUET.search(name) else (None, [])
    return TableInfo(name, "file", columns, rows, path.stat().st_size)


def _as_wanted(source: pa.DataType) -> pa.DataType | None:
    """The manifest's type for a Parquet column's own; None where the values must decide."""
    if pt.is_dictionary(source):
        return _as_wanted(source.value_type)
    if pt.is_nested(source):
        return _nested_as_wanted(source)
    if pt.is_timestamp(source):
        return pa.timestamp("us", tz="UTC" if source.tz else None)
    if pt.is_decimal(source) and 0 <= source.scale <= source.precision <= 38:
        return pa.decimal128(source.precision, source.scale)
    return next((wanted for accepts, wanted in _WANTED if accepts(source)), None)


def _nested_as_wanted(source: Any) -> pa.DataType | None:  # noqa: ANN401 (a nested pa.DataType)
    if pt.is_struct(source):
        members = [source.field(place) for place in range(source.num_fields)]
        wanted = [(member.name, _as_wanted(member.type)) for member in members]
        known = [(name, inner) for name, inner in wanted if inner is not None]
        return pa.struct(known) if len(known) == len(wanted) else None
    if pt.is_list(source) or pt.is_large_list(source) or pt.is_fixed_size_list(source):
        inner = _as_wanted(source.value_type)
        return None if inner is None else pa.list_(inner)
    return None


_WANTED: list[tuple[Callable[[pa.DataType], bool], pa.DataType]] = [
    (pt.is_boolean, pa.bool_()),
    (pt.is_uint64, pa.uint64()),
    (pt.is_integer, pa.int64()),
    (pt.is_floating, pa.float64()),
    (pt.is_date, pa.date32()),
    (pt.is_time, pa.time64("us")),
    (pt.is_string, pa.string()),
    (pt.is_large_string, pa.string()),
    (pt.is_binary, pa.binary()),
    (pt.is_large_binary, pa.binary()),
    (pt.is_fixed_size_binary, pa.binary()),
]
