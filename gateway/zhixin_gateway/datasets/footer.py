"""What a Parquet file says of itself, read by us before a decoder meets it.

A part comes from somebody else, and few bytes can claim to be gigabytes. So its footer and the
headers of all its pages are read here first, strictly and in bounded memory::

    PAR1 │ page header (Thrift) ‖ compressed bytes │ … │ footer (Thrift) ‖ its length (4) │ PAR1

:func:`read_footer` gives schema elements and column chunks, :func:`read_pages` the headers of a
chunk's pages. Neither decompresses or decodes a value; what is allowed is judged by
:mod:`~zhixin_gateway.datasets.columns` and :mod:`~zhixin_gateway.datasets.bounds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from zhixin_errors import VerificationError

from zhixin_gateway.datasets.thrift import (
    BINARY,
    BYTE,
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    ThriftReader,
    boolean,
    integer,
    items,
    optional,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MAX_FOOTER_BYTES",
    "MAX_PAGE_BYTES",
    "Chunk",
    "Element",
    "Encoding",
    "Footer",
    "Page",
    "PageKind",
    "Physical",
    "Repetition",
    "RowGroup",
    "read_footer",
    "read_pages",
]

MAX_FOOTER_BYTES = 16 * 1024 * 1024
MAX_PAGE_BYTES = 256 * 1024 * 1024
_MAX_FOOTER_VALUES = 1 << 21
_MAX_HEADER_VALUES = 1 << 10
_MAGIC = b"PAR1"


class Physical(IntEnum):
    """Parquet's physical types."""

    BOOLEAN = 0
    INT32 = 1
    INT64 = 2
    INT96 = 3
    FLOAT = 4
    DOUBLE = 5
    BYTE_ARRAY = 6
    FIXED_LEN_BYTE_ARRAY = 7


class Repetition(IntEnum):
    """How often a schema element is there."""

    REQUIRED = 0
    OPTIONAL = 1
    REPEATED = 2


class PageKind(IntEnum):
    """Kinds of pages."""

    DATA = 0
    INDEX = 1
    DICTIONARY = 2
    DATA_V2 = 3


class Encoding(IntEnum):
    """Encodings of values that we tell apart; all others keep a value's size."""

    PLAIN = 0
    PLAIN_DICTIONARY = 2
    DELTA_LENGTH_BYTE_ARRAY = 6
    DELTA_BYTE_ARRAY = 7
    RLE_DICTIONARY = 8


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the schema, with the annotation that holds.

    ``annotation`` is a tuple such as ``("DECIMAL", 7, 2)`` or ``("TIMESTAMP", "us", True)``.
    """

    name: str
    physical: int | None
    type_length: int
    repetition: int | None
    children: int
    annotation: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One column of one row group.

    ``histograms`` has the lengths of its histograms of repetition and definition levels, 0 where
    there is none; ``counts_bytes`` tells that it says how long its strings are.
    """

    physical: int
    codec: int
    values: int
    start: int
    size_bytes: int
    data_page_offset: int
    dictionary_page_offset: int | None
    histograms: tuple[int, int] = (0, 0)
    counts_bytes: bool = False


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A run of rows."""

    rows: int
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Footer:
    """The file's description of itself."""

    elements: tuple[Element, ...]
    rows: int
    groups: tuple[RowGroup, ...]
    metadata_keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page's header; ``start`` is where its compressed bytes begin."""

    kind: PageKind
    start: int
    size_bytes: int
    uncompressed_bytes: int
    values: int
    encoding: int
    level_bytes: int | None = None
    compressed: bool = True


