"""Coverage-guided fuzzing of the targets by atheris.

    python tests/fuzz/fuzz.py --runs N              all targets in one process, so many inputs
    python tests/fuzz/fuzz.py --seconds S           each target in a process of its own, S seconds
    python tests/fuzz/fuzz.py --seconds S NAME …    only these

A corpus is made of the seeds, and kept in --scratch with whatever widened the coverage. An input
that shows a bug is written there as crash-…; `--replay NAME FILE` tries it again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import atheris

MAX_BYTES = 1 << 16


def fuzz(names: list[str], scratch: Path, options: list[str]) -> None:
    """Fuzz targets in this process; the first byte of an input says which."""
    with atheris.instrument_imports(
        include=["zhixin_ledger", "zhixin_gateway.datasets", "zhixin_gateway.gate",
            "zhixin_gateway.evidence",
            "zhixin_gateway.backups",
                 "zhixin_gateway.settings", "zhixin_schemas"]
    ):  # fmt: skip
        from fuzz_mutate import mutated
        from fuzz_targets import BY_NAME, seed_digest
    targets = [BY_NAME[name] for name in names] or list(BY_NAME.values())
    corpus = scratch / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, target in enumerate(targets):
        for seed in target.seeds():
            data = bytes([number]) + seed
            (corpus / seed_digest(data)).write_bytes(data)

    def one(data: bytes) -> None:
        if data:
            targets[data[0] % len(targets)].check(data[1:])

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = Random(seed)
        if len(data) < 2 or chance.random() < 0.3:
            return atheris.Mutate(data, max_size)
        return data[:1] + mutated(data[1:], chance)[: max_size - 1]

    arguments = [
        sys.argv[0], f"-max_len={MAX_BYTES}", "-timeout=20", "-rss_limit_mb=4096", "-verbosity=1",
        f"-artifact_prefix={scratch}/", *options, str(corpus),
    ]  # fmt: skip
    atheris.Setup(arguments, one, custom_mutator=mutate, internal_libfuzzer=True)
    atheris.Fuzz()


def fuzz_each(names: list[str], scratch: Path, seconds: int) -> int:
    """Fuzz each target in a process of its own, as many at once as there are cores."""

    def run(name: str) -> tuple[str, subprocess.CompletedProcess[str]]:
        folder = scratch / name.replace(" ", "-").replace("'", "")
        command = [sys.executable, __file__, "--runs", "-1", "--for", str(seconds)]
        done = subprocess.run(
            [*command, "--scratch", folder, name], capture_output=True, text=True, check=False
        )
        return name, done

    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, done in pool.map(run, names):
            lines = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
            print(f"{name}: {lines[-1] if lines else 'FAILED'}", flush=True)
            if done.returncode:
                failed += 1
                print(done.stdout[-4000:] + done.stderr[-4000:], flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="targets; none: all")
    parser.add_argument("--runs", type=int, help="inputs, all targets in one process; -1: no end")
    parser.add_argument("--for", type=int, dest="limit_s", default=0, help="end --runs after that")
    parser.add_argument("--seconds", type=int, default=20, help="of each target")
    parser.add_argument("--scratch", type=Path, help="where corpus and crashes go")
    parser.add_argument("--replay", nargs=2, metavar=("NAME", "FILE"), help="try one input")
    options = parser.parse_args()
    scratch = options.scratch or Path(tempfile.mkdtemp(prefix="zhixin-fuzz-"))
    if options.replay:
        from fuzz_targets import BY_NAME

        data = Path(options.replay[1]).read_bytes()
        print("taken" if BY_NAME[options.replay[0]].check(data[1:]) else "refused")
        return 0
    if options.runs is not None:
        ends = [f"-runs={options.runs}", "-seed=1"]
        fuzz(options.names, scratch, [*ends, f"-max_total_time={options.limit_s}"])
        return 0
    from fuzz_targets import BY_NAME

    print(f"corpus and crashes: {scratch}", flush=True)
    return min(1, fuzz_each(options.names or list(BY_NAME), scratch, options.seconds))


if __name__ == "__main__":
    sys.exit(main())
