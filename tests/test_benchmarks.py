"""What the benchmarks claim of memory, on a sample; no test asserts a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_memory_of_a_run_does_not_grow_with_the_records() -> None:
    """The benchmark ends with 1 where a run passes 600 MB, or three copies need 1.5 times one."""
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "run_memory.py", "--copies", "3"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
