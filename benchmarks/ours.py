"""One `zhixin` command in a fresh process under the clock that the peers run under.

Used by `bench.py`; the job names the command's arguments (``arguments``). Besides it tells what
each thread took of the processor: threads are named after their step.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("peers")))

from clock import measure
from zhixin_gateway.cli import main

_run = threading.Thread.run
_spent: Counter[str] = Counter()


def work(job: dict[str, Any]) -> dict[str, Any]:
    said = io.StringIO()
    threading.Thread.run = _counted  # type: ignore[method-assign]
    began = time.thread_time()
    with contextlib.redirect_stdout(said):
        code = main(job["arguments"])
    if code:
        raise SystemExit(f"zhixin ended with {code}: {said.getvalue()[-500:]}")
    _spent[threading.current_thread().name] += time.thread_time() - began
    return {"answer": json.loads(said.getvalue()), "thread_cpu_s": dict(_spent)}


def _counted(thread: threading.Thread) -> None:
    try:
        _run(thread)
    finally:
        _spent[thread.name] += time.thread_time()


if __name__ == "__main__":
    measure(work)
