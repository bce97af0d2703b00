"""verify.py on a dataset of 1 GB against ``openssl dgst -sha256`` of the same files, in turns.

    .venv/bin/python benchmarks/run_evidence.py [--parts 4] [--rounds 5] [--keep DIR]

Both are processes of their own, start included, over the same files in the page cache. The version
is made up: random bytes under the names of parts, with a manifest, a statement, a receipt and a
bundle of a ledger of four members that is thrown away. Prints each round, and the ratio of medians,
in seconds on the clock and of the processor; ends with 1 where the first is more than 1.5.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

from zhixin_gateway.datasets.records import version_root
from zhixin_gateway.evidence import archive, verify
from zhixin_ledger import encoding

ROOT = Path(__file__).parents[1]
PART_BYTES = 256 * 1024 * 1024
LIMIT = 1.5
FIELDS: list[encoding.Json] = [{"name": "noise", "type": "binary"}]


def main() -> int:
    """Make the version, run both in turns, print, judge."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--parts", type=int, default=4, help="of 256 MiB each")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--keep", type=Path, help="make the version there and leave it")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhixin-evidence-") as scratch:
        folder = given.keep or Path(scratch)
        version, bundle = make_version(folder, given.parts)
        parts = sorted(str(path) for path in version.glob("*.parquet"))
        commands = {
            "openssl": ["openssl", "dgst", "-sha256", *parts],
            "verify.py": [sys.executable, verify.__file__, bundle, "--dataset", version],
        }
        print(f"{platform.machine()}, {os.cpu_count()} cores, {len(parts)} parts of 256 MiB")
        wall: dict[str, list[float]] = {name: [] for name in commands}
        busy: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(given.rounds + 1):  # the first warms the page cache
            for name, command in commands.items():
                seconds, cpu = timed([str(word) for word in command])
                if number:
                    wall[name].append(seconds)
                    busy[name].append(cpu)
                    print(f"  round {number} {name:9} {seconds:6.2f} s, {cpu:6.2f} s of CPU")
    ratio = statistics.median(wall["verify.py"]) / statistics.median(wall["openssl"])
    cpu_ratio = statistics.median(busy["verify.py"]) / statistics.median(busy["openssl"])
    print(f"verify.py / openssl: {ratio:.2f} on the clock, {cpu_ratio:.2f} of CPU (limit {LIMIT})")
    return int(ratio > LIMIT)


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds on the clock and of the processor that a command takes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout[-500:]}")
    return seconds, sum(after[at] - before[at] for at in (0, 1))


def make_version(folder: Path, count: int) -> tuple[Path, Path]:
    """Make a version's folder and its bundle; gives both paths."""
    world = tests_world()
    ledger = world.Ledger(folder / "ledger")
    version = folder / "version"
    version.mkdir(parents=True)
    parts: list[dict[str, encoding.Json]] = []
    for number in range(count):
        data = os.urandom(PART_BYTES)
        name = f"part-{number:05d}.parquet"
        (version / name).write_bytes(data)
        secrets = {key: os.urandom(32).hex() for key in ("root", "salt_key", "content")}
        digest = encoding.sha256_hex(data)
        parts.append(
            {"path": name, "records": "1", "bytes": str(len(data)), "sha256": digest, **secrets}
        )
    root = version_root(FIELDS, [(1, bytes.fromhex(str(part["root"]))) for part in parts]).hex()
    manifest = encoding.jcs(
        {
            "type": "zhixin/manifest/v1",
            "dataset": world.DATASET,
            "version": "1",
            "contract": {"version": "1.0.0", "sha256": encoding.sha256_hex(world.CONTRACT)},
            "fields": FIELDS,
            "records": str(count),
            "root": root,
            "parts": parts,
            "quality": [],
            "quarantined": "0",
            "source": {
                "system": "random",
                "object": "noise",
                "extracted_at": encoding.format_time(world.START),
                "watermark": None,
            },
            "inputs": [],
            "run": {"orchestrator": "", "id": ""},
        }
    )
    index = ledger.publish(root, encoding.sha256_hex(manifest))
    receipt = ledger.receipt(index, ledger.note())
    for name, data in (
        ("manifest.json", manifest),
        ("contract.yaml", world.CONTRACT),
        ("statement.json", ledger.entries[index]),
        ("receipt.tlog-proof", receipt),
    ):
        (version / name).write_bytes(data)
    bundle = folder / "bundle.zip"
    bundle.write_bytes(archive.format_bundle(ledger.bundle(index, receipt)))
    return version, bundle


def tests_world() -> ModuleType:
    """The made-up ledger of the tests."""
    place = ROOT / "tests" / "gateway" / "evidence" / "conftest.py"
    spec = importlib.util.spec_from_file_location("evidence_world", place)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{place} is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
