"""What the benchmarks claim of memory, on a sample; no test asserts a time."""

from __future__ import annotations

import json
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


def _run(*command: str | Path, timeout: float = 300) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_every_reject_of_a_large_csv_is_counted(tmp_path: Path) -> None:
    """It ends with 1 where a count per reason is not the one written, or memory passes 600 MB."""
    rows = ("--rows", "100000", "--small", "100000")
    shown = _run(ROOT / "benchmarks" / "run_rejects.py", *rows, "--keep", tmp_path)
    assert "1,125" in shown
    assert "WRONG" not in shown


@pytest.mark.slow
@pytest.mark.xdist_group("go-network")
def test_the_benchmark_of_the_ledger_runs(tmp_path: Path) -> None:
    """Servers, load, receipts, fsck with and without its cache; the peer is built elsewhere."""
    results = tmp_path / "ledger.json"
    shown = _run(
        ROOT / "benchmarks" / "run_ledger.py",
        *("--entries", "320", "--receipts", "64", "--results", results, "--keep", tmp_path / "w"),
    )
    assert "durable entries a second" in shown
    figures = json.loads(results.read_text())
    assert figures["durable"]["entries"] == 320
    assert len(figures["durable"]["rounds"]) == 2
    assert figures["receipts"]["entries"] == 64
    assert figures["disk"]["entries"] == figures["fsck"]["everything"]["entries"] > 320 + 32
    cached = figures["fsck"]["cached"]["signatures_from_cache"]
    assert cached == 4 + 32 + 320  # genesis by four members, 32 contracts, the versions
    assert figures["fsck"]["everything"]["signatures_from_cache"] == 0


def test_the_benchmark_of_receipts_runs(tmp_path: Path) -> None:
    results = tmp_path / "receipts.json"
    _run(ROOT / "benchmarks" / "run_receipts.py", "--receipts", "5", "--results", results)
    assert json.loads(results.read_text())["signatures"] == 6
