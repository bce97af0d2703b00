"""What the demo does to copies of versions, as somebody would who wants them to say otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.datasets.sinks import LocalSink
from zhixin_gateway.datasets.writer import VersionWriter

if TYPE_CHECKING:
    from zhixin_gateway.gate import VerifiedDataset

__all__ = ["change_record", "copy_version", "flip_byte"]


def copy_version(source: Path, folder: Path) -> Path:
    """Copy a version's directory to ``folder``/MEMBER/DATASET/NUMBER, anew."""
    target = folder.joinpath(*source.parts[-3:])
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def flip_byte(version: Path) -> str:
    """Flip one bit in the middle of a version's first part; give a sentence that says so."""
    part = version / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    return f"one bit of {part.name} flipped"


def change_record(
    version: Path,
    dataset: VerifiedDataset,
    key_fields: list[str],
    field: str,
    change: Callable[[str], str],
) -> str:
    """Change one field of the first record, and make part, trees and manifest fit.

    Args:
        version: the copy that is changed; its dataset has one part.
        dataset: the same version, verified: where the records come from.
        key_fields: the contract's primary key.
        field: the name of a string column.
        change: what becomes of the value.

    Returns:
        A sentence that says what was done.
    """
    before = parse_manifest((version / directory.MANIFEST_FILE).read_bytes())
    for part in before.parts:
        (version / part.path).unlink()
    with VersionWriter(LocalSink(version), before.schema, key_fields) as writer:
        for number, batch in enumerate(dataset.batches()):
            writer.write(_changed(batch, field, change) if number == 0 else batch)
        parts = writer.finish()
    after = replace(before, parts=parts)
    after = replace(after, root=after.computed_root())
    (version / directory.MANIFEST_FILE).unlink()
    directory.write_file(version / directory.MANIFEST_FILE, after.to_bytes())
    return f"{field} of one record changed, the part, its tree and the manifest made to fit"


def _changed(batch: pa.RecordBatch, field: str, change: Callable[[str], str]) -> pa.RecordBatch:
    at = batch.schema.get_field_index(field)
    column = batch.column(at)
    first = pa.array([True] + [False] * (batch.num_rows - 1))
    other = pa.scalar(change(column[0].as_py()), column.type)
    return batch.set_column(at, batch.schema.field(at), pc.if_else(first, other, column))
