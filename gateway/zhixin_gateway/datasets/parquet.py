"""Reading a part: the one place where Zhixin opens a Parquet file of somebody else's.

Section 4 of the formats. What is decoded are the very bytes that were hashed: a part is given here
as bytes in memory, or as an open file that nobody else can write. Before a decoder meets them, the
footer and all page headers are read by us (:mod:`~zhixin_gateway.datasets.footer`), held to the
fields (:mod:`~zhixin_gateway.datasets.columns`) and to bounds
(:mod:`~zhixin_gateway.datasets.bounds`). Statistics and indexes of the file are never looked at.

Strings and binaries are decoded as dictionaries, so that a long value behind a million indices is
measured before it is expanded. Whatever a decoder says against the bytes is a refusal (``record``).

Where only some columns are asked for, the pages of the others are neither looked at nor decoded:
that they are their owner's bytes is known, whether their values are of their fields is not.
"""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from zhixin_errors import FormatError, VerificationError

from zhixin_gateway.datasets.arrow import Array, pc
from zhixin_gateway.datasets.bounds import plan_reading
from zhixin_gateway.datasets.columns import match_columns
from zhixin_gateway.datasets.domain import invalid_rows
from zhixin_gateway.datasets.footer import read_footer
from zhixin_gateway.datasets.hashing import new_digest
from zhixin_gateway.datasets.records import MAX_TEXTS_BYTES
from zhixin_gateway.datasets.sizes import Bounds, text_bounds
from zhixin_gateway.sidebyside import Stop, read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zhixin_gateway.datasets.footer import Footer
    from zhixin_gateway.datasets.hashing import Digest
    from zhixin_gateway.datasets.manifest import PartEntry


__all__ = ["PartReader"]

_DECODER_ERRORS = (
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
)


