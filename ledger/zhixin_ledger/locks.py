"""Whose turn it is: locks on files, which the system lets go when their process dies.

`log/writer.lock`: who may write a ledger's database. A server holds it alone for as long as it
runs. Whoever else wants to write is refused at once, and told to go through the server. Where none
runs, processes share the lock while they write, and SQLite makes them take turns; a server that
starts waits until they are done.

`log/publish.lock`, and others that one at a time holds (`exclusive`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zhixin_errors import ConfigError, LedgerUnavailable

__all__ = ["PUBLISH_LOCK", "WriterLock", "exclusive"]

PUBLISH_LOCK = "publish.lock"
_WRITER_LOCK = "writer.lock"
_POLL_S = 0.01


class WriterLock:
    """The lock of one engine.

    Args:
        directory: the log's folder.
        hold: take it alone, and keep it until `close`.
        timeout_s: how long one that holds waits for those that are writing.

    Raises:
        LedgerUnavailable: `ledger-busy`: it is held by a server, or was shared all the time.
        ConfigError: the system has no such locks.
    """

    def __init__(self, directory: Path, *, hold: bool, timeout_s: float) -> None:
        self._path = directory / _WRITER_LOCK
        self._held = self._alone(timeout_s) if hold else None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """May write meanwhile, beside others that share the lock.

        Raises:
            LedgerUnavailable: `ledger-busy`: a server holds it.
        """
        if self._held is not None:
            yield
            return
        with _opened(self._path) as file:
            if not _locked(file, alone=False):
                raise self._busy()
            yield

    def close(self) -> None:
        """Let go."""
        if self._held is not None:
            self._held.close()

    def _alone(self, timeout_s: float) -> BinaryIO:
        deadline = time.monotonic() + timeout_s
        file = _opened(self._path)
        try:
            while not _locked(file, alone=True):
                # Another server goes on for days, a writer for a moment: only that is waited for.
                with _opened(self._path) as probe:
                    if not _locked(probe, alone=False) or time.monotonic() >= deadline:
                        raise self._busy()
                time.sleep(_POLL_S)
        except BaseException:
            file.close()
            raise
        return file

    def _busy(self) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"another process holds the ledger in {self._path.parent}",
            code="ledger-busy",
            hint="use the URL of the server that runs on it, or stop that server",
        )


@contextmanager
def exclusive(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold a lock file alone, over threads and processes.

    Args:
        path: the file; it is made, and stays.
        timeout_s: how long to wait for who holds it.

    Raises:
        LedgerUnavailable: `ledger-busy`: somebody else held it all the time.
        ConfigError: the system has no such locks.
    """
    deadline = time.monotonic() + timeout_s
    with _opened(path) as file:
        while not _locked(file, alone=True):
            if time.monotonic() >= deadline:
                raise LedgerUnavailable(
                    f"another process holds {path.name} in {path.parent}",
                    code="ledger-busy",
                    hint="try again",
                )
            time.sleep(_POLL_S)
        yield


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as fault:
        raise LedgerUnavailable(
            f"{path} can't be opened: {fault.strerror}", code="ledger-unwritable"
        ) from fault


def _locked(file: BinaryIO, *, alone: bool) -> bool:
    """Try to lock an open file, alone or beside others; it is let go when the file is closed."""
    try:
        import fcntl
    except ImportError as fault:
        raise ConfigError("this system has no locks on files, which a ledger needs") from fault
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
