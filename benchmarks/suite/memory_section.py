"""Memory of runs whose records must be sorted first: `run_memory.py`, from SQLite and CSV."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from suite.bench import Bench
from suite.machine import ROOT

__all__ = ["measure_memory"]


def measure_memory(bench: Bench) -> dict[str, Any]:
    """Run it as a process of its own; it ends with 1 where memory grows."""
    copies = "1" if bench.quick else "3"
    script = ROOT / "benchmarks" / "run_memory.py"
    subprocess.run([sys.executable, script, "--copies", copies], check=True)
    return {"copies": int(copies)}
