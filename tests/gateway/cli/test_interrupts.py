"""Ctrl-C ends a command even where C code has swallowed it once."""

from __future__ import annotations

import subprocess
import sys

SWALLOWING = """
import os, signal, sys, time
from zhixin_gateway.cli import interrupts
interrupts.listen()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)
except KeyboardInterrupt:
    pass  # as C code does that clears every error
sys.stdout.write("swallowed ")
try:
    time.sleep(20)
except KeyboardInterrupt:
    interrupts.heard()
    sys.stdout.write("heard ")
time.sleep(0.2)
sys.stdout.write("once")
"""


def test_an_interrupt_that_was_swallowed_comes_again_and_one_that_was_heard_does_not():
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWING], capture_output=True, text=True, timeout=15, check=False
    )
    assert (done.returncode, done.stdout) == (0, "swallowed heard once"), done.stderr
