"""Every fault at every point: `make faults` runs it whole, `make test` a sample.

A world is published in once to count its points: each write, sync, rename, creation, truncation and
removal under it. Then once more for each point and each kind of fault, in a fresh copy; what is
left is opened again and checked. Losses of power come from the trace of the first run (`disk`).

    python tests/faults/campaign.py [--every N] [--only KIND] [--json FILE] [--table FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import disk
import world

HERE = Path(__file__).parent
KINDS = {"kill -9": 1, "torn write": 2, "EIO": 3, "ENOSPC": 4}
POWER = "loss of power"
ALIKE = (world.OPERATOR + "/ledger", world.NAMES[3])  # witnesses that do what another does
BEGINNING, END = "<!-- faults: begin -->", "<!-- faults: end -->"


@dataclass(frozen=True, slots=True)
class Case:
    """One fault at one point of a world, or one loss of power just after it."""

    base: str
    point: int
    kind: str
    role: str
    op: str
    way: str = ""

    @property
    def name(self) -> str:
        return f"{self.base}-{self.point}-{self.kind}{self.way}".replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case left: faults as [kind, sentence]."""

    case: Case
    faults: list[list[str]]


def role_of(path: str) -> str:
    """The engine's files, a witness's, or a mere mirror's."""
    home, _, rest = path.partition("/")
    if rest.split("/")[0] == "log" or not rest:
        return "engine"
    return "mirror" if home == world.READER else "witness"


def build_shim(folder: Path) -> Path:
    """Compile the shim; a missing compiler is an error: nothing is skipped."""
    made = folder / "shim.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(made)]
    subprocess.run([*command, str(HERE / "shim.c"), "-ldl"], check=True, timeout=120)
    return made


class Worker:
    """One process of `worker.py`."""

    def __init__(self, shim: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "LD_PRELOAD": str(shim)},
        )

    def ask(self, **request: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=60)


