"""PostgreSQL's own binary COPY of the same query, thrown away: the floor of one connection."""

from __future__ import annotations

from typing import Any

import psycopg
from clock import measure


def work(job: dict[str, Any]) -> dict[str, Any]:
    total = 0
    with psycopg.connect(job["url"]) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY ({job['query']}) TO STDOUT (FORMAT binary)") as copy:
            for data in copy:
                total += len(data)
        records = cursor.rowcount
    return {"records": records, "bytes": total}


if __name__ == "__main__":
    measure(work)
