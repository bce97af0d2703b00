"""Cutting records into parts and hashing them, in one pass.

Sections 2.1 and 2.2 of the formats. A part ends after a record where

- CRC-32 of its key's text has its lowest 18 bits zero and the part has 65,536 records or more, or
- the part has 1,048,576 records, or
- the part's texts reach 128 MiB,

so that runs over the same records repeat, and an insertion moves no part but its own. Without a key
only the last two hold. :func:`new_cutter` is for who writes a version, :func:`new_digest` for who
checks a part. It does not read or write files.

Where the native kernel is there, it serves: record batch in, hashes out, in one pass through one
buffer, with the GIL released. Else the pure path does, with the same bytes. For deep verification
the kernel's :meth:`Digest.append` does at once what ``sizes.text_bounds``, ``domain.invalid_rows``
and ``canonical.texts`` do one after another: it takes strings and binaries as dictionaries, at any
level, refuses a value without canonical form, and stops at the first record with which the texts
exceed 256 MiB, before it has written more than that.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from zhixin_errors import FormatError

from zhixin_gateway.datasets import native
from zhixin_gateway.datasets.canonical import MAX_RECORD_BYTES, pieces, texts
from zhixin_gateway.datasets.records import (
    MAX_TEXTS_BYTES,
    SALT_KEY_BYTES,
    PartDigest,
    salts,
    text_run,
)

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "CUT_BITS",
    "CUT_BYTES",
    "CUT_RECORDS",
    "MAX_RECORDS",
    "Cutter",
    "Digest",
    "PartHash",
    "kernel",
    "new_cutter",
    "new_digest",
]

CUT_BITS = 18
CUT_RECORDS = 65_536
"""Records that a part has at least before its content may end it."""
MAX_RECORDS = 1_048_576
CUT_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartHash:
    """What is hashed of a part's records.

    Attributes:
        records: how many there are.
        text_bytes: bytes of their texts, without newlines.
        content: H over their texts, each with its newline.
        root: root of the record tree; None where only the content was asked for.
        salt_key: the key of the salts in it; None likewise.
    """

    records: int
    text_bytes: int
    content: bytes
    root: bytes | None
    salt_key: bytes | None


class Cutter(Protocol):
    """Cuts records into parts by their content, and hashes each part."""

    def feed(self, batch: pa.RecordBatch) -> list[tuple[int, PartHash]]:
        """Take in the next records, in the version's order.

        Args:
            batch: of the version's names and types, of any number of rows.

        Returns:
            For each part that ended within the batch the number of rows up to and with its last
            record, and the part; in order.

        Raises:
            FormatError: other columns, a value without canonical form, or a text over 64 MiB.
        """
        ...

    def end(self) -> PartHash | None:
        """End the open part and give it; None where none is open. The next record begins one."""
        ...


class Digest(Protocol):
    """One part's root and content, computed while its records pass by."""

    @property
    def records(self) -> int:
        """Records so far."""
        ...

    @property
    def text_bytes(self) -> int:
        """Bytes of their texts, without newlines."""
        ...

    @property
    def leaves(self) -> Sequence[bytes]:
        """The leaf hashes, where they are kept."""
        ...

    def append(self, batch: pa.RecordBatch) -> None:
        """Take in the next records; strings and binaries may come as dictionaries.

        Raises:
            FormatError: a value has no canonical form.
            VerificationError: with them the part's texts exceed 256 MiB (``record``).
        """
        ...

    def root(self) -> bytes:
        """MTH over the records so far; 32 bytes."""
        ...

    def content(self) -> bytes:
        """H over the texts so far, each with its newline; 32 bytes."""
        ...


def kernel() -> str | None:
    """The version of the native kernel that serves; None: the pure path does."""
    module = native.load()
    return None if module is None else str(module.__version__)


def new_cutter(
    schema: pa.Schema,
    key_fields: Sequence[str] = (),
    *,
    content_only: bool = False,
    new_salt_key: Callable[[int], bytes] = os.urandom,
) -> Cutter:
    """Begin a version without records.

    Args:
        schema: the version's fields.
        key_fields: the primary key, in the order of its positions; empty: none.
        content_only: tell where parts end and what they hold, without salts and leaves.
        new_salt_key: makes a salt key of so many bytes; for tests.
    """
    of_parts = None if content_only else new_salt_key
    module = native.load()
    if module is None:
        return _PureCutter(schema, key_fields, of_parts)
    return _KernelCutter(module, schema, key_fields, of_parts)


def new_digest(salt_key: bytes, *, keep_leaves: bool = False) -> Digest:
    """Begin a part without records.

    Args:
        salt_key: the part's, 32 bytes.
        keep_leaves: keep every leaf hash (32 bytes a record), for a record's path.
    """
    salts(salt_key, 0, 0)  # a key of another length is refused before any record
    module = native.load()
    if module is None:
        return _PureDigest(salt_key, keep_leaves=keep_leaves)
    return _KernelDigest(module, salt_key, keep_leaves=keep_leaves)


class _KernelDigest:
    def __init__(self, module: Any, salt_key: bytes, *, keep_leaves: bool) -> None:  # noqa: ANN401
        self._refused = module.Refused
        self._part = module.Digest(salt_key, keep_leaves=keep_leaves, max_bytes=MAX_TEXTS_BYTES)
        self.root = self._part.root
        self.content = self._part.content

    @property
    def records(self) -> int:
        return int(self._part.records)

    @property
    def text_bytes(self) -> int:
        return int(self._part.text_bytes)

    @property
    def leaves(self) -> Sequence[bytes]:
        leaves: Sequence[bytes] = self._part.leaves
        return leaves

    def append(self, batch: pa.RecordBatch) -> None:
        try:
            self._part.append(*native.given(batch))
        except self._refused as error:
            raise native.refusal(error) from error


