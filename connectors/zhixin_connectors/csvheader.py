"""Where a CSV's records begin, and what its columns are called.

::

    年度报表,,             zhixin.skipRows: 1      lines before the header that are no part of it
    投资,,地方             zhixin.headerRows: 2    header lines, joined column by column
    年份,金额,金额          →  投资/年份, 投资/金额, 地方/金额
    2021,5,3              the first record

With ``headerRows: 0`` a file has no header, and its columns are the contract's, in the contract's
order. How header lines become names, ``headers.py`` says.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from zhixin_errors import PermanentSourceError

from zhixin_connectors.columns import unescape
from zhixin_connectors.headers import check_names, check_width, joined
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.textstream import Utf8Stream
from zhixin_connectors.unpack import OpenStream

__all__ = ["Header", "check_beginning", "csv_lines", "read_header"]

_HEADER_BYTES = 1 << 20
_CANDIDATES = ("gb18030", "big5", "shift_jis", "euc_kr", "utf-16", "cp1252")

csv.field_size_limit(sys.maxsize)  # pyarrow bounds a record; Python's own limit is 128 KiB a field


@dataclass(frozen=True)
class Header:
    """A CSV's beginning.

    Args:
        names: of the columns, in order; empty where the file has no header.
        start: characters before the first record.
        first: the first record's fields; empty if there is none.
    """

    names: list[str]
    start: int
    first: list[str]


def read_header(open_stream: OpenStream, place: str, options: SourceOptions) -> Header:
    """Read it from the file's beginning.

    Raises:
        PermanentSourceError: no header, or one with empty or repeated names; names them.
    """
    text, invalid = _beginning(open_stream, place, options)
    stream = io.StringIO(text, newline="")
    for _ in range(options.skip_rows):
        stream.readline()
    start, records = stream.tell(), list[list[str]]()
    lines = csv_lines(stream, options)
    try:
        for line in lines:
            if not line:
                continue
            records.append(line)
            if len(records) > options.header_rows:
                break
            start = stream.tell()
    except csv.Error:
        records = []
    rows, first = records[: options.header_rows], records[options.header_rows :]
    if len(rows) < options.header_rows:
        raise PermanentSourceError(
            f"source {place} has no header line",
            hint="the first line must name the columns, or zhixin.headerRows be 0",
        )
    names = joined(rows)
    if invalid and any(unescape(name) != name for name in names):
        raise _undeclared(open_stream, place, options, "the header")
    check_names(place, names, first[0] if first and options.header_rows == 1 else [])
    return Header(names, start, first[0] if first else [])


def check_beginning(open_stream: OpenStream, place: str, options: SourceOptions) -> None:
    """Refuse a file that was not described as it is, before a contract is written for it.

    A run rejects such records, each by itself.

    Raises:
        PermanentSourceError: it is in another encoding, or its first line is a title.
    """
    header = read_header(open_stream, place, options)
    check_width(place, len(header.names) or len(header.first), len(header.first))
    text, invalid = _beginning(open_stream, place, options)
    if not invalid:
        return
    foreign = [character for character in text if not character.isascii()]
    wrong = sum(unescape(character) != character for character in foreign)
    if wrong * 2 > len(foreign):
        raise _undeclared(open_stream, place, options, "the text")


def csv_lines(text: io.StringIO, options: SourceOptions) -> Iterator[list[str]]:
    """A text's records, split as the options say."""
    if not options.quote:
        return csv.reader(text, delimiter=options.delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(text, delimiter=options.delimiter, quotechar=options.quote)


def _beginning(open_stream: OpenStream, place: str, options: SourceOptions) -> tuple[str, bool]:
    with open_stream() as source:
        stream = Utf8Stream(source, options.encoding, place)
        text = stream.read(_HEADER_BYTES).decode(errors="ignore")  # may end within a character
        return text, stream.invalid


def _undeclared(
    open_stream: OpenStream, place: str, options: SourceOptions, what: str
) -> PermanentSourceError:
    """Say which declarations would read the file: a person must see which one reads right."""
    with open_stream() as source:
        data = source.read(1 << 16)
    data = data[: data.rfind(b"\n") + 1] or data
    would = [name for name in _CANDIDATES if name != options.encoding and _decodes(data, name)]
    hint = f"its first lines can be read as {', '.join(would)}; " if would else ""
    return PermanentSourceError(
        f"{what} of source {place} is not valid {options.encoding}",
        code="encoding",
        hint=f"{hint}declare the one that reads right as zhixin.encoding, it is never guessed",
    )


def _decodes(data: bytes, encoding: str) -> bool:
    if encoding == "utf-16" and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return False
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n" for character in text)
