"""Putting a backup back: into a new folder only, every byte held to the archive's manifest.

What is put back is older than what it was: log and witness are marked, and neither signs before
others have said that nothing newer was signed (`zhixin_ledger.standing_check`).
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zhixin_errors import ConfigError

from zhixin_gateway.backups.archive import unpack
from zhixin_gateway.datasets.directory import sync_folder
from zhixin_gateway.home import SETTINGS_FILE

__all__ = ["Restored", "restore_backup"]


@dataclass(frozen=True)
class Restored:
    """What was put back.

    Args:
        path: the folder.
        member: whose home it is.
        made_at: when the backup was made.
        entries: of the ledger's copy in it.
        keys: whether its keys are there.
        log: whether it holds a log.
        ledger_only: whether it holds the ledger alone and is no home.
        left_out: what the backup did not hold, ``{path, why}`` each.
    """

    path: Path
    member: str
    made_at: str
    entries: int
    keys: bool
    log: bool
    ledger_only: bool
    left_out: list[dict[str, str]]


def restore_backup(archive: Path, target: Path, *, nothing_newer: bool = False) -> Restored:
    """Put a backup back into a new folder.

    Args:
        archive: the backup.
        target: a folder that is not there, or is empty.
        nothing_newer: the caller knows that nothing was signed after it; nobody is asked.

    Returns:
        What was put back.

    Raises:
        ConfigError: the folder is in use, or the archive can't be opened.
        FormatError: `backup-damaged`: nothing was put back.
    """
    target = target.absolute()
    if target.is_symlink() or (target.exists() and not (target.is_dir() and _is_empty(target))):
        raise ConfigError(
            f"{target} is there already: a backup is put back into a new folder only",
            hint="name another folder; move it once it was checked",
        )
    staged = target.with_name(f".{target.name}.{secrets.token_hex(4)}.restoring")
    try:
        staged.mkdir(mode=0o700, parents=True)
        manifest = unpack(archive, staged)
        if not nothing_newer:
            _mark(staged)
        if target.is_dir():
            target.rmdir()  # it is empty
        staged.rename(target)
        sync_folder(target.parent)
    except OSError as fault:
        raise ConfigError(
            f"{fault.filename or archive} can't be used: {fault.strerror}", code="system"
        ) from fault
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return _told(target, manifest)


def _mark(folder: Path) -> None:
    from zhixin_ledger import standing_check
    from zhixin_ledger.transport import LOG_FOLDER, MIRROR_FOLDER

    for name in (LOG_FOLDER, MIRROR_FOLDER):
        if (folder / name).is_dir() and not _is_empty(folder / name):
            standing_check.mark_restored(folder / name, own=False)


def _told(target: Path, manifest: dict[str, Any]) -> Restored:
    return Restored(
        target,
        str(manifest.get("member", "")),
        str(manifest.get("made_at", "")),
        int(manifest.get("entries", 0)),
        manifest.get("keys") is True,
        (target / "log").is_dir(),
        not (target / SETTINGS_FILE).is_file(),
        list(manifest.get("left_out", [])),
    )


def _is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())
