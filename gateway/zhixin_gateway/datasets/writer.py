"""Writing a version's parts: cut by content, hashed while they are written, in bounded memory.

::

    write ─ cut and hash (the caller's thread) ─▶ Parquet and the file's digest (a thread) ─▶ sink

Where records are cut and what is hashed of them is :mod:`zhixin_gateway.datasets.hashing`'s. The
parts are named ``part-00000.parquet`` and so on; each gets a fresh salt key. Where the version
before is known, a part that repeats one of its is carried over: it keeps its bytes, its salt key
and its root, and nothing is encoded for it. Where the records come from, in which order, and which
are rejects is the pipeline's.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from zhixin_errors import FormatError, ZhixinError

from zhixin_gateway.datasets.hashing import PartHash, check_columns, new_cutter, new_digest
from zhixin_gateway.datasets.manifest import MAX_PART_BYTES, MAX_PARTS, PartEntry, part_name
from zhixin_gateway.datasets.records import SALT_KEY_BYTES
from zhixin_gateway.lanes import Lane

if TYPE_CHECKING:
    from types import TracebackType

    from zhixin_gateway.datasets.hashing import Digest
    from zhixin_gateway.datasets.manifest import Manifest
    from zhixin_gateway.datasets.sinks import PartFile, PartSink

__all__ = ["VersionWriter"]

_GROUP_ROWS = 131_072
_GROUP_BYTES = 32 * 1024 * 1024
_HELD_BYTES = 256 * 1024 * 1024
"""So much of a part is held in memory until it is known whether it repeats an old one."""
_OPTIONS: dict[str, Any] = {
    "store_schema": False,
    "compression": "zstd",
    "compression_level": 1,
    "version": "2.6",
    "use_compliant_nested_type": True,
}


class VersionWriter:
    """Writes batches as the parts of one version; use it as a context manager.

    Args:
        sink: where the parts go.
        schema: the version's fields.
        key_fields: the primary key, in the order of its positions; empty: none.
        before: the version before, whose parts the sink can carry over; None: every part is new.
        new_salt_key: makes a salt key of so many bytes; for tests.
    """

    def __init__(
        self,
        sink: PartSink,
        schema: pa.Schema,
        key_fields: Sequence[str] = (),
        *,
        before: Manifest | None = None,
        new_salt_key: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Begin a version without parts."""
        self._sink = sink
        self._schema = schema
        self._options = _OPTIONS | _key_options(schema, key_fields)
        self._new_salt_key = new_salt_key
        self._old: dict[tuple[bytes, int], list[PartEntry]] = {}
        for part in before.parts if before is not None and before.schema.equals(schema) else ():
            self._old.setdefault((part.content, part.records), []).append(part)
        self._cutter = new_cutter(
            schema, key_fields, content_only=bool(self._old), new_salt_key=new_salt_key
        )
        self._lane = Lane("zhixin-encode")
        self._entries: list[PartEntry] = []
        self._begun = 0
        self._open: _Part | None = None
        self._encoders: set[_Encoder] = set()

    def __enter__(self) -> VersionWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lane.abandon()
        for encoder in self._encoders:
            encoder.abandon()
        self._encoders.clear()

    @property
    def at_boundary(self) -> bool:
        """Whether the next record begins a part."""
        return self._open is None

    def write(self, batch: pa.RecordBatch) -> None:
        """Append records, which are in the version's order already.

        Args:
            batch: of the schema's names and types, of any number of rows.

        Raises:
            FormatError: other columns, or a record that should have been a reject.
            ConfigError: the store refuses.
        """
        check_columns(batch, self._schema)
        batch = pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)
        start = 0
        for end, found in self._cutter.feed(batch):
            self._take(batch.slice(start, end - start))
            self._end_part(found)
            start = end
        if start < batch.num_rows:
            self._take(batch.slice(start))

    def carry(self, entry: PartEntry) -> bool:
        """Take a part of the version before over as it is, without its records.

        Args:
            entry: what that version's manifest says of it.

        Returns:
            False where the sink does not have it: its records must be written instead.

        Raises:
            ConfigError: the store refuses.
        """
        if self._open is not None:
            raise ValueError("a part is open: an old one can't be taken over in its midst")
        name = self._next_name()
        if not self._sink.carry(entry, name):
            self._begun -= 1
            return False
        self._lane.put(partial(self._entries.append, replace(entry, path=name)))
        return True

    def finish(self) -> tuple[PartEntry, ...]:
        """End the last part and give what the manifest says of each; none without records."""
        last = self._cutter.end()
        if last is not None:
            self._end_part(last)
        self._lane.join()
        self._sink.sync()
        return tuple(self._entries)

    def _next_name(self) -> str:
        if self._begun == MAX_PARTS:
            raise FormatError(f"the version has more than {MAX_PARTS} parts")
        self._begun += 1
        return part_name(self._begun - 1)

    def _take(self, batch: pa.RecordBatch) -> None:
        part = self._open = self._open or _Part(self._next_name())
        if self._old and part.encoder is None:
            part.held.append(batch)
            part.held_bytes += batch.nbytes
            if part.held_bytes > _HELD_BYTES:
                self._encode_held(part, f".{part.name}")
        else:
            self._encode(part, batch)

    def _encode_held(self, part: _Part, name: str) -> None:
        """Encode what is held of a part, and hash it anew, as a new part wants it."""
        part.salt_key = self._new_salt_key(SALT_KEY_BYTES)
        part.digest = new_digest(part.salt_key)
        part.encoder = self._new_encoder(name)
        while part.held:
            self._encode(part, part.held.pop(0))

    def _encode(self, part: _Part, batch: pa.RecordBatch) -> None:
        if part.encoder is None:
            part.encoder = self._new_encoder(part.name)
        self._lane.put(partial(part.encoder.append, batch))
        if part.digest is not None:
            part.digest.append(batch)

    def _new_encoder(self, name: str) -> _Encoder:
        encoder = _Encoder(self._sink, name, self._schema, self._options)
        self._encoders.add(encoder)
        return encoder

    def _end_part(self, found: PartHash) -> None:
        part, self._open = self._open, None
        if part is None:
            raise ValueError("a part ended that had not begun")
        if self._old and self._carried(part, found):
            return
        if part.encoder is None:
            self._encode_held(part, part.name)
        if part.digest is not None:
            found = replace(found, root=part.digest.root(), salt_key=part.salt_key)
        self._lane.put(partial(self._finish_part, part, found))

    def _carried(self, part: _Part, found: PartHash) -> bool:
        same = self._old.get((found.content, found.records))
        if not same or not self._sink.carry(same[0], part.name):
            return False
        entry = replace(same.pop(0), path=part.name)
        if part.encoder is not None:
            self._lane.put(partial(self._drop, part.encoder))
        self._lane.put(partial(self._entries.append, entry))
        return True

    def _finish_part(self, part: _Part, found: PartHash) -> None:
        encoder = part.encoder
        if encoder is None or found.root is None or found.salt_key is None:
            raise ValueError("a part was hashed without its records' tree")
        size, digest = encoder.end()
        self._encoders.discard(encoder)
        if encoder.name != part.name:
            self._sink.rename(encoder.name, part.name)
        if size > MAX_PART_BYTES:
            raise FormatError(f"{part.name}: {size} bytes, at most {MAX_PART_BYTES} allowed")
        entry = PartEntry(
            path=part.name,
            records=found.records,
            size_bytes=size,
            sha256=digest,
            root=found.root,
            salt_key=found.salt_key,
            content=found.content,
        )
        self._entries.append(entry)

    def _drop(self, encoder: _Encoder) -> None:
        encoder.abandon()
        self._encoders.discard(encoder)


