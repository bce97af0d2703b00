"""SQLite as the ledger uses it: write-ahead log, full sync, one writer at a time.

A second process that wants to write waits for its turn, and gives up after a time-out. Faults of
the database come out as `LedgerUnavailable`: nothing is lost, try later.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from zhixin_errors import LedgerUnavailable

__all__ = ["TIMEOUT_S", "Database", "fault_code", "mapped", "read_only", "unavailable"]

TIMEOUT_S = 30.0
FORMAT = 2
"""The form of a ledger's databases, as their `user_version`; 0.1 wrote none."""


class _Connection(sqlite3.Connection):
    """A connection that closes when the last of its users lets it go: client, mirror or state."""

    def __del__(self) -> None:
        """Close; what was not committed is rolled back."""
        with suppress(sqlite3.Error):  # it could not be opened
            self.close()


class Database:
    """One connection; may pass between threads, used by one at a time.

    Args:
        path: the file; it is made where it is missing, its folder must be there.
        timeout_s: how long to wait for another writer.
    """

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._what = f"{path.name} in {path.parent}"
        self._path = path
        with mapped(self._what):
            self.connection = sqlite3.connect(
                path,
                timeout=timeout_s,
                isolation_level=None,
                check_same_thread=False,
                factory=_Connection,
            )
        try:
            with mapped(self._what):
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = FULL")
                self.connection.execute("PRAGMA fullfsync = ON")  # macOS: to disk, not its cache
                # Digests lie anywhere in their table: keep pages, and bring them home more rarely.
                self.connection.execute("PRAGMA cache_size = -65536")
                self.connection.execute("PRAGMA wal_autocheckpoint = 16000")
                self.connection.execute("PRAGMA journal_size_limit = 134217728")
        except LedgerUnavailable:
            self.connection.close()
            raise
        self._file_id = _file_id(path)
        try:
            self._take_over()
        except BaseException:
            self.connection.close()
            raise

    def _take_over(self) -> None:
        """Refuse a database of a later release, and mark one of the release before as ours."""
        with mapped(self._what):
            form = int(self.connection.execute("PRAGMA user_version").fetchone()[0])
        if form > FORMAT:
            raise LedgerUnavailable(
                f"{self._what} was written by a later release (form {form}, this one knows "
                f"{FORMAT})",
                code="ledger-newer",
                hint="install that release: pip install --upgrade zhixin-gateway",
            )
        if form < FORMAT:
            # One that may not be written, or is being written, is marked another time.
            with mapped(self._what), suppress(sqlite3.OperationalError):
                self.connection.execute(f"PRAGMA user_version = {FORMAT}")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the one write lock; commit at the end, roll back if anything was raised."""
        with mapped(self._what):
            self.connection.execute("BEGIN IMMEDIATE")
        try:
            self._check_in_place()
            with mapped(self._what):
                yield self.connection
                self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise

    def _check_in_place(self) -> None:
        """Refuse to write into a file that was put aside while it was open: it was rebuilt."""
        if self._file_id != _file_id(self._path):
            raise LedgerUnavailable(
                f"{self._what} was replaced while this process had it open",
                code="ledger-replaced",
                hint="start again: what stands there now was rebuilt or put back",
            )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """See one moment of the database, whatever others write meanwhile."""
        with mapped(self._what):
            self.connection.execute("BEGIN")
            try:
                yield self.connection
            finally:
                self.connection.execute("ROLLBACK")

    def run(self, script: str) -> None:
        """Run statements one by one, within the transaction that is open, if one is."""
        with mapped(self._what):
            for statement in script.split(";"):
                self.connection.execute(statement)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Look into a file that may be damaged, or no database at all: nothing in it is touched.

    Raises:
        sqlite3.Error: what SQLite says of it, as it says it.
    """
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        yield connection


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_UNWRITABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_CLOSED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}


def fault_code(fault: sqlite3.Error) -> int | None:
    """SQLite's primary code of an error; None where the error has none."""
    code = getattr(fault, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Turn the database's errors into `LedgerUnavailable`; `what` names it for people."""
    try:
        yield
    except sqlite3.Error as fault:
        raise unavailable(what, fault) from fault


def unavailable(what: str, fault: sqlite3.Error) -> LedgerUnavailable:
    """Give the error for people of one of the database; `what` names what can't be used."""
    if fault_code(fault) in _CLOSED:
        return LedgerUnavailable(
            f"{what} can't be opened: {fault}",
            code="ledger-closed",
            hint="may this user read and write it and its folder? Work as the home's owner",
        )
    if fault_code(fault) in _UNWRITABLE:
        return LedgerUnavailable(
            f"{what} can't be written: {fault}",
            code="ledger-unwritable",
            hint="make room on its disk, or see to the disk: nothing is half-done, the same goes "
            "on from here",
        )
    busy = "locked" in str(fault)
    return LedgerUnavailable(
        f"{what} can't be used: {fault}",
        code="ledger-busy" if busy else "ledger-damaged",
        hint="another process is writing: try again" if busy else "run `zhixin ledger fsck`",
    )
