"""What calamine leaves out of .xls and .xlsb sheets: errors, and times below zero.

::

    .xls    an OLE file, in it a stream "Workbook" of records: id, length (16 bits each), data
            BOOLERR 0x0205 row, column, format, value, 1         FORMULA 0x0006 … 2, 0, value … FFFF
    .xlsb   a .zip, in it a part a sheet of records: id, length (7 bits a byte), data
            BrtRowHdr 0 row      BrtCellError 3, BrtFmlaError 11 column, format, value

Nothing else of them is read here.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from typing import IO

from zhixin_connectors.sheetmarks import (
    Marks,
    NotReadable,
    check_cells,
    check_marks,
    open_part,
    sheet_part,
)

__all__ = ["check_xls", "marks_of_xls", "marks_of_xlsb"]

_ERRORS = {
    0x00: "#NULL!", 0x07: "#DIV/0!", 0x0F: "#VALUE!", 0x17: "#REF!", 0x1D: "#NAME?",
    0x24: "#NUM!", 0x2A: "#N/A", 0x2B: "#GETTING_DATA",
}  # fmt: skip
_END = 0xFFFFFFFE
_BOF, _EOF, _SHEET, _FORMULA, _ERROR = 0x0809, 0x000A, 0x0085, 0x0006, 0x0205
_NUMBER, _RK, _MULTIPLE = 0x0203, 0x027E, 0x00BD
_CELLS = {_NUMBER, _RK, _MULTIPLE, _FORMULA, _ERROR, 0x00D6, 0x00FD, 0x0204}  # … and texts
_DIMENSIONS, _PASSWORD = 0x0200, 0x002F
_MOST_ROWS, _MOST_COLUMNS = 1 << 16, 1 << 8  # of .xls
_BUNDLE = 156  # of .xlsb: a sheet's name and relation
_SIGN = 0x80


def check_xls(file: bytes) -> None:
    """Refuse a workbook before calamine makes room for all of its sheets, whatever they claim.

    Raises:
        TooLarge: one has more cells than are read.
        NotReadable: one reaches farther than a sheet can, or they are encrypted.
    """
    try:
        book = _workbook_stream(file)
        if any(kind == _PASSWORD for kind, _ in _records(book, 0)):
            raise NotReadable
        for start in _sheets(book):
            _check_sheet(book, start)
    except (struct.error, IndexError) as error:
        raise NotReadable from error


def _check_sheet(book: bytes, start: int) -> None:
    rows = columns = 0
    for kind, data in _all_records(book, start):
        if kind == _EOF:
            return
        if kind == _DIMENSIONS:
            _, rows_end, _, columns_end = struct.unpack_from(
                "<IIHH" if len(data) >= 12 else "<HHHH", data
            )
        elif kind in _CELLS:
            row, column = struct.unpack_from("<HH", data)
            more = (len(data) - 6) // 6 if kind == _MULTIPLE else 1
            rows_end = rows = max(rows, row + 1)
            columns_end = columns = max(columns, column + more)
            check_cells(rows, columns)
        else:
            continue
        if rows_end > _MOST_ROWS or columns_end > _MOST_COLUMNS:
            raise NotReadable


def marks_of_xls(stream: IO[bytes], sheet: int) -> Marks:
    """The error cells of a sheet.

    Args:
        stream: the file.
        sheet: position among the workbook's worksheets, from 0.

    Raises:
        NotReadable: it is damaged.
    """
    stream.seek(0)
    try:
        book = _workbook_stream(stream.read())
        marks = Marks()
        for kind, data in _records(book, _sheets(book, worksheets=True)[sheet]):
            if kind in {_ERROR, _FORMULA, _NUMBER, _RK, _MULTIPLE}:
                _mark(marks, kind, data)
    except (struct.error, IndexError) as error:
        raise NotReadable from error
    return marks


def _mark(marks: Marks, kind: int, data: bytes) -> None:
    row, column = place = struct.unpack_from("<HH", data)
    if kind == _ERROR:
        if data[7]:  # else a boolean
            marks.errors[place] = _ERRORS.get(data[6], "#?")
    elif kind == _FORMULA and data[12:14] == b"\xff\xff":
        if data[6] == 2:
            marks.errors[place] = _ERRORS.get(data[8], "#?")
    elif kind != _MULTIPLE:
        if data[9 if kind == _RK else 13] & _SIGN:
            marks.add_negative(row, column)
    else:
        for at, sign in enumerate(data[9:-2:6]):
            if sign & _SIGN:
                marks.add_negative(row, column + at)


def marks_of_xlsb(stream: IO[bytes], sheet: str) -> Marks:
    """The error cells of a sheet, by its name.

    Raises:
        TooLarge: it has more cells than are read.
        NotReadable: it is damaged.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            part = sheet_part(archive, sheet, _sheet_ids)
            scan = _Scan()
            for kind, data in _parts(archive, part):
                scan.take(kind, data)
            return scan.marks
    except (zipfile.BadZipFile, struct.error, IndexError, KeyError, OSError, EOFError) as error:
        raise NotReadable from error


