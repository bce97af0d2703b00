"""Whether a part can be decoded in bounded memory, judged by its footer and page headers alone.

Section 4 of the formats: a part whose texts exceed 256 MiB, or with a page of more than 256 MiB
uncompressed, is refused before its values are expanded. What a few bytes can claim, and what stops
each claim here:

- many rows or list elements: each shows as at least 3 bytes of text, so their number is bounded;
- huge pages: their headers say so, and a decompressor fills no more than a header says;
- pages by the thousand that all inflate: the sum of their sizes is bounded;
- a long value behind many short indices: string and binary columns are decoded as dictionaries and
  measured before they are expanded (:mod:`~zhixin_gateway.datasets.parquet`);
- values that repeat the one before (DELTA_BYTE_ARRAY): the lengths are added up from the page;
- lengths by the milliard that would have to be read one by one: their number is bounded.

Beside the two limits of the format there are limits of this implementation, far beyond what a
writer makes of 256 MiB of texts: the constants below.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from zhixin_errors import VerificationError

from zhixin_gateway.datasets.footer import Encoding, PageKind, Physical, read_pages
from zhixin_gateway.datasets.lengths import longest_value, prefix_bytes
from zhixin_gateway.datasets.records import MAX_TEXTS_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zhixin_gateway.datasets.columns import Leaf
    from zhixin_gateway.datasets.footer import Chunk, Footer, Page, RowGroup

__all__ = ["MAX_BATCH_ROWS", "GroupPlan", "plan_reading"]

MAX_BATCH_ROWS = 65_536
MAX_INFLATED_BYTES = 4 * 1024 * 1024 * 1024
"""All pages of a part, uncompressed: texts of 256 MiB never need so much."""
MAX_OPEN_BYTES = 1024 * 1024 * 1024
"""Dictionaries and longest pages of one row group, which are in memory together."""
MAX_LISTED_VALUES = 1 << 25
"""Values within lists of one row group: they may all belong to one record."""
MAX_MEASURED_VALUES = 1 << 27
"""Strings of a part whose lengths are read one by one: texts of 256 MiB hold no more."""

_BATCH_BYTES = 64 * 1024 * 1024
_LARGE_DICTIONARY = 8 * 1024 * 1024
"""Beyond this a dictionary is only kept as one where its values are needed often."""
_VALUE_BYTES = 24
_DECIMAL_BYTES = 16
_BYTES_PER_TEXT = 3
"""The least that a value adds to a text: an empty string or list, and a comma or bracket."""
_STRINGS = (Encoding.PLAIN, Encoding.DELTA_LENGTH_BYTE_ARRAY, Encoding.DELTA_BYTE_ARRAY)
_DICTIONARY = (Encoding.PLAIN_DICTIONARY, Encoding.RLE_DICTIONARY)


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """How to read a row group.

    Attributes:
        coded: indexes of the leaves to decode as dictionaries, and measure before they grow.
        batch_rows: how many rows to decode at once.
    """

    coded: tuple[int, ...]
    batch_rows: int


def plan_reading(
    data: memoryview,
    footer: Footer,
    leaves: Sequence[Leaf],
    schema: pa.Schema,
    read: Sequence[int] | None = None,
) -> list[GroupPlan]:
    """Judge a part by its footer and page headers.

    Args:
        data: the whole file.
        footer: its footer.
        leaves: its columns, matched with the fields.
        schema: the fields.
        read: indexes of the leaves that will be decoded; None: all. Pages of others are not read.

    Returns:
        How to read each row group.

    Raises:
        VerificationError: it contradicts itself, or can't be decoded within bounds (``record``).
    """
    _check_counts(footer, leaves, len(schema))
    sums = _Sums(data, leaves, range(len(leaves)) if read is None else read)
    return [GroupPlan(sums.add(group), sums.batch_rows(group)) for group in footer.groups]


def _check_counts(footer: Footer, leaves: Sequence[Leaf], fields: int) -> None:
    if footer.rows < 1 or footer.rows != sum(group.rows for group in footer.groups):
        raise _fault("its row groups do not add up to the rows of its footer")
    if footer.rows * (_BYTES_PER_TEXT * fields + 2) > MAX_TEXTS_BYTES:
        raise _fault(f"the texts of {footer.rows} records exceed {MAX_TEXTS_BYTES} bytes")
    for group in footer.groups:
        _check_group(group, leaves)
    for at in range(len(leaves)):
        values = sum(group.chunks[at].values for group in footer.groups)
        if values * _BYTES_PER_TEXT > MAX_TEXTS_BYTES:
            raise _fault(f"the texts of a column's values exceed {MAX_TEXTS_BYTES} bytes")


def _check_group(group: RowGroup, leaves: Sequence[Leaf]) -> None:
    if len(group.chunks) != len(leaves):
        raise _fault("a row group has other columns than the schema")
    listed = 0
    for chunk, leaf in zip(group.chunks, leaves, strict=True):
        if chunk.physical != leaf.physical:
            raise _fault("a row group has a column of another type than the schema")
        if chunk.values < group.rows or (chunk.values != group.rows and not leaf.nested):
            raise _fault("a column does not have as many values as its row group rows")
        _check_sizes(chunk, leaf)
        listed += chunk.values if leaf.nested else 0
    if listed > MAX_LISTED_VALUES:
        raise _fault(f"a row group with more than {MAX_LISTED_VALUES} values in lists")


def _check_sizes(chunk: Chunk, leaf: Leaf) -> None:
    """Hold a column's size statistics to their form: Arrow ends the whole process over others."""
    for length, level in zip(chunk.histograms, leaf.levels, strict=True):
        if length not in (0, level + 1):
            raise _fault("a column with a histogram of other levels than it has")
    if chunk.counts_bytes and leaf.physical != Physical.BYTE_ARRAY:
        raise _fault("a column without strings that says how long they are")


