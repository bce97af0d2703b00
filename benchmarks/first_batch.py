"""When the first verified batch is out, and when the last, of a version judged as it is read."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("peers")))

import zhixin_gateway as zhixin
from clock import measure


def work(job: dict[str, Any]) -> dict[str, Any]:
    began, first, records = time.perf_counter(), 0.0, 0
    for batch in zhixin.open(job["path"], home=job["home"], streaming=True).batches():
        first = first or time.perf_counter() - began
        records += batch.num_rows
    return {"records": records, "first_batch_s": first}


if __name__ == "__main__":
    measure(work)
