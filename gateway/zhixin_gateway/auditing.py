"""Checking a home's whole copy of the ledger, and the log itself where this home keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError

if TYPE_CHECKING:
    from zhixin_ledger.fsck import Auditor, Part

    from zhixin_gateway.home import Home
    from zhixin_gateway.progress import Progress

__all__ = ["audit_home"]


def audit_home(
    home: Home, progress: Progress | None = None, *, auditor: Auditor | None = None
) -> list[dict[str, Any]]:
    """Check every copy of the ledger that lies in a home, against its pinned trust.

    Args:
        home: whose copies.
        progress: told how far it is.
        auditor: audits the files, `zhixin_ledger.audit.audit` by default.

    Returns:
        ``{what, ok, code, index, place, message, entries, repair, cached}`` each: the files of the
        member's own copy and the record that it keeps beside them, and where this home operates
        the log, its published files and its database.

    Raises:
        TrustError: the home's trust can't be used.
        ConfigError: there is no copy of a ledger in this home yet.
    """
    from zhixin_ledger.audit import audit
    from zhixin_ledger.fsck import check_log, check_mirror
    from zhixin_ledger.transport import LOG_FOLDER

    trust = home.find_pinned_trust()
    found: list[Part] = []
    for what, folder in (("own copy", home.ledger_dir), ("log", home.path / LOG_FOLDER)):
        if not folder.is_dir() or not any(folder.iterdir()):
            continue
        if progress is not None:
            progress.step("fsck", what)
        told = _told(progress)
        if what == "log":
            found += check_log(folder, trust, auditor=auditor or audit, progress=told)
        else:
            found += check_mirror(
                folder, trust, member=home.member, auditor=auditor or audit, progress=told
            )
        if progress is not None:
            progress.done("clean" if all(part.ok for part in found[-2:]) else "damaged")
    if not found:
        raise ConfigError(
            f"there is no copy of a ledger in {home.path} yet",
            hint="any command that reaches the ledger makes one, such as `zhixin ledger log`",
        )
    return [asdict(part) for part in found]


def _told(progress: Progress | None) -> Callable[[int, int], None]:
    """Turn "done of to do" into the steps of a display."""
    last = 0

    def tell(done: int, _todo: int) -> None:
        nonlocal last
        if progress is not None:
            progress.advance(max(0, done - last))
        last = done

    return tell
