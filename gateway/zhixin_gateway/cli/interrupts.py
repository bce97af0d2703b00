"""Ctrl-C that is neither lost nor mistaken for a fault.

An interrupt that comes while a module is being imported reaches whatever C code imports it, which
may swallow it (the job then runs on) or answer with an error of its own. So it waits until no
import is under way, and is raised then.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

__all__ = ["listen"]

_AGAIN_S = 0.02


def listen() -> None:
    """Take Ctrl-C from here on; in the main thread, and where the system has interval timers."""
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    if _importing(frame):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        return
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
