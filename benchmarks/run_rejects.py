"""A large CSV of which one record in a hundred is bad, in eight kinds: exact counts, and memory.

    .venv/bin/python benchmarks/run_rejects.py [--rows 10000000] [--small 1000000] [--keep DIR]

The file is made from a seed; each bad record's row and kind are known when it is written. A run of
it, in a process of its own, must count every reason exactly, lose no record, and need no more
memory than ``run_memory.py`` allows: 600 MB above imports, and 1.5 times what the small file needs.
A clean file of the small size shows what the rejects cost.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from run_memory import LIMIT_GROWTH, LIMIT_MB, status
from zhixin_gateway.founding import found
from zhixin_gateway.home import Home, create_home
from zhixin_gateway.pipeline import run

MEMBER = "agency.gov.example"
HEADER = "id,district,kind,seats,opened,fee,note\n"
CHUNK_HUNDREDS = 1_000
KINDS = {
    # kind: the row that stands there, and the rule and the message that it must get
    "too many fields": (
        "{id},东,餐饮,12,2021-03-05,7.50,甲,more\n",
        "record.form",
        "fields in the row: 8, in the header: 7",
    ),
    "too few fields": (
        "{id},东,餐饮,12\n",
        "record.form",
        "fields in the row: 4, in the header: 7",
    ),
    "not an integer": ("{id},东,餐饮,12a,2021-03-05,7.50,甲\n", "seats.type", "not an integer"),
    "beyond 64 bits": (
        "{id},东,餐饮,9223372036854775808,2021-03-05,7.50,甲\n",
        "seats.type",
        "beyond 64 bits",
    ),
    "no such day": (
        "{id},东,餐饮,12,2021-02-30,7.50,甲\n",
        "opened.type",
        "not a day of the calendar's years 0001 to 9999",
    ),
    "invalid UTF-8": (
        "{id},东,餐饮,12,2021-03-05,7.50,a\udcffb\n",
        "note.type",
        "not valid in the source's encoding",
    ),
    "out of range": (
        "{id},东,餐饮,5000,2021-03-05,7.50,甲\n",
        "seats.range",
        "seats must be at least 0 and at most 999",
    ),
    "key twice": (
        "{other},东,餐饮,12,2021-03-05,7.50,甲\n",
        "primary-key",
        "the key (id) must be unique",
    ),
}
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: agency.gov.example/permits
version: 1.0.0
status: active
servers: [{server: inbox, type: custom}]
schema:
  - name: permits
    logicalType: object
    physicalName: permits.csv
    properties:
      - {name: id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: district, logicalType: string, required: true}
      - {name: kind, logicalType: string, enum: [{value: 餐饮}, {value: 零售}]}
      - {name: seats, logicalType: integer, logicalTypeOptions: {minimum: 0, maximum: 999}}
      - {name: opened, logicalType: date}
      - {name: fee, logicalType: number, physicalType: "decimal(10,2)"}
      - {name: note, logicalType: string}
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--small", type=int, default=1_000_000)
    options.add_argument("--keep", type=Path, help="work in this folder and keep it")
    options.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.child:
        return child(asked.child)
    with tempfile.TemporaryDirectory() as scratch:
        return measure(asked.keep or Path(scratch), asked.small, asked.rows)


def measure(folder: Path, small: int, large: int) -> int:
    print(f"{'file':7}{'records':>12}{'rejected':>10}{'CPU s':>8}{'µs/record':>11}{'peak MB':>9}")
    peaks, right = [], True
    for name, rows, bad in (
        ("clean", small, False),
        ("small", small, True),
        ("large", large, True),
    ):
        result, wrong = one(folder / name, rows, bad=bad)
        print(
            f"{name:7}{rows:>12,}{result['quarantined']:>10,}{result['cpu_s']:>8.1f}"
            f"{result['cpu_s'] / rows * 1e6:>11.2f}{result['peak_mb']:>9.0f}",
            flush=True,
        )
        for line in wrong:
            print(f"  WRONG: {line}")
        right = right and not wrong
        if bad:
            peaks.append(result["peak_mb"])
    print(f"peak of the large file / peak of the small: {peaks[1] / peaks[0]:.2f}")
    sound = max(peaks) <= LIMIT_MB and peaks[1] / peaks[0] <= LIMIT_GROWTH
    return 0 if right and sound else 1


def one(folder: Path, rows: int, *, bad: bool) -> tuple[dict[str, float], list[str]]:
    """Make a file, run it, and hold what came of it to what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = write(folder / "permits.csv", rows, bad=bad)
    home = create_home(folder / MEMBER, MEMBER, operator=True)
    found(home, [home], f"ledger.{MEMBER}/2026")
    (folder / "permits.odcs.yaml").write_text(CONTRACT)
    settings = folder / MEMBER / "zhixin.toml"
    settings.write_text(settings.read_text() + f'\n[sources.inbox]\nurl = "{folder}"\n')
    done = subprocess.run(
        [sys.executable, __file__, "--child", folder],
        check=True,
        stdout=subprocess.PIPE,
        timeout=3600,
    )
    result: dict[str, float] = json.loads(done.stdout)
    reasons = counted(folder / MEMBER / "quarantine" / MEMBER / "permits" / "1.parquet")
    wrong = [
        f"{rule}, {message}: {reasons[rule, message]:,} counted, "
        f"{expected[rule, message]:,} written"
        for rule, message in sorted(reasons.keys() | expected.keys())
        if reasons[rule, message] != expected[rule, message]
    ]
    if result["records"] + result["quarantined"] != rows:
        wrong.append(f"{rows:,} rows, and {result['records'] + result['quarantined']:,} records")
    return result, wrong


