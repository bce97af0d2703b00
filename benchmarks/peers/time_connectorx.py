"""connectorx into Arrow, pyarrow's writer into one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import connectorx
import pyarrow.parquet as pq
from clock import measure


def work(job: dict[str, Any]) -> dict[str, Any]:
    path = Path(job["out"]) / "copy.parquet"
    table = connectorx.read_sql(job["url"], job["query"], return_type="arrow", protocol="binary")
    pq.write_table(table, path, compression="zstd", compression_level=1)
    return {"records": table.num_rows, "bytes": path.stat().st_size}


if __name__ == "__main__":
    measure(work)
