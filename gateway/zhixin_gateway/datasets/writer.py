"""Writing a version's parts: cut by content, hashed while they are written, in bounded memory.

Section 2.1 of the formats. Where parts end, :mod:`~zhixin_gateway.datasets.hashing` says. They are
named ``part-00000.parquet`` and so on; each gets a fresh salt key. Where the records come from, in
which order, and which are rejects is the pipeline's.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.datasets.canonical import pieces
from zhixin_gateway.datasets.directory import sync_folder
from zhixin_gateway.datasets.hashing import PartHash, check_columns, new_cutter
from zhixin_gateway.datasets.manifest import MAX_PART_BYTES, MAX_PARTS, PartEntry, part_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from zhixin_gateway.datasets.manifest import Manifest

__all__ = ["VersionWriter", "carry_over"]

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
        self._cutter = new_cutter(schema, key_fields, new_salt_key=new_salt_key)
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
        last = self._cutter.end()
        if last is not None:
            self._end_part(last)
        sync_folder(self._folder)
        return tuple(self._entries)

    def _conformed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        check_columns(batch, self._schema)
        return pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)

    def _write_piece(self, piece: pa.RecordBatch) -> None:
        start = 0
        for stop, part in self._cutter.feed(piece):
            self._append(piece.slice(start, stop - start))
            self._end_part(part)
            start = stop
        if start < piece.num_rows:
            self._append(piece.slice(start))

    def _append(self, batch: pa.RecordBatch) -> None:
        if self._part is None:
            number = len(self._entries)
            if number == MAX_PARTS:
                raise FormatError(f"the version has more than {MAX_PARTS} parts")
            self._part = _Part(self._folder / part_name(number), self._schema)
        self._part.append(batch)

    def _end_part(self, hashed: PartHash) -> None:
        if self._part is not None:
            self._entries.append(self._part.end(hashed))
            self._part = None


class _Part:
    """One part while it is written."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        with _writing(path):
            self._file = _HashingFile(path)
            sink: Any = self._file
            self._writer = pq.ParquetWriter(sink, schema, **_OPTIONS)

    def append(self, batch: pa.RecordBatch) -> None:
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

    def end(self, hashed: PartHash) -> PartEntry:
        if self._waiting:
            self._write_group()
        with _writing(self._path):
            self._writer.close()
            self._file.sync_and_close()
        if hashed.root is None or hashed.salt_key is None:
            raise TypeError("a part is written with the root of its records")
        size = self._file.size_bytes
        if size > MAX_PART_BYTES:
            raise FormatError(f"{self._path.name}: {size} bytes, at most {MAX_PART_BYTES} allowed")
        return PartEntry(
            path=self._path.name,
            records=hashed.records,
            size_bytes=size,
            sha256=self._file.sha256(),
            root=hashed.root,
            salt_key=hashed.salt_key,
            content=hashed.content,
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
