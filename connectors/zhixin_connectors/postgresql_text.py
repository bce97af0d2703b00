r"""PostgreSQL by its COPY in text: every value as the server's own text, whatever its type.

::

    COPY (SELECT "id", "valid_until" FROM "permits") TO STDOUT (FORMAT csv)
    2,infinity           null is an unquoted empty field, the empty string is ""

It serves where no binary reader does: where neither the kernel nor ADBC is installed, and for a
database that is not in UTF-8. The bytes of such a one are decoded here: a text with bytes that
are none in its encoding rejects its own record, where the server would refuse the whole query.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from time import monotonic
from typing import Any, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.types as pt

from zhixin_connectors._arrow import Array
from zhixin_connectors.columns import ArrowColumn, escaped_text, extracted, null_words
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.postgresql import CODECS, Selection, setting
from zhixin_connectors.postgresql_values import BOOL, column
from zhixin_connectors.protocol import Extracted, ReadRequest

__all__ = ["TextSession", "patient"]

_CHUNK_BYTES = 1 << 22


class TextSession:
    """A connection of psycopg's, on which nothing waits for ever.

    Args:
        parameters: as libpq knows them.
        limit_s: how long the server may say nothing.
    """

    def __init__(self, parameters: Mapping[str, str], limit_s: float) -> None:
        self._driver = patient(limit_s).connect(**parameters, autocommit=True)
        self.ask("BEGIN")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small answer."""
        cursor = self._driver.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []

    def names(self, query: str) -> list[str]:
        """The columns that a query gives."""
        # binary: by the protocol that takes one statement alone, so that no query is two
        cursor = self._driver.execute(query.encode(), binary=True)
        return [each.name for each in cursor.description or ()]

    def close(self) -> None:
        """As it is: a rollback could fail, or wait."""
        self._driver.close()

    def records(
        self, selection: Selection, request: ReadRequest, options: SourceOptions
    ) -> Generator[Extracted]:
        """Yield the records of a selection."""
        codec = CODECS.get(self._driver.info.parameter_status("server_encoding") or "", "")
        if codec:
            self.ask(f"SELECT {setting('client_encoding', 'SQL_ASCII')}")  # no conversion
        fields = [(field, selection.kinds[field.name]) for field in request.schema]
        quoted = (
            selection.column(field.name)
            + ("::text" if kind.oid == BOOL and pt.is_string(field.type) else "")
            for field, kind in fields
        )
        statement = f"COPY ({selection.select(quoted)}) TO STDOUT (FORMAT csv)"
        readings = [Reading(options.timezone, "")] * len(fields)
        first_row = 0
        with (
            self._driver.cursor() as cursor,
            cursor.copy(statement.encode(codec or "utf-8")) as copy,
        ):
            for chunk, rows in _chunks(copy, request.batch_rows):
                text, escaped = _decoded(chunk, codec)
                texts = _parse(text, len(fields))
                cells = [
                    column(null_words(ArrowColumn(own, escaped), options.null), kind, field.type)
                    for (field, kind), own in zip(fields, texts, strict=True)
                ]
                yield extracted(cells, request.schema, readings, first_row)
                first_row += rows


def patient(limit_s: float) -> Any:  # noqa: ANN401 (a class of psycopg's)
    """The class of connections that give up after so many seconds of silence."""
    from psycopg import Connection, OperationalError

    class Patient(Connection[Any]):
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

    return Patient


def _decoded(chunk: bytes, codec: str) -> tuple[bytes, bool]:
    """As UTF-8, and whether bytes had to be escaped."""
    if not codec:
        return chunk, False
    try:
        return chunk.decode(codec).encode(), False
    except UnicodeDecodeError:
        return escaped_text(chunk.decode(codec, "surrogateescape")).encode(), True


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