class _KernelCutter:
    def __init__(
        self,
        module: Any,  # noqa: ANN401 - the kernel
        schema: pa.Schema,
        key_fields: Sequence[str],
        new_salt_key: Callable[[int], bytes] | None,
    ) -> None:
        self._schema = schema
        self._refused = module.Refused
        self._cutter = module.Cutter(
            [schema.get_field_index(name) for name in key_fields],
            new_salt_key,
            cut_bits=CUT_BITS,
            cut_records=CUT_RECORDS,
            max_records=MAX_RECORDS,
            cut_bytes=CUT_BYTES,
            max_text=MAX_RECORD_BYTES,
        )

    def feed(self, batch: pa.RecordBatch) -> list[tuple[int, PartHash]]:
        check_columns(batch, self._schema)
        try:
            ended = self._cutter.feed(*native.given(batch))
        except self._refused as error:
            raise native.refusal(error, MAX_RECORD_BYTES) from error
        return [(row, PartHash(*part)) for row, part in ended]

    def end(self) -> PartHash | None:
        try:
            part = self._cutter.end()
        except self._refused as error:
            raise native.refusal(error) from error
        return None if part is None else PartHash(*part)


class _PureDigest:
    def __init__(self, salt_key: bytes | None, *, keep_leaves: bool = False) -> None:
        self._part = PartDigest(salt_key, keep_leaves=keep_leaves)
        self.root = self._part.root
        self.content = self._part.content

    @property
    def records(self) -> int:
        return self._part.records

    @property
    def text_bytes(self) -> int:
        return self._part.text_bytes

    @property
    def leaves(self) -> Sequence[bytes]:
        return self._part.leaves

    def append(self, batch: pa.RecordBatch) -> None:
        for piece in pieces(batch):
            self._part.append(texts(piece))


class _PureCutter:
    def __init__(
        self,
        schema: pa.Schema,
        key_fields: Sequence[str],
        new_salt_key: Callable[[int], bytes] | None,
    ) -> None:
        self._schema = schema
        self._key_fields = list(key_fields)
        self._new_salt_key = new_salt_key
        self._salt_key: bytes | None = None
        self._part: PartDigest | None = None

    def feed(self, batch: pa.RecordBatch) -> list[tuple[int, PartHash]]:
        check_columns(batch, self._schema)
        ended: list[tuple[int, PartHash]] = []
        before = 0
        for piece in pieces(batch):
            ended += [(before + row, part) for row, part in self._feed_piece(piece)]
            before += piece.num_rows
        return ended

    def _feed_piece(self, piece: pa.RecordBatch) -> list[tuple[int, PartHash]]:
        written = texts(piece)
        _, edges = text_run(written)
        ends = np.asarray(edges[1:], dtype=np.int64)
        if int(np.max(np.diff(ends, prepend=0))) > MAX_RECORD_BYTES:
            raise FormatError(f"the text of a record exceeds {MAX_RECORD_BYTES} bytes")
        by_content = self._content_cuts(piece)
        ended: list[tuple[int, PartHash]] = []
        start = 0
        while start < piece.num_rows:
            part = self._part = self._part or self._begin()
            cut = _cut(part, start, ends, by_content)
            stop = piece.num_rows if cut is None else cut
            part.append(written.slice(start, stop - start))
            if cut is not None and (whole := self.end()):
                ended.append((cut, whole))
            start = stop
        return ended

    def _begin(self) -> PartDigest:
        self._salt_key = self._new_salt_key(SALT_KEY_BYTES) if self._new_salt_key else None
        return PartDigest(self._salt_key)

    def _content_cuts(self, piece: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """Positions of the records after which their key's text would end a part."""
        if not self._key_fields:
            return np.zeros(0, dtype=np.int64)
        raw, edges = text_run(texts(piece.select(self._key_fields)))
        crc32, mask = zlib.crc32, (1 << CUT_BITS) - 1
        found = [
            row
            for row, (start, end) in enumerate(pairwise(edges))
            if not crc32(raw[start:end]) & mask
        ]
        return np.asarray(found, dtype=np.int64)

    def end(self) -> PartHash | None:
        part, self._part = self._part, None
        if part is None:
            return None
        root = None if self._salt_key is None else part.root()
        return PartHash(part.records, part.text_bytes, part.content(), root, self._salt_key)


def _cut(part: PartDigest, start: int, ends: Any, by_content: Any) -> int | None:  # noqa: ANN401
    """Where a part ends among the next records.

    Args:
        part: its records so far.
        start: the first that is not in it yet.
        ends: where each record's text ends, in bytes from the first's begin.
        by_content: positions whose key would end a part, rising.

    Returns:
        The position after its last record, or None where it goes on.
    """
    before = int(ends[start - 1]) if start else 0
    found = [start + MAX_RECORDS - part.records]
    reaching = before + CUT_BYTES - part.text_bytes
    found.append(int(np.searchsorted(ends, reaching, side="left")) + 1)
    enough = max(start, start + CUT_RECORDS - part.records - 1)
    at = int(np.searchsorted(by_content, enough, side="left"))
    if at < len(by_content):
        found.append(int(by_content[at]) + 1)
    end = min(found)
    return end if end <= len(ends) else None


def check_columns(batch: pa.RecordBatch, schema: pa.Schema) -> None:
    """Hold a batch to the version's fields, by names and types.

    Raises:
        FormatError: it has others.
    """
    if batch.schema.names != schema.names or batch.schema.types != schema.types:
        raise FormatError("the batch's columns are not the version's fields")
