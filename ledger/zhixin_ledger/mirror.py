"""A member's own copy of the ledger.

::

    ledger/mirror.sqlite    the state that follows from the entries; what its witness cosigned last
    ledger/checkpoint       the newest checkpoint that the copy holds with its quorum
    ledger/tile/…           tiles and entry bundles, as the log serves them
    ledger/equivocation/…   proof that the log, or members, signed two histories (`forks`)

Nothing enters the copy on anyone's word: every entry is hashed and put through the rules, every
seal's state root compared, the tree's root compared with the checkpoint's, and the log's signature
judged by the keys in force at that size. What fails any of these leaves the copy as it was.

The copy may be ahead of its `checkpoint`: a witness replays what has no quorum yet.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path

from zhixin_errors import (
    FormatError,
    LedgerRefused,
    LedgerUnavailable,
    VerificationError,
    ZhixinError,
)

from zhixin_ledger import admission, audit, checked, checkpoint, cosignature, forks, merkle, tiles
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.database import TIMEOUT_S, Database, mapped
from zhixin_ledger.files import make_lasting_folder, write_file
from zhixin_ledger.gathering import conflict
from zhixin_ledger.locks import WriterLock
from zhixin_ledger.note import Note
from zhixin_ledger.seal import is_seal
from zhixin_ledger.state import State
from zhixin_ledger.steps import Hook, no_hook
from zhixin_ledger.store import SqliteStore
from zhixin_ledger.tiles import WIDTH, DirectorySource, Tiles, TileSource
from zhixin_ledger.trust import trust_of

__all__ = ["DATABASE", "Mirror"]

DATABASE = "mirror.sqlite"
_RECORD = "the copy's record"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cosigned (
  id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL,
  time_s INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS cosigned_note (
  id INTEGER PRIMARY KEY CHECK (id = 1), note BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS followed (
  id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, note BLOB NOT NULL
);
"""
SCHEMA = _SCHEMA + checked.SCHEMA + SqliteStore.SCHEMA


