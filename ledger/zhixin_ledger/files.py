"""Files that are whole or not there, and there to stay.

A file is written beside its place, synced and renamed over it, so that no reader ever sees half of
one. Its name lasts once its folder is synced.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zhixin_errors import LedgerUnavailable

__all__ = [
    "make_lasting_folder",
    "sync_folder",
    "sync_folders",
    "writable",
    "write_file",
    "write_whole",
]


def write_file(path: Path, data: bytes, folders: set[Path] | None = None) -> None:
    """Write a file of a ledger so that it lasts once its folder is synced.

    Args:
        path: where; missing folders are made.
        data: its bytes.
        folders: collects the folders to sync; None: they are synced here.

    Raises:
        LedgerUnavailable: `ledger-unwritable`.
    """
    made = folders if folders is not None else set()
    with writable(path):
        _make_folder(path.parent, made)
        write_whole(path, data)
        made.add(path.parent)
    if folders is None:
        sync_folders(made)


def write_whole(path: Path, data: bytes) -> None:
    """Let a file appear whole, in the place of another; its folder is not synced.

    Raises:
        OSError: what the system says; what was there before stays.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with staged.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        raise


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn the system's errors into `LedgerUnavailable`: nothing is lost, try later."""
    try:
        yield
    except OSError as fault:
        full = fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise LedgerUnavailable(
            f"{path} can't be written: {fault.strerror}",
            code="ledger-unwritable",
            hint="make room there: nothing is half-done, the same goes on from here"
            if full
            else None,
        ) from fault


def make_lasting_folder(folder: Path) -> None:
    """Make a folder whose name lasts before anything in it is promised to.

    Raises:
        LedgerUnavailable: `ledger-unwritable`.
    """
    made = {folder.parent}  # also where another process made it, and died before it was synced
    with writable(folder):
        _make_folder(folder, made)
    sync_folders(made)


def _make_folder(folder: Path, made: set[Path]) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, made)
        folder.mkdir(exist_ok=True)
        made.add(folder.parent)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make renames in a ledger's folders last, the inner ones first.

    Raises:
        LedgerUnavailable: `ledger-unwritable`.
    """
    for folder in sorted(folders, reverse=True):
        with writable(folder):
            sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last, where the system can.

    Raises:
        OSError: what the system says.
    """
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