def read_footer(data: memoryview) -> Footer:
    """Read a file's footer.

    Args:
        data: the whole file.

    Raises:
        VerificationError: it is no Parquet file, or its footer is beyond any real one (``record``).
    """
    if len(data) < 12 or data[:4] != _MAGIC or data[-4:] != _MAGIC:
        raise _fault("not a Parquet file")
    size = int.from_bytes(data[-8:-4], "little")
    if size > MAX_FOOTER_BYTES or size > len(data) - 12:
        raise _fault(f"a footer of {size} bytes")
    start = len(data) - 8 - size
    whole = ThriftReader(data, start, len(data) - 8, _MAX_FOOTER_VALUES).struct()
    if optional(whole, 8, STRUCT) is not None:
        raise _fault("an encrypted footer")
    items(whole, 7, STRUCT)
    return Footer(
        elements=tuple(_element(item) for item in _structs(whole, 2)),
        rows=integer(whole, 3, I64),
        groups=tuple(_group(item, start) for item in _structs(whole, 4)),
        metadata_keys=tuple(
            optional(item, 1, BINARY) or b"" for item in _structs(whole, 5, required=False)
        ),
    )


def read_pages(data: memoryview, chunk: Chunk) -> Iterator[Page]:
    """Read the headers of a chunk's pages, up to its last value.

    Args:
        data: the whole file.
        chunk: one of its footer's.

    Yields:
        Each page, in order; a page of an index is left out.

    Raises:
        VerificationError: a page beyond 256 MiB, a second dictionary, or other values than the
            footer says (``record``).
    """
    at, end, seen, first = chunk.start, chunk.start + chunk.size_bytes, 0, True
    while seen < chunk.values:
        reader = ThriftReader(data, at, end, _MAX_HEADER_VALUES)
        page = _page(reader.struct(), reader.at)
        at = reader.at + page.size_bytes
        if at > end:
            raise _fault("a page reaches beyond its column")
        if page.kind == PageKind.DICTIONARY and not first:
            raise _fault("a dictionary page that is not a column's first")
        if page.kind in (PageKind.DATA, PageKind.DATA_V2):
            seen += page.values
        if page.kind != PageKind.INDEX:
            first = False
            yield page
    if seen != chunk.values:
        raise _fault(f"a column's pages hold {seen} values, its footer says {chunk.values}")


def _page(header: Struct, start: int) -> Page:
    code = integer(header, 1)
    uncompressed, size = integer(header, 2), integer(header, 3)
    if uncompressed < 0 or size < 0:
        raise _fault("a page of a negative size")
    if uncompressed > MAX_PAGE_BYTES:
        raise _fault(f"a page of {uncompressed} bytes, at most {MAX_PAGE_BYTES} are allowed")
    if code not in (PageKind.DATA, PageKind.INDEX, PageKind.DICTIONARY, PageKind.DATA_V2):
        raise _fault(f"a page of unknown kind {code}")
    kind = PageKind(code)
    if kind == PageKind.INDEX:
        return Page(kind, start, size, uncompressed, 0, 0)
    number = {PageKind.DATA: 5, PageKind.DICTIONARY: 7, PageKind.DATA_V2: 8}[kind]
    inner = optional(header, number, STRUCT)
    if inner is None:
        raise _fault("a page without its header")
    values = integer(inner, 1)
    if values < 0:
        raise _fault("a page of a negative number of values")
    if kind != PageKind.DATA_V2:
        return Page(kind, start, size, uncompressed, values, integer(inner, 2))
    levels = (integer(inner, 5), integer(inner, 6))
    if min(levels) < 0 or sum(levels) > uncompressed:
        raise _fault("a page whose levels are longer than itself")
    return Page(
        kind, start, size, uncompressed, values, integer(inner, 4), sum(levels),
        boolean(inner, 7, default=True),
    )  # fmt: skip


def _group(item: Struct, end: int) -> RowGroup:
    rows = integer(item, 3, I64)
    if rows < 0:
        raise _fault("a row group of a negative number of rows")
    items(item, 4, STRUCT)
    return RowGroup(rows, tuple(_chunk(column, end) for column in _structs(item, 1)))


_CHUNK_LISTS = ((2, I32), (3, BINARY), (8, STRUCT), (13, STRUCT))
"""Lists of a column's description that we don't use, but a decoder reads as these kinds."""


