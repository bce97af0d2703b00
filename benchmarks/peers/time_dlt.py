"""dlt's sql_database into Parquet in a local folder, by the back end that the job names.

::

    connectorx         connectorx's one table (what dlt does with it by itself)
    connectorx-stream  the same in batches (return_type="arrow_stream"), as dlt advises for more
    pyarrow            SQLAlchemy's rows made into Arrow

The clock is around ``pipeline.run``: extract, normalise, load. dlt orders by nothing and checks
nothing; its own settings stand.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dlt
from clock import measure
from dlt.destinations import filesystem
from dlt.sources.sql_database import sql_table


def work(job: dict[str, Any]) -> dict[str, Any]:
    out = Path(job["out"])
    os.chdir(out)
    backend, _, stream = job["backend"].partition("-")
    options = {"backend_kwargs": {"return_type": "arrow_stream"}} if stream else {}
    pipeline = dlt.pipeline(
        pipeline_name="flights",
        pipelines_dir=str(out / "state"),
        destination=filesystem(bucket_url=(out / "store").as_uri()),
        dataset_name="copy",
    )
    url = job["url"].replace("postgresql://", "postgresql+psycopg2://")
    table = sql_table(credentials=url, table=job["table"], backend=backend, **options)
    pipeline.run(table, loader_file_format="parquet")
    counts = pipeline.last_trace.last_normalize_info.row_counts
    files = list((out / "store" / "copy" / job["table"]).rglob("*.parquet"))
    return {
        "records": counts[job["table"]],
        "bytes": sum(file.stat().st_size for file in files),
    }


if __name__ == "__main__":
    measure(work)
