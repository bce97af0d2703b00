"""What tests of the pipeline share: runs that are killed at a step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def runner():
    """Runs a contract in a process of its own, killed at ``step`` where one is given: its code."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", Path(__file__).with_name("crashing.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def run(home, contract, step=None):
        store = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        request = {"home": str(home.path), "contract": str(contract), "step": step, "env": store}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    yield run
    process.stdin.close()
    process.wait(30)
    process.stdout.close()
