"""Parts decoded from private copies: the bytes that are decoded are the bytes that were hashed.

Each part is copied to memory, or to an unlinked temporary file, while it is hashed; only once the
digest is the stated one does a decoder see it, and it sees the copy. So many parts are open as
there are threads; while records are read, the part whose records are given and the one after it.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from zhixin_errors import VerificationError

from zhixin_gateway.datasets.parquet import PartReader
from zhixin_gateway.gate.files import copy_part
from zhixin_gateway.sidebyside import Stop, in_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from zhixin_gateway.datasets.manifest import Manifest, PartEntry
    from zhixin_gateway.gate.files import VersionFiles
    from zhixin_gateway.progress import Progress

__all__ = ["check_records", "look_into", "part_batches", "part_reader"]


@contextmanager
def part_reader(
    files: VersionFiles,
    part: PartEntry,
    schema: pa.Schema,
    *,
    columns: Sequence[str] | None = None,
    stop: Stop | None = None,
) -> Iterator[PartReader]:
    """A reader of one part's verified bytes; its columns and bounds are checked, no value decoded.

    Args:
        files: where the part lies.
        part: what the manifest says of it.
        schema: the fields.
        columns: which of them are read; None: all.
        stop: whether it is still wanted.

    Raises:
        VerificationError: ``part-digest``, ``record``.
    """
    stop = stop or Stop()
    with copy_part(files, part.path, part.size_bytes, part.sha256, stop) as copy:
        yield PartReader(copy, schema, part.records, part.path, columns=columns, stop=stop)


def look_into(
    files: VersionFiles, manifest: Manifest, threads: int
) -> Iterator[VerificationError | None]:
    """Hold each part to its digest, and give what is wrong with its columns or bounds, if any.

    Raises:
        VerificationError: ``part-digest``.
    """

    def look(part: PartEntry, stop: Stop) -> VerificationError | None:
        try:
            with part_reader(files, part, manifest.schema, stop=stop):
                return None
        except VerificationError as error:
            if error.code == "record":
                return error
            raise

    return in_order(look, manifest.parts, threads=threads, waiting=_waiting(manifest, threads))


def check_records(
    files: VersionFiles, manifest: Manifest, progress: Progress, threads: int
) -> None:
    """Recompute every record tree and content digest, several parts at once: deep verification.

    Raises:
        VerificationError: ``record``; ``part-digest``: a part changed since its digest was checked.
    """

    def check(part: PartEntry, stop: Stop) -> int:
        with part_reader(files, part, manifest.schema, stop=stop) as reader:
            reader.verify(part)
        return part.records

    waiting = _waiting(manifest, threads)
    for records in in_order(check, manifest.parts, threads=threads, waiting=waiting):
        progress.advance(records)


def part_batches(
    files: VersionFiles,
    parts: Sequence[PartEntry],
    schema: pa.Schema,
    *,
    columns: Sequence[str] | None = None,
    deep: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Records part by part; of a part none is given unless all of it decodes.

    While a part's records are given, the next is read and checked.

    Args:
        files: where the parts lie.
        parts: which.
        schema: the fields.
        columns: which of them are read, in this order; None: all.
        deep: recompute a part's record tree before its records are given.

    Raises:
        VerificationError: ``part-digest``, ``record``.
    """

    def hold(part: PartEntry, stop: Stop) -> _Held:
        copy = ExitStack()
        try:
            needed = None if deep else columns
            copied = part_reader(files, part, schema, columns=needed, stop=stop)
            reader = copy.enter_context(copied)
            if deep:
                reader.verify(part)
                reader = reader if columns is None else reader.narrowed(columns)
            reader.check()
        except BaseException:
            copy.close()
            raise
        return _Held(reader, copy)

    waiting = 1 if len(parts) > 1 else 0
    for held in in_order(hold, parts, threads=1, waiting=waiting, discard=_Held.close):
        try:
            yield from held.reader.batches()
        finally:
            held.close()


class _Held:
    """A part whose records are about to be given, with the copy that they are read from."""

    def __init__(self, reader: PartReader, copy: ExitStack) -> None:
        self.reader = reader
        self._copy = copy

    def close(self) -> None:
        self._copy.close()


def _waiting(manifest: Manifest, threads: int) -> int:
    """How many parts are begun beyond the next: none where there is nothing to do at once."""
    return 2 * threads if threads > 1 and len(manifest.parts) > 1 else 0
