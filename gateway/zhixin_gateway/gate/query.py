"""SQL over verified datasets: DuckDB over Arrow batches, never over files (docs/formats.md 4).

::

    query('select f.carrier, avg(w.visib) from "bts.gov.example/flights" f '
          'join "noaa.gov.example/weather" w using (origin, time_hour) group by all',
          {"bts.gov.example/flights": flights, "noaa.gov.example/weather": weather})

DuckDB sees only the tables that are given: files, the network, extensions and Python's variables
are shut off, and settings are locked. Each time the query names a table, its parts are read, hashed
and decoded anew, and of their columns those that the query needs; what outgrows the memory limit
spills to a private temporary folder.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zhixin_errors import ConfigError, ZhixinError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["BATCH_ROWS", "MEMORY_BYTES", "Table", "query"]

BATCH_ROWS = 65_536
MEMORY_BYTES = 512 * 1024 * 1024

_SETTINGS = (
    "TimeZone = 'UTC'",
    "python_enable_replacements = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "enable_external_access = false",
    "lock_configuration = true",
)


class Table(Protocol):
    """What can be queried: a `VerifiedDataset`."""

    @property
    def schema(self) -> pa.Schema:
        """The fields."""
        ...

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The records, as often as they are asked for.

        Args:
            columns: names of the fields that are wanted, in this order; None: all.
        """
        ...


def _source(dataset: Table, failures: list[ZhixinError]) -> Any:  # noqa: ANN401 - Arrow's Dataset
    """One table, as often as DuckDB reads it; keeps our own error, which DuckDB would flatten.

    To an Arrow dataset, and to nothing else, DuckDB says which columns it needs, and which filter
    it leaves to Arrow: so this is one by name, and asks our own for the records.
    """
    import pyarrow as pa
    from pyarrow import dataset as arrow

    class Source(arrow.Dataset):
        def __init__(self) -> None:
            """Hold no files, as any other of this kind would."""

        @property
        def schema(self) -> pa.Schema:
            return dataset.schema

        def scanner(  # type: ignore[override]  # Arrow's other options are about files
            self,
            columns: list[str] | None = None,
            filter: Any = None,  # noqa: ANN401 - an expression
        ) -> arrow.Scanner:
            names = _needed(dataset.schema, columns, filter)
            schema = pa.schema([dataset.schema.field(name) for name in names])
            whole = names == dataset.schema.names
            batches = _kept(dataset, None if whole else names, failures)
            return arrow.Scanner.from_batches(
                batches, schema=schema, columns=columns or None, filter=filter
            )

    return Source()


def _needed(schema: pa.Schema, columns: Sequence[str] | None, filter_: Any) -> list[str]:  # noqa: ANN401
    """The fields that a query reads: those it names, and those without which its filter fails."""
    import pyarrow as pa
    from pyarrow import dataset as arrow

    if not columns:
        return list(schema.names)
    names = list(columns)
    if filter_ is None:
        return names
    for field in schema:
        if field.name in names:
            continue
        others = pa.schema([other for other in schema if other.name != field.name])
        try:
            arrow.Scanner.from_batches(iter(()), schema=others, filter=filter_)
        except pa.ArrowInvalid:
            names.append(field.name)
    return names


def _kept(
    dataset: Table, columns: Sequence[str] | None, failures: list[ZhixinError]
) -> Iterator[pa.RecordBatch]:
    try:
        yield from dataset.batches(columns)
    except ZhixinError as error:
        failures.append(error)
        raise


