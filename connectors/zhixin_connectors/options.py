r"""The ``zhixin.*`` options of a source, held to their names and types.

::

    zhixin.null        ["NA"]           texts that stand for null (unquoted ones in a CSV)
    zhixin.nullQuoted  true             … and quoted ones too
    zhixin.delimiter   ";"              one character of a CSV, "\t" is a tab
    zhixin.quote       "'"              one character of a CSV, '"' if not said, "" for none
    zhixin.encoding    "gb18030"        of a text file; UTF-8 if not said, never guessed
    zhixin.skipRows    2                lines (rows of a sheet) before the header, left out
    zhixin.headerRows  2                header lines, joined by "/"; 1 if not said, 0 for none
    zhixin.sheet       "一月"           of a workbook, or its number from 1
    zhixin.range       "A3:F200"        the table's cells in its sheet; "A3:F" ends with the records
    zhixin.dateFormat  "y年M月d日"     of texts that are dates (dateforms.py); ISO 8601 if not set
    zhixin.timezone    "Asia/Shanghai"  of times without an offset, for fields of type timestamptz
    zhixin.binary      "base64"         how a text file writes binary values; or "hex"
    zhixin.records     "data.items"     where in a JSON document the list of records is;
                                        "features[].properties" takes that member of each
    zhixin.optional    ["note"]         members that may be absent from all records of JSON
    zhixin.total       "meta.count"     the member that says how many records there are in all
    zhixin.paging      "cursor"         of HTTP: link, cursor, page, offset; none if not said
    zhixin.next        "meta.next"      the member with the next page's address or cursor
    zhixin.pageParameter "page"         the parameter that takes the cursor, page or offset
    zhixin.firstPage   0                the first page's number, 1 if not said; or offset, 0
    zhixin.pageSize    500              records of a page, sent as zhixin.sizeParameter

The prefix may be left out. A name that is not in this list is refused, not ignored: a misspelt
``zhixin.nul`` would change what is null without a word.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from zhixin_errors import ConfigError

from zhixin_connectors.dateforms import DateForm, date_form

__all__ = ["SECRET", "Secret", "SourceOptions", "flag", "number", "one_of", "parse_options"]

SECRET = "secret"  # noqa: S105 - the option under which a source's secret is handed over

_RANGE = re.compile(r"\$?[A-Za-z]{1,3}\$?[1-9][0-9]{0,6}:\$?[A-Za-z]{1,3}(?:\$?[1-9][0-9]{0,6})?\Z")
_ELSEWHERE = {  # what others read
    "sql", "severity", "treatment", "clear", "watermark", "partition", "partitions", "immutable",
    "incremental", "lateness", "deleted",
}  # fmt: skip


class Secret(str):
    """A password, token or key: a text that is not shown where an object is looked at."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True)
class SourceOptions:
    """Options that passed :func:`parse_options`."""

    null: tuple[str, ...] = ()
    null_quoted: bool = False
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    skip_rows: int = 0
    header_rows: int = 1
    sheet: str = ""
    range: str = ""
    dates: DateForm | None = None
    timezone: ZoneInfo | None = None
    binary: str = "base64"
    records: str = ""
    optional: tuple[str, ...] = ()
    total: str = ""
    paging: str = "none"
    next: str = ""
    page_parameter: str = ""
    first_page: int | None = None
    page_size: int = 0
    size_parameter: str = ""


