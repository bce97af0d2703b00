"""A sheet of an Excel or OpenDocument workbook as records: what its cells hold, not how they look.

::

    zhixin.sheet  "一月" or 2     needed where the workbook has several (hidden ones count)
    zhixin.range  "A3:F200"       the table's corner cells; "A3:F" goes down to the last record

A cell holds a text, a number (a double), a moment (a number shown as one), a boolean, an error, or
nothing; an empty text counts as nothing. What a sheet can't say exactly is a misfit: a number of
more than 15 digits under anything but a float (a sheet keeps 15), days before March 1900 (sheets
count a day that never was), errors, and formulas that nobody calculated. Rows without a value are
no records. python-calamine reads .xlsx, .xls, .xlsb and .ods, a sheet at once: memory is bounded by
how large a file may be.
"""

from __future__ import annotations

import datetime as dt
import io
import itertools
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.types as pt
from zhixin_errors import ConfigError, PermanentSourceError

from zhixin_connectors.cast import Cast
from zhixin_connectors.checks import check_columns
from zhixin_connectors.columns import extracted, from_values, with_whole_misfits
from zhixin_connectors.grammar import Reading
from zhixin_connectors.headers import check_names, check_width, joined
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.protocol import Extracted, ReadRequest, SeenColumn
from zhixin_connectors.sheetmarks import Marks, NotReadable, TooLarge, column_number, marks_of
from zhixin_connectors.sheetods import marks_of_ods
from zhixin_connectors.sheetrecords import check_xls, marks_of_xls, marks_of_xlsb
from zhixin_connectors.unpack import OpenStream

__all__ = ["OLE", "batches", "check_beginning", "columns", "sheets"]

_MOST_PACKED = 1 << 26
_MOST_UNPACKED = 1 << 31
_BATCH_CELLS = 1 << 19  # as Python's objects, about 100 bytes each
_MOST_DIGITS = 15
_MAX_NAMED = 20
_FAULTS = {
    "PanicException",
    "CalamineError",
    "XmlError",
    "ZipError",
    "BadZipFile",
    "OSError",
    "NotReadable",
}
_SEEN_BYTES = 512
_MANIFEST = "META-INF/manifest.xml"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # .xls, and workbooks with a password
_MARCH_1900 = dt.date(1900, 3, 1)
_RANGE = re.compile(r"([A-Z]+)([0-9]+):([A-Z]+)([0-9]+)?")

Cell = Any  # str, float, int, bool, date, datetime, time, timedelta; "" for nothing


class _Area(NamedTuple):
    """The part of a sheet that is the table; rows and columns from 0, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass
class _Sheet:
    """A table's cells: ``rows`` are (number in the sheet, cells), headers not among them."""

    names: list[str]
    rows: Iterator[tuple[int, list[Cell]]]
    left: int
    marks: Marks


def sheets(open_stream: OpenStream, place: str) -> list[str]:
    """The names of a workbook's sheets, hidden ones too.

    Raises:
        PermanentSourceError: it is none, damaged, too large or has a password.
    """
    with open_stream() as stream:
        return _sheet_names(_load(stream, place))


def columns(open_stream: OpenStream, place: str, options: SourceOptions) -> list[SeenColumn]:
    """The header's columns; those of a sheet without one are numbered."""
    with open_stream() as stream:
        sheet = _open(stream, place, options)
        if not options.header_rows:
            first = next(sheet.rows, (0, list[Cell]()))[1]
            return [SeenColumn(f"column{number}") for number in range(1, len(first) + 1)]
        return [SeenColumn(name) for name in sheet.names if name]


def check_beginning(open_stream: OpenStream, place: str, options: SourceOptions) -> None:
    """Refuse a sheet whose header is a title, before a contract is written for it."""
    with open_stream() as stream:
        sheet = _open(stream, place, options)
        first = list(next(sheet.rows, (0, list[Cell]()))[1])
    while first and first[-1] == "":
        first.pop()
    check_width(place, len(sheet.names) or len(first), len(first))


