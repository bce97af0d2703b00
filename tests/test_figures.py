"""Every figure that README and docs/performance.md quote stands in what `make bench` wrote."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "benchmarks" / "bench.py"
RATIOS = ("run_vs_raw_copy", "run_vs_dlt", "pure_run_vs_raw_copy", "verify_vs_openssl")
FIGURES = ("deep_records_per_s", "peak_extra_mb_1m", "peak_extra_mb_10m")


@pytest.fixture(scope="module")
def report() -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location("report", ROOT / "benchmarks" / "report.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def summary(report: ModuleType) -> dict:
    return json.loads(report.SUMMARY.read_text(encoding="utf-8"))


def test_the_results_name_each_ratio_and_figure_and_what_they_were_measured_on(summary) -> None:
    assert {
        name: summary["ratios"].get(name) for name in RATIOS if not summary["ratios"].get(name)
    } == {}
    assert [name for name in FIGURES if not summary["figures"].get(name)] == []
    assert summary["machine"]["versions"]["zhixin_kernel"]
    for section in summary["sections"].values():
        assert re.fullmatch(r"[0-9a-f]{40}", section["commit"])


def test_each_ratio_is_the_median_of_its_pairs_and_each_median_of_its_samples(summary) -> None:
    for section in summary["sections"].values():
        for name, ratio in section.get("ratios", {}).items():
            assert summary["ratios"][name] == ratio["median_of_pairs"]
            assert ratio["median_of_pairs"] == pytest.approx(statistics.median(ratio["pairs"]))
        for name, samples in section.get("samples", {}).items():
            for figure, value in section["medians"][name].items():
                assert value == pytest.approx(statistics.median(each[figure] for each in samples))


def test_at_least_seven_pairs_stand_behind_what_is_promised_of_a_run(summary) -> None:
    run, gate = (summary["sections"][name]["ratios"] for name in ("run", "gate"))
    for ratio in (run["run_vs_raw_copy"], run["run_vs_dlt"], gate["verify_vs_openssl"]):
        assert len(ratio["pairs"]) >= 7


def test_the_pages_and_the_chart_are_made_from_the_results(report, summary) -> None:
    """If this fails: `.venv/bin/python benchmarks/report.py --write`."""
    for page in report.PAGES:
        text = page.read_text(encoding="utf-8")
        assert "<!-- bench:" in text
        assert report.filled(text, summary) == text, page.name
    assert report.CHART.read_text(encoding="utf-8") == report.chart.draw(summary)


def test_no_figure_stands_outside_of_what_is_made_from_the_results(report) -> None:
    unit = r"s|ms|µs|ns|MB|GB|MB/s|GB/s|×|million (?:records )?a second|records a second"
    for page in report.PAGES:
        text = report.BLOCK.sub("", page.read_text(encoding="utf-8"))
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert re.findall(rf"\b\d[\d.,]* ?(?:{unit})(?!\w)", prose) == [], page.name


def test_a_figure_that_is_not_the_results_is_seen(report, summary) -> None:
    page = report.PAGES[1].read_text(encoding="utf-8")
    block = report.BLOCK.search(page)[0]
    number = re.search(r"\d\.\d\d", block)[0]
    forged = page.replace(block, block.replace(number, "0.01", 1))
    assert report.filled(forged, summary) == page != forged


def _bench(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCH, *arguments],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**os.environ, **environ},
    )


def test_the_benchmark_refuses_to_measure_without_the_kernel() -> None:
    done = _bench("--quick", ZHIXIN_KERNEL="off")
    assert done.returncode == 2
    assert "make kernel" in done.stderr


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    """Run, growth and gate on little data, beside the plain copy alone; no figure is judged."""
    done = _bench(
        *("--quick", "--only", "run,growth,gate", "--peers", "raw", "--results", str(tmp_path))
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told = json.loads((tmp_path / "summary.json").read_text())
    assert {"run_vs_raw_copy", "pure_run_vs_raw_copy", "verify_vs_openssl"} <= told["ratios"].keys()
    assert set(FIGURES) <= told["figures"].keys()
    for name, samples in told["sections"]["run"]["samples"].items():
        assert [sample["records"] for sample in samples] == [20_000], name
