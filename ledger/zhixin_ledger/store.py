"""Where the ledger's state is kept: a small Protocol and its two forms.

The rules read a :class:`Store` and the state writes to it; nobody else does. ``MemoryStore`` serves
audits and tests. ``SqliteStore`` lies in the same database as a log's entries or a mirror's record,
so that one transaction holds a block's entries and everything that follows from them, and memory
does not grow with the ledger.

Nothing here decides anything: no rule, no hash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from zhixin_ledger.database import unavailable

__all__ = ["MemoryStore", "Node", "SqliteStore", "Stated", "Store"]

Node = tuple[int, int, bytes]  # level, index, hash
_WAITING = 4096  # entries whose payloads and versions wait in memory for the next head


@dataclass(frozen=True, slots=True)
class Stated:
    """A version that a statement stated, whether withdrawn since or not.

    Args:
        index: index of the entry.
        statement: H of the entry, 32 bytes.
        manifest: the subject's digest: H of manifest.json, 32 bytes.
    """

    index: int
    statement: bytes
    manifest: bytes


class Store(Protocol):
    """What the state needs kept. Keys are unique; putting again replaces.

    What was put is found at once through the same object; it lasts once the next head was put.
    """

    def head(self) -> bytes | None:
        """Give the head record (JSON) or None in an empty ledger."""

    def put_head(self, data: bytes) -> None:
        """Keep the head record."""

    def fact(self, key: str) -> tuple[int, bytes] | None:
        """Give slot and JCS of the fact with this key."""

    def put_facts(self, facts: list[tuple[int, str, bytes]]) -> None:
        """Keep facts, each with its slot, its key and its JCS; a slot's key never changes."""

    def facts(self, prefix: str = "") -> Iterator[tuple[int, bytes]]:
        """Give slot and JCS of every fact whose key starts so, in slot order."""

    def node(self, level: int, index: int) -> bytes:
        """Give the hash of a complete subtree of the state tree; it must be there."""

    def put_nodes(self, nodes: list[Node]) -> None:
        """Keep hashes of complete subtrees."""

    def payload(self, digest: bytes) -> int | None:
        """Give the index of the entry whose payload has this digest."""

    def put_payload(self, digest: bytes, index: int) -> None:
        """Keep a payload's digest."""

    def stated(self, dataset: str, version: int) -> Stated | None:
        """Give the entry that stated a version."""

    def put_stated(self, dataset: str, version: int, stated: Stated) -> None:
        """Keep what stated a version."""


class MemoryStore:
    """A store in dictionaries: for audits and tests."""

    def __init__(self) -> None:
        self._head: bytes | None = None
        self._facts: dict[str, tuple[int, bytes]] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._payloads: dict[bytes, int] = {}
        self._stated: dict[str, dict[int, bytes]] = {}  # packed: there may be millions

    def head(self) -> bytes | None:
        """See Store."""
        return self._head

    def put_head(self, data: bytes) -> None:
        """See Store."""
        self._head = data

    def fact(self, key: str) -> tuple[int, bytes] | None:
        """See Store."""
        return self._facts.get(key)

    def put_facts(self, facts: list[tuple[int, str, bytes]]) -> None:
        """See Store."""
        self._facts.update((key, (slot, data)) for slot, key, data in facts)

    def facts(self, prefix: str = "") -> Iterator[tuple[int, bytes]]:
        """See Store."""
        yield from sorted(kept for key, kept in self._facts.items() if key.startswith(prefix))

    def node(self, level: int, index: int) -> bytes:
        """See Store."""
        return self._nodes[level, index]

    def put_nodes(self, nodes: list[Node]) -> None:
        """See Store."""
        self._nodes.update(((level, index), node) for level, index, node in nodes)

    def payload(self, digest: bytes) -> int | None:
        """See Store."""
        return self._payloads.get(digest)

    def put_payload(self, digest: bytes, index: int) -> None:
        """See Store."""
        self._payloads[digest] = index

    def stated(self, dataset: str, version: int) -> Stated | None:
        """See Store."""
        kept = self._stated.get(dataset, {}).get(version)
        if kept is None:
            return None
        return Stated(int.from_bytes(kept[64:]), kept[:32], kept[32:64])

    def put_stated(self, dataset: str, version: int, stated: Stated) -> None:
        """See Store."""
        packed = stated.statement + stated.manifest + stated.index.to_bytes(8)
        self._stated.setdefault(dataset, {})[version] = packed


