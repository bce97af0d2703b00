"""The plain copy: the same query by ADBC into one Parquet file, on the disk when it ends.

Codec, row groups and what is synced are ours; nothing is checked, hashed or cut.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.parquet as pq
from clock import measure

BATCH_BYTES = 8 * 1024 * 1024
GROUP_ROWS = 131_072
OPTIONS: dict[str, Any] = {
    "store_schema": False,
    "compression": "zstd",
    "compression_level": 1,
    "version": "2.6",
}


def work(job: dict[str, Any]) -> dict[str, Any]:
    path = Path(job["out"]) / "copy.parquet"
    records = 0
    with adbc.connect(job["url"]) as connection, connection.cursor() as cursor:
        hint = {"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)}
        cursor.adbc_statement.set_options(**hint)
        cursor.execute(job["query"])
        reader = cursor.fetch_record_batch()
        with path.open("wb") as file:
            with pq.ParquetWriter(file, reader.schema, **OPTIONS) as writer:
                waiting: list[pa.RecordBatch] = []
                for batch in reader:
                    waiting.append(batch)
                    records += batch.num_rows
                    if sum(each.num_rows for each in waiting) >= GROUP_ROWS:
                        _write(writer, waiting, reader.schema)
                        waiting = []
                if waiting:
                    _write(writer, waiting, reader.schema)
            file.flush()
            os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return {"records": records, "bytes": path.stat().st_size}


def _write(writer: pq.ParquetWriter, batches: list[pa.RecordBatch], schema: pa.Schema) -> None:
    table = pa.Table.from_batches(batches, schema)
    writer.write_table(table, row_group_size=table.num_rows)


if __name__ == "__main__":
    measure(work)