class PartReader:
    """Reads one part's records, bounded and exactly as the manifest's fields say.

    Args:
        source: the part's bytes, or an open file that no other process can write.
        schema: the manifest's fields.
        records: how many records the manifest says; None: whatever is there.
        name: the part's name, for messages.
        columns: which fields are read, in this order; None: all.
        stop: whether it is still wanted; asked batch by batch.

    Raises:
        VerificationError: its columns are not the fields, its records not as many, or it can't be
            decoded within bounds (``record``). No value has been decoded then.
    """

    def __init__(
        self,
        source: bytes | memoryview | BinaryIO,
        schema: pa.Schema,
        records: int | None = None,
        name: str = "part",
        *,
        columns: Sequence[str] | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Read footer and page headers, and hold them to the fields and to bounds."""
        self._name = name
        self._schema = schema
        self._stop = stop or Stop()
        self._checked = False
        with self._decoding():
            self._bytes = _memory(source)
            self._footer = read_footer(self._bytes)
            if records is not None and self._footer.rows != records:
                raise _fault(f"{self._footer.rows} records, the manifest says {records}")
            self._leaves = match_columns(self._footer, schema)
        self._choose(columns)

    def narrowed(self, columns: Sequence[str]) -> PartReader:
        """A reader of the same bytes that reads only some of the fields.

        Args:
            columns: names of fields, in the order in which they are wanted.
        """
        narrow = copy(self)
        narrow._checked = False
        narrow._choose(columns)
        return narrow

    def _choose(self, columns: Sequence[str] | None) -> None:
        self._columns = columns
        names = set(self._schema.names if columns is None else columns)
        self._read = [at for at, leaf in enumerate(self._leaves) if leaf.path[0] in names]
        self._fields = [field for field in self._schema if field.name in names]
        with self._decoding():
            self._plan = plan_reading(
                self._bytes, self._footer, self._leaves, self._schema, self._read
            )

    @property
    def records(self) -> int:
        """How many records the part has."""
        return self._footer.rows

    @property
    def schema(self) -> pa.Schema:
        """The manifest's fields, as far as they are read."""
        if self._columns is None:
            return self._schema
        return pa.schema([self._schema.field(name) for name in self._columns])

    def check(self) -> None:
        """Decode the part without giving anything out, unless that was done.

        Raises:
            VerificationError: it can't be decoded, its texts exceed 256 MiB, or a value has no
                canonical form (``record``).
        """
        if self._checked:
            return
        total = Bounds(0, 0)
        for coded, bounds in self._measured_batches():
            total = total.plus(bounds)
            with self._decoding():
                if invalid_rows(coded) is not None:
                    raise _fault("a record holds a value that has no canonical form")
        if total.high > MAX_TEXTS_BYTES:
            self._digest(bytes(32))
        self._checked = True

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the records, after the whole part has been checked.

        Yields:
            Batches of the manifest's types, of at most 65,536 rows.

        Raises:
            VerificationError: as :meth:`check`; no row has been given then (``record``).
        """
        self.check()
        for coded in self._coded_batches():
            yield self._expanded(coded)

    def digest(self, salt_key: bytes, *, keep_leaves: bool = False) -> Digest:
        """Recompute the record tree and the content; all fields must be read.

        Args:
            salt_key: the part's, 32 bytes.
            keep_leaves: keep every leaf hash, for a record's path.

        Raises:
            VerificationError: as :meth:`check` (``record``).
        """
        digest = self._digest(salt_key, keep_leaves=keep_leaves)
        self._checked = True
        return digest

    def verify(self, entry: PartEntry, *, keep_leaves: bool = False) -> Digest:
        """Hold the records to the root and the content that the manifest says: deep verification.

        Args:
            entry: what the manifest says of the part.
            keep_leaves: keep every leaf hash, for a record's path.

        Returns:
            What was recomputed.

        Raises:
            VerificationError: anything differs (``record``).
        """
        digest = self.digest(entry.salt_key, keep_leaves=keep_leaves)
        for what, found, stated in (
            ("root", digest.root(), entry.root),
            ("content", digest.content(), entry.content),
        ):
            if found != stated:
                raise self._named(
                    _fault(f"its records do not have the {what} that the manifest says")
                )
        return digest

    def _digest(self, salt_key: bytes, *, keep_leaves: bool = False) -> Digest:
        """Hash the records while the next ones are decoded; values are never expanded for it."""
        digest = new_digest(salt_key, keep_leaves=keep_leaves)
        for coded, _ in read_ahead(self._measured_batches()):
            with self._decoding():
                for column, field in zip(coded.columns, self._fields, strict=True):
                    if not _stands_for(column.type, field.type):
                        raise _decoded_otherwise(column.type, field.type)
                digest.append(coded)
        return digest

    def _measured_batches(self) -> Iterator[tuple[pa.RecordBatch, Bounds]]:
        """The coded batches with the bounds of their texts, as long as these are not too long."""
        low = 0
        for coded in self._coded_batches():
            with self._decoding():
                bounds = text_bounds(coded)
                low += bounds.low
                if low > MAX_TEXTS_BYTES:
                    raise _fault(f"its texts exceed {MAX_TEXTS_BYTES} bytes")
            yield coded, bounds

    def _coded_batches(self) -> Iterator[pa.RecordBatch]:
        """Decode batch by batch, strings and binaries as dictionaries."""
        seen = 0
        opened: dict[tuple[int, ...], pq.ParquetFile] = {}
        for group, plan in enumerate(self._plan):
            with self._decoding():
                if plan.coded not in opened:
                    opened[plan.coded] = self._open(plan.coded)
                batches = opened[plan.coded].reader.iter_batches(
                    plan.batch_rows, [group], column_indices=self._read, use_threads=False
                )
            while True:
                self._stop.check()
                with self._decoding():
                    batch = next(batches, None)
                    if batch is None:
                        break
                    batch.validate(full=True)
                seen += batch.num_rows
                yield batch
        if seen != self._footer.rows:
            raise self._named(_fault(f"it decodes to {seen} of {self._footer.rows} records"))

    def _open(self, coded: tuple[int, ...]) -> pq.ParquetFile:
        file = pq.ParquetFile(
            pa.BufferReader(pa.py_buffer(self._bytes)),
            read_dictionary=[".".join(self._leaves[at].path) for at in coded],
            pre_buffer=False,
        )
        if not _same_view(file.metadata, self._footer):
            raise _fault("two readers see different things in its footer")
        return file

    def _expanded(self, coded: pa.RecordBatch) -> pa.RecordBatch:
        with self._decoding():
            columns = [
                _expanded(column, field.type)
                for column, field in zip(coded.columns, self._fields, strict=True)
            ]
            batch = pa.RecordBatch.from_arrays(columns, schema=pa.schema(self._fields))
            return batch if self._columns is None else batch.select(list(self._columns))

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Turn whatever a decoder says against hostile bytes into the refusal."""
        try:
            yield
        except VerificationError as error:
            raise self._named(error) from error
        except FormatError as error:
            raise self._named(_fault(error.message)) from error
        except _DECODER_ERRORS as error:
            raise self._named(_fault(f"it can't be decoded ({type(error).__name__})")) from error

    def _named(self, error: VerificationError) -> VerificationError:
        if error.message.startswith(f"{self._name}: "):
            return error
        return VerificationError(f"{self._name}: {error.message}", code=error.code)


def _memory(source: bytes | memoryview | BinaryIO) -> memoryview:
    if isinstance(source, (bytes, memoryview)):
        return memoryview(source).cast("B")
    return memoryview(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ))


