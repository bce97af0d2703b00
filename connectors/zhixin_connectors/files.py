"""Files as a source: finds a table's files and their format, and reads one after another.

::

    weather.csv  .tsv  .txt      csvfile       also packed: weather.csv.gz, .zip, .zst …
    planes.parquet  .pq          parquetfile
    book.xlsx  .xls  .xlsb .ods  excelfile     a sheet is a table: book.xlsx/一月
    permits.jsonl  .ndjson       jsonlines     packed too
    permits.json                 jsondocument  packed too
    parts/                       a folder whose files are one table, in the order of their names

What a file is packed with, and whether it is Parquet, a workbook or a database, its first bytes
tell; the name tells the rest, or the scheme before the path (``csv:export.dat``). A format is a
module with two functions, ``columns`` and ``batches``, which are given a way to open the file and
never its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import IO, Any, NamedTuple

from zhixin_errors import PermanentSourceError

from zhixin_connectors import csvfile, excelfile, jsoncolumns, jsondocument, jsonlines, parquetfile
from zhixin_connectors.csvheader import check_beginning
from zhixin_connectors.describe import Declared, describe
from zhixin_connectors.options import SourceOptions, parse_options
from zhixin_connectors.places import Place, SourceFile, open_place
from zhixin_connectors.protocol import (
    Extracted,
    ReadRequest,
    SeenColumn,
    TableDescription,
    TableInfo,
)
from zhixin_connectors.spans import spanned
from zhixin_connectors.unpack import Damaged, OpenStream, members, packing, unpacked

__all__ = ["FileSource", "open_files"]


class _Format(NamedTuple):
    """How a kind of file is read.

    Args:
        packed: it is read as a stream that may be packed.
        declared: what a column that was seen declares.
        sparse: records of one file need not have the columns of another's.
        check: refuses a file that would give a contract that nobody wants.
    """

    columns: Callable[[OpenStream, str, SourceOptions], list[SeenColumn]]
    batches: Callable[[OpenStream, str, ReadRequest, SourceOptions], Iterator[Extracted]]
    packed: bool
    declared: Callable[[SeenColumn], Declared] = lambda _seen: Declared()
    sparse: bool = False
    check: Callable[[OpenStream, str, SourceOptions], None] | None = None


_FORMATS = {
    "csv": _Format(csvfile.columns, csvfile.batches, packed=True, check=check_beginning),
    "excel": _Format(
        excelfile.columns, excelfile.batches, packed=False, check=excelfile.check_beginning
    ),
    "parquet": _Format(parquetfile.columns, parquetfile.batches, packed=False),
    "jsonl": _Format(
        jsonlines.columns,
        jsonlines.batches,
        packed=True,
        declared=jsoncolumns.declared,
        sparse=True,
    ),
    "json": _Format(
        jsondocument.columns,
        jsondocument.batches,
        packed=True,
        declared=jsoncolumns.declared,
        sparse=True,
    ),
}
_ENDINGS = {
    **dict.fromkeys(("csv", "tsv", "txt"), "csv"),
    **dict.fromkeys(("xlsx", "xlsm", "xls", "xlsb", "ods"), "excel"),
    **dict.fromkeys(("parquet", "pq"), "parquet"),
    **dict.fromkeys(("jsonl", "ndjson"), "jsonl"),
    "json": "json",
}
_PACKED = re.compile(r"\.(gz|bz2|xz|zst|zstd|lz4|zip)$", re.IGNORECASE)
_SCHEME = re.compile(rf"({'|'.join(_FORMATS)}):", re.IGNORECASE)
_SQLITE = b"SQLite format 3\0"


def open_files(url: str, options: Mapping[str, Any], name: str) -> FileSource:
    """What the registry calls for paths, ``file:``, a format's name and pyarrow.fs's schemes."""
    found = _SCHEME.match(url)
    kind, address = (found.group(1).lower(), url[found.end() :]) if found else ("", url)
    if found and address.startswith("///"):
        address = f"file:{address}"
    return FileSource(open_place(address, name), options, kind)


class FileSource:
    """A connector to a folder, a file or a pattern.

    Args:
        place: where it is.
        options: ``zhixin.*`` options of the source.
        kind: the format of all files, whatever they are called.
    """

    def __init__(self, place: Place, options: Mapping[str, Any], kind: str = "") -> None:
        self.name = place.name
        self._place = place
        self._options = dict(options)
        self._kind = kind

    def check(self) -> None:
        """See that it is there and can be read."""
        parse_options(self._options)
        if self._place.kind() == "file":
            self._format(self._place.files(".")[0])

    def tables(self) -> list[TableInfo]:
        """The files that can be read, by their path within the folder."""
        self.check()
        return [info for file in self._known(self._place.all()) for info in self._infos(file)]

    def columns(self, table: str) -> list[SeenColumn]:
        """The columns of a table's first file: a CSV's header, a Parquet file's own types."""
        return self._columns(self._files(table)[0])

    def describe(self, table: str, *, rows: int = 100_000) -> TableDescription:
        """Look at a table for `source infer`."""
        file = self._files(table)[0]
        if self._format(file) == "parquet":
            columns = parquetfile.declared(self._opener(file), file.place)
        else:
            kind = _FORMATS[self._format(file)]
            columns = {each.name: kind.declared(each) for each in self._columns(file)}
            if kind.check is not None:
                kind.check(self._opener(file), file.place, self._file_options(file))
        dates = self._file_options(file).dates
        return describe(self, table, columns, rows=rows, options=self._options, dates=dates)

    def count(self, table: str) -> int | None:
        """As many as Parquet's own footers say; of other files nobody knows."""
        files = self._files(table)
        if any(self._format(file) != "parquet" for file in files):
            return None
        return sum(parquetfile.shape(file.open, file.place)[0] for file in files)

    def read(self, request: ReadRequest) -> Iterator[Extracted]:
        """Yield the records of a table's files, file after file.

        Raises:
            PermanentSourceError: no such file or column, or files that are no one table.
            TransientSourceError: a file changed since the list was made.
        """
        yield from spanned(self._read(request), request, self.name)

    def _read(self, request: ReadRequest) -> Iterator[Extracted]:
        files = self._files(request.object)
        self._check_alike(files, request)
        first_row = 0
        for file in files:
            rows = 0
            options = self._file_options(file, request.options)
            reader = _FORMATS[self._format(file)]
            try:
                for each in reader.batches(self._opener(file), file.place, request, options):
                    yield replace(each, first_row=first_row + rows)
                    rows += each.batch.num_rows
            except Damaged as damage:
                raise _damaged(file, damage, f" after record {rows:,}") from None
            file.check_unchanged()
            first_row += rows

    def _check_alike(self, files: Sequence[SourceFile], request: ReadRequest) -> None:
        """Refuse files that have not the same columns, and wanted ones not the same types."""
        if len(files) == 1 or _FORMATS[self._format(files[0])].sparse:
            return
        first: dict[str, SeenColumn] = {}
        types: dict[str, tuple[str, str]] = {}
        for file in files:
            own = {column.name: column for column in self._columns(file, request.options)}
            first = first or own
            _check_same_names(files[0], first, file, own)
            for name in set(request.schema.names) & set(own):
                kind = own[name].source_type
                other, known = types.setdefault(name, (file.name, kind))
                if kind == known or "null" in {kind, known}:
                    continue
                raise PermanentSourceError(
                    f"source {self.name}: column {name} is {kind} in {file.name} and {known} in "
                    f"{other}",
                    code="column-type",
                    hint="files of one table must have the same types; rewrite one of them",
                )

    def _columns(self, file: SourceFile, layer: Mapping[str, Any] = {}) -> list[SeenColumn]:
        reader, options = _FORMATS[self._format(file)], self._file_options(file, layer)
        try:
            return reader.columns(self._opener(file), file.place, options)
        except Damaged as damage:
            raise _damaged(file, damage) from None

    def _files(self, table: str) -> list[SourceFile]:
        self.check()
        files = self._place.files(table)
        if len(files) == 1:
            return files
        known = self._known(files)
        kinds = {self._format(file): file.name for file in known}
        if len(kinds) > 1:
            raise PermanentSourceError(
                f"source {self.name}: {table} has files of several kinds: "
                f"{' and '.join(sorted(kinds.values()))}",
                hint="name those of one kind by a pattern, such as parts/*.csv",
            )
        if not known:
            raise PermanentSourceError(
                f"source {self.name}: {table} has no files of a kind that is known here",
                code="object-missing",
                hint=f"known are {', '.join(sorted(_ENDINGS))}",
            )
        return known

    def _known(self, files: Sequence[SourceFile]) -> list[SourceFile]:
        return [file for file in files if self._kind or _ending(file.name)]

    def _format(self, file: SourceFile) -> str:
        """By its first bytes where they say it, else by its name."""
        beginning = file.head
        if beginning == _SQLITE and not self._kind:
            raise PermanentSourceError(
                f"source {file.place}: this is a SQLite database, and no file that is read as one "
                "table",
                hint=f"write sqlite:///{file.path}",
            )
        if not self._kind and beginning.startswith(b"PAR1"):
            return "parquet"
        if not self._kind and (beginning.startswith(excelfile.OLE) or _is_workbook(file)):
            return "excel"
        return self._kind or _ending(file.inside or file.name) or "csv"

    def _file_options(self, file: SourceFile, layer: Mapping[str, Any] = {}) -> SourceOptions:
        tabs = {"delimiter": "\t"} if re.search(r"\.tsv(\.|$)", file.name, re.IGNORECASE) else {}
        options = parse_options(tabs, self._options, layer)
        if file.inside and self._format(file) == "excel":
            return replace(options, sheet=file.inside)
        return options

    def _opener(self, file: SourceFile) -> OpenStream:
        def opened() -> AbstractContextManager[IO[bytes]]:
            return unpacked(file) if _FORMATS[self._format(file)].packed else file.open()

        return opened

    def _infos(self, file: SourceFile) -> list[TableInfo]:
        """A file as the tables in it; what can't be looked into is listed by its name alone."""
        try:
            if self._format(file) == "parquet":
                rows, columns = parquetfile.shape(file.open, file.place)
                return [TableInfo(file.name, "file", columns, rows, file.size)]
            if self._format(file) == "excel":
                inside = excelfile.sheets(file.open, file.place)
            else:
                inside = members(file) if packing(file.head) == "zip" else []
        except PermanentSourceError:
            inside = []
        if len(inside) > 1:
            return [TableInfo(f"{file.name}/{name}", "file") for name in inside]
        return [TableInfo(file.name, "file", bytes=file.size)]


