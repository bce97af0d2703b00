"""Up to where every signature was checked: a mark that spares an audit the slowest of its work.

A log's or a member's database keeps the size and the root of the tree up to which this installation
itself checked every signature before it took the entry in. An audit that computes that very root
from the entries' bytes knows that they are those entries, so it need not check their signatures
again; everything else it judges anew. Whoever can write the database can write the mark: it is
taken only where that is asked for.

The mark moves on with each block, from where it stands and nowhere else: an entry that came in
another way, or by other rules for signatures, stops it, until a whole audit sets it again.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

__all__ = ["SCHEMA", "Checked", "extend", "read", "record"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS checked (
  id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL,
  rules INTEGER NOT NULL
);
"""
RULES = 1
"""The rules by which signatures are checked; another number makes all marks worthless."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The mark.

    Args:
        size: so many entries' signatures were checked.
        root: the root of the tree of these.
    """

    size: int
    root: bytes


def read(connection: sqlite3.Connection) -> Checked | None:
    """Give the mark of a database; None where there is none by the present rules."""
    try:
        row = connection.execute("SELECT size, root, rules FROM checked").fetchone()
    except sqlite3.OperationalError:
        return None  # written by a release that knew no mark
    if row is None or row[2] != RULES:
        return None
    return Checked(int(row[0]), bytes(row[1]))


def extend(connection: sqlite3.Connection, first: int, size: int, root: bytes) -> None:
    """Move the mark on over entries whose signatures were just checked.

    Args:
        connection: in the transaction that takes them in.
        first: index of the first of them; the mark must stand there, or at nothing where it is 0.
        size: entries of the tree with them.
        root: its root.
    """
    mark = read(connection)
    if (0 if mark is None else mark.size) == first:
        record(connection, Checked(size, root))


def record(connection: sqlite3.Connection, mark: Checked) -> None:
    """Set the mark: every signature up to there was checked by the present rules."""
    connection.execute(
        "INSERT OR REPLACE INTO checked VALUES (1, ?, ?, ?)", (mark.size, mark.root, RULES)
    )
