"""Where a ledger lies, as people and settings name it.

::

    https://ledger.gov.example     a log, a witness or a mirror that is served
    file:../bts.gov.example        a folder on this machine, from the folder that names it
    /media/disk                    the same, without `file:`

A folder is one with `checkpoint` and `tile/`, or a member's home, whose log or copy is meant.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from zhixin_errors import ConfigError
from zhixin_ledger.tiles import CHECKPOINT
from zhixin_ledger.transport import LOG_FOLDER, MIRROR_FOLDER, file_path, is_http

__all__ = ["file_url", "folder_of", "is_http", "tiles_folder"]


def folder_of(text: str, base: Path) -> Path:
    """The folder that is named, with `file:` or without.

    Args:
        text: as it was given.
        base: where a relative one starts from.

    Raises:
        ConfigError: a URL of another kind.
    """
    is_url = text.startswith("file:") or "://" in text
    return file_path(text, base) if is_url else base / text


def tiles_folder(text: str, base: Path) -> Path:
    """The folder of tiles that is named: itself, or the log or copy in a member's home.

    Args:
        text: as it was given; no URL of the network.
        base: where a relative one starts from.

    Raises:
        ConfigError: no ledger lies there.
    """
    named = folder_of(text, base)
    for folder in (named, named / LOG_FOLDER, named / MIRROR_FOLDER):
        if (folder / CHECKPOINT).is_file() or (folder / "tile").is_dir():
            return folder
    raise ConfigError(
        f"there is no ledger in {named}: neither `{CHECKPOINT}` nor `tile` lies there",
        hint="name a folder that holds them, a member's home, or an https: URL",
    )


def file_url(folder: Path, home: Path) -> str:
    """The URL of a folder, as the settings of a home have it: relative to that home."""
    return "file:" + quote(os.path.relpath(folder, home))
