"""What `make bench` runs: ours beside its peers, in one run, and the figures that docs quote.

    .venv/bin/python benchmarks/bench.py [--quick] [--only run,growth,gate,memory] [--rounds 7]

A PostgreSQL of its own, fresh processes, alternating repetitions, medians, ratios first. Results go
to `benchmarks/results/summary.json` (sections that are not run keep what they had, each with its
commit and time), and from there into the chart, README and docs (`report.py --write`). It ends with
2 where the native kernel is absent, and with 1 where a process fails or records are not exact.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import report
from suite.bench import Bench
from suite.gate_section import measure_gate
from suite.growth_section import measure_growth
from suite.machine import ROOT, commit, machine
from suite.memory_section import measure_memory
from suite.peers import peer_versions
from suite.run_section import measure_run
from suite.server import SETTINGS, postgresql
from suite.world import World
from zhixin_gateway.datasets import hashing

SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "run": measure_run,
    "growth": measure_growth,
    "gate": measure_gate,
    "memory": measure_memory,
}
PEERS = ("connectorx", "dlt", "great-expectations", "model-signing", "pandas", "raw")
QUICK_ROWS = 20_000
RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="little of everything, no figures")
    options.add_argument("--only", default=",".join(SECTIONS), help="some of the sections")
    options.add_argument("--rounds", type=int, default=7, help="alternating repetitions")
    options.add_argument("--others", type=int, default=3, help="repetitions of all else")
    options.add_argument("--peers", default=",".join(PEERS), help="some of the peers, and raw")
    options.add_argument("--results", type=Path, help="where the results go")
    asked = options.parse_args()
    if hashing.kernel() is None:
        print("bench: the native kernel is not there: run `make kernel`", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    with contextlib.suppress(KeyboardInterrupt), _scratch() as folder:
        return _measured(asked, folder)
    print("bench: interrupted; done sections are kept, the server and its folder are gone")
    return 130


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that the server's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="zhixin-bench-"))
    try:
        folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(asked: argparse.Namespace, folder: Path) -> int:
    results = asked.results or (folder / "results" if asked.quick else RESULTS)
    results.mkdir(parents=True, exist_ok=True)
    path = results / "summary.json"
    summary: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    sections: dict[str, Any] = summary.get("sections", {})
    began = time.monotonic()
    with postgresql(folder / "postgresql") as server:
        for name in ("world", "scratch"):
            (folder / name).mkdir()
        bench = Bench(
            server,
            World(folder / "world", server.url, QUICK_ROWS if asked.quick else None),
            folder / "scratch",
            {*asked.peers.split(","), "raw"},
            *((1, 1) if asked.quick else (asked.rounds, asked.others)),
            quick=asked.quick,
        )
        print("PostgreSQL on loopback:", *(f"{k}={v}" for k, v in SETTINGS.items()))
        for name in asked.only.split(","):
            print(f"\n== {name} ({time.monotonic() - began:.0f} s so far)", flush=True)
            measured = SECTIONS[name](bench)
            now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            sections[name] = {**commit(), "time": now, **measured}
            summary = summarised(sections)
            path.write_text(json.dumps(summary, indent=1) + "\n")
    report.show(summary)
    if asked.quick:
        print("\na quick run: it works, and none of this is a figure")
    elif asked.results is None:
        report.write(summary)
    kept = asked.results or not asked.quick
    print(f"\nafter {time.monotonic() - began:.0f} s" + (f": {path}" if kept else ""))
    return 0


def summarised(sections: dict[str, Any]) -> dict[str, Any]:
    """The whole of the results: ratios and figures of all sections first."""
    sections = {name: sections[name] for name in SECTIONS if name in sections}
    ratios: dict[str, float] = {}
    figures: dict[str, float] = {}
    for section in sections.values():
        ratios |= {k: each["median_of_pairs"] for k, each in section.get("ratios", {}).items()}
        figures |= section.get("figures", {})
    return {
        "ratios": ratios,
        "figures": figures,
        "machine": machine(),
        "postgresql": SETTINGS,
        "peers": peer_versions(),
        **commit(),
        "sections": sections,
    }


if __name__ == "__main__":
    sys.exit(main())
