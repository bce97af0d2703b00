"""What comes in from outside: the time, and whoever watches the steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

__all__ = ["Clock", "Hook", "no_hook"]

Clock = Callable[[], datetime]
"""Gives aware times."""

Hook = Callable[[str], None]
"""Called with a step's name just before the step: for progress, and to die there in a test."""


def no_hook(step: str) -> None:
    """Do nothing before a step."""
    del step
