"""What docs/scale.md quotes is what the benchmark wrote."""

import importlib.util
import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_the_block_of_figures_is_made_of_the_results(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    spec = importlib.util.spec_from_file_location("run_scale", FOLDER / "run_scale.py")
    run_scale = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run_scale)
    told = "Not measured yet."
    if run_scale.RESULT.exists():
        told = run_scale.block(json.loads(run_scale.RESULT.read_text()))
    [found] = run_scale.BLOCK.findall(run_scale.PAGE.read_text())
    assert found == run_scale.BLOCK_OF.format(told)
