"""Keeping every other process of a home from the same work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zhixin_errors import ConfigError

__all__ = ["locked"]


@contextmanager
def locked(folder: Path, name: str, *, wait: bool) -> Iterator[None]:
    """Hold a lock, which ends with the process whatever happens to it.

    Args:
        folder: where its file lies; made if need be.
        name: of the work, such as a dataset's name.
        wait: until another process has ended; else refuse.

    Raises:
        ConfigError: another process is at it, or the system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise ConfigError(
            "this system has no locks on files, which a home's own work needs",
            hint="on Windows a version is read and verified from its folder, with a trust",
        ) from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / f"{name.replace('/', '+')}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            raise ConfigError(
                f"another process is working on {name} in this home",
                code="busy",
                hint="wait until it has ended; it is not harmed by trying again",
            ) from error
        yield
    finally:
        os.close(handle)
