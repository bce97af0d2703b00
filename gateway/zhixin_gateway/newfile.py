"""A file that is for its owner's eyes alone, and that takes the place of no other."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zhixin_errors import ConfigError

from zhixin_gateway.datasets.directory import sync_folder

__all__ = ["new_file"]


@contextmanager
def new_file(path: Path, taken: str) -> Iterator[BinaryIO]:
    """Write a file of mode 0600; it appears whole under its name, or there is none.

    Args:
        path: where it shall appear.
        taken: what to say where something is there.

    Raises:
        ConfigError: something is there, or it can't be written.
    """
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        if path.exists() or path.is_symlink():
            raise FileExistsError(path)
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(staged)  # unlike a rename it takes no name that is taken
        finally:
            staged.unlink(missing_ok=True)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise ConfigError(taken, hint="nothing is written over: give another name") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from error