def _damaged(file: SourceFile, damage: Damaged, after: str = "") -> PermanentSourceError:
    return PermanentSourceError(
        f"source {file.place} is damaged{after}: {damage}",
        code="file-damaged",
        hint="get the file anew; if it is sound, unpack it and name the unpacked file",
    )


def _is_workbook(file: SourceFile) -> bool:
    """Whether a .zip is a workbook, as .xlsx, .xlsb and .ods are."""
    if packing(file.head) != "zip":
        return False
    inside = members(file)
    return "xl/workbook.xml" in inside or "xl/workbook.bin" in inside or "mimetype" in inside


def _ending(name: str) -> str:
    """The format that a name says; empty if none. A packed file without another is a CSV."""
    bare = _PACKED.sub("", name)
    ending = bare.rpartition("/")[2].rpartition(".")
    known = _ENDINGS.get(ending[2].lower(), "") if ending[0] else ""
    return known or ("csv" if bare != name and not ending[0] else "")


def _check_same_names(
    first: SourceFile,
    known: Mapping[str, SeenColumn],
    file: SourceFile,
    own: Mapping[str, SeenColumn],
) -> None:
    missing = [name for name in known if name not in own]
    surplus = [name for name in own if name not in known]
    if not missing and not surplus:
        return
    differences = []
    if len(missing) == len(known):  # no header, it seems: the names are a record's values
        differences, missing, surplus = ["has other columns altogether"], [], []
    if missing:
        differences.append(f"has no {', '.join(missing)}")
    if surplus:
        differences.append(f"has {', '.join(surplus)} besides")
    raise PermanentSourceError(
        f"source {file.place} {' and '.join(differences)}, and {first.name} is of the same table",
        code="column-missing",
        hint="files of one table have the same columns; name fewer files, or mend that one",
        details={"missing": missing, "surplus": surplus},
    )