class _Scan:
    def __init__(self) -> None:
        self.marks = Marks()
        self._row = self._columns = 0

    def take(self, kind: int, data: bytes) -> None:
        if kind == 0:
            self._row = struct.unpack_from("<I", data)[0]
        elif 1 <= kind <= 11:
            place = self._row, struct.unpack_from("<I", data)[0]
            self._columns = max(self._columns, place[1] + 1)
            check_cells(self._row + 1, self._columns)
            if kind in {3, 11}:
                self.marks.errors[place] = _ERRORS.get(data[8], "#?")
                check_marks(self.marks)
            elif (kind in {5, 9} and data[15] & _SIGN) or (kind == 2 and data[11] & _SIGN):
                self.marks.add_negative(*place)


def _sheet_ids(archive: zipfile.ZipFile, part: str) -> dict[str, str]:
    """The relation of each sheet of a workbook's part, by its name."""
    ids = {}
    for kind, data in _parts(archive, part):
        if kind == _BUNDLE:
            (length,) = struct.unpack_from("<I", data, 8)
            end = 12 + 2 * length
            (named,) = struct.unpack_from("<I", data, end)
            name = data[end + 4 : end + 4 + 2 * named].decode("utf-16-le", "replace")
            ids[name] = data[12:end].decode("utf-16-le", "replace")
    return ids


def _parts(archive: zipfile.ZipFile, part: str) -> Iterator[tuple[int, bytes]]:
    """The records of a part, read piece by piece."""
    with open_part(archive, part) as data:
        while first := data.read(1):
            kind = first[0]
            if kind & 0x80:
                kind = kind & 0x7F | (data.read(1)[0] & 0x7F) << 7
            length = 0
            for shift in range(0, 28, 7):
                byte = data.read(1)[0]
                length |= (byte & 0x7F) << shift
                if not byte & 0x80:
                    break
            yield kind, data.read(length)


def _sheets(book: bytes, *, worksheets: bool = False) -> list[int]:
    """Where the sheets begin, or the worksheets alone."""
    return [
        struct.unpack_from("<I", data)[0]
        for kind, data in _records(book, 0)
        if kind == _SHEET and not (worksheets and data[5])
    ]


def _records(book: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """One substream's records; those of a chart inside of it are left out."""
    depth = 0
    for kind, data in _all_records(book, at):
        if kind == _BOF:
            depth += 1
        elif kind == _EOF:
            depth -= 1
            if depth <= 0:
                return
        elif depth == 1:
            yield kind, data


def _all_records(book: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while True:
        kind, length = struct.unpack_from("<HH", book, at)
        yield kind, book[at + 4 : at + 4 + length]
        at += 4 + length


def _workbook_stream(file: bytes) -> bytes:
    """The stream "Workbook" of an OLE file, put together from its sectors."""
    size = 1 << struct.unpack_from("<H", file, 0x1E)[0]
    if size not in {512, 4096}:
        raise NotReadable
    first_directory, cutoff, first_mini, _, next_table, _ = (
        *struct.unpack_from("<I", file, 0x30),
        *struct.unpack_from("<IIIII", file, 0x38),
    )
    tables = [each for each in struct.unpack_from("<109I", file, 0x4C) if each < _END - 2]
    while next_table < _END - 2:
        *more, next_table = struct.unpack_from(f"<{size // 4}I", file, (next_table + 1) * size)
        tables += [each for each in more if each < _END - 2]
        if len(tables) * size > len(file):
            raise NotReadable
    links = [n for t in tables for n in struct.unpack_from(f"<{size // 4}I", file, (t + 1) * size)]

    def chained(start: int, data: bytes, length: int, begins: int, table: list[int]) -> bytes:
        parts: list[bytes] = []
        while start < _END - 2:
            parts.append(data[begins + start * length : begins + (start + 1) * length])
            start = table[start]
            if len(parts) > len(table):
                raise NotReadable
        return b"".join(parts)

    directory = chained(first_directory, file, size, size, links)
    entries = [directory[at : at + 128] for at in range(0, len(directory), 128)]
    for entry in entries:
        name = entry[: struct.unpack_from("<H", entry, 0x40)[0]].decode("utf-16-le", "replace")
        if name.rstrip("\0").lower() not in {"workbook", "book"}:
            continue
        start, length = struct.unpack_from("<II", entry, 0x74)
        if length >= cutoff:
            return chained(start, file, size, size, links)[:length]
        mini_table = chained(first_mini, file, size, size, links)
        minis = list(struct.unpack(f"<{len(mini_table) // 4}I", mini_table))
        store = chained(struct.unpack_from("<I", entries[0], 0x74)[0], file, size, size, links)
        return chained(start, store, 64, 0, minis)[:length]
    raise NotReadable
