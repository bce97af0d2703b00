"""The way in: requests queue, one thread writes them in groups, each answered when it is durable.

An event loop hands envelopes over without waiting; the thread takes whatever is queued, up to a
block, has it written and synced once, and hands all answers back in one call. So the loop's cost a
request is a queue's, and the disk's cost is shared by all that wait. The queue is bounded: beyond
it a client is told to come again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread

from zhixin_errors import LedgerError, LedgerUnavailable

from zhixin_ledger.embedded import GROUP, Engine

__all__ = ["Intake", "Taken"]

CAPACITY = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """An envelope that is durable.

    Args:
        index: its place in the ledger.
        fresh: whether it was not there before.
    """

    index: int
    fresh: bool


@dataclass(slots=True)
class _Waiting:
    data: bytes
    future: asyncio.Future[Taken] = field(repr=False)


class Intake:
    """The queue before an engine, and the thread that empties it.

    Args:
        engine: it writes; nobody else may write meanwhile.
        size: how many entries are durable.
        on_durable: told the new size after each group, on the writing thread.
        capacity: how many envelopes may wait.
    """

    def __init__(
        self,
        engine: Engine,
        size: int,
        on_durable: Callable[[int], None],
        capacity: int = CAPACITY,
    ) -> None:
        self.size = size
        self.entries = 0
        self.refused = 0
        self._engine = engine
        self._on_durable = on_durable
        self._capacity = capacity
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run, name="intake", daemon=True)

    @property
    def waiting(self) -> int:
        """How many envelopes wait to be written."""
        return self._queue.qsize()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to write; answers come back on `loop`."""
        self._loop = loop
        self._thread.start()

    def submit(self, data: bytes) -> asyncio.Future[Taken]:
        """Queue an envelope; on the loop's thread.

        Returns:
            What becomes of it; a `LedgerError` where it is not taken.

        Raises:
            LedgerUnavailable: `overloaded`: the queue is full; `stopping`.
        """
        if self._loop is None or self._closed:
            raise LedgerUnavailable("this server is ending: try again in a moment", code="stopping")
        if self._queue.qsize() >= self._capacity:
            raise LedgerUnavailable(
                f"{self._capacity} entries wait to be written: try again in a moment",
                code="overloaded",
            )
        waiting = _Waiting(data, self._loop.create_future())
        self._queue.put(waiting)
        return waiting.future

    def refuse(self) -> None:
        """Take nothing more; what is queued is still written."""
        self._closed = True

    def close(self, timeout_s: float = 30) -> None:
        """Write what is queued and end the thread; not on the loop's thread."""
        self._closed = True
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        ended = False
        while not ended:
            group = [self._queue.get()]
            while len(group) < GROUP:
                try:
                    group.append(self._queue.get_nowait())
                except Empty:
                    break
            ended = None in group
            self._write([item for item in group if item is not None])

    def _write(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            outcomes = self._engine.submit_many([item.data for item in group])
        except LedgerError as fault:
            outcomes = [fault] * len(group)
        except Exception:  # whatever it was, the thread goes on
            log.exception("a group of entries could not be written")
            unknown = LedgerUnavailable("the entry was not written", code="internal")
            outcomes = [unknown] * len(group)
        answers = self._judged(outcomes)
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(_answer, group, answers)

    def _judged(self, outcomes: Sequence[int | LedgerError]) -> list[Taken | LedgerError]:
        before, seen = self.size, set[int]()
        answers: list[Taken | LedgerError] = []
        for outcome in outcomes:
            if isinstance(outcome, LedgerError):
                self.refused += 1
                answers.append(outcome)
                continue
            fresh = outcome >= before and outcome not in seen
            seen.add(outcome)
            answers.append(Taken(outcome, fresh))
            self.entries += fresh
        if seen and max(seen) >= before:
            self.size = max(seen) + 2  # the group's seal follows its last entry
            self._on_durable(self.size)
        return answers


def _answer(group: list[_Waiting], answers: list[Taken | LedgerError]) -> None:
    """Answer a whole group; on the loop's thread."""
    for item, answer in zip(group, answers, strict=True):
        if item.future.done():  # its client has gone
            continue
        if isinstance(answer, Taken):
            item.future.set_result(answer)
        else:
            item.future.set_exception(answer)
