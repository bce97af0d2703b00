"""Writing a version's parts: cut by content, hashed while they are written, in bounded memory.

Section 2.1 of the formats. A part ends after a record where

- CRC-32 of its key's text has its lowest 18 bits zero and the part has 65,536 records or more, or
- the part has 1,048,576 records, or
- the part's texts reach 128 MiB,

so that runs over the same records repeat, and an insertion moves no part but its own. Without a key
only the last two hold. The parts are named ``part-00000.parquet`` and so on; each gets a fresh salt
key. Where the records come from, in which order, and which are rejects is the pipeline's.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.datasets.canonical import MAX_RECORD_BYTES, pieces, texts
from zhixin_gateway.datasets.directory import sync_folder
from zhixin_gateway.datasets.manifest import MAX_PART_BYTES, MAX_PARTS, PartEntry, part_name
from zhixin_gateway.datasets.records import SALT_KEY_BYTES, PartDigest, text_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from zhixin_gateway.datasets.manifest import Manifest

__all__ = ["CUT_BITS", "CUT_BYTES", "CUT_RECORDS", "MAX_RECORDS", "VersionWriter", "carry_over"]

CUT_BITS = 18
CUT_RECORDS = 65_536
"""Records that a part has at least before its content may end it."""
MAX_RECORDS = 1_048_576
CUT_BYTES = 128 * 1024 * 1024

_GROUP_ROWS = 131_072
_GROUP_BYTES = 32 * 1024 * 1024
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
        folder: where the parts go, such as a staging folder; it must be there.
        schema: the version's fields.
        key_fields: the primary key, in the order of its positions; empty: none.
        new_salt_key: makes a salt key of so many bytes; for tests.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        key_fields: Sequence[str] = (),
        *,
        new_salt_key: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Begin a version without parts."""
        self._folder = folder
        self._schema = schema
        self._key_fields = list(key_fields)
        self._new_salt_key = new_salt_key
        self._entries: list[PartEntry] = []
        self._part: _Part | None = None

    def __enter__(self) -> VersionWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._part is not None:
            self._part.abandon()
            self._part = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Append records, which are in the version's order already.

        Args:
            batch: of the schema's names and types, of any number of rows.

        Raises:
            FormatError: other columns, or a record that should have been a reject.
            ConfigError: the file system refuses.
        """
        for piece in pieces(self._conformed(batch)):
            self._write_piece(piece)

    def finish(self) -> tuple[PartEntry, ...]:
        """End the last part and give what the manifest says of each; none without records."""
        self._end_part()
        sync_folder(self._folder)
        return tuple(self._entries)

    def _conformed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.schema.names != self._schema.names or batch.schema.types != self._schema.types:
            raise FormatError("the batch's columns are not the version's fields")
        return pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)

    def _write_piece(self, piece: pa.RecordBatch) -> None:
        written = texts(piece)
        raw, edges = text_run(written)
        ends = np.asarray(edges[1:], dtype=np.int64)
        longest = int(np.max(np.diff(ends, prepend=0)))
        if longest > MAX_RECORD_BYTES:
            raise FormatError(f"the text of a record exceeds {MAX_RECORD_BYTES} bytes")
        del raw
        by_content = self._content_cuts(piece)
        start = 0
        while start < piece.num_rows:
            part = self._part = self._part or self._begin_part()
            end = part.cut(start, ends, by_content)
            stop = piece.num_rows if end is None else end
            part.append(piece.slice(start, stop - start), written.slice(start, stop - start))
            if end is not None:
                self._end_part()
            start = stop

    def _content_cuts(self, piece: pa.RecordBatch) -> Any:  # noqa: ANN401 - a numpy array
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

    def _begin_part(self) -> _Part:
        number = len(self._entries)
        if number == MAX_PARTS:
            raise FormatError(f"the version has more than {MAX_PARTS} parts")
        salt_key = self._new_salt_key(SALT_KEY_BYTES)
        return _Part(self._folder / part_name(number), self._schema, salt_key)

    def _end_part(self) -> None:
        if self._part is not None:
            self._entries.append(self._part.end())
            self._part = None


class _Part:
    """One part while it is written."""

    def __init__(self, path: Path, schema: pa.Schema, salt_key: bytes) -> None:
        self._path = path
        self._schema = schema
        self._salt_key = salt_key
        self._digest = PartDigest(salt_key)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        with _writing(path):
            self._file = _HashingFile(path)
            sink: Any = self._file
            self._writer = pq.ParquetWriter(sink, schema, **_OPTIONS)

    def cut(self, start: int, ends: Any, by_content: Any) -> int | None:  # noqa: ANN401 - numpy
        """Where this part ends among the next records.

        Args:
            start: the first that is not in it yet.
            ends: where each record's text ends, in bytes from the first's begin.
            by_content: positions whose key would end a part, rising.

        Returns:
            The position after its last record, or None where it goes on.
        """
        before = int(ends[start - 1]) if start else 0
        found = [start + MAX_RECORDS - self._digest.records]
        reaching = before + CUT_BYTES - self._digest.text_bytes
        found.append(int(np.searchsorted(ends, reaching, side="left")) + 1)
        enough = max(start, start + CUT_RECORDS - self._digest.records - 1)
        at = int(np.searchsorted(by_content, enough, side="left"))
        if at < len(by_content):
            found.append(int(by_content[at]) + 1)
        end = min(found)
        return end if end <= len(ends) else None

    def append(self, batch: pa.RecordBatch, written: pa.LargeStringArray) -> None:
        self._digest.append(written)
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= _GROUP_ROWS or self._waiting_bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        with _writing(self._path):
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))

    def end(self) -> PartEntry:
        if self._waiting:
            self._write_group()
        with _writing(self._path):
            self._writer.close()
            self._file.sync_and_close()
        size = self._file.size_bytes
        if size > MAX_PART_BYTES:
            raise FormatError(f"{self._path.name}: {size} bytes, at most {MAX_PART_BYTES} allowed")
        return PartEntry(
            path=self._path.name,
            records=self._digest.records,
            size_bytes=size,
            sha256=self._file.sha256(),
            root=self._digest.root(),
            salt_key=self._salt_key,
            content=self._digest.content(),
        )

    def abandon(self) -> None:
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._file.abandon()
        self._path.unlink(missing_ok=True)


class _HashingFile(io.RawIOBase):
    """A new file that hashes what is written, so that the digest is of these very bytes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb", buffering=1024 * 1024)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self._file.write(view)
        self.size_bytes += len(view)
        return len(view)

    def tell(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def sync_and_close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.close()

    def abandon(self) -> None:
        self._file.close()

    def sha256(self) -> bytes:
        return self._hash.digest()


def carry_over(
    entries: Sequence[PartEntry], folder: Path, previous: Manifest, previous_folder: Path
) -> tuple[PartEntry, ...]:
    """Put the previous version's parts in the place of those that hold the same records.

    An unchanged part so keeps its bytes, its salt key and its root. The copy is hashed: a file that
    is not what the previous manifest says is left where it is, and the new part stands.

    Args:
        entries: what :meth:`VersionWriter.finish` gave.
        folder: where its parts lie.
        previous: the manifest of the version before, with the same fields.
        previous_folder: that version's directory.

    Returns:
        The entries, with those of carried parts from the previous manifest.
    """
    old = {(part.content, part.records): part for part in previous.parts}
    carried = list(entries)
    for position, entry in enumerate(entries):
        part = old.get((entry.content, entry.records))
        if part is not None and _copied(previous_folder / part.path, folder / entry.path, part):
            carried[position] = replace(part, path=entry.path)
    sync_folder(folder)
    return tuple(carried)


def _copied(source: Path, target: Path, part: PartEntry) -> bool:
    scratch = target.with_name(f".{target.name}")
    with _writing(target):
        try:
            with source.open("rb") as read:
                sink = _HashingFile(scratch)
                try:
                    shutil.copyfileobj(read, sink, 1024 * 1024)
                    sink.sync_and_close()
                finally:
                    sink.abandon()  # a full disk leaves no file open
        except FileNotFoundError:
            return False
        if sink.size_bytes != part.size_bytes or sink.sha256() != part.sha256:
            scratch.unlink()
            return False
        scratch.replace(target)
    return True


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"can't write {path}: {reason}") from error
