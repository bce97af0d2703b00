"""Watching witnesses: who cosigned when, who fails, and whom to spare for a while.

One that fails or is slow is asked again after growing, jittered pauses, so that it costs the others
nothing; where the quorum is missing without it, it is asked all the same. One that still works on
the last question is not asked another.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

from zhixin_errors import LedgerUnavailable, ZhixinError

from zhixin_ledger.gathering import WitnessTransport

__all__ = ["Watched"]

_SLOW_S = 2.0
_FIRST_PAUSE_S = 1.0
_LAST_PAUSE_S = 60.0


class Watched:
    """A witness, and what is known of it.

    Args:
        witness: how it is asked.
    """

    def __init__(self, witness: WitnessTransport) -> None:
        self.failures = 0
        self.last_success_s: float | None = None
        self.size = 0
        self.fault: str | None = None
        self._witness = witness
        self._asked = threading.Lock()
        self._pause_s = _FIRST_PAUSE_S
        self._not_before = 0.0

    @property
    def name(self) -> str:
        """The member's name."""
        return self._witness.name

    @property
    def willing(self) -> bool:
        """Say whether it is to be asked now, if others can do without it."""
        return time.monotonic() >= self._not_before and not self._asked.locked()

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        """See WitnessTransport."""
        if not self._asked.acquire(blocking=False):
            raise LedgerUnavailable("it still works on the last question", code="busy")
        try:
            began = time.monotonic()
            lines = self._witness.add_checkpoint(old_size, proof, note)
            if time.monotonic() - began > _SLOW_S:
                self._spare()
            return lines
        finally:
            self._asked.release()

    def latest(self, origin: str) -> bytes | None:
        """See WitnessTransport."""
        return self._witness.latest(origin)

    def succeeded(self, size: int) -> None:
        """It cosigned so many entries."""
        self.last_success_s = time.time()
        self.size = size
        self.fault = None
        if time.monotonic() >= self._not_before:
            self._pause_s = _FIRST_PAUSE_S

    def failed(self, fault: ZhixinError) -> None:
        """It did not answer, or not well."""
        self.failures += 1
        self.fault = fault.code
        self._spare()

    def _spare(self) -> None:
        self._not_before = time.monotonic() + self._pause_s * random.uniform(0.75, 1.25)  # noqa: S311
        self._pause_s = min(2 * self._pause_s, _LAST_PAUSE_S)