def parse_options(*layers: Mapping[str, Any]) -> SourceOptions:
    """Merge option mappings, later ones first in force, and check them.

    Raises:
        ConfigError: an option is unknown or has a wrong value; names it.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            values[name.removeprefix("zhixin.")] = value
    for name in values:
        if name not in _READERS and name not in _ELSEWHERE:
            known = ", ".join(f"zhixin.{known}" for known in _READERS)
            raise ConfigError(f"unknown source option zhixin.{name}", hint=f"known are {known}")
    read = {
        field: reader(f"zhixin.{name}", values[name])
        for name, (field, reader) in _READERS.items()
        if values.get(name) is not None
    }
    options = SourceOptions(**read)
    if options.delimiter == options.quote:
        raise ConfigError("zhixin.delimiter and zhixin.quote are the same character")
    return options


def _words(name: str, value: object) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{name} must be a list of texts", hint=f'write {name}: ["NA"]')
    return tuple(words)


def flag(name: str, value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false")
    return value


def number(least: int, most: int) -> Callable[[str, object], int]:
    """What reads a whole number, or its digits."""

    def read(name: str, value: object) -> int:
        found = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            raise ConfigError(f"{name} must be a whole number from {least} to {most:,}")
        return found

    return read


def one_of(*words: str) -> Callable[[str, object], str]:
    """What reads one of the words."""

    def read(name: str, value: object) -> str:
        if value not in words:
            raise ConfigError(f"{name} must be one of {', '.join(words)}")
        return str(value)

    return read


def _sheet(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value in {"", 0}:
        raise ConfigError(f"{name} must be a sheet's name, or its number from 1")
    return str(value)


def _range(name: str, value: object) -> str:
    if not isinstance(value, str) or not _RANGE.match(value):
        raise ConfigError(f"{name} must be a range of cells", hint="such as A3:F200, or A3:F")
    return value.upper().replace("$", "")


def _character(name: str, value: object) -> str:
    text = "\t" if value == "\\t" else value
    if not isinstance(text, str) or len(text) != 1 or not text.isascii() or text in "\r\n\0":
        raise ConfigError(f"{name} must be one ASCII character")
    return text


def _quote(name: str, value: object) -> str:
    return "" if value == "" else _character(name, value)


def _encoding(name: str, value: object) -> str:
    try:
        "".encode(str(value))  # Python has codecs that are none of text, such as hex
        info = codecs.lookup(str(value))
        info.incrementaldecoder("surrogateescape").decode(b"a")  # and of text that is no file's
    except (LookupError, ValueError):
        raise ConfigError(
            f"{name} names no encoding that is known here", hint="such as utf-8, gb18030, cp1252"
        ) from None
    return info.name


def _date_format(name: str, value: object) -> DateForm:
    try:
        return date_form(str(value))
    except ValueError as error:
        raise ConfigError(
            f"{name} is no form of a date: {error}", hint="such as y年M月d日 or dd/MM/yyyy"
        ) from None


def _timezone(name: str, value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ValueError, OSError, KeyError):
        raise ConfigError(
            f"{name} names no time zone that is known here",
            hint="an IANA name such as Asia/Shanghai; the system needs its tzdata",
        ) from None


def _path(name: str, value: object) -> str:
    if not isinstance(value, str) or not value or not all(value.split(".")):
        raise ConfigError(f"{name} must be a member's name, or several with dots between them")
    return value


def _records(name: str, value: object) -> str:
    outer, _, inner = _path(name, value).partition("[].")
    if "[]" in outer + inner:
        raise ConfigError(f"{name} may have one [] in it, such as features[].properties")
    return str(value)


_READERS: dict[str, tuple[str, Any]] = {
    "null": ("null", _words),
    "nullQuoted": ("null_quoted", flag),
    "delimiter": ("delimiter", _character),
    "quote": ("quote", _quote),
    "encoding": ("encoding", _encoding),
    "skipRows": ("skip_rows", number(0, 1_000_000)),
    "headerRows": ("header_rows", number(0, 9)),
    "sheet": ("sheet", _sheet),
    "range": ("range", _range),
    "dateFormat": ("dates", _date_format),
    "timezone": ("timezone", _timezone),
    "binary": ("binary", one_of("base64", "hex")),
    "records": ("records", _records),
    "optional": ("optional", _words),
    "total": ("total", _path),
    "paging": ("paging", one_of("none", "link", "cursor", "page", "offset")),
    "next": ("next", _path),
    "pageParameter": ("page_parameter", _path),
    "firstPage": ("first_page", number(0, 1_000_000)),
    "pageSize": ("page_size", number(0, 1_000_000)),
    "sizeParameter": ("size_parameter", _path),
}