class _Sums:
    """What the pages of a part add up to."""

    def __init__(self, data: memoryview, leaves: Sequence[Leaf], read: Sequence[int]) -> None:
        self._data = data
        self._leaves = leaves
        self._read = read
        self._paths = Counter(".".join(leaf.path) for leaf in leaves)
        self._inflated = 0
        self._value_bytes = 0
        self._measured = 0

    def add(self, group: RowGroup) -> tuple[int, ...]:
        """Add a row group's pages; which leaves to decode as dictionaries."""
        coded, opened = [], 0
        for at in self._read:
            chunk, pages = group.chunks[at], _Pages()
            for page in read_pages(self._data, chunk):
                self._inflated += page.uncompressed_bytes
                if self._inflated > MAX_INFLATED_BYTES:
                    raise _fault(f"its pages inflate to more than {MAX_INFLATED_BYTES} bytes")
                pages.add(page)
                if chunk.physical == Physical.BYTE_ARRAY and page.encoding not in _DICTIONARY:
                    self._add_values(at, chunk, page)
            opened += pages.open_bytes()
            if opened > MAX_OPEN_BYTES:
                raise _fault(f"pages of more than {MAX_OPEN_BYTES} bytes are needed together")
            if chunk.physical == Physical.BYTE_ARRAY and pages.indices:
                coded += self._indexed(at, chunk, pages)
        return tuple(coded)

    def batch_rows(self, group: RowGroup) -> int:
        """Rows to decode at once, so that what is not strings stays small."""
        values = sum(group.chunks[at].values for at in self._read)
        row_bytes = max(1, values * _VALUE_BYTES // max(1, group.rows))
        return max(1, min(MAX_BATCH_ROWS, _BATCH_BYTES // row_bytes, group.rows or 1))

    def _add_values(self, at: int, chunk: Chunk, page: Page) -> None:
        """Add the least bytes that a page's own strings have, by its header or by itself."""
        if page.kind == PageKind.DICTIONARY:
            return
        if page.encoding not in _STRINGS:
            raise _fault(f"strings in the encoding {page.encoding}, which is for other types")
        # Four bytes a length and four for its levels are more than any writer needs.
        self._grow(max(0, page.uncompressed_bytes - 8 * page.values - 1024))
        if page.encoding == Encoding.DELTA_BYTE_ARRAY:
            nested = self._leaves[at].nested
            self._measure(page)
            self._grow(prefix_bytes(self._data, chunk, page, nested=nested))

    def _indexed(self, at: int, chunk: Chunk, pages: _Pages) -> list[int]:
        """Of a column with indices: decode it as a dictionary, or bound what they stand for.

        Arrow gives dictionaries of strings alone, not beside delta encodings, and finds a column
        by its path, which need not be the only one of that name.
        """
        leaf, dictionary = self._leaves[at], pages.dictionary
        decimal = isinstance(leaf.arrow, pa.Decimal128Type)
        if dictionary is None:
            raise _fault("a column with indices and without a dictionary")
        codable = not (decimal or pages.delta or self._paths[".".join(leaf.path)] > 1)
        if codable and dictionary.uncompressed_bytes <= _LARGE_DICTIONARY:
            return [at]
        self._measure(dictionary)
        longest = longest_value(self._data, chunk, dictionary)
        if codable and longest * pages.indices > _BATCH_BYTES:
            return [at]
        if decimal and longest > _DECIMAL_BYTES:
            raise _fault(f"a decimal of {longest} bytes")
        self._grow(0 if decimal else longest * pages.indices)
        return []

    def _measure(self, page: Page) -> None:
        self._measured += page.values
        if self._measured > MAX_MEASURED_VALUES:
            raise _fault(f"more than {MAX_MEASURED_VALUES} strings have to be measured")

    def _grow(self, more: int) -> None:
        self._value_bytes += more
        if self._value_bytes > MAX_TEXTS_BYTES:
            raise _fault(f"its values exceed {MAX_TEXTS_BYTES} bytes")


class _Pages:
    """What one column's pages are, together."""

    def __init__(self) -> None:
        self.dictionary: Page | None = None
        self.indices = 0
        self.delta = False
        self._longest = 0

    def add(self, page: Page) -> None:
        if page.kind == PageKind.DICTIONARY:
            self.dictionary = page
            return
        self._longest = max(self._longest, page.uncompressed_bytes)
        if page.encoding in _DICTIONARY:
            self.indices += page.values
        elif page.encoding != Encoding.PLAIN:
            self.delta = True

    def open_bytes(self) -> int:
        return self._longest + (self.dictionary.uncompressed_bytes if self.dictionary else 0)


def _fault(why: str) -> VerificationError:
    return VerificationError(f"a part beyond its bounds: {why}", code="record")
