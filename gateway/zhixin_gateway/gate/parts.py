"""Parts decoded from private copies: the bytes that are decoded are the bytes that were hashed.

Each part is copied to memory, or to an unlinked temporary file, while it is hashed; only once the
digest is the stated one does a decoder see it, and it sees the copy. One part is open at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zhixin_gateway.datasets.parquet import PartReader, verify_part
from zhixin_gateway.gate.files import copy_part

if TYPE_CHECKING:
    import pyarrow as pa

    from zhixin_gateway.datasets.manifest import Manifest, PartEntry
    from zhixin_gateway.gate.files import VersionFiles
    from zhixin_gateway.progress import Progress

__all__ = ["check_records", "part_batches", "part_reader"]


@contextmanager
def part_reader(files: VersionFiles, part: PartEntry, schema: pa.Schema) -> Iterator[PartReader]:
    """A reader of one part's verified bytes; its columns and bounds are checked, no value decoded.

    Args:
        files: where the part lies.
        part: what the manifest says of it.
        schema: the fields.

    Raises:
        VerificationError: ``part-digest``, ``record``.
    """
    with copy_part(files, part.path, part.size_bytes, part.sha256) as copy:
        yield PartReader(copy, schema, part.records, part.path)


def part_batches(
    files: VersionFiles, part: PartEntry, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """One part's records; none is given unless all of them decode.

    Raises:
        VerificationError: ``part-digest``, ``record``.
    """
    with part_reader(files, part, schema) as reader:
        yield from reader.batches()


def check_records(files: VersionFiles, manifest: Manifest, progress: Progress) -> None:
    """Recompute every record tree and content digest, part by part: deep verification.

    Raises:
        VerificationError: ``record``; ``part-digest``: a part changed since its digest was checked.
    """
    for part in manifest.parts:
        with copy_part(files, part.path, part.size_bytes, part.sha256) as copy:
            verify_part(copy, manifest.schema, part)
        progress.advance(part.records)