def batches(
    open_stream: OpenStream, place: str, request: ReadRequest, options: SourceOptions
) -> Iterator[Extracted]:
    """The records, as the wanted types.

    Raises:
        PermanentSourceError: no such sheet or column, or no workbook that can be read.
    """
    wanted = request.schema.names
    with open_stream() as stream:
        sheet = _open(stream, place, options)
        names = sheet.names if options.header_rows else list(wanted)
        check_columns(names, wanted, place, first_line=True)
        chosen = [names.index(name) for name in wanted]
        readings = [Reading(options.timezone, "", options.dates)] * len(wanted)
        first_row = 0
        most = max(1, min(request.batch_rows, _BATCH_CELLS // max(1, len(names))))
        while part := list(itertools.islice(sheet.rows, most)):
            cells = [_column(part, at, sheet.left, sheet.marks, options.null) for at in chosen]
            batch = extracted(cells, request.schema, readings, first_row)
            yield _with_surplus(batch, part, len(names))
            first_row += len(part)


@dataclass(frozen=True)
class _SheetColumn:
    """A column's cells; ``refused`` are (reason, raw text) of rows that hold no value to read."""

    values: list[Cell]
    refused: dict[int, tuple[str, str]]
    null: Sequence[str]

    def cast(self, wanted: pa.DataType, reading: Reading) -> Cast:
        """As the wanted type."""
        refused = {row: reason for row, (reason, _) in self.refused.items()}
        values = list(self.values)
        for row, value in enumerate(values):
            if isinstance(value, float) and not pt.is_floating(wanted) and _too_long(value, wanted):
                refused[row] = "a number of more than 15 digits, of which a sheet keeps 15"
            elif isinstance(value, float) and pt.is_boolean(wanted) and value in {0.0, 1.0}:
                values[row] = int(value)  # .xlsx has no integers, .xls has
            elif type(value) is dt.date and pt.is_timestamp(wanted):
                values[row] = dt.datetime.combine(value, dt.time())  # a cell has one kind for both
        for row in refused:
            values[row] = None
        read = from_values(values, self.null).cast(wanted, reading)
        return Cast(read.array, sorted(read.misfits + list(refused.items())))

    def raw(self, rows: Sequence[int]) -> list[str | None]:
        """The texts of chosen rows."""
        cells = [self.values[row] for row in rows]
        chosen = [  # a large double as such, not written out to digits that it never had
            repr(cell) if isinstance(cell, float) and abs(cell) >= 10**_MOST_DIGITS else cell
            for cell in cells
        ]
        texts = from_values(chosen).raw(range(len(rows)))
        return [
            self.refused[row][1] if row in self.refused else text
            for row, text in zip(rows, texts, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.values)


def _too_long(value: float, wanted: pa.DataType) -> bool:
    """Whether a sheet may have cut digits off, or a text would have more than it shows."""
    if abs(value) >= 10**_MOST_DIGITS:
        return True
    digits = repr(value).partition("e")[0].replace(".", "").lstrip("-0")
    return pt.is_string(wanted) and len(digits.removesuffix("0")) > _MOST_DIGITS


def _column(
    part: Sequence[tuple[int, list[Cell]]], at: int, left: int, marks: Marks, null: Sequence[str]
) -> _SheetColumn:
    values: list[Cell] = []
    refused: dict[int, tuple[str, str]] = {}
    for row, (number, cells) in enumerate(part):
        cell = cells[at] if at < len(cells) else ""
        found = _refusal(cell, (number, at + left), marks)
        if found:
            refused[row] = found
        values.append(None if found or cell == "" else cell)
    return _SheetColumn(values, refused, null)


def _refusal(cell: Cell, place: tuple[int, int], marks: Marks) -> tuple[str, str] | None:
    if place in marks.errors:
        return "an error in the sheet", marks.errors[place]
    if cell == "":
        return ("a formula that was never calculated", "") if place in marks.uncached else None
    if isinstance(cell, dt.time) and marks.is_negative(place):
        return "a moment before the sheet's first day", "below zero"
    if isinstance(cell, dt.date):
        day = cell.date() if isinstance(cell, dt.datetime) else cell
        if day < _MARCH_1900:
            return "a day before March 1900, which sheets count wrongly", str(cell)
    return None


def _with_surplus(
    batch: Extracted, part: Sequence[tuple[int, list[Cell]]], width: int
) -> Extracted:
    """Add the rows that have cells beyond the header, as misfits of the whole record."""
    surplus = (
        (row, "a value in a column without a name", "\t".join(map(str, cells)))
        for row, (_, cells) in enumerate(part)
        if any(cell != "" for cell in cells[width:])
    )
    return with_whole_misfits(batch, surplus)


def _open(stream: IO[bytes], place: str, options: SourceOptions) -> _Sheet:
    book = _load(stream, place)
    names = _sheet_names(book)
    name = _chosen(names, options.sheet, place)
    area = _area(options.range)
    marks = _marks(stream, names, name, place)
    with _telling(place):
        sheet = book.get_sheet_by_name(name)
    left = area.left if area else (sheet.start or (0, 0))[1]
    rows = _rows(sheet, area, marks)
    head: list[tuple[int, list[Cell]]] = []
    for number, cells in rows:
        if number - (area.top if area else 0) < options.skip_rows:
            continue
        head.append((number, cells))
        if len(head) > options.header_rows:
            break
    lines = [[_name(cell) for cell in cells] for _, cells in head]
    above, below = lines[: options.header_rows], lines[options.header_rows :]
    if len(above) < options.header_rows:
        raise PermanentSourceError(
            f"source {place}: sheet {name} has no header row",
            code="header",
            hint="the first row with a value must name the columns, or zhixin.headerRows be 0",
        )
    header = joined(above)
    while header and not header[-1]:
        header.pop()
    check_names(f"{place}, sheet {name}", header, below[0] if below and len(above) == 1 else [])
    data = head[options.header_rows :]
    return _Sheet(header, itertools.chain(data, rows), left, marks)


def _rows(
    sheet: Any,  # noqa: ANN401 (a CalamineSheet)
    area: _Area | None,
    marks: Marks,
) -> Iterator[tuple[int, list[Cell]]]:
    """The rows that hold anything, each with its number, cut to the table's columns."""
    marked = {row for row, _ in (*marks.errors, *marks.uncached)}
    start = (sheet.start or (0, 0))[1]  # calamine's rows begin at row 0, but at this column
    top, left, bottom, right = area or _Area(0, start, sys.maxsize, sys.maxsize)
    before = [""] * max(0, start - left)
    for number, own in enumerate(sheet.iter_rows()):
        if not top <= number < bottom:
            continue
        cells = [*before, *own[max(0, left - start) :]][: right - left]
        if number in marked or any(cell != "" for cell in cells):
            yield number, cells


def _area(text: str) -> _Area | None:
    found = _RANGE.fullmatch(text)
    if not found:
        return None
    left, top, right, bottom = found.groups()
    return _Area(
        int(top) - 1,
        column_number(left),
        int(bottom) if bottom else sys.maxsize,
        column_number(right) + 1,
    )


def _chosen(names: Sequence[str], wanted: str, place: str) -> str:
    """The sheet that is meant: by its name, else by its number from 1."""
    if wanted in names:
        return wanted
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return names[int(wanted) - 1]
    if not wanted and len(names) == 1:
        return names[0]
    listed = ", ".join(names[:_MAX_NAMED])
    raise PermanentSourceError(
        f"source {place} has no sheet {wanted}"
        if wanted
        else f"source {place} has {len(names)} sheets, and none was named",
        code="object-missing",
        hint=f"name one as zhixin.sheet, or after the file's name and a slash: {listed}",
    )


def _name(cell: Cell) -> str:
    """A header cell as a name: the year 2021 is a number in a sheet."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip("\r\n")


def _sheet_names(book: Any) -> list[str]:  # noqa: ANN401 (a CalamineWorkbook)
    from python_calamine import SheetTypeEnum

    return [each.name for each in book.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]


def _marks(stream: IO[bytes], names: Sequence[str], sheet: str, place: str) -> Marks:
    """What calamine would leave out, by the kind of workbook."""
    stream.seek(0)
    try:
        if stream.read(len(OLE)) == OLE:
            return marks_of_xls(stream, names.index(sheet))
        with zipfile.ZipFile(stream) as archive:
            inside = [name.replace("\\", "/") for name in archive.namelist()]
        if "xl/workbook.bin" in inside:
            return marks_of_xlsb(stream, sheet)
        return (marks_of_ods if "content.xml" in inside else marks_of)(stream, sheet)
    except TooLarge as found:
        raise _too_large(place, str(found)) from None
    except (NotReadable, zipfile.BadZipFile):
        raise _damaged(place) from None


def _load(stream: IO[bytes], place: str) -> Any:  # noqa: ANN401 (a CalamineWorkbook)
    try:
        from python_calamine import load_workbook
    except ImportError:
        raise ConfigError(
            "workbooks need python-calamine", hint="pip install 'zhixin-gateway[excel]'"
        ) from None
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if size > _MOST_PACKED:
        raise _too_large(place, f"more than {_MOST_PACKED >> 20} MiB")
    beginning = stream.read(_SEEN_BYTES)
    if not beginning.startswith((b"PK", OLE)):
        raise PermanentSourceError(
            f"source {place} is no workbook: it begins like {_kind_of(beginning)}",
            code="format",
            hint="save it anew as .xlsx, or read a text by a name that ends in .csv",
        )
    with _telling(place):
        try:
            unpacked, encrypted = _measure(stream, beginning)
        except TooLarge as found:
            raise _too_large(place, str(found)) from None
    if unpacked > _MOST_UNPACKED:
        raise _too_large(place, f"more than {_MOST_UNPACKED >> 30} GiB unpacked")
    if encrypted:
        raise PermanentSourceError(
            f"source {place} is protected by a password",
            code="format",
            hint="save a copy without one",
        )
    with _telling(place):
        stream.seek(0)
        return load_workbook(cast("Any", stream))


def _measure(stream: IO[bytes], beginning: bytes) -> tuple[int, bool]:
    """Its size unpacked, and whether it is encrypted: of a stream calamine does not say that."""
    stream.seek(0)
    if beginning.startswith(OLE):
        data = stream.read()
        encrypted = "EncryptedPackage".encode("utf-16-le") in data
        if not encrypted:
            check_xls(data)
        return len(data), encrypted
    with zipfile.ZipFile(stream) as archive:
        size = sum(each.file_size for each in archive.infolist())
        inside = archive.namelist()
        encrypted = _MANIFEST in inside and b"encryption-data" in archive.read(_MANIFEST)
    if "content.xml" in inside and size <= _MOST_UNPACKED and not encrypted:
        marks_of_ods(stream, "")  # calamine makes room for all sheets as soon as it opens them
    return size, encrypted


@contextmanager
def _telling(place: str) -> Iterator[None]:
    """Turn what calamine raises into ours; its panics are no ``Exception``."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ not in _FAULTS:
            raise
        raise _damaged(place) from None


def _damaged(place: str) -> PermanentSourceError:
    return PermanentSourceError(
        f"source {place} is damaged, protected by a password, or no workbook that can be read",
        code="format",
        hint="open it in a spreadsheet program and save it as .xlsx",
    )


def _too_large(place: str, what: str) -> PermanentSourceError:
    return PermanentSourceError(
        f"source {place} is too large for a workbook that is read at once: it has {what}",
        code="format",
        hint="save the sheet as CSV (UTF-8); that is read piece by piece",
    )


def _kind_of(beginning: bytes) -> str:
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<html", b"<!doctype html", b"<table", b"<meta")):
        return "an HTML page"
    if text.startswith(b"<?xml"):
        return "XML"
    return "text" if b"\0" not in beginning else "something else"
