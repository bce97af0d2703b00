"""What calamine leaves out of an .xlsx sheet: cells that look empty in it and are not.

::

    <c r="B7" t="e"><v>#N/A</v></c>          an error                       → an empty text
    <c r="C7"><f>SUM(A1:A6)</f></c>          a formula nobody calculated    → an empty text
    <c r="D7" s="3"><v>-1</v></c>            a number below zero as a day   → midnight

Their places are found by one pass over the sheet's own XML, which also counts its rows and columns:
calamine makes room for all of them at once, so a sheet is measured before it is handed one.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any
from xml.parsers import expat

__all__ = [
    "UNREADABLE",
    "Marks",
    "NotReadable",
    "TooLarge",
    "check_cells",
    "check_marks",
    "column_number",
    "marks_of",
    "open_part",
    "parse_part",
    "sheet_part",
]

_MOST_CELLS = 16_000_000  # rows times columns; calamine takes about 32 bytes for each
_MOST_MARKS = 1_000_000
_MOST_BYTES = 1 << 31  # of a sheet's XML, unpacked
_CHUNK = 1 << 16
_PLACE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})\Z")


UNREADABLE = (expat.ExpatError, zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError)
"""What a damaged archive or its XML raises."""


class TooLarge(Exception):
    """``str()`` says of what there is too much."""


class NotReadable(Exception):
    """The workbook's XML is not what it should be."""


@dataclass
class Marks:
    """Places are (row, column) of the sheet, from 0.

    Args:
        errors: the text of each error cell.
        uncached: formulas without a value.
        negative: of each row the columns of its numbers below zero, as bits: there may be millions.
    """

    errors: dict[tuple[int, int], str] = field(default_factory=dict)
    uncached: set[tuple[int, int]] = field(default_factory=set)
    negative: dict[int, int] = field(default_factory=dict)

    def add_negative(self, row: int, column: int) -> None:
        """Mark a number below zero."""
        self.negative[row] = self.negative.get(row, 0) | 1 << column

    def is_negative(self, place: tuple[int, int]) -> bool:
        """Whether a number below zero is there."""
        row, column = place
        return bool(self.negative.get(row, 0) >> column & 1)


def check_cells(rows: int, columns: int) -> None:
    """Refuse a sheet of more cells than are read at once."""
    if rows * columns > _MOST_CELLS:
        raise TooLarge(f"more than {_MOST_CELLS:,} cells (rows times columns)")


def check_marks(marks: Marks) -> None:
    """Refuse a sheet of more cells in error than are kept in mind."""
    if len(marks.errors) + len(marks.uncached) > _MOST_MARKS:
        raise TooLarge(f"more than {_MOST_MARKS:,} cells in error")


