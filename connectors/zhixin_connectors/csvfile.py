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
import secrets
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv
from zhixin_errors import PermanentSourceError

from zhixin_connectors._arrow import Array, nulls
from zhixin_connectors.columns import unescape
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.textstream import UNREADABLE, Utf8Stream, open_bytes

__all__ = ["CsvRows", "Ragged", "read_header", "read_rows", "split"]

_BLOCKS = (1 << 20, 1 << 26, 1 << 28)  # bytes; a record's text is at most 64 MiB
_AHEAD_BYTES = 1 << 24  # may be read before they are asked for, or two blocks
_MOMENT_S = 0.05
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Ragged:
    """A row with too few or too many fields."""

    text: str
    shown: list[str | None]  # by position, for the wanted columns
    fields: int


@dataclass(frozen=True)
class CsvRows:
    """Rows in the file's order: one text array for each wanted column, null at ragged rows."""

    columns: list[Array]
    length: int
    ragged: dict[int, Ragged]
    escaped: bool


def read_header(path: Path, options: SourceOptions) -> list[str]:
    """The names of the columns.

    Raises:
        PermanentSourceError: no header, or one with empty or repeated names; names them.
    """
    text, invalid = _beginning(path, options)
    try:
        lines = filter(None, _lines(io.StringIO(text, newline=""), options))
        records = [line for line, _ in zip(lines, range(2), strict=False)]
    except csv.Error:
        records = []
    if not records:
        raise PermanentSourceError(
            f"{path.name} has no header line", hint="the first line must name the columns"
        )
    if any(unescape(name) != name for name in records[0]) and invalid:
        raise PermanentSourceError(
            f"the header of {path.name} is not valid {options.encoding}",
            hint="declare zhixin.encoding, such as gb18030",
        )
    _check_names(path.name, records)
    return records[0]


def _beginning(path: Path, options: SourceOptions) -> tuple[str, bool]:
    try:
        with ExitStack() as stack:
            stream = Utf8Stream(open_bytes(path, stack), options.encoding)
            text = stream.read(_HEADER_BYTES).decode(errors="ignore")  # may end within a character
            return text, stream.invalid
    except UNREADABLE:
        raise PermanentSourceError(f"{path.name} is damaged: it can't be unpacked") from None


def read_rows(
    path: Path, header: Sequence[str], wanted: Sequence[str], options: SourceOptions
) -> Iterator[CsvRows]:
    """The records' texts, in batches of about a block.

    Raises:
        PermanentSourceError: the file can't be unpacked or is no CSV; says after which record.
    """
    done = 0
    for block in _BLOCKS:
        reading = _Reading(path, list(header), list(wanted), options, block)
        try:
            for rows in reading.batches(skip=done):
                yield rows
                done += rows.length
        except pa.ArrowInvalid as error:
            if "straddling" in str(error) and block != _BLOCKS[-1]:
                continue
            raise PermanentSourceError(
                f"{path.name} can't be read as CSV after record {done}",
                hint="a quoted field there may not end, or a record is larger than 256 MiB",
            ) from None
        except UNREADABLE:
            raise PermanentSourceError(
                f"{path.name} is damaged: it can't be unpacked or read after record {done}"
            ) from None
        return


def split(rows: CsvRows, most: int) -> Iterator[CsvRows]:
    """Cut rows into batches of at most ``most``."""
    for start in range(0, rows.length, most):
        yield _slice(rows, start, min(start + most, rows.length))


def _slice(rows: CsvRows, start: int, end: int) -> CsvRows:
    return CsvRows(
        [column.slice(start, end - start) for column in rows.columns],
        end - start,
        {row - start: bad for row, bad in rows.ragged.items() if start <= row < end},
        rows.escaped,
    )


