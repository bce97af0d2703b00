"""Bytes of strangers: a parser refuses them by a named error, or gives them back, and soon.

Hypothesis tries each target; atheris, which sees the coverage, tries all in one process.
`make fuzz` does the same for minutes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz_mutate import mutated
from fuzz_targets import TARGETS, Target
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
EXAMPLES = 200
HOSTILE = [
    b"", b"\x00", b"[" * 60_000, b'{"a":' * 10_000, b"9" * 65_536, b"A" * 65_536, b"\n" * 65_536,
    b" " * 65_536, b'"' + b"\\u0041" * 10_000 + b'"', b"-" * 65_536, b"a." * 30_000, b"\xff" * 4096,
    b"x001/" * 12_000, b"&a [" * 9_000, b"a: &a [*a]\n" * 3_000, b"\xe2\x80\x94 a AAAA\n" * 6_000,
    b"~", b"a = " + b"[" * 5_000, b"a = " + b"9" * 5_000, b"a = " + b"{b = " * 3_000,
    b'{"a":[' + b"{}," * 20_000 + b"{}]}", b"PAR1" + b"\x15" * 4_000 + b"\xa0\x0f\x00\x00PAR1",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_parser_takes_its_seeds(target: Target) -> None:
    """At least one seed is good: the mutants begin close to what is read."""
    seeds = target.seeds()
    assert seeds
    assert sum(target.check(seed) for seed in seeds)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_parser_is_done_with_hostile_bytes_in_time(target: Target) -> None:
    for data in HOSTILE:
        target.check(data)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_parser_refuses_by_name_or_gives_the_bytes_back(target: Target) -> None:
    seeds = list(target.seeds())

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(seeds), st.integers(0, 2**64 - 1))
    def tried(seed: bytes, chance: int) -> None:
        target.check(mutated(seed, Random(chance)))

    tried()


@pytest.mark.slow
def test_a_sample_of_what_atheris_finds(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "fuzz.py", "--runs", "15000", "--scratch", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Done 15000 runs" in done.stderr + done.stdout
