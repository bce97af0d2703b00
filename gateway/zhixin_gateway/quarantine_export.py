"""Rejects in a file for those who mend the source: CSV, JSON lines or Parquet, as they are kept.

::

    _row,_reasons,day,line                  "3","seats.range: seats must be …","2024-01-01",
    {"_row": 3, "_reasons": [{"rule": …, "field": …, "message": …}], "day": "2024-01-01", …}

In CSV every text is in quotes and null is nothing at all, so that an empty text differs from null.
For Excel (``excel=True``) the file begins with a byte order mark, and a text that Excel would take
for a formula gets an apostrophe before it: a record could otherwise run what somebody put into it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from zhixin_gateway.datasets.arrow import Array, pc
from zhixin_gateway.newfile import new_file
from zhixin_gateway.quarantine import Filter, Rejects, batches, schema_of

__all__ = ["FORMS", "export"]

_FORMULA = "^([=+\\-@\t\r\n＝＋－＠])"


def export(rejects: Rejects, wanted: Filter, file: Path, form: str, *, excel: bool = False) -> int:
    """Write the records that are asked for, with their reasons, to a new file of mode 0600.

    Args:
        rejects: a version's.
        wanted: which of them.
        file: where to; it is never overwritten.
        form: one of ``FORMS``.
        excel: of a CSV: safe to open in Excel.

    Returns:
        How many they are.

    Raises:
        ConfigError: the file is there, or can't be written.
    """
    count = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in batches(rejects, wanted):
            count += batch.num_rows
            yield batch

    with new_file(file, f"{file} is there already") as sink:
        FORMS[form](sink, schema_of(rejects), counted(), excel)
    return count


def _csv(sink: BinaryIO, schema: pa.Schema, records: Iterator[pa.RecordBatch], excel: bool) -> None:
    names = [_safe(name) if excel else name for name in schema.names]
    if excel:
        sink.write("\ufeff".encode())
    texts = pa.schema([pa.field(name, pa.string()) for name in names])
    quoted = csv.WriteOptions(quoting_style="all_valid")
    with csv.CSVWriter(sink, texts, write_options=quoted) as writer:
        for batch in records:
            columns = [_texts(column) for column in batch.columns]
            if excel:
                columns = [pc.replace_substring_regex(c, _FORMULA, r"'\1") for c in columns]
            writer.write_batch(pa.record_batch(columns, schema=texts))


def _texts(column: Array) -> Array:
    if pa.types.is_list(column.type):
        told = [
            "; ".join(f"{why['rule']}: {why['message']}" for why in reasons or ())
            for reasons in column.to_pylist()
        ]
        return pa.array(told, pa.string())
    return column.cast(pa.string())


def _safe(name: str) -> str:
    return str(pc.replace_substring_regex(pa.array([name]), _FORMULA, r"'\1")[0].as_py())


def _json(sink: BinaryIO, _: pa.Schema, records: Iterator[pa.RecordBatch], __: bool) -> None:
    for batch in records:
        for row in batch.to_pylist():
            sink.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _parquet(sink: BinaryIO, schema: pa.Schema, records: Iterator[pa.RecordBatch], _: bool) -> None:
    with pq.ParquetWriter(sink, schema, store_schema=False) as writer:
        for batch in records:
            writer.write_batch(batch)


FORMS: dict[str, Callable[[Any, pa.Schema, Iterator[pa.RecordBatch], bool], None]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
