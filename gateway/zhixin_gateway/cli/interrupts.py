"""Ctrl-C that is neither lost nor mistaken for a fault.

An interrupt that comes while a module is being imported reaches whatever C code imports it, which
may swallow it (the job then runs on) or answer with an error of its own. So it waits until no
import or finalizer is under way, and is raised then. Other C code may swallow it all the same:
then the exception is gone before anybody has heard it, and it is raised once more.
"""

from __future__ import annotations

import signal
import threading
import weakref
from types import FrameType

__all__ = ["heard", "listen"]

_AGAIN_S = 0.02


def listen() -> None:
    """Take Ctrl-C from here on; in the main thread, and where the system has interval timers."""
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _interrupt)
        signal.signal(signal.SIGINT, _interrupt)


def heard() -> None:
    """Say that an interrupt has arrived where it ends the command: it need not come again."""
    _heard.set()


_heard = threading.Event()


class _Interrupt(KeyboardInterrupt):
    """Ctrl-C, in a form whose end can be watched."""


def _interrupt(_signal: int, frame: FrameType | None) -> None:
    if _is_deaf(frame):
        _again()
        return
    raise _watched()


def _watched() -> _Interrupt:
    """Make an interrupt; no frame of its traceback may hold it, or its end would not be seen."""
    interrupt = _Interrupt()
    weakref.finalize(interrupt, _again).atexit = False
    return interrupt


def _again() -> None:
    if not _heard.is_set():
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)


def _is_deaf(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") or code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