def write(path: Path, rows: int, *, bad: bool) -> Counter[tuple[str, str]]:
    """Write the file; gives how often each (rule, message) must be counted."""
    expected: Counter[tuple[str, str]] = Counter()
    chance = random.Random(2026)
    with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(HEADER)
        lines: list[str] = []
        for hundred in range(rows // 100):
            lines += good(hundred, rows)
            if bad:
                text, rule, message = list(KINDS.values())[hundred % len(KINDS)]
                place = chance.randrange(1, 100)
                mine, other = (key(hundred * 100 + at, rows) for at in (place, place - 1))
                lines[place - 100] = text.format(id=mine, other=other)
                expected[rule, message] += 2 if rule == "primary-key" else 1
            if hundred % CHUNK_HUNDREDS == CHUNK_HUNDREDS - 1:
                file.write("".join(lines))
                lines = []
        file.write("".join(lines))
    return expected


def good(hundred: int, rows: int) -> Iterator[str]:
    for at in range(hundred * 100, hundred * 100 + 100):
        number = key(at, rows)
        yield (
            f"{number},东城区,{'餐饮' if at % 3 else '零售'},{at % 1000},"
            f"20{10 + at % 15}-{1 + at % 12:02}-{1 + at % 28:02},{number % 900}.{at % 100:02},"
            f"{'' if at % 7 == 0 else f'note {at % 5003}'}\n"
        )


def key(at: int, rows: int) -> int:
    """A key for each row, in an order that is not the file's."""
    return at * 7_368_787 % rows  # a prime, so that none comes twice


def counted(path: Path) -> Counter[tuple[str, str]]:
    """How often each reason stands in a quarantine file; none if there is no file."""
    counts: Counter[tuple[str, str]] = Counter()
    if not path.exists():
        return counts
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["_reasons"]):
            reasons = pc.list_flatten(batch.column(0))
            counts.update((each["rule"], each["message"]) for each in reasons.to_pylist())
    return counts


def child(folder: Path) -> int:
    import duckdb

    assert duckdb
    Path("/proc/self/clear_refs").write_text("5")  # Linux counts the peak from here on
    before = status("VmRSS")
    began = cpu(), time.monotonic()
    result = run(Home.open(folder / MEMBER), folder / "permits.odcs.yaml")
    figures = {
        "records": result.records,
        "quarantined": result.quarantined,
        "cpu_s": cpu() - began[0],
        "seconds": time.monotonic() - began[1],
        "peak_mb": (status("VmHWM") - before) / 1000,
    }
    print(json.dumps(figures))
    return 0


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