def _chunk(item: Struct, end: int) -> Chunk:
    if optional(item, 1, BINARY):
        raise _fault("a column in another file")
    if optional(item, 8, STRUCT) is not None:
        raise _fault("an encrypted column")
    meta = optional(item, 3, STRUCT)
    if meta is None:
        raise _fault("a column without its description")
    for number, kind in _CHUNK_LISTS:
        items(meta, number, kind)
    if optional(meta, 17, STRUCT) is not None:
        raise _fault("a column of places on a map")
    sizes: Struct = optional(meta, 16, STRUCT) or {}
    data_page, dictionary = integer(meta, 9, I64), optional(meta, 11, I64)
    size, values = integer(meta, 7, I64), integer(meta, 5, I64)
    start = dictionary if dictionary is not None and 0 < dictionary < data_page else data_page
    if start < 4 or size < 0 or start + size > end or values < 0:
        raise _fault("a column that does not lie within the file")
    return Chunk(
        integer(meta, 1), integer(meta, 4), values, start, size, data_page, dictionary,
        (len(items(sizes, 2, I64)), len(items(sizes, 3, I64))),
        optional(sizes, 1, I64) is not None,
    )  # fmt: skip


def _structs(fields: Struct, number: int, *, required: bool = True) -> list[Struct]:
    if required and optional(fields, number, LIST) is None:
        raise _fault(f"its footer lacks field {number}")
    return items(fields, number, STRUCT)


# --- schema elements ---------------------------------------------------------------------------

_CONVERTED: dict[int, tuple[Any, ...]] = {
    0: ("STRING",),
    3: ("LIST",),
    6: ("DATE",),
    7: ("TIME", "ms", True),
    8: ("TIME", "us", True),
    9: ("TIMESTAMP", "ms", True),
    10: ("TIMESTAMP", "us", True),
    14: ("INTEGER", 64, False),
    18: ("INTEGER", 64, True),
}
_UNITS = {1: "ms", 2: "us", 3: "ns"}
_PLAIN_LOGICAL: dict[int, tuple[Any, ...]] = {1: ("STRING",), 3: ("LIST",), 6: ("DATE",)}


def _element(item: Struct) -> Element:
    name = optional(item, 4, BINARY)
    try:
        text = (name or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault("a column's name is not UTF-8") from error
    return Element(
        name=text,
        physical=optional(item, 1, I32),
        type_length=optional(item, 2, I32) or 0,
        repetition=optional(item, 3, I32),
        children=optional(item, 5, I32) or 0,
        annotation=_annotation(item),
    )


def _annotation(item: Struct) -> tuple[Any, ...] | None:
    """The logical type; where there is none, what the older converted type stands for."""
    logical = optional(item, 10, STRUCT)
    if logical is not None:
        return _logical(logical)
    converted = optional(item, 6, I32)
    if converted is None:
        return None
    if converted == 5:
        return ("DECIMAL", integer(item, 8), optional(item, 7, I32) or 0)
    known: tuple[Any, ...] = _CONVERTED.get(converted, ("OTHER", converted))
    return known


def _logical(union: Struct) -> tuple[Any, ...]:
    numbers = [at >> 4 for at in union]
    if len(numbers) != 1:
        raise _fault("a column with no or several logical types")
    number = numbers[0]
    inner = optional(union, number, STRUCT)
    if inner is None:
        raise _fault("a logical type without its structure")
    if number == 5:
        return ("DECIMAL", integer(inner, 2), integer(inner, 1))
    if number in (7, 8):
        unit = optional(inner, 2, STRUCT) or {}
        units = [_UNITS.get(at >> 4, "?") for at in unit]
        name = "TIME" if number == 7 else "TIMESTAMP"
        return (name, units[0] if len(units) == 1 else "?", boolean(inner, 1))
    if number == 10:
        return ("INTEGER", integer(inner, 1, BYTE), boolean(inner, 2))
    plain: tuple[Any, ...] = _PLAIN_LOGICAL.get(number, ("OTHER", number))
    return plain


def _fault(why: str) -> VerificationError:
    return VerificationError(f"not a part that can be read: {why}", code="record")
