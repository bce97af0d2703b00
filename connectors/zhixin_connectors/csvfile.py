"""CSV as a table of texts, streamed: every row is a record or a misfit, and its position is kept.

::

    编号,名称          the header: names unique, not empty; compared before any record
    1,甲               a record
    2,                 an unquoted empty field is null, "" is the empty string
    3,"a              a quoted field may hold line ends and delimiters
    b"
    4,乙,x            too many fields: a misfit of the whole record, with its text
                       an empty line is no record, unless the file has only one column

pyarrow splits and unquotes; nothing is converted there. Its own quirks that are dealt with here: a
file that ends inside quotes would end silently (a last line of our own must come out as a line of
its own), a row longer than the block stops it (it is read again from there with a larger block).
"""

from __future__ import annotations

import csv
import io
import re
import secrets
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv
from zhixin_errors import PermanentSourceError

from zhixin_connectors._arrow import Array, nulls
from zhixin_connectors.checks import check_columns
from zhixin_connectors.columns import ArrowColumn, extracted, unescape, with_whole_misfits
from zhixin_connectors.csvheader import Header, csv_lines, read_header
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.protocol import Extracted, ReadRequest, SeenColumn
from zhixin_connectors.textstream import Utf8Stream
from zhixin_connectors.unpack import OpenStream

__all__ = ["batches", "columns"]

_BLOCKS = (1 << 20, 1 << 26, 1 << 28)  # bytes; a record's text is at most 64 MiB
_AHEAD_BYTES = 1 << 24  # may be read before they are asked for, or two blocks
_MOMENT_S = 0.05


@dataclass(frozen=True)
class _Ragged:
    """A row with too few or too many fields."""

    text: str
    shown: list[str | None]  # by position, for the wanted columns
    fields: int


@dataclass(frozen=True)
class _Rows:
    """Rows in the file's order: one text array for each wanted column, null at ragged rows."""

    columns: list[Array]
    length: int
    ragged: dict[int, _Ragged]
    escaped: bool


def columns(open_stream: OpenStream, place: str, options: SourceOptions) -> list[SeenColumn]:
    """The header's columns; those of a file without one are numbered.

    Raises:
        PermanentSourceError: no header, or one with empty or repeated names; names them.
    """
    header = read_header(open_stream, place, options)
    if not options.header_rows:
        return [SeenColumn(f"column{number}") for number in range(1, len(header.first) + 1)]
    if len(header.names) == 1 and (other := re.search("[;\t|]", header.names[0])):
        raise PermanentSourceError(
            f"source {place}: the header has one column",
            hint=f"set zhixin.delimiter, if {other.group()!r} stands between the columns",
        )
    return [SeenColumn(name) for name in header.names if name]


def batches(
    open_stream: OpenStream, place: str, request: ReadRequest, options: SourceOptions
) -> Iterator[Extracted]:
    """The records, as the wanted types.

    Raises:
        PermanentSourceError: a wanted column is missing, or the file can't be read to its end.
    """
    header = read_header(open_stream, place, options)
    wanted = request.schema.names
    names = header.names if options.header_rows else _by_position(header, wanted, place)
    check_columns(names, wanted, place, first_line=True)
    readings = [Reading(options.timezone, options.binary, options.dates)] * len(wanted)
    file = _File(open_stream, place, names, header.start, options)
    first_row = 0
    for rows in _read_rows(file, wanted):
        for part in _split(rows, request.batch_rows):
            texts = [ArrowColumn(column, part.escaped) for column in part.columns]
            batch = extracted(texts, request.schema, readings, first_row)
            yield _with_ragged(batch, part, len(names))
            first_row += part.length


def _by_position(header: Header, wanted: Sequence[str], place: str) -> list[str]:
    """The names of a file without a header: the contract's, if there are as many."""
    if header.first and len(header.first) != len(wanted):
        raise PermanentSourceError(
            f"source {place} has {len(header.first)} columns without names, and the contract "
            f"has {len(wanted)} fields",
            code="column-missing",
            hint="without a header the contract names every column, in the file's order",
        )
    return list(wanted)


