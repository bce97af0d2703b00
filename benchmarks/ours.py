"""One `zhixin` command in a fresh process under the clock that the peers run under.

Used by `bench.py`; the job names the command's arguments (``arguments``).
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("peers")))

from clock import measure
from zhixin_gateway.cli import main


def work(job: dict[str, Any]) -> dict[str, Any]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main(job["arguments"])
    if code:
        raise SystemExit(f"zhixin ended with {code}: {said.getvalue()[-500:]}")
    return {"answer": json.loads(said.getvalue())}


if __name__ == "__main__":
    measure(work)
