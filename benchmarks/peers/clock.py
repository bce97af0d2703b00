"""The clock that ours and every peer run under; Python's standard library alone.

A script gets a job, a JSON file, as its one argument, and answers into the file that the job names
``answer``. What it will import is imported before its clock starts: ``preload`` names the modules
that an earlier run of the same script was found to import on the way (``late``), so that nobody's
figure holds the reading of modules. Linux counts the peak of memory from the same moment on.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["measure", "status_kb"]

Job = dict[str, Any]


def measure(work: Callable[[Job], dict[str, Any]]) -> None:
    """Do the job of the command line under the clock, and answer.

    Args:
        work: gets the job; gives what else there is to say.
    """
    job: Job = json.loads(Path(sys.argv[1]).read_text())
    for name in job.get("preload", ()):
        with suppress(ImportError):  # a part of a module that its own import makes
            importlib.import_module(name)
    known = set(sys.modules)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = status_kb("VmRSS")
    began, cpu = time.perf_counter(), time.process_time()
    told = work(job)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    told |= {
        "seconds": seconds,
        "cpu_s": cpu,
        "peak_extra_mb": (status_kb("VmHWM") - before) / 1000,
        "late": sorted(set(sys.modules) - known),
    }
    Path(job["answer"]).write_text(json.dumps(told))


def status_kb(name: str) -> int:
    """A figure of /proc/self/status, in kB."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f"this kernel does not tell {name}")
    return int(found[1])
