"""Reading a ledger's databases for ``fsck``: pages, rows, and the state against the entries.

SQLite vouches for its pages and indexes, not for what stands in a row. So every row is held to what
follows from the entries: the log's own to its tiles, facts, hashes, payloads and versions to the
state that the entries make, and what a witness cosigned to the copy's tree. Each function raises
`DamageError` at the first that differs; nothing is changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

from zhixin_errors import FormatError, LedgerRefused, ZhixinError

from zhixin_ledger import admission, checkpoint, cosignature, encoding, merkle
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.database import read_only
from zhixin_ledger.merkle import CompactRange
from zhixin_ledger.note import Note
from zhixin_ledger.seal import is_seal
from zhixin_ledger.state import State
from zhixin_ledger.tiles import DirectorySource, Tiles

__all__ = [
    "DamageError",
    "LogWalk",
    "Progress",
    "apply",
    "check_cosigned",
    "check_pages",
    "check_state",
    "kept_size",
    "opened",
]

Progress = Callable[[int, int], None]


class DamageError(Exception):
    """The first damage: code, sentence, place, and the entry's index where there is one."""

    def __init__(
        self, code: str, message: str, *, place: str | None = None, index: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.index = index


def apply(state: State, entry: bytes, index: int) -> None:
    """Put an entry through the rules; what they refuse is damage."""
    try:
        admission.apply(state, entry)
    except LedgerRefused as fault:
        code = fault.code if is_seal(entry) or fault.code == "seal" else "rule"
        raise DamageError(code, f"entry {index}: {fault.message}", index=index) from fault


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Read a database as it is at one moment; whatever SQLite says against it is damage."""
    if not path.is_file():
        raise DamageError("database", f"{path.name} is missing", place=path.name)
    try:
        with read_only(path) as connection:
            connection.text_factory = bytes
            connection.execute("BEGIN")
            yield connection
    except sqlite3.Error as fault:
        raise DamageError(
            "database", f"{path.name} can't be read: {fault}", place=path.name
        ) from fault
    except (TypeError, ValueError, ZhixinError) as fault:  # a column of another type, a bad head
        told = fault.message if isinstance(fault, ZhixinError) else type(fault).__name__
        raise DamageError(
            "database", f"{path.name} holds what can't be read: {told}", place=path.name
        ) from fault


def check_pages(connection: sqlite3.Connection) -> None:
    """Have SQLite check its pages, and that every column is of its type."""
    for (told,) in connection.execute("PRAGMA integrity_check(1)"):
        text = bytes(told).decode("utf-8", "replace")
        if text != "ok":
            raise DamageError(
                "database",
                f"pages of the database are damaged, SQLite says: {' '.join(text.split())[:200]}",
                place="pages",
            )
    tables = {bytes(name).decode() for (name,) in connection.execute(_TABLES)}
    for table, columns in _BLOBS.items():
        if table not in tables:
            continue
        wrong = " OR ".join(f"typeof({column}) <> 'blob'" for column in columns)
        if connection.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():
            raise DamageError(
                "database", f"a row of the table {table} is not of its type", place=table
            )


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_BLOBS = {
    "entries": ("data",),
    "blocks": ("root",),
    "head": ("data",),
    "facts": ("data",),
    "nodes": ("hash",),
    "payloads": ("digest",),
    "stated": ("statement", "manifest"),
    "cosigned": ("root",),
    "checked": ("root",),
}


def kept_size(connection: sqlite3.Connection) -> int:
    """Give the size that a database's head says."""
    row = connection.execute("SELECT data FROM head").fetchone()
    if row is None:
        return 0
    head = encoding.parse_jcs(bytes(row[0]), "the head of the state")
    if not isinstance(head, dict):
        raise FormatError("the head of the state is no object")
    return encoding.parse_uint(head.get("size"), "the head's size")


class LogWalk:
    """The walk over a log's entries table: beside the tiles where these hold, else by the rules.

    Args:
        directory: the log's folder.
        held: the state at the published size, where the published files hold; else None.
        published: the published size, 0 for none.
        progress: told entries done and to do.
    """

    def __init__(
        self, directory: Path, held: State | None, published: int, progress: Progress
    ) -> None:
        self._published = published
        self._progress = progress
        self.state = State() if held is None else held
        self._known = self.state.size
        self._tiles = Tiles(DirectorySource(directory), self._known).entries()
        self._tree = CompactRange()
        self._blocks: list[tuple[int, bytes]] = []
        self.done = 0

    def entries(self, connection: sqlite3.Connection) -> None:
        """Hold every row to the tiles, or put it through the rules after their end."""
        total = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        for index, data in connection.execute("SELECT idx, data FROM entries ORDER BY idx"):
            if index != self.done:
                raise DamageError(
                    "database", f"entry {self.done} is missing", place="entries", index=self.done
                )
            entry = bytes(data)
            if index >= self._known:
                apply(self.state, entry, index)
            elif entry != next(self._tiles):
                raise DamageError(
                    "database",
                    f"entry {index} is not the one in the tiles",
                    place="entries",
                    index=index,
                )
            self._tree.append(merkle.leaf_hash(entry))
            self.done += 1
            if is_seal(entry):
                self._blocks.append((self.done, self._tree.root()))
                self._progress(self.done, total)
        if self.done >= self._known and not self.state.sealed:
            raise DamageError("seal", "the database does not end with a seal", place="entries")

    def blocks(self, connection: sqlite3.Connection) -> None:
        """Hold the table of the blocks' roots to the seals."""
        rows = connection.execute("SELECT size, root FROM blocks ORDER BY size")
        for kept, made in zip_longest(rows, self._blocks):
            if kept is None or made is None or (kept[0], bytes(kept[1])) != made:
                at = (made or kept)[0]
                raise DamageError(
                    "database",
                    f"the root of the block that ends at {at} entries is not the entries'",
                    place=f"blocks, size {at}",
                )

    def published(self) -> None:
        """Refuse a database that ends before what was published."""
        if self.done < self._published:
            raise DamageError(
                "ledger-rolled-back",
                f"the database ends at {self.done} entries, the published checkpoint at "
                f"{self._published}: an older copy was put back",
                place="entries",
            )


def check_state(connection: sqlite3.Connection, state: State) -> None:
    """Hold what a database says of the state to what follows from the entries."""
    state.save()
    store = state.store
    kept = connection.execute("SELECT data FROM head").fetchone()
    if state.size and (kept is None or bytes(kept[0]) != store.head()):
        raise DamageError("state", "the head is not that of the entries", place="head")
    rows = connection.execute("SELECT slot, data, key FROM facts ORDER BY slot")
    for row, fact in zip_longest(rows, store.facts()):
        key = "" if row is None else bytes(row[2]).decode("utf-8", "replace")
        found = None if row is None else store.fact(key)
        if row is None or fact is None or (row[0], bytes(row[1])) != fact or found != fact:
            raise DamageError(
                "state",
                f"the fact {key or 'of slot ' + str(fact[0] if fact else '?')} is not that of the "
                "entries",
                place=f"facts, slot {row[0] if row else fact[0] if fact else '?'}",
            )
    for table, columns, look, count in (
        ("nodes", "level, idx, hash", _node, _complete(state.fact_count)),
        ("payloads", "digest, idx", _payload, state.size - _seals(state)),
        ("stated", "dataset, version, idx, statement, manifest", _stated, _versions(state)),
    ):
        _check_table(connection, state, f"SELECT {columns} FROM {table}", look, count)


def _check_table(
    connection: sqlite3.Connection,
    state: State,
    query: str,
    look: Callable[[State, tuple[object, ...]], bool],
    count: int,
) -> None:
    found, table = 0, query.rsplit(maxsplit=1)[-1]
    for row in connection.execute(query):
        found += 1
        if not look(state, row):
            place = ", ".join(_shown(value) for value in row[:2])
            raise DamageError(
                "state",
                f"a row of the table {table} does not follow from the entries: {place}",
                place=f"{table}: {place}",
            )
    if found != count:
        raise DamageError(
            "state", f"the table {table} has {found} rows, the entries make {count}", place=table
        )


def _shown(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    return value.decode() if value.isascii() and value.decode().isprintable() else value.hex()[:16]


def _node(state: State, row: tuple[object, ...]) -> bool:
    level, index, kept = row
    if not isinstance(level, int) or not isinstance(index, int) or level < 0 or index < 0:
        return False
    try:
        return level < 64 and state.store.node(level, index) == kept
    except (KeyError, TypeError):
        return False


def _payload(state: State, row: tuple[object, ...]) -> bool:
    return isinstance(row[0], bytes) and state.store.payload(row[0]) == row[1]


def _stated(state: State, row: tuple[object, ...]) -> bool:
    dataset, version, *rest = row
    if not isinstance(dataset, bytes) or not isinstance(version, int):
        return False
    known = state.stated(dataset.decode("utf-8", "replace"), version)
    return known is not None and rest == [known.index, known.statement, known.manifest]


def _complete(facts: int) -> int:
    """How many complete subtrees a tree of so many leaves has."""
    return sum(facts >> level for level in range(facts.bit_length()))


def _seals(state: State) -> int:
    return 0 if state.seal is None else state.seal.height + 1


def _versions(state: State) -> int:
    return sum(getattr(fact, "version", 0) for fact in state.datasets()) if state.size else 0


def check_cosigned(
    connection: sqlite3.Connection,
    directory: Path,
    state: State,
    kept: bytes | None,
    member: str | None,
) -> None:
    """Hold what the witness cosigned last to the copy's own tree, and to its line that is kept."""
    row = connection.execute("SELECT size, root FROM cosigned").fetchone()
    last = 0 if row is None else int(row[0])
    if row is not None:
        size = kept_size(connection)
        tree = Tiles(DirectorySource(directory), size)
        if not 0 < last <= size or tree.root(last) != bytes(row[1]):
            raise DamageError(
                "cosigned",
                f"the witness's record says that it cosigned {last} entries with a root that is "
                "not this copy's",
                place="cosigned",
            )
        _check_cosigned_note(connection, Checkpoint("", last, bytes(row[1])), state)
    shown = _own_line(kept, state, member)
    if shown > last:
        raise DamageError(
            "witness-rolled-back",
            f"the witness's record says {last} entries, but it cosigned the kept checkpoint of "
            f"{shown}: an older copy was put back",
            place="cosigned",
        )


def _check_cosigned_note(connection: sqlite3.Connection, last: Checkpoint, state: State) -> None:
    if b"cosigned_note" not in {bytes(name) for (name,) in connection.execute(_TABLES)}:
        return  # written by the release before
    row = connection.execute("SELECT note FROM cosigned_note").fetchone()
    if row is None:
        return
    try:
        note = Note.parse(bytes(row[0]), "the checkpoint cosigned last")
        made = checkpoint.parse(note.text)
        checkpoint.verify_log(note, state.origin or "", state.log_keys(made.size))
        signed = cosignature.counted(note, state.cosigner_keys(made.size))
    except ZhixinError as fault:
        raise DamageError("cosigned", fault.message, place="cosigned_note") from fault
    if (made.size, made.root) != (last.size, last.root) or not signed:
        raise DamageError(
            "cosigned",
            "the checkpoint cosigned last is not the one that the record names",
            place="cosigned_note",
        )


def _own_line(data: bytes | None, state: State, member: str | None) -> int:
    """Give the size of the kept checkpoint where the member's own good line is under it; else 0."""
    if data is None or member is None:
        return 0
    note = Note.parse(data, "the kept checkpoint")
    made = checkpoint.parse(note.text)
    own = [key for key in state.cosigner_keys(made.size) if key.name == f"{member}/witness"]
    return made.size if cosignature.counted(note, own) else 0
