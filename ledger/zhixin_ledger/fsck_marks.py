"""The check of what a database says beside entries and state: its tables' form, and its marks.

::

    schema      every table and index is declared as this release declares it
    checked     the mark up to which signatures were checked: a root of this very tree
    followed    the largest checkpoint that the log signed for this copy: signed, and of its tree
    cosigned    the time of the last cosignature: that of the line that is kept
    id          tables of one row have it in its one place

Nothing of this follows from the entries, so ``fsck_database`` can't recompute it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

from zhixin_errors import ZhixinError

from zhixin_ledger import checked, checkpoint, cosignature
from zhixin_ledger.fsck_database import DamageError
from zhixin_ledger.note import Note
from zhixin_ledger.state import State

__all__ = ["check_checked", "check_followed", "check_schema", "check_time"]

RootAt = Callable[[int], bytes | None]
_MASTER = (
    "SELECT type, name, tbl_name, sql, typeof(type), typeof(name), typeof(tbl_name), typeof(sql) "
    "FROM sqlite_master"
)
_SINGLE = ("head", "checked", "cosigned", "cosigned_note", "followed")


def check_schema(connection: sqlite3.Connection, script: str) -> None:
    """Hold the declarations of tables and indexes to this release's.

    A table that an older release did not have yet may be missing.

    Args:
        connection: to the database.
        script: the statements that declare its tables.
    """
    with closing(sqlite3.connect(":memory:")) as made:
        made.text_factory = bytes
        made.executescript(script)
        want = {tuple(row) for row in made.execute(_MASTER)}
    for row in connection.execute(_MASTER):
        if tuple(row) not in want:
            name = bytes(row[1]).decode("utf-8", "replace") if isinstance(row[1], bytes) else "?"
            raise DamageError(
                "database", f"the table or index {name} is declared otherwise", place="schema"
            )
    _check_single(connection)


def _check_single(connection: sqlite3.Connection) -> None:
    """Hold the tables of one row to have no other: it is replaced in its place."""
    for table in _SINGLE:
        if (
            _there(connection, table.encode())
            and connection.execute(f"SELECT 1 FROM {table} WHERE id <> 1").fetchone()
        ):
            raise DamageError(
                "database", f"the table {table} has a row that is not its one row", place=table
            )


def check_checked(connection: sqlite3.Connection, root_at: RootAt) -> None:
    """Hold the mark of checked signatures to the tree.

    Args:
        connection: to the database.
        root_at: gives the tree's root at a size, None where it can't.
    """
    if not _there(connection, b"checked"):
        return
    for size, root, rules in connection.execute("SELECT size, root, rules FROM checked"):
        known = isinstance(rules, int) and 1 <= rules <= checked.RULES
        if not known or not isinstance(size, int) or root_at(size) != bytes(root):
            raise DamageError(
                "database",
                f"the mark of checked signatures, at {size} entries, is not of this tree",
                place="checked",
            )


def check_followed(connection: sqlite3.Connection, state: State, root_at: RootAt) -> None:
    """Hold the largest checkpoint followed to its signature and the copy's own tree."""
    if not _there(connection, b"followed"):
        return
    for size, data in connection.execute("SELECT size, note FROM followed"):
        try:
            note = Note.parse(bytes(data), "the checkpoint followed last")
            made = checkpoint.verify_log(note, state.origin or "", state.log_keys(size))
        except ZhixinError as fault:
            raise DamageError("database", fault.message, place="followed") from fault
        if made.size != size or root_at(size) != made.root:
            raise DamageError(
                "database", "the checkpoint followed last is not of this tree", place="followed"
            )


def check_time(connection: sqlite3.Connection, state: State) -> None:
    """Hold the recorded time of the last cosignature to the line that is kept."""
    if not _there(connection, b"cosigned_note"):
        return
    row = connection.execute(
        "SELECT time_s, note FROM cosigned JOIN cosigned_note USING (id)"
    ).fetchone()
    if row is None:
        return
    note = Note.parse(bytes(row[1]), "the checkpoint cosigned last")
    size = checkpoint.parse(note.text).size
    times = cosignature.counted(note, state.cosigner_keys(size)).values()
    if not times or row[0] != max(times):
        raise DamageError(
            "cosigned", "the time of the last cosignature is not its line's", place="cosigned"
        )


def _there(connection: sqlite3.Connection, table: bytes) -> bool:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return table in {bytes(name) for (name,) in rows}
