"""The tables of a log's database: entries, the roots at which blocks ended, and the state.

What is written here is judged before, by ``admission``; when it is durable, ``embedded`` decides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime

from zhixin_ledger import checked, seal
from zhixin_ledger.state import State
from zhixin_ledger.store import SqliteStore

__all__ = ["SCHEMA", "close_block", "entries_from", "root_at", "tables"]

SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS entries (idx INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (size INTEGER PRIMARY KEY, root BLOB NOT NULL);
"""
    + checked.SCHEMA
    + SqliteStore.SCHEMA
)


def close_block(
    connection: sqlite3.Connection, state: State, entries: Sequence[bytes], now: datetime
) -> None:
    """Seal the block that is open in the state, and keep it with all that follows from it.

    Args:
        connection: in the transaction that the state's store is in.
        state: after the block's statements.
        entries: the statements' entries, the last ones of the state, each signature checked.
        now: the seal's time, if the last seal's is not later.
    """
    first = state.size - len(entries)
    sealed = seal.make_seal(state, now)
    seal.apply_seal(state, sealed)
    connection.executemany(
        "INSERT INTO entries VALUES (?, ?)", enumerate((*entries, sealed), start=first)
    )
    root = state.root
    connection.execute("INSERT INTO blocks VALUES (?, ?)", (state.size, root))
    checked.extend(connection, first, state.size, root)
    state.save()


def root_at(connection: sqlite3.Connection, size: int) -> bytes | None:
    """Give the root of the first `size` entries, where a block ends there."""
    row = connection.execute("SELECT root FROM blocks WHERE size = ?", (size,)).fetchone()
    return None if row is None else bytes(row[0])


def entries_from(connection: sqlite3.Connection, start: int) -> Iterator[bytes]:
    """Give the entries from an index on."""
    for (data,) in connection.execute(
        "SELECT data FROM entries WHERE idx >= ? ORDER BY idx", (start,)
    ):
        yield bytes(data)


def tables(connection: sqlite3.Connection) -> int:
    """Count the tables that there are."""
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
