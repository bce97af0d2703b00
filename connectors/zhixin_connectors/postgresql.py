r"""PostgreSQL by its own COPY: every value as the server's text, which says what no driver can.

::

    COPY (SELECT "id", "valid_until" FROM "permits") TO STDOUT (FORMAT csv)
    2,infinity           null is an unquoted empty field, the empty string is ""

The texts then go the same way as a CSV's, through ``postgresql_values.py`` where a type has a form
of its own. They are those of the server's default settings, whatever the login's own are. The bytes
of a database that is not in UTF-8 are decoded here: a text with bytes that are none in its encoding
rejects its own record, where the server would refuse the whole query.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.types as pt
from zhixin_errors import ConfigError

from zhixin_connectors._arrow import Array
from zhixin_connectors.columns import ArrowColumn, escaped_text, extracted, null_words
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.postgresql_values import BOOL, TEXTS, column, kinds_of
from zhixin_connectors.protocol import Extracted, ReadRequest
from zhixin_connectors.relations import described, order_by, quoter

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

__all__ = ["columns", "opener", "prepared", "read"]

_CHUNK_BYTES = 1 << 22
_CODECS = {  # those that Python decodes as the server does, to the last character: a test holds it
    "SQL_ASCII": "utf-8",  # it holds any bytes
    "LATIN1": "iso8859-1", "LATIN2": "iso8859-2", "LATIN3": "iso8859-3", "LATIN4": "iso8859-4",
    "LATIN5": "iso8859-9", "LATIN6": "iso8859-10", "LATIN7": "iso8859-13", "LATIN8": "iso8859-14",
    "LATIN9": "iso8859-15", "LATIN10": "iso8859-16", "ISO_8859_5": "iso8859-5",
    "ISO_8859_6": "iso8859-6", "ISO_8859_7": "iso8859-7", "ISO_8859_8": "iso8859-8",
    "KOI8R": "koi8-r", "KOI8U": "koi8-u", "WIN866": "cp866", "WIN874": "cp874",
    "WIN1250": "cp1250", "WIN1251": "cp1251", "WIN1252": "cp1252", "WIN1253": "cp1253",
    "WIN1254": "cp1254", "WIN1255": "cp1255", "WIN1256": "cp1256", "WIN1257": "cp1257",
    "WIN1258": "cp1258", "EUC_CN": "gb2312",
}  # fmt: skip
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "synchronize_seqscans": "off",  # a table's order is its own, whoever else reads it
    "client_encoding": "UTF8",
    "lock_timeout": "30s",
}
_COLUMNS = """
    SELECT attname, atttypid, pg_catalog.has_column_privilege(attrelid, attnum, 'SELECT')
    FROM pg_catalog.pg_attribute
    WHERE attrelid = '{}'::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum"""
_READ_WAIT_S = 3_600.0  # a view may compute for long before its first record
_ALIVE = {  # a machine that is gone is noticed within a minute, however long a query may take
    "connect_timeout": "20",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "4",
    "tcp_user_timeout": "60000",
    "client_encoding": "utf8",
}


def opener(url: URL, name: str) -> Callable[[], Any]:
    """What opens a connection on which nothing waits for ever.

    ``read_timeout`` in the URL is how many seconds the server may say nothing.

    Raises:
        ConfigError: it is no number.
    """
    from psycopg import Connection as Plain
    from psycopg import OperationalError

    text = str(url.query.get("read_timeout", _READ_WAIT_S))
    try:
        limit_s = float(text)
    except ValueError:
        raise ConfigError(f"source {name}: read_timeout of its url is no number") from None
    url = url.difference_update_query(["read_timeout"])
    _, told = url.get_dialect()().create_connect_args(url)

    class Patient(Plain[Any]):
        """Gives up where the server says nothing for too long."""

        def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            try:
                state = next(gen)
            except StopIteration as done:  # it had arrived already
                return done.value
            return super().wait(self._until(gen, state), *args, **kwargs)

        def _until(self, gen: Any, state: Any) -> Generator[Any, Any, Any]:  # noqa: ANN401
            """The driver's own waiting, looked at each time it wakes."""
            began = monotonic()
            try:
                while True:
                    ready = yield state
                    if ready:
                        began = monotonic()
                    elif monotonic() - began > limit_s:
                        self.pgconn.finish()
                        raise OperationalError("read_timeout")
                    state = gen.send(ready)
            except StopIteration as done:
                return done.value

    return lambda: Patient.connect(**{**_ALIVE, **told})


