"""The way out: one thread publishes whatever is durable, and hands receipts to those who wait.

It publishes as soon as something durable is not covered, and at least once an hour has the newest
checkpoint cosigned again. While the quorum is missing it tries again with growing, jittered pauses;
nothing is lost meanwhile, and it says how old the oldest uncovered entry is.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from threading import Condition, Thread

from zhixin_errors import LedgerUnavailable, ZhixinError

from zhixin_ledger import checkpoint, tlogproof
from zhixin_ledger.embedded import Engine
from zhixin_ledger.gathering import REFRESH_S, WitnessTransport
from zhixin_ledger.http.watching import Watched
from zhixin_ledger.note import Note
from zhixin_ledger.tiles import Tiles

__all__ = ["Publisher"]

INTERVAL_S = 0.1
MAX_WAITERS = 10_000
_FIRST_PAUSE_S = 0.5
_LAST_PAUSE_S = 15.0

log = logging.getLogger(__name__)


class Publisher:
    """Publishes an engine's checkpoints.

    Args:
        engine: whose.
        witnesses: who is asked to cosign.
        size: how many entries are durable.
        interval_s: between two publications at least.
        refresh_s: after how long an idle ledger's checkpoint is cosigned again.
    """

    def __init__(
        self,
        engine: Engine,
        witnesses: Sequence[WitnessTransport],
        size: int,
        *,
        interval_s: float = INTERVAL_S,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self.failures = 0
        self.published = 0
        self.fault: ZhixinError | None = None
        self._engine = engine
        self.witnesses = tuple(Watched(witness) for witness in witnesses)
        self._interval_s = interval_s
        self._refresh_s = refresh_s
        self._news = Condition()
        self._size = size
        self._waiters: list[tuple[int, asyncio.Future[bytes]]] = []
        self._pending_since: float | None = None
        self._note: Note | None = None
        self._fresh_until = 0.0
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run, name="publisher", daemon=True)
        self._take_up()

    @property
    def pending_age_s(self) -> float:
        """How long the oldest entry that no published checkpoint covers has waited; 0: none."""
        since = self._pending_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def waiting(self) -> int:
        """How many wait for a receipt."""
        return len(self._waiters)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; receipts come back on `loop`."""
        self._loop = loop
        self._thread.start()

    def grown(self, size: int) -> None:
        """Hear that so many entries are durable."""
        with self._news:
            self._size = size
            if self._pending_since is None:
                self._pending_since = time.monotonic()
            self._news.notify()

    def receipt(self, index: int) -> asyncio.Future[bytes]:
        """Wait for an entry's receipt; on the loop's thread.

        Returns:
            The receipt's bytes, or `LedgerUnavailable` where this server ends first.

        Raises:
            LedgerUnavailable: `overloaded`: too many wait; `stopping`.
        """
        if self._loop is None or self._closed:
            raise _stopping()
        future: asyncio.Future[bytes] = self._loop.create_future()
        with self._news:
            if len(self._waiters) >= MAX_WAITERS:
                self._waiters = [each for each in self._waiters if not each[1].done()]
            if len(self._waiters) >= MAX_WAITERS:
                raise LedgerUnavailable("too many wait for a receipt", code="overloaded")
            self._waiters.append((index, future))
            self._news.notify()
        return future

    def dismiss(self) -> None:
        """Let go who waits for a receipt, and publish nothing more."""
        with self._news:
            self._closed = True
            left, self._waiters = self._waiters, []
            self._news.notify()
        self._hand_over([(future, _stopping()) for _, future in left])

    def close(self, timeout_s: float = 5) -> None:
        """End; who waits hears of it. Not on the loop's thread."""
        self.dismiss()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _take_up(self) -> None:
        """Go on from what an earlier process published."""
        self._note = self._engine.published()
        self.published = 0 if self._note is None else checkpoint.parse(self._note.text).size
        if self.published < self._size:
            self._pending_since = time.monotonic()

    def _run(self) -> None:
        pause_s, not_before = _FIRST_PAUSE_S, 0.0
        while self._wait(not_before):
            began = time.monotonic()
            self._serve_waiters()
            if not self._due():
                continue
            if self._publish():
                pause_s, not_before = _FIRST_PAUSE_S, began + self._interval_s
                self._serve_waiters()
            else:
                not_before = time.monotonic() + pause_s * random.uniform(0.75, 1.25)  # noqa: S311
                pause_s = min(2 * pause_s, _LAST_PAUSE_S)

    def _wait(self, not_before: float) -> bool:
        """Wait until there is something to do, and it may be done; False: the end."""
        with self._news:
            while not self._closed:
                now = time.monotonic()
                if self._servable() or (now >= not_before and self._due()):
                    return True
                due_s = not_before - now if self._due() else self._fresh_until - now
                self._news.wait(max(0.001, due_s))
            return False

    def _due(self) -> bool:
        return self.published < self._size or time.monotonic() >= self._fresh_until

    def _servable(self) -> bool:
        return any(index < self.published for index, _ in self._waiters)

    def _publish(self) -> bool:
        with self._news:
            began, aim = time.monotonic(), self._size
        try:
            note = self._gather(refresh=self.published >= aim)
        except ZhixinError as fault:
            return self._failed(fault)
        except Exception:  # whatever it was, this thread goes on
            log.exception("a checkpoint could not be published")
            return self._failed(LedgerUnavailable("a fault of this server's", code="internal"))
        with self._news:
            self._note, self.fault = note, None
            self.published = checkpoint.parse(note.text).size
            self._fresh_until = time.monotonic() + self._refresh_s
            self._pending_since = began if self.published < self._size else None
        return True

    def _failed(self, fault: ZhixinError) -> bool:
        self.failures += 1
        self.fault = fault
        return False

    def _gather(self, *, refresh: bool) -> Note:
        """Publish by the witnesses that are willing; where they are too few, by all."""
        willing = [witness for witness in self.witnesses if witness.willing]
        if len(willing) < len(self.witnesses):
            try:
                return self._engine.publish(willing, refresh=refresh, observe=self._observe)
            except LedgerUnavailable as fault:
                if fault.code != "quorum":
                    raise
        return self._engine.publish(self.witnesses, refresh=refresh, observe=self._observe)

    def _observe(self, witness: WitnessTransport, fault: ZhixinError | None) -> None:
        if isinstance(witness, Watched):
            if fault is None:
                witness.succeeded(self._size)
            else:
                witness.failed(fault)

    def _serve_waiters(self) -> None:
        with self._news:
            ready = [waiter for waiter in self._waiters if waiter[0] < self.published]
            self._waiters = [waiter for waiter in self._waiters if waiter[0] >= self.published]
        if not ready or self._note is None:
            return
        tree = Tiles(self._engine.source, self.published)
        note = self._note.format()
        made: list[tuple[asyncio.Future[bytes], bytes | ZhixinError]] = []
        for index, future in ready:
            try:
                path = tree.inclusion_path(index)
                made.append((future, tlogproof.format_receipt(index, path, note)))
            except ZhixinError as fault:
                made.append((future, fault))
        self._hand_over(made)

    def _hand_over(self, made: list[tuple[asyncio.Future[bytes], bytes | ZhixinError]]) -> None:
        if self._loop is not None and not self._loop.is_closed() and made:
            self._loop.call_soon_threadsafe(_answer, made)


def _stopping() -> LedgerUnavailable:
    return LedgerUnavailable(
        "this server is ending; what it acknowledged is in the ledger", code="stopping"
    )


def _answer(made: list[tuple[asyncio.Future[bytes], bytes | ZhixinError]]) -> None:
    for future, answer in made:
        if future.done():
            continue
        if isinstance(answer, bytes):
            future.set_result(answer)
        else:
            future.set_exception(answer)
