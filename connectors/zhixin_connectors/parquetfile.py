"""Parquet files as record batches of the source's own types; several in a folder are one table.

Files of one table must have the same types in the wanted columns: naive and UTC times side by side
are refused, not combined by the order of the files' names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt
from zhixin_errors import PermanentSourceError

from zhixin_connectors._arrow import Array, pc
from zhixin_connectors.checks import check_columns

__all__ = ["batches", "schema_of", "shape"]

_BUFFER_BYTES = 1 << 20
_NANO_US = 2**63 // 1_000 - 1  # what 64 bits of nanoseconds reach, in microseconds


def shape(path: Path) -> tuple[int | None, list[str]]:
    """How many rows and which columns a file has; nothing where it can't be read."""
    try:
        with pq.ParquetFile(path) as file:
            return file.metadata.num_rows, list(file.schema_arrow.names)
    except (pa.ArrowException, OSError):
        return None, []


def schema_of(path: Path, place: str) -> pa.Schema:
    """The columns of a file or of the first file of a folder, in the file's own types."""
    with _open(_files(path, place)[0], place) as file:
        return file.schema_arrow


def batches(path: Path, place: str, wanted: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The wanted columns, in the wanted order, file after file in the order of their names.

    Raises:
        PermanentSourceError: a file is no Parquet, lacks a column, or has another type than the
            first; names the file and both types.
    """
    files = _files(path, place)
    _check(files, place, wanted.names)
    for each in files:
        with _open(each, place) as file:
            try:
                yield from _read(each, file, wanted.names, batch_rows)
            except (pa.ArrowException, OSError):
                raise PermanentSourceError(
                    f"source {place}: {each.name} is damaged, or not Parquet as pyarrow reads it"
                ) from None


def _read(
    path: Path, file: pq.ParquetFile, names: list[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Batches of one file; INT96, which has nanoseconds, is read twice.

    pyarrow reads it as microseconds (further digits are cut) or as nanoseconds (years beyond 1677
    to 2262 wrap round), both without a word: nanoseconds are taken wherever all years allow it.
    """
    stream = file.iter_batches(batch_rows, columns=names, use_threads=False)
    old = [name for name in names if name in _int96(file)]
    if not old:
        yield from (batch.select(names) for batch in stream)
        return
    with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES) as fine:
        precise = fine.iter_batches(batch_rows, columns=old, use_threads=False)
        for batch, exact in zip(stream, precise, strict=True):
            columns: dict[str, Array] = {name: batch.column(name) for name in names}
            columns |= {n: exact.column(n) for n in old if _within_nanoseconds(columns[n])}
            yield pa.RecordBatch.from_arrays(list(columns.values()), names=names)


def _int96(file: pq.ParquetFile) -> set[str]:
    columns = (file.schema.column(place) for place in range(len(file.schema)))
    return {column.path for column in columns if column.physical_type == "INT96"}


def _within_nanoseconds(column: Array) -> bool:
    bounds = pc.min_max(column.view(pa.int64()))
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    return low is None or (low > -_NANO_US and high < _NANO_US)


def _files(path: Path, place: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(each for each in path.iterdir() if each.suffix.lower() in {".parquet", ".pq"})
    if not files:
        raise PermanentSourceError(f"source {place}: the folder holds no Parquet files")
    return files


def _open(path: Path, place: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, coerce_int96_timestamp_unit="us")
    except (pa.ArrowException, OSError):
        raise PermanentSourceError(f"source {place}: {path.name} is not a Parquet file") from None


def _check(files: Sequence[Path], place: str, wanted: Sequence[str]) -> None:
    first: dict[str, tuple[str, pa.DataType]] = {}
    for each in files:
        with _open(each, place) as file:
            schema = file.schema_arrow
        repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if repeated:
            raise PermanentSourceError(
                f"source {place}: {each.name} has the column {', '.join(repeated)} more than once"
            )
        check_columns(schema.names, wanted, place if len(files) == 1 else f"{place}, {each.name}")
        for name in wanted:
            own = schema.field(name).type
            other, known = first.setdefault(name, (each.name, own))
            if own != known and not (pt.is_null(own) or pt.is_null(known)):
                raise PermanentSourceError(
                    f"source {place}: column {name} is {own} in {each.name} and {known} in {other}",
                    code="column-type",
                    hint="files of one table must have the same types; rewrite one of them",
                )