def _same_view(metadata: pq.FileMetaData, footer: Footer) -> bool:
    """Whether the decoder took from the footer what we took: else our bounds say nothing."""
    if (metadata.num_rows, metadata.num_row_groups) != (footer.rows, len(footer.groups)):
        return False
    for at, group in enumerate(footer.groups):
        theirs = metadata.row_group(at)
        if (theirs.num_rows, theirs.num_columns) != (group.rows, len(group.chunks)):
            return False
        for number, chunk in enumerate(group.chunks):
            column = theirs.column(number)
            if (
                column.num_values,
                column.data_page_offset,
                column.total_compressed_size,
                column.dictionary_page_offset,
            ) != (
                chunk.values,
                chunk.data_page_offset,
                chunk.size_bytes,
                chunk.dictionary_page_offset,
            ):
                return False
    return True


def _stands_for(found: pa.DataType, want: pa.DataType) -> bool:
    """Whether values are of exactly a field's type; dictionaries and names within lists aside."""
    if isinstance(found, pa.DictionaryType):
        return bool(found.value_type == want)
    if isinstance(found, pa.ListType) and isinstance(want, pa.ListType):
        return _stands_for(found.value_type, want.value_type)
    if isinstance(found, pa.StructType) and isinstance(want, pa.StructType):
        return [member.name for member in found] == [member.name for member in want] and all(
            _stands_for(member.type, other.type) for member, other in zip(found, want, strict=True)
        )
    return bool(found == want)


def _expanded(array: Array, want: pa.DataType) -> Array:
    """The same values in exactly the wanted type: no dictionaries, our names within lists."""
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    elif isinstance(want, pa.ListType) and isinstance(array, pa.ListArray):
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
        items = _expanded(array.flatten(), want.value_type)
        mask = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(offsets, items, type=want, mask=mask)
    elif isinstance(want, pa.StructType) and isinstance(array, pa.StructArray):
        members = [
            _expanded(member, field.type)
            for member, field in zip(array.flatten(), want, strict=True)
        ]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(members, fields=list(want), mask=mask)
    if array.type != want:
        raise _decoded_otherwise(array.type, want)
    return array


def _decoded_otherwise(found: pa.DataType, want: pa.DataType) -> VerificationError:
    return _fault(f"a column decodes to {found}, its field is {want}")


def _fault(why: str) -> VerificationError:
    return VerificationError(why, code="record")
