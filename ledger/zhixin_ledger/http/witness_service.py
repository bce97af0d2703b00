"""A witness at work: one thread that touches the copy, and what others may know meanwhile.

Everything that touches the copy happens on that thread, one thing at a time: who asks while it is
at work waits for so long, then is told to come again. Between questions the copy follows what the
log published, so that a question seldom waits for more than the newest block.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import CollectorRegistry, Metric
from zhixin_errors import LedgerRefused, LedgerUnavailable, ZhixinError

from zhixin_ledger import checkpoint, forks, tiles
from zhixin_ledger.gathering import WITNESS_CONFLICT, WitnessTransport
from zhixin_ledger.http.observing import Gauges, counter, gauge
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note
from zhixin_ledger.signers import Signer
from zhixin_ledger.steps import Clock
from zhixin_ledger.tiles import TileSource
from zhixin_ledger.witness import Witness

__all__ = ["WitnessOptions", "WitnessService"]

MAX_WAITING = 16
MAX_CODES = 50

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WitnessOptions:
    """How a witness is run.

    Args:
        poll_s: how often the copy looks for what the log published.
        wait_s: how long a question waits for its turn.
        peers: other members' witnesses, who are asked where the copy was put back.
        tell: takes a line about what an operator should know.
    """

    poll_s: float = 2.0
    wait_s: float = 10.0
    peers: Sequence[WitnessTransport] = ()
    tell: Callable[[str], object] = lambda _line: None


@dataclass(slots=True)
class _Seen:
    """What the service last saw, told without touching the copy."""

    origin: str | None = None
    size: int = 0
    published: int = 0
    log_size: int = 0
    cosigned: int = 0
    cosigned_s: int = 0
    latest: bytes | None = None
    reports: tuple[str, ...] = ()
    fault: ZhixinError | None = None
    cosignatures: int = 0
    refusals: Counter[str] = field(default_factory=Counter)


class WitnessService:
    """A witness at work.

    Args:
        member: the member's name.
        mirror: its copy; closed by who opened it.
        load: opens the cosigner keys; called again where none of them is in force.
        source: the log's files.
        clock: gives aware times.
        options: how it is run.
    """

    def __init__(  # noqa: PLR0917 - what a witness is made of
        self,
        member: str,
        mirror: Mirror,
        load: Callable[[], Sequence[Signer]],
        source: TileSource,
        clock: Clock,
        options: WitnessOptions | None = None,
    ) -> None:
        self.member = member
        self.mirror = mirror
        self.options = options or WitnessOptions()
        self.seen = _Seen()
        self.registry = CollectorRegistry()
        self.registry.register(Gauges(self.figures))
        self._load = load
        self._source = source
        self._clock = clock
        self._witness = self._made()
        self._look()
        self._worker = ThreadPoolExecutor(1, "witness")
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._poller: asyncio.Task[None] | None = None

    # On the loop's thread.

    def start(self) -> None:
        """Begin to follow the log."""
        self._poller = asyncio.get_running_loop().create_task(self._follow_for_ever())

    async def stop(self) -> None:
        """End once what is under way is done."""
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
        await asyncio.to_thread(self._worker.shutdown)

    async def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        """Cosign, when it is this question's turn.

        Raises:
            LedgerUnavailable: `overloaded`: too many wait, or it took too long; or as `Witness`.
            LedgerRefused: as `Witness`.
        """
        if self._waiting >= MAX_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(self.options.wait_s):
                await self._turn.acquire()
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1
        return await self._run(lambda: self._add(old_size, proof, note))

    async def _follow_for_ever(self) -> None:
        while True:
            await self._turn.acquire()
            await self._run(self.follow)
            await asyncio.sleep(self.options.poll_s)

    async def _run(self, work: Callable[[], T]) -> T:
        """Work on the copy's thread; the turn, which the caller has, ends with the work."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._worker, work)
        future.add_done_callback(lambda _done: self._turn.release())
        return await asyncio.shield(future)

    # On the copy's thread.

    def _add(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        try:
            lines = self._asked(old_size, proof, note)
        except ZhixinError as fault:
            if fault.code != WITNESS_CONFLICT:
                self._count(fault.code)
                self.options.tell(f"refused a checkpoint: {fault.code}: {fault.message}")
            raise
        finally:
            self._look()
        self.seen.cosignatures += 1
        return lines

    def _count(self, code: str) -> None:
        """Count a refusal; codes that the log made up have one place together."""
        refusals = self.seen.refusals
        refusals[code if code in refusals or len(refusals) < MAX_CODES else "other"] += 1

    def _asked(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        try:
            return self._witness.add_checkpoint(old_size, proof, note)
        except LedgerRefused as fault:
            if fault.code != "witness-key":
                raise
        self._witness = self._made()  # a rotation may have brought a key meanwhile
        return self._witness.add_checkpoint(old_size, proof, note)

    def _made(self) -> Witness:
        return Witness(
            self.member, self.mirror, self._load(), self._source, self._clock, self.options.peers
        )

    def follow(self) -> None:
        """Bring the copy up to what the log published; what goes wrong is told, not raised."""
        fault: ZhixinError | None = None
        try:
            data = self._source.read(tiles.CHECKPOINT)
            if data is not None:
                self._follow(Note.parse(data, "the log's checkpoint"))
        except ZhixinError as caught:
            fault = caught
        except Exception:  # whatever it was, the next round is due
            log.exception("the copy could not be brought on")
            fault = LedgerUnavailable("a fault of this witness's own", code="internal")
        before = self.seen.fault
        self.seen.fault = fault
        if fault is not None and (before is None or before.message != fault.message):
            self.options.tell(f"can't follow the log: {fault.code}: {fault.message}")
        self._look()

    def _follow(self, note: Note) -> None:
        kept = self.mirror.note()
        self.seen.log_size = checkpoint.parse(note.text).size
        if kept != note:
            self.mirror.follow(note, self._source)
            self.mirror.keep(note)

    def _look(self) -> None:
        """See how things stand now, for who asks meanwhile."""
        seen = self.seen
        with suppress(ZhixinError):
            seen.origin, seen.size = self.mirror.origin, self.mirror.state().size
            made = self.mirror.checkpoint()
            seen.published = 0 if made is None else made.size
            last = self.mirror.cosigned()
            seen.cosigned, seen.cosigned_s = (0, 0) if last is None else (last[0], last[2])
            seen.latest = self.mirror.cosigned_note()
        names = tuple(path.name for path in forks.kept(self.mirror.directory))
        for name in sorted(set(names) - set(seen.reports)):
            self.options.tell(
                f"EQUIVOCATION: two signed checkpoints contradict each other: see "
                f"`zhixin ledger equivocation {name}`"
            )
        seen.reports = names

    # Anywhere.

    def status(self) -> dict[str, object]:
        """Tell how it stands."""
        seen = self.seen
        ahead_s = seen.cosigned_s - int(self._clock().timestamp())
        return {
            "member": self.member,
            "origin": seen.origin,
            "size": seen.size,
            "published": seen.published,
            "log_size": seen.log_size,
            "lag": max(0, seen.log_size - seen.published),
            "cosigned": {"size": seen.cosigned, "time_s": seen.cosigned_s},
            "clock_behind_s": max(0, ahead_s),
            "cosignatures": seen.cosignatures,
            "refusals": dict(seen.refusals),
            "equivocation": len(seen.reports),
            "fault": None
            if seen.fault is None
            else {"code": seen.fault.code, "message": seen.fault.message},
        }

    def figures(self) -> Iterator[Metric]:
        """Tell the same to Prometheus."""
        seen = self.seen
        behind_s = max(0, seen.cosigned_s - int(self._clock().timestamp()))
        for name, told, value in (
            ("mirror_entries", "Entries that the copy has replayed.", seen.size),
            ("mirror_published_entries", "Entries that it has with a quorum.", seen.published),
            (
                "mirror_lag_entries",
                "Entries that the log published and the copy has not.",
                max(0, seen.log_size - seen.published),
            ),
            ("mirror_stuck", "Whether the log can't be followed.", int(seen.fault is not None)),
            ("cosigned_entries", "Size of the checkpoint cosigned last.", seen.cosigned),
            ("cosigned_timestamp_seconds", "When it was cosigned.", seen.cosigned_s),
            ("clock_behind_seconds", "How far the clock stands before that.", behind_s),
            ("equivocation_reports", "Proofs of two histories.", len(seen.reports)),
        ):
            yield gauge(f"zhixin_{name}", told, [({}, value)])
        yield counter("zhixin_cosignatures", "Checkpoints cosigned.", [({}, seen.cosignatures)])
        yield counter(
            "zhixin_cosign_refusals",
            "Checkpoints refused, by code.",
            [({"code": code}, number) for code, number in sorted(seen.refusals.items())],
        )


def _busy() -> LedgerUnavailable:
    return LedgerUnavailable(
        "this witness is at work on another question, or replays new entries: ask again",
        code="overloaded",
    )
