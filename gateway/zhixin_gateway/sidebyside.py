"""Several things at once, in threads: what takes the time here lets go of Python's lock.

Hashing, decoding and the native kernel do. Answers come in the order of what was asked, and so do
errors: the first item that fails is the one that is told of, whichever was done first. Who stops
asking, by an error or by Ctrl-C, leaves no thread behind: each looks at its `Stop` between the
steps of its work. For one stream that threads hand on from step to step there is ``lanes``.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["Stop", "Stopped", "cores", "in_order", "read_ahead"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Stopped(Exception):
    """Nobody waits for the answer any more; never leaves `in_order`."""


class Stop:
    """Whether work is still wanted."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Say that it is not."""
        self._event.set()

    def check(self) -> None:
        """Go on only where it is.

        Raises:
            Stopped: it is not.
        """
        if self._event.is_set():
            raise Stopped


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    work: Callable[[Item, Stop], Answer],
    items: Iterable[Item],
    *,
    threads: int,
    waiting: int,
    discard: Callable[[Answer], None] | None = None,
) -> Iterator[Answer]:
    """Work on several items at once and give the answers in the items' order.

    Args:
        work: what is done with an item.
        items: taken as they are needed.
        threads: how many at once.
        waiting: how many may be begun beyond the one that is given next; with 0 all is done by the
            caller's own thread, when it asks.
        discard: what is done with an answer that nobody takes.

    Yields:
        The answers.
    """
    stop = Stop()
    if waiting < 1:
        for item in items:
            yield work(item, stop)
        return
    from concurrent.futures import ThreadPoolExecutor

    begun: deque[Future[Answer]] = deque()
    pool = ThreadPoolExecutor(threads, "zhixin-part")
    try:
        for item in items:
            begun.append(pool.submit(work, item, stop))
            if len(begun) > waiting:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        for future in begun:
            if discard and not future.cancelled() and future.exception() is None:
                discard(future.result())


def read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Give what an iterator gives, while a thread is fetching the item after it."""

    def fetch(end: None, _stop: Stop) -> Item | None:
        return next(items, end)

    for item in in_order(fetch, repeat(None), threads=1, waiting=1):
        if item is None:
            return
        yield item
