r"""JSON Lines as a table: every line is a record, or a misfit of the whole record with its text.

::

    {"id": 1, "name": "甲"}\n       a record
    {"id": 2, "name": "乙"          a misfit: not JSON
    NaN                             a misfit: not JSON
                                    a blank line is no record
    {"id": 3}                       the last line may end without a newline

Lines end with \n, or \r\n; U+2028 and the like do not end one. Read in chunks: the memory is that
of a batch, and of one line.
"""

from __future__ import annotations

from collections.abc import Iterator

from zhixin_errors import PermanentSourceError

from zhixin_connectors import jsoncolumns
from zhixin_connectors.jsoncolumns import JsonRow, row_of, seen_columns
from zhixin_connectors.jsontext import MAX_VALUES, JsonReader, NotJsonError
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.protocol import Extracted, ReadRequest, SeenColumn
from zhixin_connectors.textstream import Utf8Stream
from zhixin_connectors.unpack import OpenStream

__all__ = ["batches", "columns"]

_CHUNK = 1 << 20
_LINE_BYTES = 1 << 26


def columns(open_stream: OpenStream, place: str, options: SourceOptions) -> list[SeenColumn]:
    """The members that the first records have, in the order in which they appear."""
    with open_stream() as source:
        return seen_columns(_rows(Utf8Stream(source, options.encoding, place), place))


def batches(
    open_stream: OpenStream, place: str, request: ReadRequest, options: SourceOptions
) -> Iterator[Extracted]:
    """The records of one file, batch by batch.

    Args:
        open_stream: its bytes, unpacked.
        place: source and file, for messages.
        request: what is wanted.
        options: the source's and the contract's.

    Raises:
        PermanentSourceError: a wanted member is in no record, or a line is longer than 64 MiB.
    """
    with open_stream() as source:
        stream = Utf8Stream(source, options.encoding, place)
        rows = _rows(stream, place)
        yield from jsoncolumns.batches(rows, place, request, options, lambda: stream.invalid)


def _rows(stream: Utf8Stream, place: str) -> Iterator[JsonRow]:
    reader = JsonReader()
    for line in _lines(stream, place):
        text = line.decode().strip(" \t\r")
        if text:
            yield _row(reader, text)


def _row(reader: JsonReader, text: str) -> JsonRow:
    if len(text) > MAX_VALUES and text.count(",") > MAX_VALUES:
        return JsonRow({}, text, f"more than {MAX_VALUES:,} values")
    try:
        return row_of(reader.parse(text))
    except NotJsonError as error:
        return JsonRow({}, text, str(error))


def _lines(stream: Utf8Stream, place: str) -> Iterator[bytes]:
    pieces: list[bytes] = []
    size = number = 0
    while data := stream.read(_CHUNK):
        *whole, rest = data.split(b"\n")
        if whole:
            yield b"".join([*pieces, whole[0]])
            yield from whole[1:]
            pieces, size = [], 0
            number += len(whole)
        pieces.append(rest)
        size += len(rest)
        if size > _LINE_BYTES:
            raise PermanentSourceError(
                f"source {place}: line {number + 1} is longer than {_LINE_BYTES >> 20} MiB",
                hint="JSON Lines has a record in each line; a whole document is a .json file",
            )
    yield b"".join(pieces)
