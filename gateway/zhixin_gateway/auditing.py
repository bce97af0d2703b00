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
        ``{what, ok, code, index, message, entries}`` each: the member's own copy, with the state
        that it keeps beside the entries, and the log if this home operates it.

    Raises:
        TrustError: the home's trust can't be used.
        ConfigError: the home names no ledger.
    """
    from zhixin_ledger.audit import audit
    from zhixin_ledger.transport import LOG_FOLDER

    trust = home.trust()
    with home.ledger_client() as client:
        found = {"own copy": client.fsck(trust)}
    if (home.path / LOG_FOLDER).is_dir():
        found["log"] = audit(home.path / LOG_FOLDER, trust)
    return [
        {
            "what": what,
            "ok": report.ok,
            "code": report.code,
            "index": report.index,
            "message": report.message,
            "entries": report.entries,
        }
        for what, report in found.items()
    ]