class Mirror:
    """A copy of a ledger in a folder.

    Args:
        directory: the folder; it is made where it is missing.
        origin: the ledger that it must be of; None: whichever it is of already, or the first seen.
        pin: a size and the root that the tree must have there, of a trust that was pinned.
        hook: called with the name of each step just before it.
        timeout_s: how long to wait for another process.
    """

    def __init__(
        self,
        directory: Path,
        *,
        origin: str | None = None,
        pin: tuple[int, bytes] | None = None,
        hook: Hook = no_hook,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if not (directory / DATABASE).exists():
            make_lasting_folder(directory)
        self.directory = directory
        self.source = DirectorySource(directory)
        self._origin = origin
        self._pin = pin
        self._hook = hook
        self._database = Database(directory / DATABASE, timeout_s)
        self._database.run(SCHEMA)
        self._state: State | None = None
        self._head: bytes | None = None

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def state(self) -> State:
        """Give the state of the copy as it is now; its size may be 0."""
        store = SqliteStore(self._database.connection)
        head = store.head()
        if self._state is None or head != self._head:
            self._state, self._head = State(store), head
        return self._state

    @property
    def origin(self) -> str | None:
        """The ledger's origin; None before anything was copied."""
        return self.state().origin or self._origin

    def note(self) -> Note | None:
        """Give the newest checkpoint that the copy holds with its quorum."""
        data = self.source.read(tiles.CHECKPOINT)
        return None if data is None else Note.parse(data, "the copy's checkpoint")

    def checkpoint(self) -> Checkpoint | None:
        """Give what that checkpoint says."""
        note = self.note()
        return None if note is None else checkpoint.parse(note.text)

    def tree(self) -> Tiles:
        """Give the copy's tree and entries, all that it has; roots and proofs of any size."""
        return Tiles(self.source, self.state().size)

    def follow(self, note: Note, source: TileSource) -> State:
        """Bring the copy up to a checkpoint, having replayed every entry.

        Args:
            note: signed by the log; cosignatures are not needed and not judged.
            source: where entries are fetched.

        Returns:
            The state, at the checkpoint's size or later.

        Raises:
            LedgerRefused: an entry breaks a rule (its code), the ledger does not end with a seal
                there (`seal`), the root is another (`forked`), the files are not those of their
                own checkpoint (`tile`, `root`), the log's signature fails
                (`log-signature`), or it is another ledger (`other-origin`).
            LedgerUnavailable: the source can't be read; `ledger-rolled-back`: the copy, and what
                the log shows, are older than the checkpoint that the copy kept.
        """
        try:
            return self._follow(note, checkpoint.parse(note.text), source)
        except FormatError as fault:  # a tile, a bundle or the checkpoint is in another form
            raise LedgerRefused(
                f"the log serves what can't be read: {fault.message}", code="malformed"
            ) from fault
        except LedgerRefused as fault:
            self.keep_evidence(fault, note, source)
            found = None if "report" in fault.details else self._altered(note, source)
            if found is None:
                raise
            raise found from fault

    def _altered(self, note: Note, source: TileSource) -> LedgerRefused | None:
        """Say it where the entries that were replayed are not those of their own checkpoint."""
        made, before = checkpoint.parse(note.text), self.state().size
        if made.size <= before:
            return None
        found = audit.altered(Tiles(source, made.size), made.root, before)
        if found is None:
            return None
        return LedgerRefused(
            f"what serves the ledger serves other files than its checkpoint says: {found.message}",
            code=found.code or "",
            hint="ask another that serves it: the log, or any member's copy",
            details={} if found.index is None else {"index": found.index},
        )

    def _follow(self, note: Note, made: Checkpoint, source: TileSource) -> State:
        with self._changing() as state:
            for known in (self._origin, state.origin):
                if known is not None and made.origin != known:
                    raise LedgerRefused(
                        f"the checkpoint is of {made.origin}, not of {known}", code="other-origin"
                    )
            before = state.size
            self._check_pin(before)
            read = _Reading(before)
            if made.size > before:
                self._replay(state, made, source, read)
            else:
                self._check_replayed(made)
            try:
                checkpoint.verify_log(note, state.origin or "", state.log_keys(made.size))
            except VerificationError as fault:
                raise LedgerRefused(fault.message, code=fault.code) from fault
            self._note_followed(note, made, state)
            if made.size > before:
                self._hook("mirror-tiles")
                self._keep_tiles(read, made, source)
                checked.extend(self._database.connection, before, state.size, state.root)
                state.save()
                self._hook("mirror-commit")
        return self.state()

    def _check_pin(self, size: int) -> None:
        if self._pin and size >= self._pin[0] and self.tree().root(self._pin[0]) != self._pin[1]:
            raise _not_pinned(self._pin[0])

    def _note_followed(self, note: Note, made: Checkpoint, state: State) -> None:
        """Remember the largest checkpoint with the log's signature: it binds the log."""
        connection = self._database.connection
        row = connection.execute("SELECT size FROM followed").fetchone()
        if row is None or row[0] < made.size:
            known = {(key.name, key.key_id) for key in state.log_keys(made.size)}
            lines = [line for line in note.signatures if (line.name, line.key_id) in known]
            kept = Note(note.text, ()).with_signatures(lines)
            connection.execute(
                "INSERT OR REPLACE INTO followed VALUES (1, ?, ?)", (made.size, kept.format())
            )

    def held(self) -> list[Note]:
        """Give the signed checkpoints of this tree that the copy keeps: seen, cosigned, published.

        A log that signs another tree is convicted by any of these.
        """
        with mapped(_RECORD):
            row = self._database.connection.execute("SELECT note FROM followed").fetchone()
        found = [None if row is None else bytes(row[0]), self.cosigned_note()]
        notes = [Note.parse(data) for data in found if data is not None]
        published = self.note()
        return notes if published is None else [*notes, published]

    def keep_evidence(
        self,
        fault: LedgerRefused,
        note: Note,
        source: TileSource | None = None,
        proof: tuple[int, Sequence[bytes]] | None = None,
    ) -> None:
        """Keep a refused checkpoint as a report, where it contradicts a signed one for all to see.

        Args:
            fault: why it was refused; gains the report's name.
            note: the checkpoint.
            source: where its own tiles may be had.
            proof: a consistency proof that came with it, and the size that it leads from.
        """
        try:
            if not self.state().sealed:
                return
            copy = forks.Copy(self.tree(), self.held(), trust_of(self.state()))
            report = forks.examine(note, copy, source, proof)
            path = None if report is None else forks.keep(self.directory, report)
        except ZhixinError:  # the refusal itself matters more
            return
        if path is not None:
            fault.details["report"] = path.name
            fault.hint = "two signed checkpoints contradict each other: see " + (
                f"`zhixin ledger equivocation {path.name}`"
            )

    def keep(self, note: Note) -> None:
        """Keep a checkpoint that the copy has followed, if its quorum is there and it is newer.

        Raises:
            LedgerRefused: `quorum`: a known cosigner's line fails, or there are too few.
        """
        made = checkpoint.parse(note.text)
        state = self.state()
        if made.size > state.size or self.tree().root(made.size) != made.root:
            fault = _forked(made)
            self.keep_evidence(fault, note)
            raise fault
        try:
            times = cosignature.counted(note, state.cosigner_keys(made.size))
        except VerificationError as fault:
            raise LedgerRefused(fault.message, code=fault.code) from fault
        if len(times) < state.quorum_at(made.size):
            raise LedgerRefused(
                f"the checkpoint has {len(times)} of {state.quorum_at(made.size)} cosignatures",
                code="quorum",
            )
        with self._database.writing():
            kept = self.checkpoint()
            if kept is None or kept.size <= made.size:
                tiles.keep_size(self.tree(), self.directory, made.size)
                self._hook("mirror-checkpoint")
                write_file(self.directory / tiles.CHECKPOINT, note.format())

    def cosigned(self) -> tuple[int, bytes, int] | None:
        """Give size, root and time of the checkpoint that the member's witness cosigned last."""
        return _cosigned(self._database.connection)

    def cosigned_note(self) -> bytes | None:
        """Give that checkpoint itself, with the witness's own cosignatures."""
        note = _cosigned_note(self._database.connection)
        return None if note is None else note.format()

    def record_cosigned(
        self, last: int, made: Checkpoint, cosign: Callable[[int, Note | None], tuple[int, Note]]
    ) -> None:
        """Cosign and record it, in one transaction; only who still sees the same last size may.

        Args:
            last: the size cosigned last, 0 for nothing.
            made: the checkpoint to cosign.
            cosign: given the time of the last one (0 for none) and its note, gives the time of this
                one and its note, whose lines may be shown to others once this has returned.

        Raises:
            LedgerRefused: `witness-conflict`: another was cosigned meanwhile.
        """
        with self._not_rebuilt(), self._database.writing() as connection:
            before = _cosigned(connection)
            size, time_s = (0, 0) if before is None else (before[0], before[2])
            if size != last:
                raise conflict(size)
            self._hook("witness-record")
            time_s, note = cosign(time_s, _cosigned_note(connection))
            _keep_cosigned(connection, made, time_s, note)
        self._hook("witness-answer")

    def _not_rebuilt(self) -> AbstractContextManager[None]:
        """Keep `rebuild` from exchanging the record meanwhile: what is signed must stay in it.

        Raises:
            LedgerUnavailable: `ledger-busy`: it is being rebuilt.
        """
        return WriterLock(self.directory, hold=False, timeout_s=0).writing()

    def take_up_cosigned(self, made: Checkpoint, time_s: int, note: Note) -> None:
        """Record what the witness cosigned before an older copy was put back; never a smaller one.

        Args:
            made: the checkpoint, which the copy has followed.
            time_s: when it was cosigned, POSIX seconds.
            note: the checkpoint's note.
        """
        with self._not_rebuilt(), self._database.writing() as connection:
            before = _cosigned(connection)
            if before is None or before[0] < made.size:
                time_s = max(time_s, 0 if before is None else before[2])
                _keep_cosigned(connection, made, time_s, note)

    @contextmanager
    def _changing(self) -> Iterator[State]:
        """Hold the write lock over a state that is forgotten if anything fails."""
        try:
            with self._database.writing():
                yield self.state()
        except BaseException:
            self._state = None
            raise

    def _check_replayed(self, made: Checkpoint) -> None:
        """Hold a checkpoint of what the copy has already: its root, and that it ends a block."""
        tree = self.tree()
        if tree.root(made.size) != made.root:
            raise _forked(made)
        if not is_seal(tree.entry(made.size - 1)):
            raise _open(made)

    def _replay(self, state: State, made: Checkpoint, source: TileSource, read: _Reading) -> None:
        kept = self.checkpoint()
        if kept is not None and state.size < kept.size and made.size < kept.size:
            raise LedgerUnavailable(
                f"the copy in {self.directory} ends at {state.size} entries, before its own "
                f"checkpoint of {kept.size}: an old backup was put back",
                code="ledger-rolled-back",
                hint=f"it goes on from a ledger of {kept.size} entries or more",
            )
        for entry in Tiles(source, made.size).entries(state.size):
            index = state.size
            try:
                admission.apply(state, entry)
            except LedgerRefused as fault:
                raise LedgerRefused(
                    f"entry {index} breaks the ledger's rules: {fault.message}",
                    code=fault.code,
                    details={**fault.details, "index": index},
                ) from fault
            read.add(entry)
            if kept is not None and state.size == kept.size and state.root != kept.root:
                raise _forked(kept)
            if self._pin and state.size == self._pin[0] and state.root != self._pin[1]:
                raise _not_pinned(state.size)
        if not state.sealed:
            raise _open(made)
        if state.root != made.root:
            raise _forked(made)

    def _keep_tiles(self, read: _Reading, made: Checkpoint, source: TileSource) -> None:
        """Write the tiles from a second reading; no byte of it that is not the first's."""
        own, coming = Tiles(self.source, read.before), Tiles(source, made.size)

        def entries(start: int) -> Iterator[bytes]:
            if start < read.before:
                yield from own.entries(start)
            for group in read.again(coming.entries(read.before)):
                if group is None:
                    raise _forked(made)
                yield from group

        tiles.write_tiles(self.directory, read.before, made.size, entries)
        if Tiles(self.source, made.size).root() != made.root:
            raise _forked(made)


class _Reading:
    """What was replayed: a digest a bundle, so that a second reading is known to be the same.

    Args:
        before: index of the first entry that is read.
    """

    def __init__(self, before: int) -> None:
        self.before = before
        self._end = before
        self._digests: list[bytes] = []
        self._open = hashlib.sha256()

    def add(self, entry: bytes) -> None:
        """Take the next entry of the first reading."""
        self._open.update(merkle.leaf_hash(entry))
        self._end += 1
        if self._end % WIDTH == 0:
            self._close()

    def _close(self) -> None:
        self._digests.append(self._open.digest())
        self._open = hashlib.sha256()

    def again(self, entries: Iterator[bytes]) -> Iterator[list[bytes] | None]:
        """Give a second reading, a bundle at a time; None where it is another."""
        if self._end % WIDTH:
            self._close()
        at = self.before
        for digest in self._digests:
            group = list(islice(entries, WIDTH - at % WIDTH))
            same = hashlib.sha256(b"".join(map(merkle.leaf_hash, group))).digest() == digest
            yield group if same else None
            at += len(group)


def _cosigned(connection: sqlite3.Connection) -> tuple[int, bytes, int] | None:
    with mapped(_RECORD):
        row = connection.execute("SELECT size, root, time_s FROM cosigned").fetchone()
    return None if row is None else (int(row[0]), bytes(row[1]), int(row[2]))


def _cosigned_note(connection: sqlite3.Connection) -> Note | None:
    with mapped(_RECORD):
        row = connection.execute("SELECT note FROM cosigned_note").fetchone()
    return None if row is None else Note.parse(bytes(row[0]), "the checkpoint cosigned last")


def _keep_cosigned(
    connection: sqlite3.Connection, made: Checkpoint, time_s: int, note: Note
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO cosigned VALUES (1, ?, ?, ?)", (made.size, made.root, time_s)
    )
    connection.execute("INSERT OR REPLACE INTO cosigned_note VALUES (1, ?)", (note.format(),))


def _open(made: Checkpoint) -> LedgerRefused:
    return LedgerRefused(f"the ledger of {made.size} entries does not end with a seal", code="seal")


def _not_pinned(size: int) -> LedgerRefused:
    return LedgerRefused(
        f"the ledger's first {size} entries are not those of the trust that this home pinned",
        code="forked",
        details={"size": size},
    )


def _forked(made: Checkpoint) -> LedgerRefused:
    return LedgerRefused(
        f"the log's tree of {made.size} entries is not the one whose entries it serves",
        code="forked",
        details={"size": made.size},
    )
