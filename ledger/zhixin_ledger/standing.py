"""Making standing files (docs/formats.md 2.7): a dataset's fact with its proof, as of one seal.

A standing file needs the state tree as it was at a checkpoint, and a tree whose leaves change
keeps no older root. Who publishes is ahead of what is published, and so is a witness that has
replayed what has no quorum yet. `Replica` keeps the state that belongs to the newest published
checkpoint, by replaying the entries once more: in memory, or in a database of its own, which may be
deleted at any time.

What is made here is held to the seal before it is given. It is judged in the gate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path

from zhixin_errors import FormatError, LedgerRefused, LedgerUnavailable, VerificationError

from zhixin_ledger import admission, checkpoint, encoding, facts, merkle, tiles, tlogproof
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.database import Database
from zhixin_ledger.note import Note
from zhixin_ledger.seal import parse_seal
from zhixin_ledger.state import State
from zhixin_ledger.store import SqliteStore
from zhixin_ledger.tiles import Tiles, TileSource

__all__ = ["REPLICA", "TYPE", "Replica", "make_standing", "published"]

REPLICA = "published.sqlite"
"""The name of a replica's database in a ledger's folder."""

TYPE = "zhixin/standing/v1"
_CHUNK = 256


def published(source: TileSource) -> Note:
    """Read the newest checkpoint of a ledger's files.

    Raises:
        LedgerUnavailable: there is none yet, or it can't be read.
    """
    data = source.read(tiles.CHECKPOINT)
    if data is None:
        raise LedgerUnavailable("the ledger has published no checkpoint yet", code="ledger-empty")
    try:
        note = Note.parse(data, "the published checkpoint")
        checkpoint.parse(note.text)
    except FormatError as fault:
        raise LedgerUnavailable(
            f"what the ledger published is damaged: {fault.message}", code="ledger-damaged"
        ) from fault
    return note


def make_standing(state: State, source: TileSource, note: Note, dataset: str) -> bytes:
    """Make a dataset's standing file.

    Args:
        state: at exactly the checkpoint's size.
        source: where the seal and the tree are read.
        note: the checkpoint with its quorum.
        dataset: ``member/name``.

    Returns:
        The file's bytes, held to the seal.

    Raises:
        LedgerRefused: ``version-unknown``: the ledger has no version of the dataset.
        LedgerUnavailable: ``ledger-behind``: the state is of another size, or changed meanwhile.
    """
    made = checkpoint.parse(note.text)
    fact = state.dataset(dataset)
    if state.size != made.size:
        raise _behind(state.size, made)
    if fact is None:
        raise LedgerRefused(
            f"the ledger of {made.size} entries has no version of {dataset}",
            code="version-unknown",
        )
    tree = Tiles(source, made.size)
    slot, path = state.fact_path(fact)
    entry = tree.entry(made.size - 1)
    try:
        seal = parse_seal(entry)
        merkle.verify_inclusion(
            slot,
            seal.facts,
            merkle.leaf_hash(facts.leaf_data(fact)),
            path,
            bytes.fromhex(seal.state_hex),
        )
    except (FormatError, VerificationError) as fault:  # another process moved the state meanwhile
        raise _behind(state.size, made) from fault
    receipt = tlogproof.format_receipt(
        made.size - 1, tree.inclusion_path(made.size - 1), note.format()
    )
    return encoding.jcs(
        {
            "type": TYPE,
            "fact": fact.to_json(),
            "slot": str(slot),
            "path": [node.hex() for node in path],
            "seal": encoding.b64(entry),
            "receipt": receipt.decode(),
        }
    )


class Replica:
    """The state at a published checkpoint, replayed from the ledger's own files.

    Used by one thread at a time; processes may share its database.

    Args:
        path: of its database, which is made where it is missing; None: in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._database = None if path is None else Database(path)
        if self._database is not None:
            self._database.run(SqliteStore.SCHEMA)
        self._state = State()
        self._head: bytes | None = None
        self._current()

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()

    @property
    def size(self) -> int:
        """How far it is."""
        return self._state.size

    def at(self, note: Note, source: TileSource, limit_s: float | None = None) -> State:
        """Bring it to a checkpoint by every entry's rule; signatures are not checked again.

        Args:
            note: the checkpoint.
            source: where entries are read.
            limit_s: how long to work at most; what was done by then is kept. None: to the end.

        Returns:
            The state at exactly the checkpoint's size; it changes with the next call.

        Raises:
            LedgerUnavailable: ``ledger-behind``: there was no time to come so far; ask again.
            LedgerRefused: the ledger breaks its own rules, or is not the checkpoint's (`forked`).
        """
        made = checkpoint.parse(note.text)
        deadline = None if limit_s is None else time.monotonic() + limit_s
        tree = Tiles(source, made.size)
        while not self._advance(tree):
            if deadline is not None and time.monotonic() > deadline:
                raise _behind(self.size, made)
        if self._state.root != made.root:
            self._forget()
            raise LedgerRefused(
                f"the ledger's tree of {made.size} entries is not the one whose entries it serves",
                code="forked",
            )
        return self._state

    def _advance(self, tree: Tiles) -> bool:
        """Take in some more entries; whether it is where it shall be."""
        with self._changing() as known:
            state = self._forget() if known.size > tree.size else known
            for entry in islice(tree.entries(state.size), _CHUNK):
                admission.apply(state, entry, _taken)
            state.save()
            self._head = state.store.head()
        return state.size == tree.size

    @contextmanager
    def _changing(self) -> Iterator[State]:
        """Hold the write lock, where there is one, over a state that is forgotten on failure."""
        try:
            with nullcontext() if self._database is None else self._database.writing():
                yield self._current()
        except BaseException:
            if self._database is not None:
                self._head = None
            raise

    def _current(self) -> State:
        """Take up what the database has now: another process may have gone on."""
        if self._database is None:
            return self._state
        store = SqliteStore(self._database.connection)
        head = store.head()
        if head is None or head != self._head:
            self._state, self._head = State(store), head
        return self._state

    def _forget(self) -> State:
        """Begin anew: what was replayed is not of this ledger."""
        self._state, self._head = State(), None
        if self._database is not None:
            for table in ("head", "facts", "nodes", "payloads", "stated"):
                self._database.run(f"DELETE FROM {table}")
        return self._current()


def _taken(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Check no signature again: what is made of the state is held to the seal that members signed.

    Entries that were not those of the checkpoint end in another root, and are refused by that.
    """
    del public_key, message, signature
    return True


def _behind(size: int, made: Checkpoint) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the state of {made.size} entries is not at hand yet, but that of {size}",
        code="ledger-behind",
        hint="try again",
    )