def query(
    sql: str,
    datasets: Mapping[str, Table],
    *,
    memory_bytes: int = MEMORY_BYTES,
    temp_directory: Path | None = None,
    threads: int | None = None,
    batch_rows: int = BATCH_ROWS,
) -> pa.RecordBatchReader:
    """Run one SELECT over verified datasets.

    Args:
        sql: in DuckDB's dialect.
        datasets: table name → dataset; nothing else can be named.
        memory_bytes: what DuckDB may use before it spills.
        temp_directory: where it spills, in a private folder that goes with the query; None: the
            system's temporary folder.
        threads: DuckDB's; None: one a core.
        batch_rows: records a batch of the answer.

    Returns:
        The answer; the query runs while it is read, and ends when it is read or let go.

    Raises:
        ConfigError: the SQL can't be run: at once, or while the answer is read.
        VerificationError: while the answer is read: a file changed since it was verified.
    """
    import pyarrow as pa

    stack = ExitStack()
    failures: list[ZhixinError] = []
    try:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="zhixin-query-", dir=temp_directory)
        )
        connection = _connect(memory_bytes, folder, threads)
        stack.callback(connection.close)
        _check_select(connection, sql)
        for name, dataset in datasets.items():
            connection.register(name, _source(dataset, failures))
        answer = connection.sql(sql).to_arrow_reader(batch_rows)
    except Exception as error:
        stack.close()
        raise _mapped(error, failures, datasets) from error
    return pa.RecordBatchReader.from_batches(answer.schema, _Answer(answer, stack, failures))


def _connect(memory_bytes: int, folder: str, threads: int | None) -> duckdb.DuckDBPyConnection:
    import duckdb

    config: dict[str, Any] = {"memory_limit": f"{memory_bytes}B", "temp_directory": folder}
    if threads is not None:
        config["threads"] = threads
    connection = duckdb.connect(":memory:", config=config)
    # In this order: once files are shut off, the temporary folder can't be set any more.
    for setting in _SETTINGS:
        connection.execute(f"SET {setting}")
    return connection


def _check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    import duckdb

    try:
        str.encode(sql)
    except UnicodeEncodeError as error:
        raise ConfigError("the SQL is not UTF-8", code="sql") from error
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ConfigError("the SQL must be exactly one SELECT", code="sql")


class _Answer:
    """The answer's batches; the query ends with the last, with an error, or when it is let go."""

    def __init__(
        self, answer: pa.RecordBatchReader, query_ends: ExitStack, failures: list[ZhixinError]
    ) -> None:
        self._answer = answer
        self._query_ends = query_ends
        self._failures = failures

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        try:
            return self._answer.read_next_batch()
        except StopIteration:
            self._query_ends.close()
            raise
        except Exception as error:
            self._query_ends.close()
            raise _mapped(error, self._failures) from error

    def __del__(self) -> None:
        self._query_ends.close()


def _mapped(
    error: Exception, failures: list[ZhixinError], datasets: Mapping[str, Table] | None = None
) -> Exception:
    """Our own error where a source failed; else what DuckDB says, without record contents."""
    import duckdb
    import pyarrow as pa

    if failures:
        return failures[0]
    if isinstance(error, duckdb.OutOfMemoryException):
        return ConfigError(
            "the SQL needs more memory than it may use", code="sql", hint="raise the limit"
        )
    if isinstance(error, (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)):
        first_line = str(error).partition("\n")[0]
        parsed = isinstance(error, duckdb.ParserException)
        hint = None if parsed or not datasets else _what_there_is(datasets)
        return ConfigError(f"the SQL can't be run: {first_line}", code="sql", hint=hint)
    if isinstance(error, duckdb.PermissionException):
        return ConfigError(
            "the SQL reads a file or changes a setting, and may do neither",
            code="sql",
            hint=None if not datasets else _what_there_is(datasets),
        )
    if isinstance(error, (duckdb.Error, pa.ArrowException)):
        # The message may quote a value: name the kind of error alone.
        return ConfigError(f"the SQL failed while it ran ({type(error).__name__})", code="sql")
    return error


_SHOWN = 20


def _what_there_is(datasets: Mapping[str, Table]) -> str:
    """Name the tables and their fields: the way out of a misspelt one."""
    told = []
    for name, dataset in datasets.items():
        fields = list(dataset.schema.names)
        more = f", and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
        shown = f'"{name}"' if "/" in name else name
        told.append(f"{shown} has {', '.join(fields[:_SHOWN])}{more}")
    return "; ".join(dict.fromkeys(told[-_SHOWN:]))
