"""Whether a part can be decoded in bounded memory, judged by its footer and page headers alone.

Section 4 of the formats: a part whose texts exceed 256 MiB, or with a page of more than 256 MiB
uncompressed, is refused before its values are expanded. What a few bytes can claim, and what stops
each claim here:

- many rows or list elements: each shows as at least 3 bytes of text, so their number is bounded;
- huge pages: their headers say so, and a decompressor fills no more than a header says;
- pages by the thousand that all inflate: the sum of their sizes is bounded;
- a long value behind many short indices: string and binary columns are decoded as dictionaries and
  measured before they are expanded (:mod:`~zhixin_gateway.datasets.parquet`);
- values that repeat the one before (DELTA_BYTE_ARRAY): the lengths are added up from the page.

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

__all__ = ["MAX_BATCH_ROWS", "Plan", "plan_reading"]

MAX_BATCH_ROWS = 65_536
MAX_INFLATED_BYTES = 4 * 1024 * 1024 * 1024
"""All pages of a part, uncompressed: texts of 256 MiB never need so much."""
MAX_OPEN_BYTES = 1024 * 1024 * 1024
"""Dictionaries and longest pages of one row group, which are in memory together."""
MAX_LISTED_VALUES = 1 << 26
"""Values within lists of one row group: they may all belong to one record."""

_BATCH_BYTES = 64 * 1024 * 1024
_VALUE_BYTES = 24
_DECIMAL_BYTES = 16
_BYTES_PER_TEXT = 3
"""The least that a value adds to a text: an empty string or list, and a comma or bracket."""
_DICTIONARY = (Encoding.PLAIN_DICTIONARY, Encoding.RLE_DICTIONARY)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read a part.

    Attributes:
        coded: indexes of the leaves to decode as dictionaries, and measure before they grow.
        batch_rows: of each row group, how many rows to decode at once.
    """

    coded: tuple[int, ...]
    batch_rows: tuple[int, ...]


def plan_reading(
    data: memoryview, footer: Footer, leaves: Sequence[Leaf], schema: pa.Schema
) -> Plan:
    """Judge a part by its footer and page headers.

    Args:
        data: the whole file.
        footer: its footer.
        leaves: its columns, matched with the fields.
        schema: the fields.

    Raises:
        VerificationError: it contradicts itself, or can't be decoded within bounds (``record``).
    """
    _check_counts(footer, leaves, len(schema))
    dotted = Counter(".".join(leaf.path) for leaf in leaves)
    coded = tuple(
        at
        for at, leaf in enumerate(leaves)
        if leaf.physical == Physical.BYTE_ARRAY
        and not _is_decimal(leaf)
        and dotted[".".join(leaf.path)] == 1
    )
    _Sums(data, leaves, set(coded)).add_up(footer)
    return Plan(coded, tuple(_batch_rows(group) for group in footer.groups))


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
        listed += chunk.values if leaf.nested else 0
    if listed > MAX_LISTED_VALUES:
        raise _fault(f"a row group with more than {MAX_LISTED_VALUES} values in lists")


class _Sums:
    """What the pages of a part add up to."""

    def __init__(self, data: memoryview, leaves: Sequence[Leaf], coded: set[int]) -> None:
        self._data = data
        self._leaves = leaves
        self._coded = coded
        self._inflated = 0
        self._value_bytes = 0

    def add_up(self, footer: Footer) -> None:
        for group in footer.groups:
            opened = sum(self._chunk(at, chunk) for at, chunk in enumerate(group.chunks))
            if opened > MAX_OPEN_BYTES:
                raise _fault(f"pages of more than {MAX_OPEN_BYTES} bytes are needed together")

    def _chunk(self, at: int, chunk: Chunk) -> int:
        dictionary: Page | None = None
        longest = 0
        for page in read_pages(self._data, chunk):
            self._inflated += page.uncompressed_bytes
            if self._inflated > MAX_INFLATED_BYTES:
                raise _fault(f"its pages inflate to more than {MAX_INFLATED_BYTES} bytes")
            if page.kind == PageKind.DICTIONARY:
                dictionary = page
                continue
            longest = max(longest, page.uncompressed_bytes)
            if chunk.physical == Physical.BYTE_ARRAY:
                self._add_values(at, chunk, page, dictionary)
        return longest + (dictionary.uncompressed_bytes if dictionary else 0)

    def _add_values(self, at: int, chunk: Chunk, page: Page, dictionary: Page | None) -> None:
        """Add the least bytes that a page's strings have, where its header or itself tells."""
        leaf = self._leaves[at]
        if page.encoding in _DICTIONARY:
            if dictionary is not None and at not in self._coded:
                longest = longest_value(self._data, chunk, dictionary)
                if _is_decimal(leaf) and longest > _DECIMAL_BYTES:
                    raise _fault(f"a decimal of {longest} bytes")
                self._value_bytes += 0 if _is_decimal(leaf) else longest * page.values
        else:
            # Four bytes a length and four for its levels are more than any writer needs.
            self._value_bytes += max(0, page.uncompressed_bytes - 8 * page.values - 1024)
            if page.encoding == Encoding.DELTA_BYTE_ARRAY:
                self._value_bytes += prefix_bytes(self._data, chunk, page, nested=leaf.nested)
        if self._value_bytes > MAX_TEXTS_BYTES:
            raise _fault(f"its values exceed {MAX_TEXTS_BYTES} bytes")


def _batch_rows(group: RowGroup) -> int:
    """Rows to decode at once, so that what is not strings stays small."""
    values = sum(chunk.values for chunk in group.chunks)
    row_bytes = max(1, values * _VALUE_BYTES // max(1, group.rows))
    return max(1, min(MAX_BATCH_ROWS, _BATCH_BYTES // row_bytes, group.rows or 1))


def _is_decimal(leaf: Leaf) -> bool:
    return isinstance(leaf.arrow, pa.Decimal128Type)


def _fault(why: str) -> VerificationError:
    return VerificationError(f"a part beyond its bounds: {why}", code="record")