class _Part:
    """One part while its records pass by; what is held waits to be encoded, or for its repeat."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: list[pa.RecordBatch] = []
        self.held_bytes = 0
        self.encoder: _Encoder | None = None
        self.digest: Digest | None = None
        self.salt_key: bytes | None = None


class _Encoder:
    """One Parquet file while it is written, in the lane's thread."""

    def __init__(
        self, sink: PartSink, name: str, schema: pa.Schema, options: dict[str, Any]
    ) -> None:
        self.name = name
        self._sink = sink
        self._schema = schema
        self._options = options
        self._file: _HashingFile | None = None
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0

    def append(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= _GROUP_ROWS or self._waiting_bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        self._opened().write_table(table, row_group_size=max(1, table.num_rows))

    def _opened(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._file = _HashingFile(self._sink.create(self.name))
            sink: Any = self._file
            self._writer = pq.ParquetWriter(sink, self._schema, **self._options)
        return self._writer

    def end(self) -> tuple[int, bytes]:
        """Make the file durable; its size and its digest."""
        if self._waiting:
            self._write_group()
        self._opened().close()
        if self._file is None:
            raise ValueError("a part without a record was ended")
        return self._file.finish()

    def abandon(self) -> None:
        """Leave no file."""
        if self._file is not None:
            self._file.abandon()
        if self._writer is not None:
            with suppress(OSError, pa.ArrowException, ZhixinError):
                self._writer.close()


def _key_options(schema: pa.Schema, key_fields: Sequence[str]) -> dict[str, Any]:
    """A key of one field has no value twice: looking for repeats costs a fifth of all encoding.

    Whole numbers of a key, which rise, are written as their differences.
    """
    if len(key_fields) != 1 or any(pa.types.is_nested(field.type) for field in schema):
        return {}  # columns within a nested field have names that are not known here
    (key,) = key_fields
    options: dict[str, Any] = {"use_dictionary": [name for name in schema.names if name != key]}
    if pa.types.is_int64(schema.field(key).type):
        options["column_encoding"] = {key: "DELTA_BINARY_PACKED"}
    return options


class _HashingFile(io.RawIOBase):
    """Hashes what is written, so that the digest is of these very bytes."""

    def __init__(self, file: PartFile) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self._abandoned = False
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        view = memoryview(data).cast("B")
        if not self._abandoned:
            self._hash.update(view)
            self._file.write(view)
        self.size_bytes += len(view)
        return len(view)

    def tell(self) -> int:
        return self.size_bytes

    def finish(self) -> tuple[int, bytes]:
        self._file.close()
        self.close()
        return self.size_bytes, self._hash.digest()

    def abandon(self) -> None:
        self._abandoned = True
        self._file.abandon()