def _read_rows(file: _File, wanted: Sequence[str]) -> Iterator[_Rows]:
    """The records' texts, in batches of about a block.

    Raises:
        PermanentSourceError: the file is no CSV; says after which record.
    """
    done = 0
    for block in _BLOCKS:
        reading = _Reading(file, list(wanted), block)
        try:
            for rows in reading.batches(skip=done):
                yield rows
                done += rows.length
        except pa.ArrowInvalid as error:
            if "straddling" in str(error) and block != _BLOCKS[-1]:
                continue
            raise PermanentSourceError(
                f"source {file.place} can't be read as CSV after record {done:,}",
                hint="a quoted field there may not end, or a record is larger than 256 MiB",
            ) from None
        return


def _split(rows: _Rows, most: int) -> Iterator[_Rows]:
    """Cut rows into batches of at most ``most``."""
    for start in range(0, rows.length, most):
        yield _slice(rows, start, min(start + most, rows.length))


def _slice(rows: _Rows, start: int, end: int) -> _Rows:
    return _Rows(
        [column.slice(start, end - start) for column in rows.columns],
        end - start,
        {row - start: bad for row, bad in rows.ragged.items() if start <= row < end},
        rows.escaped,
    )


def _with_ragged(batch: Extracted, rows: _Rows, width: int) -> Extracted:
    """Add the rows that have too few or too many fields, as misfits of the whole record."""
    if not rows.ragged:
        return batch
    whole = (
        (row, f"fields in the row: {bad.fields}, in the header: {width}", bad.text)
        for row, bad in rows.ragged.items()
    )
    schema = pa.schema([pa.field(name, pa.string()) for name in batch.batch.schema.names])

    def raw(chosen: Sequence[int]) -> pa.RecordBatch:
        texts = [list(column.to_pylist()) for column in batch.raw_source(chosen).columns]
        for place, row in enumerate(chosen):
            if row in rows.ragged:
                for column, text in zip(texts, rows.ragged[row].shown, strict=True):
                    column[place] = text
        return pa.RecordBatch.from_arrays([pa.array(t, pa.string()) for t in texts], schema=schema)

    return with_whole_misfits(replace(batch, raw_source=raw), whole)


@dataclass(frozen=True)
class _File:
    open_stream: OpenStream
    place: str
    names: list[str]
    start: int  # characters before the first record
    options: SourceOptions


