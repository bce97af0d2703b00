"""What every section is given: the world, where to put things, and how much is asked for."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite.machine import ROOT
from suite.process import Contestant, Sample
from suite.server import Server
from suite.world import MEMBER, Table, World

__all__ = ["Bench", "Version", "medians", "pairwise"]

OURS = ROOT / "benchmarks" / "ours.py"
FIGURES = (
    "seconds",
    "process_s",
    "cpu_s",
    "process_cpu_s",
    "server_cpu_s",
    "peak_extra_mb",
    "process_peak_mb",
    "first_batch_s",
    "bytes",
)


@dataclass(frozen=True)
class Version:
    """A version that was published, and the home that it lies in."""

    home: Path
    path: Path
    records: int

    @property
    def parts(self) -> list[Path]:
        """Its parts' files."""
        return sorted(self.path.glob("*.parquet"))


@dataclass
class Bench:
    """One call of the benchmark.

    Args:
        server: the database's.
        world: tables and homes.
        scratch: an empty folder.
        peers: the peers that are asked for.
        rounds: alternating repetitions of what ratios are made of.
        others: repetitions of everything else.
        quick: little of everything, to see that it works.
    """

    server: Server
    world: World
    scratch: Path
    peers: Collection[str]
    rounds: int
    others: int
    quick: bool = False
    published: dict[int, Version] = field(default_factory=dict)

    def turns(self, count: int) -> range:
        """So many repetitions, after number 0, which warms caches and is not counted."""
        return range(1 if self.quick else 0, count + 1)

    def ours(self, name: str, **environ: str) -> Contestant:
        """One of our own commands; each repetition says its arguments."""
        return Contestant(name, OURS, {}, environ={**self.world.environ, **environ})

    def run(self, contestant: Contestant, **job: Any) -> Sample:
        """One repetition in an empty folder; tells besides what the server took for it."""
        before = self.server.cpu_s()
        sample = contestant.run(self.folder(contestant.name), **job)
        time.sleep(0.05)  # its connections end
        sample["server_cpu_s"] = self.server.cpu_s() - before
        return sample

    def publish(
        self, ours: Contestant, table: Table, home: Path | None = None
    ) -> tuple[Sample, Version]:
        """Run a table's contract in a home, a fresh one by default; gives what came of it.

        Raises:
            RuntimeError: not every record was accepted.
        """
        place = home or self.world.home(table.contract)
        arguments = ["--home", str(place), "run", str(table.contract), "--json"]
        sample = self.run(ours, arguments=arguments)
        told = sample.pop("answer")
        sample["records"] = told["records"]
        sample["version"] = told["version"]
        if told["quarantined"] or told["records"] != table.records:
            raise RuntimeError(f"{table.name}: {told['records']} records, {table.records} wanted")
        path = place / "store" / MEMBER / "flights" / str(told["version"] or 1)
        return sample, Version(place, path, table.records)

    def version(self, copies: int) -> Version:
        """A version of so many times the flights; made where no section made it before."""
        if copies not in self.published:
            table = self.world.table(copies)
            _, made = self.publish(self.ours("ours"), table)
            self.published[copies] = made
        return self.published[copies]

    def keep(self, copies: int, version: Version) -> None:
        """Keep a version for later sections in the place of an earlier one of that size."""
        old = self.published.get(copies)
        if old is not None:
            shutil.rmtree(old.home.parent)
        self.published[copies] = version

    def folder(self, name: str) -> Path:
        """An empty folder for one repetition; what stood there before is gone."""
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def say(self, name: str, sample: Sample, turn: str = "") -> None:
        """Tell of one repetition."""
        inner = f"{sample['seconds']:8.3f} s" if "seconds" in sample else " " * 10
        peak = sample.get("peak_extra_mb", sample["process_peak_mb"])
        print(
            f"  {turn:7}{name:24}{inner}   process {sample['process_s']:8.3f} s"
            f"   CPU {sample['process_cpu_s']:7.2f} s   {peak:7.0f} MB",
            flush=True,
        )


def medians(samples: dict[str, list[Sample]]) -> dict[str, dict[str, float]]:
    """The median of each figure of each contestant."""
    return {
        name: {
            figure: statistics.median(sample[figure] for sample in taken)
            for figure in FIGURES
            if taken and figure in taken[0]
        }
        for name, taken in samples.items()
    }


def pairwise(ours: Sequence[Sample], theirs: Sequence[Sample], figure: str) -> dict[str, Any]:
    """Ratios of the repetitions of the same round: each, and their median; and that of medians."""
    by_round = {sample["round"]: sample[figure] for sample in theirs}
    pairs = [s[figure] / by_round[s["round"]] for s in ours if s["round"] in by_round]
    return {
        "median_of_pairs": statistics.median(pairs),
        "pairs": pairs,
        "of_medians": _median(ours, figure) / _median(theirs, figure),
    }


def _median(samples: Iterable[Sample], figure: str) -> float:
    return statistics.median(sample[figure] for sample in samples)