def marks_of(stream: IO[bytes], sheet: str) -> Marks:
    """Look through one sheet of an .xlsx workbook.

    Raises:
        TooLarge: it has more cells than are read.
        NotReadable: it is damaged.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            scan = _Scan()
            parse_part(
                archive, sheet_part(archive, sheet, _sheet_ids), scan.start, scan.end, scan.text
            )
            return scan.marks
    except UNREADABLE as error:
        raise NotReadable from error


def sheet_part(
    archive: zipfile.ZipFile,
    sheet: str,
    sheet_ids: Callable[[zipfile.ZipFile, str], dict[str, str]],
) -> str:
    """The sheet's file in the archive, by way of the workbook's relations.

    Args:
        archive: an .xlsx or .xlsb.
        sheet: its name.
        sheet_ids: gives the relation of each sheet's name from the workbook's part.

    Raises:
        NotReadable: there is none.
        KeyError: there is none.
    """
    book = _target(archive, "_rels/.rels", lambda own: own["Type"].endswith("/officeDocument"))
    wanted = sheet_ids(archive, book)[sheet]
    folder, _, file = book.rpartition("/")
    relations = f"{folder}/_rels/{file}.rels".lstrip("/")
    return _target(archive, relations, lambda own: own["Id"] == wanted, folder)


def _sheet_ids(archive: zipfile.ZipFile, part: str) -> dict[str, str]:
    ids: dict[str, str] = {}

    def named(name: str, own: dict[str, str]) -> None:
        if name == "sheet":
            ids[own["name"]] = next(v for k, v in own.items() if k.endswith(":id"))

    parse_part(archive, part, named)
    return ids


def open_part(archive: zipfile.ZipFile, part: str) -> IO[bytes]:
    """Open a part by its name, which some writers spell with backslashes or in other case.

    Raises:
        KeyError: there is none.
    """
    spelt = {each.replace("\\", "/").lower(): each for each in archive.namelist()}
    return archive.open(spelt[part.lower()])


def _target(
    archive: zipfile.ZipFile,
    relations: str,
    accepts: Callable[[dict[str, str]], bool],
    folder: str = "",
) -> str:
    found: list[str] = []

    def related(name: str, own: dict[str, str]) -> None:
        if name == "Relationship" and accepts(own):
            found.append(own["Target"])

    parse_part(archive, relations, related)
    if not found:
        raise NotReadable
    return posixpath.normpath(posixpath.join("/", folder, found[0])).lstrip("/")


def parse_part(
    archive: zipfile.ZipFile,
    part: str,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    """Go through a part's XML; names of elements come without their prefix.

    Raises:
        TooLarge: it is longer than is read.
        NotReadable: it has a document type, by which XML grows.
    """
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, own: start(name.rpartition(":")[2], own)
    if end is not None:
        parser.EndElementHandler = lambda name: end(name.rpartition(":")[2])
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    done = 0
    with open_part(archive, part) as data:
        while chunk := data.read(_CHUNK):
            done += len(chunk)
            if done > _MOST_BYTES:
                raise TooLarge("a sheet of more than 2 GiB")
            parser.Parse(chunk, False)
        parser.Parse(b"", True)


def _refuse_doctype(*_: Any) -> None:  # noqa: ANN401 (expat's own arguments)
    raise NotReadable


class _Scan:
    """One sheet's cells, in the order of its XML."""

    def __init__(self) -> None:
        self.marks = Marks()
        self._row = self._column = -1
        self._rows = self._columns = 0
        self._kind = ""
        self._formula = self._inside = False
        self._value: list[str] = []

    def start(self, name: str, own: dict[str, str]) -> None:
        if name == "c":
            self._cell(own)
        elif name == "row":
            self._row = int(own["r"]) - 1 if "r" in own else self._row + 1
            self._column = -1
        elif name == "v":
            self._inside = True
            self._grow()
        elif name == "f":
            self._formula = True
        elif name == "is":
            self._grow()

    def _cell(self, own: dict[str, str]) -> None:
        place = _PLACE.match(own.get("r", ""))
        if place:
            self._column = column_number(place.group(1))
            self._row = int(place.group(2)) - 1
        else:
            self._column += 1
        self._kind = own.get("t", "n")
        self._formula = self._inside = False
        self._value = []

    def _grow(self) -> None:
        """Count a cell that holds something; those that only have a format do not matter."""
        self._rows = max(self._rows, self._row + 1)
        self._columns = max(self._columns, self._column + 1)
        check_cells(self._rows, self._columns)

    def text(self, data: str) -> None:
        if self._inside:
            self._value.append(data)

    def end(self, name: str) -> None:
        if name == "v":
            self._inside = False
        elif name == "c":
            self._mark("".join(self._value), (self._row, self._column))

    def _mark(self, value: str, place: tuple[int, int]) -> None:
        if self._kind == "e":
            self.marks.errors[place] = value
        elif self._formula and not value and self._kind != "str":
            self.marks.uncached.add(place)
        elif self._kind == "n" and value.startswith("-"):
            self.marks.add_negative(*place)
        check_marks(self.marks)


def column_number(letters: str) -> int:
    """A → 0, Z → 25, AA → 26."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
