"""The peers' environments: one each, from its own lock with hashes, in `.venv-bench/` (ignored)."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from suite.machine import ROOT

__all__ = ["peer_python", "peer_versions"]

LOCKS = ROOT / "benchmarks" / "peers"
PLACE = ROOT / ".venv-bench"


def peer_python(name: str) -> Path:
    """The interpreter of a peer's environment; it is made first where its lock is new."""
    place = PLACE / name
    stamp = place / "lock.sha256"
    lock = LOCKS / f"{name}.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != digest:
        print(f"installing the peer {name} as {lock.relative_to(ROOT)} has it", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        python = place / "bin" / "python"
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, place], check=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", python, "--compile-bytecode",
             "--require-hashes", "-r", lock],
            check=True,
        )  # fmt: skip
        stamp.write_text(digest)
    return place / "bin" / "python"


def peer_versions() -> dict[str, str]:
    """What each peer's lock says of what it is named for."""
    named = {path.stem for path in LOCKS.glob("*.txt")} - {"raw"}
    return {
        name: found[1]
        for name in sorted(named)
        if (found := re.search(rf"^{name}==(\S+)", (LOCKS / f"{name}.txt").read_text(), re.M))
    }
