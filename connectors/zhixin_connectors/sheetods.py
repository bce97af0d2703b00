"""Error cells of an .ods sheet: python-calamine gives their text, or the 0 that stands beside it.

::

    <table:table table:name="一月">
      <table:table-row table:number-rows-repeated="2">
        <table:table-cell table:number-columns-repeated="3"/>
        <table:table-cell office:value-type="float" office:value="0" calcext:value-type="error">
          <text:p>#N/A</text:p>

A cell or row that repeats is made out in full when calamine opens the file: all its sheets, so each
is measured here before that.
"""

from __future__ import annotations

import zipfile
from typing import IO

from zhixin_connectors.sheetmarks import (
    UNREADABLE,
    Marks,
    NotReadable,
    check_cells,
    check_marks,
    parse_part,
)

__all__ = ["marks_of_ods"]

_CELLS = {"table-cell", "covered-table-cell"}


def marks_of_ods(stream: IO[bytes], sheet: str) -> Marks:
    """The error cells of a sheet, by its name.

    Raises:
        TooLarge: one of the sheets has more cells than are read.
        NotReadable: it is damaged.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            scan = _Scan(sheet)
            parse_part(archive, "content.xml", scan.start, scan.end, scan.text)
            return scan.marks
    except UNREADABLE as error:
        raise NotReadable from error


class _Scan:
    def __init__(self, sheet: str) -> None:
        self.marks = Marks()
        self._sheet = sheet
        self._here = self._error = self._filled = False
        self._row = self._rows = self._column = self._columns = self._widest = 0
        self._text: list[str] = []

    def start(self, name: str, own: dict[str, str]) -> None:
        if name == "table":
            self._here = own.get("table:name") == self._sheet
            self._row = self._widest = 0
        elif name == "table-row":
            self._rows = int(own.get("table:number-rows-repeated", "1"))
            self._column, self._filled = 0, False
        elif name in _CELLS:
            self._columns = int(own.get("table:number-columns-repeated", "1"))
            self._error = own.get("calcext:value-type") == "error"
            self._text = []
            if "office:value-type" in own:
                self._filled = True
                self._widest = max(self._widest, self._column + self._columns)

    def text(self, data: str) -> None:
        if self._error:
            self._text.append(data)

    def end(self, name: str) -> None:
        if name in _CELLS:
            if self._error and self._here:
                shown = "".join(self._text).strip()
                for row in range(self._row, self._row + self._rows):
                    for column in range(self._column, self._column + self._columns):
                        self.marks.errors[row, column] = shown
                        check_marks(self.marks)
            self._column += self._columns
            self._error = False
        elif name == "table-row":
            self._row += self._rows
            if self._filled:
                check_cells(self._row, self._widest)