def prepared(connection: Connection) -> Connection:
    """One read-only snapshot, and the server's default forms of text."""
    connection = connection.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    for name, value in _SETTINGS.items():
        _set(connection, name, value)
    return connection


def _set(connection: Connection, name: str, value: str) -> None:
    connection.exec_driver_sql(f"SELECT pg_catalog.set_config('{name}', '{value}', true)")


def columns(connection: Connection, relation: str) -> list[tuple[str, int, bool]]:
    """Name, type's OID, and whether this login may read it, of each column of a relation.

    Args:
        connection: a prepared one.
        relation: a quoted name, or a query in parentheses.
    """
    if relation.startswith("("):
        return [(each[0], each[1], True) for each in described(connection, relation)]
    quoted = relation.replace("'", "''")
    return [tuple(row) for row in connection.exec_driver_sql(_COLUMNS.format(quoted))]


def read(
    connection: Connection,
    relation: str,
    kinds: Mapping[str, Any],
    request: ReadRequest,
    options: SourceOptions,
) -> Iterator[Extracted]:
    """Yield the records; ``kinds`` are the columns' type OIDs."""
    driver: Any = connection.connection.driver_connection
    types = kinds_of(connection, {kinds[name] for name in request.schema.names})
    codec = _codec(connection)
    quoted = quoter(connection)
    selected = ", ".join(
        _expression(quoted(field.name), kinds[field.name], field.type) for field in request.schema
    )

    def by_bytes(name: str) -> str:
        return f'{quoted(name)}{"" if kinds[name] in TEXTS else "::text"} COLLATE "C"'

    order = order_by(request, quoted, by_bytes)
    statement = f"COPY (SELECT {selected} FROM {relation}{order}) TO STDOUT (FORMAT csv)"
    readings = [Reading(options.timezone, "")] * len(request.schema)
    first_row = 0
    with driver.cursor() as cursor, cursor.copy(statement.encode(codec or "utf-8")) as copy:
        for chunk, rows in _chunks(copy, request.batch_rows):
            text, escaped = _decoded(chunk, codec)
            texts = _parse(text, len(request.schema))
            cells = [
                column(
                    null_words(ArrowColumn(own, escaped), options.null),
                    types[kinds[field.name]],
                    field.type,
                )
                for field, own in zip(request.schema, texts, strict=True)
            ]
            yield extracted(cells, request.schema, readings, first_row)
            first_row += rows


def _codec(connection: Connection) -> str:
    """Python's name of the encoding in which records come; empty for UTF-8 that is valid."""
    driver: Any = connection.connection.driver_connection
    codec = _CODECS.get(driver.info.parameter_status("server_encoding"), "")
    if codec:
        _set(connection, "client_encoding", "SQL_ASCII")  # no conversion
    return codec


def _decoded(chunk: bytes, codec: str) -> tuple[bytes, bool]:
    """As UTF-8, and whether bytes had to be escaped."""
    if not codec:
        return chunk, False
    try:
        return chunk.decode(codec).encode(), False
    except UnicodeDecodeError:
        return escaped_text(chunk.decode(codec, "surrogateescape")).encode(), True


def _expression(quoted: str, oid: int, wanted: pa.DataType) -> str:
    return f"{quoted}::text" if oid == BOOL and pt.is_string(wanted) else quoted


def _chunks(copy: Any, most: int) -> Iterator[tuple[bytes, int]]:  # noqa: ANN401 (psycopg.Copy)
    """Whole rows: the server sends one message for each."""
    pieces: list[bytes] = []
    size = 0
    while row := copy.read():
        pieces.append(row)
        size += len(row)
        if size >= _CHUNK_BYTES or len(pieces) >= most:
            yield b"".join(pieces), len(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces), len(pieces)


def _parse(chunk: bytes, width: int) -> list[Array]:
    names = [str(place) for place in range(width)]
    table = arrow_csv.read_csv(
        cast("Any", pa.BufferReader(chunk)),
        read_options=arrow_csv.ReadOptions(
            use_threads=False, block_size=len(chunk) + 1, column_names=names
        ),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=width > 1),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    return [each.combine_chunks() for each in table.columns]
