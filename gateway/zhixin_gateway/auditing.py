"""Checking a home's whole copy of the ledger, and the log itself where this home keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zhixin_gateway.home import Home

__all__ = ["audit_home"]


def audit_home(home: Home) -> list[dict[str, Any]]:
    """Audit every copy of the ledger that lies in a home, against its pinned trust.

    Args:
        home: whose copies.

    Returns:
        ``{what, ok, code, index, message, entries}`` each: the member's own copy, and the log if
        this home operates it.

    Raises:
        TrustError: the home's trust can't be used.
    """
    from zhixin_ledger.audit import audit
    from zhixin_ledger.transport import LOG_FOLDER

    trust = home.trust()
    copies = [("own copy", home.ledger_dir)]
    if (home.path / LOG_FOLDER).is_dir():
        copies.append(("log", home.path / LOG_FOLDER))
    reports = []
    for what, folder in copies:
        report = audit(folder, trust)
        reports.append(
            {
                "what": what,
                "ok": report.ok,
                "code": report.code,
                "index": report.index,
                "message": report.message,
                "entries": report.entries,
            }
        )
    return reports
