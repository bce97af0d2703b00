"""The run: a million flights out of PostgreSQL, ours against plain copies and loaders.

Every round times the plain copy and ours, one after the other in changing order, and dlt with
connectorx; a few rounds time all others too. After each of our runs its version is verified deeply
and its records are held against the plain copy's, types and all.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zhixin_gateway as zhixin
from zhixin_schemas.loader import load_contract
from zhixin_schemas.suite import build_suite

from suite.bench import Bench, Version, medians, pairwise
from suite.peers import LOCKS, peer_python
from suite.process import Contestant, Sample
from suite.world import Table

__all__ = ["measure_run"]

COPIES = 3
PEERS = {
    "copy-binary": ("pandas", "time_copy.py"),
    "raw-unordered": ("raw", "time_raw.py"),
    "connectorx": ("connectorx", "time_connectorx.py"),
    "pandas": ("pandas", "time_pandas.py"),
    "dlt-connectorx": ("dlt", "time_dlt.py"),
    "dlt-connectorx-stream": ("dlt", "time_dlt.py"),
    "dlt-pyarrow": ("dlt", "time_dlt.py"),
    "great-expectations": ("great-expectations", "time_great_expectations.py"),
}
ALWAYS = ("dlt-connectorx", "dlt-connectorx-stream")
"""Timed in every round: what a ratio is made of."""


def measure_run(bench: Bench) -> dict[str, Any]:
    """Time all of them; gives the section of the results."""
    copies = 1 if bench.quick else COPIES
    table = bench.world.table(copies)
    match = _Match(bench, table)
    for number in bench.turns(bench.rounds):
        match.round(number)
        bench.keep(copies, match.version)
    samples = match.samples
    raw, ours = samples["raw"], samples["ours"]
    ratios = {
        "run_vs_raw_copy": pairwise(ours, raw, "seconds"),
        "run_vs_raw_copy_process": pairwise(ours, raw, "process_s"),
        "run_vs_raw_copy_cpu": pairwise(ours, raw, "cpu_s"),
        "pure_run_vs_raw_copy": pairwise(samples["ours-pure"], raw, "seconds"),
        "unchanged_run_vs_raw_copy": pairwise(samples["ours-unchanged"], raw, "seconds"),
    }
    middle = medians(samples)
    for name in PEERS:
        if name in middle:
            ratios[f"{name}_vs_raw_copy"] = pairwise(samples[name], raw, "seconds")
    loaders = [name for name in PEERS if name.startswith("dlt-") and name in middle]
    if loaders:
        faster = min(loaders, key=lambda name: middle[name]["seconds"])
        ratios["run_vs_dlt"] = {**pairwise(ours, samples[faster], "seconds"), "backend": faster}
        ratios["raw_copy_vs_dlt"] = pairwise(raw, samples[faster], "seconds")
        ratios["run_vs_dlt_process"] = pairwise(ours, samples[faster], "process_s")
    return {
        "records": table.records,
        "columns": len(table.columns),
        "ratios": ratios,
        "medians": middle,
        "samples": samples,
    }


class _Match:
    """The contestants and what they took."""

    def __init__(self, bench: Bench, table: Table) -> None:
        self.bench = bench
        self.table = table
        self.samples: dict[str, list[Sample]] = {}
        self.raw = Contestant("raw", *_script("raw", "time_raw.py", table.query, bench, table))
        self.ours = bench.ours("ours")
        self.pure = bench.ours("ours-pure", ZHIXIN_KERNEL="pure")
        self.unchanged = bench.ours("ours-unchanged")
        self.peers = [
            Contestant(name, *_script(peer, script, _query(name, table), bench, table, name))
            for name, (peer, script) in PEERS.items()
            if peer in bench.peers
        ]

    def round(self, number: int) -> None:
        first, second = (self._raw, self._ours) if number % 2 else (self._ours, self._raw)
        first(number)
        second(number)
        copy = self.bench.scratch / "raw" / "copy.parquet"
        self._hold(self.version, copy)
        others = number <= self.bench.others
        for peer in self.peers:
            if others or peer.name in ALWAYS:
                data = {"data": str(copy)} if peer.name == "great-expectations" else {}
                self._took(peer.name, number, self.bench.run(peer, **data))
        if others:
            self._others(number, copy)

    def _raw(self, number: int) -> None:
        self._took("raw", number, self.bench.run(self.raw))

    def _ours(self, number: int) -> None:
        sample, self.version = self.bench.publish(self.ours, self.table)
        self._took("ours", number, sample)

    def _others(self, number: int, copy: Path) -> None:
        sample, _ = self.bench.publish(self.unchanged, self.table, self.version.home)
        if sample["version"] is not None:
            raise RuntimeError("a run of an unchanged table published a version")
        self._took("ours-unchanged", number, sample)
        sample, pure = self.bench.publish(self.pure, self.table)
        self._took("ours-pure", number, sample)
        self._hold(pure, copy)
        shutil.rmtree(pure.home.parent)

    def _took(self, name: str, number: int, sample: Sample) -> None:
        if sample["records"] != self.table.records:
            raise RuntimeError(f"{name} has {sample['records']} of {self.table.records} records")
        self.bench.say(name, sample, f"{number}/{self.bench.rounds}" if number else "warm-up")
        if number:
            self.samples.setdefault(name, []).append({**sample, "round": number})

    def _hold(self, version: Version, copy: Path) -> None:
        """Hold a version's records and types against the plain copy's, having verified deeply."""
        opened = zhixin.open(version.path, home=version.home, deep=True)
        wanted = pq.read_table(copy).cast(opened.schema)
        if not opened.to_arrow().equals(wanted):
            raise RuntimeError(f"{version.path} does not hold the records of the plain copy")


def _script(
    peer: str, script: str, query: str, bench: Bench, table: Table, name: str = ""
) -> tuple[Path, dict[str, Any], Path]:
    """A peer's script, what it is told, and its interpreter."""
    job: dict[str, Any] = {"url": bench.world.url, "query": query}
    if peer == "dlt":
        job |= {"table": table.name, "backend": name.removeprefix("dlt-")}
    if peer == "great-expectations":
        suite = build_suite(load_contract(table.contract.read_bytes()))
        job["expectations"] = [
            (each.type, {key: value for key, value in each.arguments.items() if value is not None})
            for each in suite.expectations
        ]
    return LOCKS / script, job, peer_python(peer)


def _query(name: str, table: Table) -> str:
    return table.unordered if name == "raw-unordered" else table.query
