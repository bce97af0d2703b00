"""Memory and time of a run over the flights, once and ten times, from SQLite and an unsorted CSV.

    .venv/bin/python benchmarks/run_memory.py [--copies 10] [--keep DIR] [--results FILE]

Copy i of the 336,776 records has 10,000·i added to ``flight``, so that the primary key (time_hour,
carrier, flight) stays unique; rows are shuffled, so that the key's order must be made. Every run is
a process of its own: contract, rules, keys and relationships checked, parts written, notarised by
four members. Peak memory is what the process held at most, less what its imports hold.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from zhixin_gateway.demo.records import COLUMNS, batches
from zhixin_gateway.demo.world import BTS, FAA, open_world
from zhixin_gateway.pipeline import run
from zhixin_gateway.progress import NullProgress

FLIGHTS = f"{BTS}/flights"
CHUNK = 20_000
LIMIT_MB = 600
LIMIT_GROWTH = 1.5


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--copies", type=int, default=10)
    options.add_argument("--keep", type=Path, help="work in this folder and keep it")
    options.add_argument("--results", type=Path, help="write the figures there too, as JSON")
    options.add_argument("--child", nargs=2, metavar=("WORLD", "URL"), help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.child:
        return child(Path(asked.child[0]), asked.child[1])
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(asked.keep or Path(scratch), asked.copies)
    if asked.results:
        asked.results.write_text(json.dumps(figures))
    worst = max(each["peak_mb"] for each in figures)
    pairs = zip(figures[::2], figures[1::2], strict=True)
    growth = max(many["peak_mb"] / one["peak_mb"] for one, many in pairs)
    return 0 if worst <= LIMIT_MB and growth <= LIMIT_GROWTH else 1


def measure(folder: Path, copies: int) -> list[dict[str, Any]]:
    """Run each source once and so many times over; gives the figures of each run, in that order."""
    base = folder / "world"
    world = open_world(base, {}, NullProgress())
    for dataset in (f"{FAA}/airports", f"{FAA}/planes"):
        run(world.home(FAA), world.contract(dataset))
    print(f"{platform.machine()}, {platform.python_version()}, pyarrow {pa.__version__}")
    print(
        f"{'source':8}{'records':>12}{'seconds':>9}{'s/million':>11}{'peak MB above imports':>23}"
    )
    figures: list[dict[str, Any]] = []
    for kind, write in (("sqlite", write_sqlite), ("csv", write_csv)):
        for count in (1, copies):
            source = folder / f"copies-{count}" / f"flights.{kind}"
            source.parent.mkdir(exist_ok=True)
            if not source.exists():
                write(source, count)
            result = in_child(base, folder / "run", source, kind)
            figures.append({"source": kind, **result})
            print(
                f"{kind:8}{result['records']:>12,}{result['seconds']:>9.1f}"
                f"{result['seconds'] / result['records'] * 1e6:>11.1f}{result['peak_mb']:>23.0f}",
                flush=True,
            )
        growth = figures[-1]["peak_mb"] / figures[-2]["peak_mb"]
        print(f"{kind:8}peak of {copies} copies / peak of one: {growth:.2f}")
    return figures


def in_child(base: Path, place: Path, source: Path, kind: str) -> dict[str, float]:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place)
    url = f"sqlite:///{source}" if kind == "sqlite" else f"file:{source}"
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(place), url],
        check=True,
        stdout=subprocess.PIPE,
        timeout=3600,
    )
    shutil.rmtree(place)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def child(folder: Path, url: str) -> int:
    import duckdb
    import sqlalchemy
    from zhixin_gateway.demo.world import World

    for module in (duckdb, sqlalchemy):
        assert module
    world = World(folder, {"operations": url})
    # Ask Linux to count the peak from here on.
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    began = time.monotonic()
    result = run(world.home(BTS), world.contract(FLIGHTS))
    print(
        json.dumps(
            {
                "records": result.records,
                "seconds": time.monotonic() - began,
                "peak_mb": (status("VmHWM") - before) / 1000,
            }
        )
    )
    return 0


def status(name: str) -> float:
    """A figure of /proc/self/status, in kB."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, flags=re.MULTILINE)
    assert found
    return float(found[1])


def shuffled(copies: int) -> Iterator[pa.RecordBatch]:
    """The flights, so many times, in an order that has nothing to do with the key."""
    whole = pa.Table.from_batches(batches("flights"), COLUMNS["flights"]).combine_chunks()
    chunks = [(copy, at) for copy in range(copies) for at in range(0, whole.num_rows, CHUNK)]
    chance = random.Random(2013)
    order = list(range(whole.num_rows))
    chance.shuffle(order)
    chance.shuffle(chunks)
    whole = whole.take(pa.array(order))
    at_flight = whole.schema.get_field_index("flight")
    for copy, start in chunks:
        piece = whole.slice(start, CHUNK)
        moved = pc.add(piece.column(at_flight), 10_000 * copy)
        piece = piece.set_column(at_flight, whole.schema.field(at_flight), moved)
        yield from piece.to_batches()


def as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The times as ISO 8601 texts."""
    at = batch.schema.get_field_index("time_hour")
    texts = pc.strftime(batch.column(at), format="%Y-%m-%dT%H:%M:%SZ")
    return batch.set_column(at, pa.field("time_hour", pa.string()), texts)


def write_csv(path: Path, copies: int) -> None:
    schema = as_text(pa.RecordBatch.from_pylist([], COLUMNS["flights"])).schema
    with pa_csv.CSVWriter(path, schema) as writer:
        for batch in shuffled(copies):
            writer.write_batch(as_text(batch))


def write_sqlite(path: Path, copies: int) -> None:
    names = COLUMNS["flights"].names
    database = sqlite3.connect(path)
    database.execute(f"CREATE TABLE flights ({', '.join(names)})")
    for batch in shuffled(copies):
        rows = zip(*as_text(batch).to_pydict().values(), strict=True)
        database.executemany(f"INSERT INTO flights VALUES ({', '.join('?' * len(names))})", rows)
    database.commit()
    database.close()


if __name__ == "__main__":
    sys.exit(main())
