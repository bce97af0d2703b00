"""Growth: ours over 0.3, 1, 3 and 10 million records, and over 5, 20 and 100 columns.

The plain copy of the same table is timed beside it, so that what the database itself takes more of
with its size is seen apart. Peak memory is what a run holds at most beyond its imports.
"""

from __future__ import annotations

import shutil
import statistics
from typing import Any

from suite.bench import Bench, medians
from suite.peers import LOCKS, peer_python
from suite.process import Contestant, Sample
from suite.world import Table

__all__ = ["measure_growth"]

COPIES = (1, 3, 9, 30)
COLUMNS = (5, 20, 100)


def measure_growth(bench: Bench) -> dict[str, Any]:
    """Time ours and the plain copy over tables that grow; gives the section of the results."""
    copies = COPIES[:2] if bench.quick else COPIES
    ours = bench.ours("ours")
    raw = Contestant("raw", LOCKS / "time_raw.py", {"url": bench.world.url}, peer_python("raw"))
    by_records = [_size(bench, ours, raw, bench.world.table(each), each) for each in copies]
    columns = COLUMNS[:1] if bench.quick else COLUMNS
    by_columns = [_size(bench, ours, raw, bench.world.table(1, each)) for each in columns]
    one, last = by_records[1], by_records[-1]
    times = [size["us_per_record"] for size in by_records[1:]]
    return {
        "by_records": by_records,
        "by_columns": by_columns,
        "figures": {
            "peak_extra_mb_1m": one["medians"]["ours"]["peak_extra_mb"],
            "peak_extra_mb_10m": last["medians"]["ours"]["peak_extra_mb"],
            "peak_10m_vs_1m": last["medians"]["ours"]["peak_extra_mb"]
            / one["medians"]["ours"]["peak_extra_mb"],
            "us_per_record_10m_vs_1m": last["us_per_record"] / one["us_per_record"],
            "us_per_record_spread": max(times) / min(times),
        },
    }


def _size(
    bench: Bench, ours: Contestant, raw: Contestant, table: Table, copies: int = 0
) -> dict[str, Any]:
    print(f" {table.records:,} records of {len(table.columns)} columns", flush=True)
    samples: dict[str, list[Sample]] = {"raw": [], "ours": []}
    turns = bench.turns(bench.others)
    for turn in turns if not ours.preload else turns[-bench.others :]:
        said = f"{turn}/{bench.others}" if turn else "warm-up"
        theirs = bench.run(raw, query=table.query)
        bench.say("raw", theirs, said)
        own, version = bench.publish(ours, table)
        bench.say("ours", own, said)
        if turn:
            samples["raw"].append({**theirs, "round": turn})
            samples["ours"].append({**own, "round": turn})
        if copies:
            bench.keep(copies, version)
        else:
            shutil.rmtree(version.home.parent)
    taken = statistics.median(sample["seconds"] for sample in samples["ours"])
    return {
        "records": table.records,
        "columns": len(table.columns),
        "us_per_record": taken / table.records * 1e6,
        "ns_per_value": taken / table.records / len(table.columns) * 1e9,
        "medians": medians(samples),
        "samples": samples,
    }
