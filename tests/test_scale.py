"""What docs/scale.md quotes is what the benchmark wrote, and the benchmark runs."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_the_block_of_figures_is_made_of_the_results(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    spec = importlib.util.spec_from_file_location("run_scale", FOLDER / "run_scale.py")
    run_scale = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run_scale)
    told = run_scale.block(json.loads(run_scale.RESULT.read_text()))
    [found] = run_scale.BLOCK.findall(run_scale.PAGE.read_text())
    assert found == run_scale.BLOCK_OF.format(told)


@pytest.mark.slow
def test_the_benchmark_runs():
    quick = [sys.executable, FOLDER / "run_scale.py", "--quick"]
    done = subprocess.run(quick, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "180,000 records in 8 spans" in done.stdout