@dataclass
class _Reading:
    path: Path
    header: list[str]
    wanted: list[str]
    options: SourceOptions
    block: int
    _bad: deque[tuple[int, str]] = field(default_factory=deque)
    _position: int = -1  # of the next row; the header is row -1

    def batches(self, skip: int) -> Iterator[CsvRows]:
        token = f"zhixin-{secrets.token_hex(8)}"
        width = len(self.header)
        tail = self.options.delimiter.join([token] * (width + 1))
        with ExitStack() as stack:
            source = open_bytes(self.path, stack)
            stream = Utf8Stream(source, self.options.encoding, f"{tail}\n".encode())
            paced = stack.enter_context(_Paced(stream, max(2, _AHEAD_BYTES // self.block)))
            with self._open(paced) as reader:
                for batch in paced.follow(reader):
                    yield from self._after(skip, self._merge(batch, stream.invalid, tail))
                yield from self._after(skip, self._merge(batch.slice(0, 0), stream.invalid, tail))
            if [text for _, text in self._bad] != [tail]:
                raise PermanentSourceError(
                    f"{self.path.name} ends inside a quoted field",
                    hint="the file was cut off, or a quote has no partner",
                )

    def _after(self, skip: int, rows: CsvRows) -> Iterator[CsvRows]:
        known = max(0, rows.length - (self._position - skip))
        if known < rows.length:
            yield _slice(rows, known, rows.length)

    def _open(self, stream: _Paced) -> arrow_csv.CSVStreamingReader:
        names = [str(place) for place in range(len(self.header))]
        chosen = [str(self.header.index(name)) for name in self.wanted]
        self._position = -1
        self._bad.clear()
        return arrow_csv.open_csv(
            cast("Any", pa.PythonFile(cast("Any", stream), mode="r")),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=self.block, column_names=names
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.options.delimiter,
                quote_char=self.options.quote or False,
                newlines_in_values=bool(self.options.quote),
                ignore_empty_lines=len(names) > 1,
                invalid_row_handler=self._invalid,
            ),
            convert_options=arrow_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=chosen,
                strings_can_be_null=True,
                quoted_strings_can_be_null=self.options.null_quoted,
                null_values=["", *self.options.null],
            ),
        )

    def _invalid(self, row: arrow_csv.InvalidRow) -> Literal["skip"]:
        self._bad.append(((row.number or 0) - 2, row.text))
        return "skip"

    def _merge(self, batch: pa.RecordBatch, escaped: bool, tail: str) -> CsvRows:
        """Put the ragged rows back where they were."""
        runs: list[Array] = []
        ragged: dict[int, Ragged] = {}
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
        header = 1 if start < 0 < self._position - start else 0
        return CsvRows(
            [column.slice(header) for column in columns],
            self._position - start - header,
            {row - header: bad_row for row, bad_row in ragged.items()},
            escaped,
        )

    def _ragged(self, text: str) -> Ragged:
        try:
            fields = next(_lines(io.StringIO(text, newline=""), self.options), [])
        except csv.Error:
            fields = []
        places = [self.header.index(name) for name in self.wanted]
        shown = [unescape(fields[place]) if place < len(fields) else None for place in places]
        return Ragged(unescape(text), shown, len(fields))


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


def _lines(text: io.StringIO, options: SourceOptions) -> Iterator[list[str]]:
    if not options.quote:
        return csv.reader(text, delimiter=options.delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(text, delimiter=options.delimiter, quotechar=options.quote)


def _check_names(file: str, records: list[list[str]]) -> None:
    header = records[0]
    empty = [place for place, name in enumerate(header, 1) if not name]
    repeated = _repeated(header)
    problems = []
    if empty and empty != [1]:  # what only numbers the rows (of R and pandas) may have no name
        problems.append(f"has no name for column {', '.join(map(str, empty))}")
    if repeated:
        problems.append(f"has the name {', '.join(repeated)} more than once")
    if not problems:
        return
    below = _repeated(records[1]) if len(records) > 1 and _like_a_header(records[1]) else []
    if empty and below:
        problems.append(f"line 2 looks like a second header and repeats {', '.join(below)}")
    raise PermanentSourceError(
        f"the header of {file} {'; '.join(problems)}",
        hint="every column needs a name of its own, in one header line",
    )


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, times in Counter(filter(None, names)).items() if times > 1]


def _like_a_header(line: Sequence[str]) -> bool:
    return not any(character.isdigit() for name in line for character in name)
