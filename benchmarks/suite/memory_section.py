"""Runs whose records must be sorted first: `run_memory.py`, out of SQLite and an unsorted CSV."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from suite.bench import Bench
from suite.machine import ROOT

__all__ = ["measure_memory"]


def measure_memory(bench: Bench) -> dict[str, Any]:
    """Run it as a process of its own; it ends with 1 where memory grows."""
    script = ROOT / "benchmarks" / "run_memory.py"
    results = bench.folder("memory") / "figures.json"
    copies = "1" if bench.quick else "3"
    command = [sys.executable, script, "--copies", copies, "--results", results]
    subprocess.run(command, check=True)
    return {"copies": int(copies), "runs": json.loads(results.read_text())}
