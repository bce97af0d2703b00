"""A Parquet file as record batches of its own types, exact or misfits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt
from zhixin_errors import PermanentSourceError

from zhixin_connectors._arrow import Array, pc
from zhixin_connectors.checks import check_columns, repeated
from zhixin_connectors.columns import ArrowColumn, extracted, null_words
from zhixin_connectors.describe import Declared
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.protocol import Extracted, ReadRequest, SeenColumn
from zhixin_connectors.unpack import OpenStream

__all__ = ["batches", "columns", "declared", "shape"]

_BUFFER_BYTES = 1 << 20
_NANO_US = 2**63 // 1_000 - 1  # what 64 bits of nanoseconds reach, in microseconds


def shape(open_stream: OpenStream, place: str) -> tuple[int, list[str]]:
    """How many rows and which columns a file has."""
    with open_stream() as stream, _opened(stream, place) as file:
        return file.metadata.num_rows, list(file.schema_arrow.names)


def declared(open_stream: OpenStream, place: str) -> dict[str, Declared]:
    """What the file's own types propose, by the columns' names."""
    own = _schema(open_stream, place)
    return {each.name: Declared(_as_wanted(each.type), str(each.type)) for each in own}


def _schema(open_stream: OpenStream, place: str) -> pa.Schema:
    """The columns, in the file's own types.

    Raises:
        PermanentSourceError: it is no Parquet, or has a column twice.
    """
    with open_stream() as stream, _opened(stream, place) as file:
        schema = file.schema_arrow
    twice = repeated(schema.names)
    if twice:
        raise PermanentSourceError(
            f"source {place} has the column {', '.join(twice)} more than once", code="header"
        )
    return schema


def columns(open_stream: OpenStream, place: str, _options: SourceOptions) -> list[SeenColumn]:
    """The file's columns with its own types."""
    own = _schema(open_stream, place)
    return [SeenColumn(each.name, str(each.type), each.nullable) for each in own]


def batches(
    open_stream: OpenStream, place: str, request: ReadRequest, options: SourceOptions
) -> Iterator[Extracted]:
    """The records, as the wanted types.

    Raises:
        PermanentSourceError: it is no Parquet or damaged, or lacks a wanted column.
    """
    wanted = request.schema.names
    check_columns(_schema(open_stream, place).names, wanted, place)
    readings = [Reading(options.timezone, "", options.dates)] * len(wanted)
    first_row = 0
    with open_stream() as stream, _opened(stream, place) as file:
        own = _read(stream, file, wanted, request.batch_rows)
        while True:
            try:
                batch = next(own)
            except StopIteration:
                return
            except (pa.ArrowException, OSError):
                raise PermanentSourceError(
                    f"source {place} is damaged after record {first_row:,}, or not Parquet as "
                    "pyarrow reads it"
                ) from None
            texts = [null_words(ArrowColumn(each), options.null) for each in batch.columns]
            yield extracted(texts, request.schema, readings, first_row)
            first_row += batch.num_rows


def _read(
    stream: IO[bytes], file: pq.ParquetFile, names: list[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Batches of one file; INT96, which has nanoseconds, is read twice.

    pyarrow reads it as microseconds (further digits are cut) or as nanoseconds (years beyond 1677
    to 2262 wrap round), both without a word: nanoseconds are taken wherever all years allow it.
    """
    coarse = file.iter_batches(batch_rows, columns=names, use_threads=False)
    old = [name for name in names if name in _int96(file)]
    if not old:
        yield from (batch.select(names) for batch in coarse)
        return
    with pq.ParquetFile(_source(stream), buffer_size=_BUFFER_BYTES) as fine:
        precise = fine.iter_batches(batch_rows, columns=old, use_threads=False)
        for batch, exact in zip(coarse, precise, strict=True):
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


@contextmanager
def _opened(stream: IO[bytes], place: str) -> Iterator[pq.ParquetFile]:
    try:
        file = pq.ParquetFile(
            _source(stream), buffer_size=_BUFFER_BYTES, coerce_int96_timestamp_unit="us"
        )
    except (pa.ArrowException, OSError):
        raise PermanentSourceError(f"source {place} is not a Parquet file, or damaged") from None
    with file:
        yield file


def _source(stream: IO[bytes]) -> Any:  # noqa: ANN401 (pyarrow's stubs know only its own files)
    return stream


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