class Campaign:
    """Worlds, workers, and the cases that follow from the worlds' points.

    Args:
        folder: scratch, best in memory.
        workers: how many at once.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.traces: dict[str, list[disk.Step]] = {}
        shim = build_shim(folder)
        self._workers: SimpleQueue[Worker] = SimpleQueue()
        self._number = workers
        for _ in range(workers):
            self._workers.put(Worker(shim))
        # One world that begins, and one whose second tile is begun meanwhile.
        for base, filler in (("new", 0), ("full-tile", 248)):
            world.found(folder / base, filler=filler)
            self._trace(base)

    def close(self) -> None:
        for _ in range(self._number):
            self._workers.get().close()

    def _trace(self, base: str) -> None:
        root, path = self.folder / "traced", self.folder / "trace"
        with self._worker() as worker:
            answer = worker.ask(
                do="run", base=str(self.folder / base), root=str(root), point=0, kind=0,
                trace=str(path),
            )  # fmt: skip
            assert answer["status"] == 0, answer
        self.traces[base] = disk.read_trace(path, root.resolve())
        shutil.rmtree(root)

    @contextmanager
    def _worker(self) -> Iterator[Worker]:
        worker = self._workers.get()
        try:
            yield worker
        finally:
            self._workers.put(worker)

    def cases(self, every: int = 1) -> list[Case]:
        """Every case, or of each kind one in `every`, always the same ones."""
        made: list[Case] = []
        for base, trace in self.traces.items():
            steps = [step for step in trace if step.op != disk.SAID]
            for point, step in enumerate(steps, 1):
                role, op = role_of(step.path), disk.NAMES[step.op]
                if step.path.startswith(ALIKE) or (base == "full-tile" and role == "witness"):
                    continue  # a mirror writes the same tiles there
                for kind in KINDS:
                    if kind != "torn write" or step.op == disk.WRITE:
                        made.append(Case(base, point, kind, role, op))
                made += [Case(base, point, POWER, role, op, way) for way in disk.WAYS]
        return [case for case in made if _drawn(case, every)]

    def run(self, cases: list[Case]) -> Iterator[Outcome]:
        """Carry out cases, as many at once as there are workers."""
        power = [case for case in cases if case.kind == POWER]
        others = [case for case in cases if case.kind != POWER]
        with ThreadPoolExecutor(self._number) as pool:
            yield from pool.map(self._faulted, others)
            yield from pool.map(lambda item: self._checked(*item), self._powerless(power))

    def _faulted(self, case: Case) -> Outcome:
        root = self.folder / case.name
        with self._worker() as worker:
            answer = worker.ask(
                do="run", base=str(self.folder / case.base), root=str(root), point=case.point,
                kind=KINDS[case.kind],
            )  # fmt: skip
        killed = case.kind in ("kill -9", "torn write")
        outcome = self._checked(case, root, answer["said"])
        if (answer["status"] == -9) != killed:
            outcome.faults.append(["bug", f"ended with {answer['status']}"])
        return outcome

    def _checked(self, case: Case, root: Path, said: list[list[Any]]) -> Outcome:
        with self._worker() as worker:
            answer = worker.ask(do="check", root=str(root), said=said)
        shutil.rmtree(root)
        return Outcome(case, answer["faults"])

    def _powerless(self, cases: list[Case]) -> Iterator[tuple[Case, Path, list[list[Any]]]]:
        """Lay what is left after each loss; where nothing differs from the last, once."""
        wanted: dict[tuple[str, int], list[Case]] = {}
        for case in cases:
            wanted.setdefault((case.base, case.point), []).append(case)
        for base, trace in self.traces.items():
            state, said, point = disk.Disk(self.folder / base), b"", 0
            seen: set[bytes] = set()
            for step in trace:
                if step.op == disk.SAID:
                    said += step.data
                    continue
                state.take(step)
                point += 1
                for case in wanted.get((base, point), ()):
                    files = list(state.after(case.way, point))
                    mark = hashlib.sha256(repr((files, said)).encode()).digest()
                    if mark in seen:
                        continue
                    seen.add(mark)
                    root = self.folder / case.name
                    disk.lay(iter(files), root)
                    yield case, root, [json.loads(line) for line in said.splitlines()]


def _drawn(case: Case, every: int) -> bool:
    """Draw by name, so always the same; fewer of the larger world, whose checks take longer."""
    share = every if case.base == "new" or every == 1 else 3 * every
    return int.from_bytes(hashlib.sha256(case.name.encode()).digest()[:4]) % share == 0


def table(outcomes: list[Outcome]) -> str:
    """The table of docs/faults.md."""
    lines = [
        "| part | fault | injections | lost | forks | not clean | other |",
        "|---|---|---|---|---|---|---|",
    ]
    for role in ("engine", "witness", "mirror"):
        for kind in (*KINDS, POWER):
            mine = [item for item in outcomes if (item.case.role, item.case.kind) == (role, kind)]
            found = Counter(fault for item in mine for fault in {kind for kind, _ in item.faults})
            other = sum(found[name] for name in ("stuck", "bug"))
            cells = [len(mine), found["lost"], found["fork"], found["unclean"], other]
            lines.append(f"| {role} | {kind} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def write_table(path: Path, text: str) -> None:
    """Put the table between its marks."""
    before, rest = path.read_text().split(BEGINNING)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGINNING}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="one case in so many")
    parser.add_argument("--only", choices=[*KINDS, POWER], help="this kind of fault alone")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--table", type=Path, help="write the table into this file")
    parser.add_argument("--json", type=Path, help="write every outcome into this file")
    options = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        campaign = Campaign(Path(scratch), options.workers)
        cases = campaign.cases(options.every)
        cases = [case for case in cases if options.only in (None, case.kind)]
        outcomes = []
        for done, outcome in enumerate(campaign.run(cases), 1):
            outcomes.append(outcome)
            if outcome.faults:
                print(f"{outcome.case}: {outcome.faults}", flush=True)
            if done % 500 == 0:
                print(f"{done} of at most {len(cases)}", flush=True)
        campaign.close()
    text = table(outcomes)
    print(text)
    if options.table:
        write_table(options.table, text)
    if options.json:
        found = [{"kind": item.case.kind, "role": item.case.role, "name": item.case.name,
                  "faults": item.faults} for item in outcomes]  # fmt: skip
        options.json.write_text(json.dumps(found))
    sys.exit(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    main()
