"""A member's view of the ledger: what the pipeline, the command line and the demo use.

It reads from the member's own copy, which it brings up to date by replaying what the log serves;
it submits to the log; it hands out receipts that it has checked itself. ``transport`` says how log
and witnesses are reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from types import TracebackType

from zhixin_errors import (
    ConfigError,
    FormatError,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
)

from zhixin_ledger import merkle, tiles, tlogproof, transport
from zhixin_ledger.audit import AuditReport, audit
from zhixin_ledger.facts import DatasetFact
from zhixin_ledger.founding import found_ledger
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note
from zhixin_ledger.signers import load_signer
from zhixin_ledger.state import State
from zhixin_ledger.statements import (
    contract_statement,
    dataset_statement,
    make_genesis,
    member_object,
    withdrawal_statement,
)
from zhixin_ledger.steps import Clock, Hook, no_hook
from zhixin_ledger.store import Stated
from zhixin_ledger.tiles import TileSource
from zhixin_ledger.transport import LoadKey, LogTransport, Means, WitnessUrl
from zhixin_ledger.trust import Trust

__all__ = [
    "AuditReport",
    "LedgerClient",
    "WitnessUrl",
    "contract_statement",
    "dataset_statement",
    "found_ledger",
    "make_genesis",
    "member_object",
    "withdrawal_statement",
]


def _now() -> datetime:
    return datetime.now(UTC)


class LedgerClient:
    """One member's view of one ledger; used by one thread at a time.

    Args:
        mirror: the member's own copy.
        log: how the log is reached.
    """

    def __init__(self, mirror: Mirror, log: LogTransport) -> None:
        self._mirror = mirror
        self._log = log

    @classmethod
    def open(
        cls,
        home_ledger_dir: Path,
        ledger_url: str,
        witnesses: Sequence[WitnessUrl] = (),
        clock: Clock = _now,
        *,
        origin: str | None = None,
        load_key: LoadKey = load_signer,
        hook: Hook = no_hook,
    ) -> LedgerClient:
        """Open a member's view; nothing is fetched yet.

        Args:
            home_ledger_dir: the folder of the member's own copy, `<home>/ledger`.
            ledger_url: the log's; a relative `file:` URL starts from the home.
            witnesses: the cosigning members.
            clock: gives aware times.
            origin: the ledger that it must be; None: whichever is copied already, or the first.
            load_key: opens key files (`file:` URLs only).
            hook: called with the name of each step just before it.

        Raises:
            ConfigError: a URL that can't be reached.
        """
        base = home_ledger_dir.parent
        log = transport.open_log(ledger_url, witnesses, base, Means(clock, load_key, hook))
        return cls(Mirror(home_ledger_dir, origin=origin, hook=hook), log)

    def __enter__(self) -> LedgerClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of databases."""
        self._mirror.close()
        self._log.close()

    @property
    def origin(self) -> str:
        """The ledger's origin, of the own copy; fetched if that is empty.

        Raises:
            LedgerUnavailable: the copy is empty and the log can't be reached.
        """
        return self._mirror.origin or self.sync().origin or ""

    # Reading.

    @property
    def directory(self) -> Path:
        """The folder of the own copy."""
        return self._mirror.directory

    @property
    def source(self) -> TileSource:
        """The files of the own copy: checkpoint, tiles, entries."""
        return self._mirror.source

    def sync(self) -> State:
        """Bring the own copy up to the newest published checkpoint, replaying every new entry.

        What an earlier process left durable but unpublished is published first, if it can be.

        Returns:
            The state; its facts are as of the copy's size.

        Raises:
            LedgerUnavailable: the log can't be reached, or has published nothing yet.
            LedgerRefused: the log serves what the rules or the copy contradict; the copy stays.
        """
        with suppress(LedgerError, ConfigError):
            self._log.settle(timeout_s=1)
        return self._follow()

    def _follow(self) -> State:
        """Bring the own copy up to what is published now; see `sync`."""
        note = self._published()
        state = self._mirror.follow(note, self._log.source)
        self._mirror.keep(note)
        return state

    def state(self) -> State:
        """Give the state of the own copy, without reaching for the log; may be empty."""
        return self._mirror.state()

    def entry(self, index: int) -> bytes:
        """Give an entry's exact bytes from the own copy."""
        return self._mirror.tree().entry(index)

    def entries(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Give index and bytes of every entry of the own copy from `start` on."""
        yield from enumerate(self._mirror.tree().entries(start), start)

    def checkpoint(self) -> bytes:
        """Give the note of the newest checkpoint that the own copy has with its quorum.

        Raises:
            LedgerUnavailable: there is none yet.
        """
        note = self._mirror.note()
        if note is None:
            raise LedgerUnavailable(
                "this home has no copy of the ledger yet",
                code="ledger-empty",
                hint="any command that reaches the ledger makes one",
            )
        return note.format()

    def root_at(self, size: int) -> bytes:
        """Give the root of the own copy's first `size` entries."""
        return self._mirror.tree().root(size)

    def dataset(self, name: str) -> DatasetFact | None:
        """Give a dataset's fact from the own copy."""
        return self.state().dataset(name)

    def stated(self, dataset: str, version: int) -> Stated | None:
        """Give the entry that stated a version, from the own copy."""
        return self.state().stated(dataset, version)

    def fsck(self, trust: Trust | None = None) -> AuditReport:
        """Audit the own copy: every byte and every rule, and its own record of the state.

        Args:
            trust: what this home pinned; without one the ledger is judged by itself.
        """
        report = audit(self._mirror.directory, trust)
        kept = self._mirror.state()
        if report.state is None or report.entries != kept.size:
            return report
        facts = zip_longest(report.state.store.facts(), kept.store.facts())
        if (report.state.root, report.state.state_root()) != (kept.root, kept.state_root()) or any(
            ours != told for ours, told in facts
        ):
            return AuditReport(
                False, "state", None, "the copy's own record is not its entries'", report.entries
            )
        return report

    # Writing.

    def submit(self, envelope: bytes) -> int:
        """Bring a statement into the ledger; it is durable when its index is given.

        Args:
            envelope: the signed statement; a payload that is in already gives its index again.

        Raises:
            LedgerRefused: the rules refuse it; `code` is the rule's name.
            LedgerUnavailable: the log can't be reached. It may have written it all the same, where
                its answer was lost: submit it again, which gives its index.
        """
        return self._log.submit(envelope)

    def receipt(self, index: int, timeout_s: float = 30) -> bytes:
        """Give an entry's receipt, for the newest checkpoint with its quorum.

        Args:
            index: of an entry that is in the ledger.
            timeout_s: how long to wait for another process that publishes.

        Returns:
            The tlog-proof's bytes, checked against the own copy.

        Raises:
            LedgerUnavailable: the quorum is missing: the proof is pending, try again.
        """
        self._log.settle(index + 1, timeout_s=timeout_s)
        self._follow()  # not `sync`, which would wait for entries that came after this one
        return self.own_receipt(index)

    def own_receipt(self, index: int) -> bytes:
        """Give an entry's receipt from the own copy alone.

        Raises:
            LedgerUnavailable: the copy's checkpoint does not cover the entry.
        """
        made = self._mirror.checkpoint()
        if made is None or index >= made.size:
            raise LedgerUnavailable(
                f"no checkpoint with its quorum covers entry {index} yet",
                code="quorum",
                hint="the entry is safe in the ledger; try again",
            )
        tree = self._mirror.tree()
        path = tree.inclusion_path(index, made.size)
        merkle.verify_inclusion(
            index, made.size, merkle.leaf_hash(tree.entry(index)), path, made.root
        )
        return tlogproof.format_receipt(index, path, self.checkpoint())

    def refresh(self, timeout_s: float = 30) -> State:
        """Have the newest checkpoint cosigned again, so that an idle ledger stays fresh."""
        self._log.settle(refresh=True, timeout_s=timeout_s)
        return self.sync()

    def _published(self) -> Note:
        data = self._log.source.read(tiles.CHECKPOINT)
        if data is None:
            raise LedgerUnavailable(
                "the ledger has published no checkpoint yet", code="ledger-empty"
            )
        try:
            return Note.parse(data, "the ledger's checkpoint")
        except FormatError as fault:
            raise LedgerRefused(fault.message, code="malformed") from fault
