"""pandas.read_sql into pandas.to_parquet, as most scripts have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from clock import measure


def work(job: dict[str, Any]) -> dict[str, Any]:
    path = Path(job["out"]) / "copy.parquet"
    engine = sa.create_engine(job["url"].replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        frame = pd.read_sql(sa.text(job["query"]), connection)
    frame.to_parquet(path, compression="zstd")
    return {"records": len(frame), "bytes": path.stat().st_size}


if __name__ == "__main__":
    measure(work)
