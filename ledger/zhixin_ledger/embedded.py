"""The embedded engine: one machine, one writer, SQLite.

::

    log/log.sqlite      entries, and the state that follows from them
    log/checkpoint      the newest checkpoint with its quorum: published last
    log/tile/…          tiles and entry bundles (C2SP tlog-tiles)
    log/writer.lock     held by a server as long as it runs; publish.lock: by who publishes

Order of durability, each step safe to repeat after a crash before the next:

1. the entries of a group, their seal and the state: one transaction, synced. Only now is an index
   given to who submitted;
2. the tiles, each written beside its place, synced, renamed;
3. the log's signature, then the members' cosignatures, each of which replays the entries first;
4. the checkpoint, once the quorum is there: never without.

Threads that submit at the same time share one transaction (group commit); processes take turns.
Times never go back. What the rules are is said in ``admission``; who cosigns, in ``witness``.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zhixin_errors import ConfigError, FormatError, LedgerError, LedgerRefused, LedgerUnavailable

from zhixin_ledger import (
    admission,
    checkpoint,
    cosignature,
    gathering,
    log_database,
    standing_check,
    tiles,
)
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.database import TIMEOUT_S, Database
from zhixin_ledger.files import write_file
from zhixin_ledger.gathering import Observer, WitnessTransport
from zhixin_ledger.locks import PUBLISH_LOCK, WriterLock, exclusive
from zhixin_ledger.log_database import SCHEMA, entries_from, root_at
from zhixin_ledger.note import Note, known_lines
from zhixin_ledger.signers import Signer, in_force
from zhixin_ledger.state import State
from zhixin_ledger.steps import Clock, Hook, no_hook
from zhixin_ledger.store import SqliteStore

__all__ = ["DATABASE", "GROUP", "Engine"]

DATABASE = "log.sqlite"
GROUP = 256  # entries of a group at most: 16 MiB


@dataclass
class _Ticket:
    """One envelope on its way in, and what became of it."""

    data: bytes
    index: int | None = None
    fault: LedgerError | None = None
    done: bool = False

    def answer(self) -> int | LedgerError:
        """Give the index, or why there is none."""
        if self.index is not None and self.fault is None:
            return self.index
        return self.fault or LedgerUnavailable("the entry was not written", code="ledger-busy")


class Engine:
    """A ledger's log on this machine.

    Args:
        directory: the log's folder, made by `found_ledger`.
        signer: the log's key; it must be in force.
        clock: gives aware times.
        hook: called with the name of each step just before it, for crash tests and progress.
        timeout_s: how long to wait for another process.
        hold: let no other process write as long as this engine is open: for a server.
        later: gives further keys of this log, asked where `signer`'s has ended: a rotation's new
            key, which may come while the engine is open.

    Raises:
        LedgerUnavailable: `ledger-missing`; `ledger-busy`: another process holds the ledger.
    """

    def __init__(
        self,
        directory: Path,
        signer: Signer,
        *,
        clock: Clock,
        hook: Hook = no_hook,
        timeout_s: float = TIMEOUT_S,
        hold: bool = False,
        later: Callable[[], Sequence[Signer]] = tuple,
    ) -> None:
        if not (directory / DATABASE).is_file():
            raise LedgerUnavailable(
                f"there is no ledger in {directory}",
                code="ledger-missing",
                hint="`zhixin init` founds one",
            )
        self.directory = directory
        self.source = tiles.DirectorySource(directory)
        self._signer = signer
        self._later = later
        self._clock = clock
        self._hook = hook
        self._timeout_s = timeout_s
        self._lock = WriterLock(directory, hold=hold, timeout_s=timeout_s)
        self._database = self._opened(timeout_s)
        self._state: State | None = None
        self._head: bytes | None = None
        self._checked = False  # whether this process may write: a state alone was only read
        self._queue: list[_Ticket] = []
        self._queued = threading.Lock()
        self._writing = threading.Lock()
        self._witness_sizes: dict[str, int] = {}
        self._tiled: tuple[int, int | None] = (0, None)
        self._asked = False

    def _opened(self, timeout_s: float) -> Database:
        try:
            return Database(self.directory / DATABASE, timeout_s)
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Close the database and let others write."""
        self._database.close()
        self._lock.close()

    # In.

    def submit(self, data: bytes) -> int:
        """Bring an envelope into the ledger; it is durable when its index is given.

        Args:
            data: the envelope in any layout; a payload that is in already gives its index again.

        Returns:
            The entry's index.

        Raises:
            LedgerRefused: the rules refuse it; `code` is the rule's name.
            LedgerUnavailable: it could not be written now; nothing of it is in the ledger.
        """
        ticket = _Ticket(data)
        with self._queued:
            self._queue.append(ticket)
        with self._writing:
            while not ticket.done:
                self._commit_queued()
        answer = ticket.answer()
        if isinstance(answer, LedgerError):
            raise answer
        return answer

    def submit_many(self, batch: Sequence[bytes]) -> list[int | LedgerError]:
        """Bring envelopes into the ledger as one block, synced once.

        Args:
            batch: at most `GROUP` envelopes, each as `submit` takes it.

        Returns:
            For each, in order, its index, durable now, or why it is not in the ledger.

        Raises:
            ValueError: more than `GROUP`.
        """
        if len(batch) > GROUP:
            raise ValueError(f"{len(batch)} envelopes are more than a block of {GROUP}")
        group = [_Ticket(data) for data in batch]
        if group:
            with self._writing:
                self._commit(group)
        return [ticket.answer() for ticket in group]

    def _commit_queued(self) -> None:
        """Write what is queued, as one block; the caller holds `_writing`."""
        with self._queued:
            group, self._queue = self._queue[:GROUP], self._queue[GROUP:]
        self._commit(group)

    def _commit(self, group: list[_Ticket]) -> None:
        """Write a group as one block, or nothing of it; the caller holds `_writing`."""
        indexes: list[int | None] = [None] * len(group)
        try:
            self._hook("before-commit")
            with self._lock.writing(), self._database.writing() as connection:
                indexes = self._write_block(connection, group)
                self._hook("inside-commit")
            for ticket, index in zip(group, indexes, strict=True):
                ticket.index = index  # durable: only now may anyone learn it
        except LedgerError as fault:
            self._state = None  # it may hold what was rolled back
            for ticket in group:
                ticket.fault = ticket.fault or fault
        except BaseException:
            self._state = None
            raise
        finally:
            for ticket in group:
                ticket.done = True
        self._hook("after-commit")

    def _write_block(
        self, connection: sqlite3.Connection, group: list[_Ticket]
    ) -> list[int | None]:
        fresh = self._state is None or not self._checked
        state = self._current(connection)
        note = self.published() if fresh else None
        if note is not None:
            self._check_published(connection, state, note)
        if fresh:
            self._database.run(SCHEMA)  # what the release before had no table for
            standing_check.refuse_restored(self.directory)
            self._checked = True
        fresh_entries: list[bytes] = []
        indexes: list[int | None] = []
        for ticket in group:
            try:
                admitted = admission.admit(state, ticket.data)
            except LedgerRefused as fault:
                ticket.fault = fault
                indexes.append(None)
                continue
            indexes.append(admission.take_in(state, admitted))
            if not admitted.duplicate:
                fresh_entries.append(admitted.entry)
        if fresh_entries:
            log_database.close_block(connection, state, fresh_entries, self._clock())
            self._head = state.store.head()
        return indexes

    def _current(self, connection: sqlite3.Connection) -> State:
        """Give the state as the database has it now: another process may have written."""
        head = SqliteStore(connection).head()
        if self._state is None or head != self._head:
            self._state = State(SqliteStore(connection))
            self._head = head
            if self._state.origin is None:
                raise LedgerUnavailable(
                    f"the ledger in {self.directory} has no genesis", code="ledger-missing"
                )
        return self._state

    # Out.

    def published(self) -> Note | None:
        """Give the newest published checkpoint."""
        data = self.source.read(tiles.CHECKPOINT)
        try:
            note = None if data is None else Note.parse(data, "the published checkpoint")
            if note is not None:
                checkpoint.parse(note.text)
        except FormatError as fault:
            raise LedgerUnavailable(
                f"what the ledger in {self.directory} published is damaged: {fault.message}",
                code="ledger-damaged",
                hint="run `zhixin ledger fsck`",
            ) from fault
        return note

    def is_idle(self) -> bool:
        """Say whether the published checkpoint was cosigned so long ago that it is due again."""
        note = self.published()
        if note is None:
            return False
        with self._writing, self._database.reading() as connection:
            keys = self._current(connection).cosigner_keys(checkpoint.parse(note.text).size)
        lines = [line for _, line, _ in known_lines(note, keys)]
        times = [int.from_bytes(line.signature[: cosignature.TIME_BYTES]) for line in lines]
        return bool(times) and self._clock().timestamp() - min(times) > gathering.REFRESH_S

    def pending(self) -> bool:
        """Say whether there are entries that no published checkpoint covers yet."""
        note = self.published()
        with self._writing, self._database.reading() as connection:
            size = self._current(connection).size
        return note is None or checkpoint.parse(note.text).size < size

    def publish(
        self,
        witnesses: Sequence[WitnessTransport],
        *,
        size: int = 0,
        refresh: bool = False,
        timeout_s: float | None = None,
        observe: Observer = gathering.unobserved,
    ) -> Note:
        """Publish a checkpoint over everything that is durable now, with its quorum.

        Args:
            witnesses: who is asked to cosign.
            size: a checkpoint that covers so much already is enough; 0: only the newest is.
            refresh: have the newest checkpoint cosigned again though nothing was added.
            timeout_s: how long to wait for another process that publishes.
            observe: told what became of each witness that was asked.

        Returns:
            The checkpoint that is published now.

        Raises:
            LedgerUnavailable: `quorum`: too few cosigned, and nothing was published;
                `ledger-rolled-back`: the database is older than what was published or signed.
            ConfigError: `log-key`: the log's key is not in force.
        """
        with self._lock.writing(), self._alone(timeout_s) as database:
            with database.reading() as connection:
                state, note, made = self._newest(connection, witnesses, size, refresh)
            if not made:
                return note
            # The database is let go: else its log grows for as long as the slowest witness takes.
            self._hook("before-cosign")
            note = gathering.gather(
                note, state, witnesses, self.source, self._witness_sizes, observe=observe
            )
            self._hook("before-publish")
            write_file(self.directory / tiles.CHECKPOINT, note.format())
            self._hook("after-publish")
            return note

    def sign_newest(
        self, connection: sqlite3.Connection, witnesses: Sequence[WitnessTransport]
    ) -> tuple[State, Note]:
        """Write the tiles and sign the checkpoint over all that is durable; publish nothing.

        Args:
            connection: of `publishing`.
            witnesses: who is asked whether more was signed already.

        Raises:
            LedgerUnavailable: `ledger-rolled-back`.
            ConfigError: `log-key`.
        """
        state = State(SqliteStore(connection))
        note = self.published()
        before = 0 if note is None else self._check_published(connection, state, note)
        return state, self._signed(connection, state, before, witnesses)

    @contextmanager
    def publishing(self, timeout_s: float | None = None) -> Iterator[sqlite3.Connection]:
        """Be the one who publishes, with one moment of the database before one's eyes.

        Args:
            timeout_s: how long to wait for another process that publishes.
        """
        with self._alone(timeout_s) as database, database.reading() as connection:
            yield connection

    @contextmanager
    def _alone(self, timeout_s: float | None) -> Iterator[Database]:
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        with exclusive(self.directory / PUBLISH_LOCK, wait_s):
            database = Database(self.directory / DATABASE, self._timeout_s)
            try:
                yield database
            finally:
                database.close()

    def _newest(
        self,
        connection: sqlite3.Connection,
        witnesses: Sequence[WitnessTransport],
        size: int,
        refresh: bool,
    ) -> tuple[State, Note, bool]:
        """Give the published checkpoint where it is enough, else a new one, which is True then."""
        state = State(SqliteStore(connection))
        note = self.published()
        before = 0 if note is None else self._check_published(connection, state, note)
        if standing_check.is_restored(self.directory):
            self._check_standing(connection, state, witnesses)
        enough = before >= size if size else before == state.size
        if note is not None and enough and not refresh:
            return state, note, False
        return state, self._signed(connection, state, before, witnesses), True

    def _signed(
        self,
        connection: sqlite3.Connection,
        state: State,
        before: int,
        witnesses: Sequence[WitnessTransport],
    ) -> Note:
        """Write the tiles, and sign the checkpoint over all that is durable."""
        self._hook("before-tiles")
        tiled, place = self._tiled
        there = place is not None and place == _folder_id(self.directory)
        tiles.write_tiles(
            self.directory,
            tiled if there and before < tiled <= state.size else before,
            state.size,
            lambda start: entries_from(connection, start),
            self._hook,
        )
        # A try that ends without the quorum need not be written again, unless it was put aside.
        self._tiled = (state.size, _folder_id(self.directory))
        self._hook("before-sign")
        self._turn_to_key_in_force(state)
        if not self._asked:
            self._check_standing(connection, state, witnesses)
        return checkpoint.sign(Checkpoint(state.origin or "", state.size, state.root), self._signer)

    def _turn_to_key_in_force(self, state: State) -> None:
        keys = {key.public_key for key in state.log_keys()}
        if self._signer.public_key in keys:
            return
        signer = in_force(self._later(), keys)
        if signer is None:
            raise ConfigError("the log's key is not in force in its own ledger", code="log-key")
        self._signer = signer

    def _check_standing(
        self, connection: sqlite3.Connection, state: State, witnesses: Sequence[WitnessTransport]
    ) -> None:
        """Before the first signature, ask the witnesses whether more was signed than is here."""
        self._asked = standing_check.check_log(
            self.directory,
            state,
            lambda size: root_at(connection, size),
            self._signer,
            witnesses,
        )

    def _check_published(self, connection: sqlite3.Connection, state: State, note: Note) -> int:
        """Refuse to go on from a database that is older than what was published; gives its size."""
        made = checkpoint.parse(note.text)
        if made.origin != state.origin or root_at(connection, made.size) != made.root:
            raise LedgerUnavailable(
                f"the ledger in {self.directory} is not the one whose checkpoint of {made.size} "
                "entries was published: an old backup was put back",
                code="ledger-rolled-back",
                hint="bring it up to date with `zhixin ledger rebuild`, from what it published "
                "or `--from MIRROR`, any member's copy",
            )
        return made.size


def _folder_id(directory: Path) -> int | None:
    """Tell one folder of tiles from another that took its place."""
    try:
        return (directory / "tile").stat().st_ino
    except OSError:
        return None