class SqliteStore:
    """A store in a SQLite database; the caller opens, commits and rolls back the transactions.

    Args:
        connection: to a database that has the tables of `SCHEMA`.
    """

    SCHEMA: ClassVar[str] = """
    CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY CHECK (id = 1), data BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS facts (
      slot INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, data BLOB NOT NULL
    );
    CREATE TABLE IF NOT EXISTS nodes (
      level INTEGER, idx INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, idx)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS payloads (
      digest BLOB PRIMARY KEY, idx INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS stated (
      dataset TEXT, version INTEGER, idx INTEGER NOT NULL, statement BLOB NOT NULL,
      manifest BLOB NOT NULL, PRIMARY KEY (dataset, version)
    ) WITHOUT ROWID;
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._payloads: dict[bytes, int] = {}
        self._stated: dict[tuple[str, int], Stated] = {}

    def head(self) -> bytes | None:
        """See Store."""
        row = self._run("SELECT data FROM head").fetchone()
        return None if row is None else bytes(row[0])

    def put_head(self, data: bytes) -> None:
        """See Store."""
        self._write()
        self._run("INSERT OR REPLACE INTO head VALUES (1, ?)", (data,))

    def fact(self, key: str) -> tuple[int, bytes] | None:
        """See Store."""
        row = self._run("SELECT slot, data FROM facts WHERE key = ?", (key,)).fetchone()
        return None if row is None else (int(row[0]), bytes(row[1]))

    def put_facts(self, facts: list[tuple[int, str, bytes]]) -> None:
        """See Store."""
        self._run_many(
            "INSERT INTO facts VALUES (?, ?, ?) "
            "ON CONFLICT (slot) DO UPDATE SET data = excluded.data",
            facts,
        )

    def facts(self, prefix: str = "") -> Iterator[tuple[int, bytes]]:
        """See Store."""
        found = self._run(
            "SELECT slot, data FROM facts WHERE substr(key, 1, ?) = ? ORDER BY slot",
            (len(prefix), prefix),
        )
        for slot, data in found:
            yield int(slot), bytes(data)

    def node(self, level: int, index: int) -> bytes:
        """See Store."""
        row = self._run(
            "SELECT hash FROM nodes WHERE level = ? AND idx = ?", (level, index)
        ).fetchone()
        return bytes(row[0])

    def put_nodes(self, nodes: list[Node]) -> None:
        """See Store."""
        self._run_many(
            "INSERT INTO nodes VALUES (?, ?, ?) "
            "ON CONFLICT (level, idx) DO UPDATE SET hash = excluded.hash",
            nodes,
        )

    def payload(self, digest: bytes) -> int | None:
        """See Store."""
        fresh = self._payloads.get(digest)
        if fresh is not None:
            return fresh
        row = self._run("SELECT idx FROM payloads WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else int(row[0])

    def put_payload(self, digest: bytes, index: int) -> None:
        """See Store."""
        self._payloads[digest] = index
        if len(self._payloads) >= _WAITING:
            self._write()

    def stated(self, dataset: str, version: int) -> Stated | None:
        """See Store."""
        if version >= 1 << 63:
            return None  # beyond what SQLite and the formats hold
        fresh = self._stated.get((dataset, version))
        if fresh is not None:
            return fresh
        row = self._run(
            "SELECT idx, statement, manifest FROM stated WHERE dataset = ? AND version = ?",
            (dataset, version),
        ).fetchone()
        return None if row is None else Stated(int(row[0]), bytes(row[1]), bytes(row[2]))

    def put_stated(self, dataset: str, version: int, stated: Stated) -> None:
        """See Store."""
        self._stated[dataset, version] = stated  # never more of these than of payloads

    def _write(self) -> None:
        """Bring what waits into the tables, in the order in which they lie there."""
        payloads, stated = sorted(self._payloads.items()), sorted(self._stated.items(), key=_place)
        self._payloads, self._stated = {}, {}
        self._run_many("INSERT INTO payloads VALUES (?, ?)", payloads)
        self._run_many(
            "INSERT INTO stated VALUES (?, ?, ?, ?, ?)",
            [(*place, item.index, item.statement, item.manifest) for place, item in stated],
        )

    def _run(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as fault:
            raise unavailable("the ledger's record", fault) from fault

    def _run_many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            self._db.executemany(statement, rows)
        except sqlite3.Error as fault:
            raise unavailable("the ledger's record", fault) from fault


def _place(item: tuple[tuple[str, int], Stated]) -> tuple[str, int]:
    return item[0]
