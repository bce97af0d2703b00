"""Where the parts of a version end: what tells which of them a key falls into.

::

    <home>/ends/bts.gov.example/flights      SHA-256 of what follows, a newline, an Arrow stream:
                                             part (its SHA-256), and its last record's key

A part is looked into once, its bytes held to what is stated of them, and then known by its digest;
so a run that carries thousands of parts over opens those that the run before it wrote, and those
that it changes. The file is a help to memory: it may be lost, and one that is damaged is made anew.
It holds keys of records, so it is erased with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.arrow import pc
from zhixin_gateway.gate.parts import part_batches
from zhixin_gateway.pipeline.merging import OldPart

if TYPE_CHECKING:
    from pathlib import Path

    from zhixin_gateway.datasets.manifest import PartEntry
    from zhixin_gateway.pipeline.previous import Previous
    from zhixin_gateway.pipeline.staging import Work

__all__ = ["old_parts"]

_PART = "_part"


def old_parts(work: Work, before: Previous, key: Sequence[str], watermark: str) -> list[OldPart]:
    """Tell where each part of a version ends.

    Args:
        work: the dataset's.
        before: the version.
        key: names of the primary key's fields; without one the greatest watermark is told.
        watermark: the field that tells what is new.

    Raises:
        VerificationError: a part is not what is stated of it.
    """
    manifest = before.manifest
    fields = list(key) or [watermark]
    schema = pa.schema([manifest.schema.field(name) for name in fields])
    known = _load(work.ends, schema)
    fresh = [part for part in manifest.parts if part.sha256 not in known]
    for part in fresh:
        known[part.sha256] = _look(before, part, fields, greatest=not key)
    if fresh or len(known) > len(manifest.parts):
        _save(work.ends, schema, {part.sha256: known[part.sha256] for part in manifest.parts})
    return [OldPart(part, known[part.sha256]) for part in manifest.parts]


def _look(before: Previous, part: PartEntry, fields: list[str], *, greatest: bool) -> list[Any]:
    files = before.store.files(before.manifest.dataset, before.version)
    last: list[Any] = []
    for batch in part_batches(files, [part], before.manifest.schema, columns=fields):
        if greatest:
            top = pc.max(batch.column(0))
            last = [top] if not last or pc.greater(top, last[0]).as_py() else last
        else:
            last = [column[batch.num_rows - 1] for column in batch.columns]
    return last


def _load(path: Path, schema: pa.Schema) -> dict[bytes, list[Any]]:
    try:
        digest, _, data = path.read_bytes().partition(b"\n")
    except OSError:
        return {}
    if hashlib.sha256(data).hexdigest().encode() != digest:
        return {}
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    if table.schema != schema.append(pa.field(_PART, pa.binary(32))):
        return {}
    columns = [table.column(name) for name in schema.names]
    parts = enumerate(table.column(_PART).to_pylist())
    return {bytes(part or b""): [column[at] for column in columns] for at, part in parts}


def _save(path: Path, schema: pa.Schema, known: dict[bytes, list[Any]]) -> None:
    columns: list[Any] = [
        pa.array([last[at].as_py() for last in known.values()], field.type)
        for at, field in enumerate(schema)
    ]
    columns.append(pa.array(list(known), pa.binary(32)))
    sink = pa.BufferOutputStream()
    wanted = schema.append(pa.field(_PART, pa.binary(32)))
    with pa.ipc.new_stream(sink, wanted) as writer:
        writer.write_batch(pa.record_batch(columns, schema=wanted))
    data = sink.getvalue().to_pybytes()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.write_file(path, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
