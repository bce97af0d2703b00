"""Measured processes: each repetition is a fresh one, with two clocks.

``process_s`` runs from its start to its end, imports included; ``seconds`` is the script's own
(`peers/clock.py`), from after its imports to done: the data path. A process that fails ends the
benchmark, for a figure of what did not happen is worth nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Contestant", "Sample", "run_command"]

Sample = dict[str, Any]
LAUNCH = Path(__file__).with_name("launch.py")
TIMEOUT_S = 900
QUIET = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
}
"""Nobody calls home while the clock runs."""


def run_command(command: Sequence[str | Path], log: Path, **environ: str) -> Sample:
    """Run a command to its end; gives its seconds, its processor time and its peak of memory.

    Raises:
        RuntimeError: it ended with something else than 0; its last words are told.
    """
    words = [str(word) for word in command]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", LAUNCH, log, *words],
        stdout=subprocess.PIPE,
        env={**_plain_environ(), **QUIET, **environ},
        start_new_session=True,  # an interrupt is for the benchmark, which ends what it started
    )
    try:
        told, _ = process.communicate(timeout=TIMEOUT_S)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        last = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{words[0]} … failed:\n{last}")
    sample: Sample = json.loads(told)
    return sample


def _plain_environ() -> dict[str, str]:
    """Ours without what would choose a home, or another way through it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ZHIXIN_")}


@dataclass
class Contestant:
    """Something that is timed: a script, and the interpreter of its environment.

    Args:
        name: as the results have it.
        script: gets the job's path; answers as `peers/clock.py` has it.
        job: what it is told, besides where to put things.
        python: of its own environment; ours by default.
        environ: variables of its process.
        preload: filled by its first run with what it imports on the way.
    """

    name: str
    script: Path
    job: Mapping[str, Any]
    python: Path = Path(sys.executable)
    environ: Mapping[str, str] = field(default_factory=dict)
    preload: list[str] = field(default_factory=list)

    def run(self, out: Path, **more: Any) -> Sample:
        """One repetition, in a fresh process.

        Args:
            out: an empty folder for what it writes.
            more: what this repetition's job says besides.
        """
        out.mkdir(parents=True, exist_ok=True)
        job, answer = out / "job.json", out / "answer.json"
        told = {**self.job, **more, "out": str(out), "answer": str(answer)}
        job.write_text(json.dumps({**told, "preload": self.preload}))
        sample = run_command([self.python, self.script, job], out / "log", **self.environ)
        sample |= json.loads(answer.read_text())
        late: list[str] = sample.pop("late")
        self.preload += [name for name in late if name not in self.preload]
        return sample