@dataclass
class _Reading:
    file: _File
    wanted: list[str]
    block: int
    _bad: deque[tuple[int, str]] = field(default_factory=deque)
    _position: int = 0  # of the next row

    def batches(self, skip: int) -> Iterator[_Rows]:
        token = f"zhixin-{secrets.token_hex(8)}"
        options = self.file.options
        tail = options.delimiter.join([token] * (len(self.file.names) + 1))
        with ExitStack() as stack:
            source = stack.enter_context(self.file.open_stream())
            stream = Utf8Stream(
                source,
                options.encoding,
                self.file.place,
                tail=f"{tail}\n".encode(),
                skip=self.file.start,
            )
            paced = stack.enter_context(_Paced(stream, max(2, _AHEAD_BYTES // self.block)))
            with self._open(paced) as reader:
                for batch in paced.follow(reader):
                    yield from self._after(skip, self._merge(batch, stream.invalid, tail))
                none = pa.RecordBatch.from_pylist([], reader.schema)
                yield from self._after(skip, self._merge(none, stream.invalid, tail))
            if [text for _, text in self._bad] != [tail]:
                raise PermanentSourceError(
                    f"source {self.file.place} ends inside a quoted field",
                    hint="the file was cut off, or a quote has no partner",
                )

    def _after(self, skip: int, rows: _Rows) -> Iterator[_Rows]:
        known = max(0, rows.length - (self._position - skip))
        if known < rows.length:
            yield _slice(rows, known, rows.length)

    def _open(self, stream: _Paced) -> arrow_csv.CSVStreamingReader:
        options = self.file.options
        names = [str(place) for place in range(len(self.file.names))]
        chosen = [str(self.file.names.index(name)) for name in self.wanted]
        self._position = 0
        self._bad.clear()
        return arrow_csv.open_csv(
            cast("Any", pa.PythonFile(cast("Any", stream), mode="r")),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=self.block, column_names=names
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=options.delimiter,
                quote_char=options.quote or False,
                newlines_in_values=bool(options.quote),
                ignore_empty_lines=len(names) > 1,
                invalid_row_handler=self._invalid,
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=chosen,
                strings_can_be_null=True,
                quoted_strings_can_be_null=options.null_quoted,
                null_values=["", *options.null],
            ),
        )

    def _invalid(self, row: arrow_csv.InvalidRow) -> Literal["skip"]:
        self._bad.append(((row.number or 0) - 1, row.text))
        return "skip"

    def _merge(self, batch: pa.RecordBatch, escaped: bool, tail: str) -> _Rows:
        """Put the ragged rows back where they were."""
        runs: list[Array] = []
        ragged: dict[int, _Ragged] = {}
        start, good = self._position, 0
        while True:
            bad = self._bad[0] if self._bad else (sys.maxsize, "")
            if bad[0] == self._position and bad[1] != tail:
                ragged[self._position - start] = self._ragged(self._bad.popleft()[1])
                runs.append(nulls(1, pa.int64()))
                self._position += 1
            elif good < batch.num_rows:
                run = min(batch.num_rows - good, bad[0] - self._position)
                runs.append(pa.array(range(good, good + run), pa.int64()))
                good += run
                self._position += run
            else:
                break
        columns: list[Array] = list(batch.columns)
        if ragged:
            order = pa.concat_arrays(runs)
            columns = [column.take(order) for column in columns]
        return _Rows(columns, self._position - start, ragged, escaped)

    def _ragged(self, text: str) -> _Ragged:
        try:
            fields = next(csv_lines(io.StringIO(text, newline=""), self.file.options), [])
        except csv.Error:
            fields = []
        places = [self.file.names.index(name) for name in self.wanted]
        shown = [unescape(fields[place]) if place < len(fields) else None for place in places]
        return _Ragged(unescape(text), shown, len(fields))


class _Paced:
    """Keeps pyarrow, which reads ahead in a thread of its own, within a few blocks of its user.

    Without it 32 blocks wait in memory. A block may yield no batch, so a reader that is waited for
    goes on after a moment.
    """

    def __init__(self, stream: Utf8Stream, most: int) -> None:
        self._stream = stream
        self._most = most
        self._change = threading.Condition()
        self._ahead = 0
        self._asked = True
        self._free = False
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._free = True
            self._change.notify_all()

    def follow(self, reader: arrow_csv.CSVStreamingReader) -> Iterator[pa.RecordBatch]:
        """The reader's batches."""
        while True:
            self._asked = True
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            with self._change:
                self._asked = False
                self._ahead = max(0, self._ahead - 1)
                self._change.notify_all()
            yield batch

    def read(self, size: int = -1) -> bytes:
        """As the stream, when it is time."""
        with self._change:
            while self._ahead >= self._most and not self._free:
                if not self._change.wait(_MOMENT_S) and self._asked:
                    break
            if self._free:
                return b""
            self._ahead += 1
        return self._stream.read(size)

    def close(self) -> None:
        """The file itself is closed by whoever opened it."""
        self.closed = True

    def readable(self) -> bool:
        """Always."""
        return True

    def writable(self) -> bool:
        """Never."""
        return False

    def seekable(self) -> bool:
        """Never."""
        return False
