"""What a figure was measured on, and from which commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from zhixin_gateway.datasets import hashing

__all__ = ["ROOT", "commit", "machine"]

ROOT = Path(__file__).parents[2]
FLAGS = ("sha_ni", "aes", "vaes", "avx2", "avx512f", "sha2", "asimd")  # the last two: arm64's


def machine() -> dict[str, Any]:
    """Processor, memory, system and the versions of what is measured."""
    told = Path("/proc/cpuinfo").read_text()
    flags = set(_first(r"^(?:flags|Features)\s*: (.*)$", told).split())
    memory = int(_first(r"^MemTotal:\s+(\d+) kB$", Path("/proc/meminfo").read_text()))
    names = ("pyarrow", "adbc-driver-postgresql", "duckdb", "numpy")
    return {
        "cpu": _first(r"^(?:model name|CPU part)\s*: (.*)$", told),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in FLAGS if flag in flags],
        "ram_gb": round(memory * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in names},
            "zhixin_kernel": hashing.kernel(),
            "openssl": _said("openssl", "version").split()[1],
        },
    }


def commit() -> dict[str, Any]:
    """The commit that is measured, and whether files differ from it."""
    return {
        "commit": _said("git", "rev-parse", "HEAD"),
        "changed_files": bool(_said("git", "status", "--porcelain", "-uno")),
    }


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, flags=re.MULTILINE)
    return found[1].strip() if found else ""


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
