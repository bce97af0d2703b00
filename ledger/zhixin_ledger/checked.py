"""Up to where every signature was checked: a mark that spares an audit the slowest of its work.

A log's or a member's database keeps the size and the root of the tree up to which this installation
itself checked every signature before it took the entry in. An audit that computes that very root
from the entries' bytes knows that they are those entries, so it need not check their signatures
again; everything else it judges anew. Whoever can write the database can write the mark: it is
taken only where that is asked for.

The mark moves on with each block, from where it stands and nowhere else, and never on from one of
other rules for signatures. A database without a mark is of the first release, whose rules were the
first, and which took nothing in unchecked either.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from zhixin_ledger.database import read_only

__all__ = ["SCHEMA", "Checked", "extend", "of_file", "read"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS checked (
  id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL,
  rules INTEGER NOT NULL
);
"""
_FIRST_RULES = 1
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
    row = _row(connection)
    return None if row is None or row[2] != RULES else Checked(row[0], row[1])


def of_file(path: Path) -> Checked | None:
    """Give the mark of a database's file; None where it can't be read."""
    try:
        with read_only(path) as connection:
            return read(connection)
    except (sqlite3.Error, TypeError, ValueError):
        return None


def extend(connection: sqlite3.Connection, first: int, size: int, root: bytes) -> None:
    """Move the mark on over entries whose signatures were just checked.

    Args:
        connection: in the transaction that takes them in.
        first: index of the first of them; the mark must stand there.
        size: entries of the tree with them.
        root: its root.
    """
    row = _row(connection)
    if (row is None and RULES == _FIRST_RULES) or (row and (row[0], row[2]) == (first, RULES)):
        connection.execute(
            "INSERT OR REPLACE INTO checked VALUES (1, ?, ?, ?)", (size, root, RULES)
        )


def _row(connection: sqlite3.Connection) -> tuple[int, bytes, int] | None:
    try:
        row = connection.execute("SELECT size, root, rules FROM checked").fetchone()
    except sqlite3.OperationalError:
        return None  # there is no such table yet
    return None if row is None else (int(row[0]), bytes(row[1]), int(row[2]))
