"""Work side by side: one thread that reads ahead, and threads that take what is handed on.

::

    source ─ ahead ─▶ (queue) ─▶ the caller ─▶ (queue) ─ Lane ─▶ done, one job after another

Queues hold a few items, so memory stays bounded. An error in any thread reaches the caller at its
next step, and leaving (by an error, by Ctrl-C) ends the threads: what waits is dropped, not done.
It pays where the work releases the GIL: drivers, Arrow, hashing, compression, files. For many items
of which each is worked on alone there is ``sidebyside``.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

__all__ = ["DEPTH", "Job", "Lane", "ahead"]

DEPTH = 2
"""How many items a queue holds: one is on its way while another is worked on. What waits is memory,
and a long run would fill any queue once."""

Job = Callable[[], object]
T = TypeVar("T")

_POLL_S = 0.1
_PATIENCE_S = 10.0
"""How long a source that is in the midst of a read is waited for when it is not wanted any more."""


class _End:
    """What a reading thread says last."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Lane:
    """A thread that does jobs in the order in which they were put.

    Args:
        name: of the thread.
        depth: how many jobs may wait.
    """

    def __init__(self, name: str, depth: int = DEPTH) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(depth)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._error: BaseException | None = None
        self._dropping = False

    def put(self, job: Job) -> None:
        """Hand a job over; waits while too many wait.

        Raises:
            BaseException: what an earlier job raised.
        """
        self._raise()
        if self._thread.ident is None:
            self._thread.start()
        self._jobs.put(job)

    def join(self) -> None:
        """Wait until all jobs are done, and end the thread.

        Raises:
            BaseException: what a job raised.
        """
        self._end()
        self._raise()

    def abandon(self) -> None:
        """Drop what waits and end the thread, whatever it says; may be called again."""
        self._dropping = True
        self._end()

    def _end(self) -> None:
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._dropping or self._error is not None:
                continue  # whoever puts must not wait for ever
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                self._error = error
            del job  # its records need not stay in memory while the next is waited for


@contextmanager
def ahead(
    source: Callable[[], Iterator[T]], depth: int = DEPTH, patience_s: float = _PATIENCE_S
) -> Iterator[Iterator[T]]:
    """Read a source in a thread of its own, a few items ahead.

    The source is opened, read and closed in that thread, as drivers want it.

    Args:
        source: gives the items; what it raises is raised where they are taken.
        depth: how many items may wait.
        patience_s: how long the thread is waited for at the end.

    Yields:
        The items.
    """
    found: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(
        target=_read, args=(source, found, stop), name="zhixin-read", daemon=True
    )
    thread.start()
    try:
        yield _taken(found)
    finally:
        stop.set()
        thread.join(patience_s)


def _taken(found: queue.Queue[T | _End]) -> Iterator[T]:
    while True:
        item = found.get()
        if not isinstance(item, _End):
            yield item
            del item
        elif item.error is not None:
            raise item.error
        else:
            return


def _read(
    source: Callable[[], Iterator[Any]], found: queue.Queue[Any], stop: threading.Event
) -> None:
    end = _End()
    try:
        items = source()
        try:
            for item in items:
                if not _offered(found, item, stop):
                    break
                del item
        finally:
            close = cast("Callable[[], None] | None", getattr(items, "close", None))
            if close is not None:
                close()
    except BaseException as error:  # noqa: BLE001 - the caller raises it
        end.error = error
    _offered(found, end, stop)


def _offered(found: queue.Queue[Any], item: object, stop: threading.Event) -> bool:
    """Put an item, unless nobody wants it any more."""
    while not stop.is_set():
        try:
            found.put(item, timeout=_POLL_S)
        except queue.Full:
            continue
        return True
    return False
