"""What is refused before the first record: a table that lacks a wanted column."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from zhixin_errors import PermanentSourceError

__all__ = ["check_columns"]

_MAX_NAMED = 20
_ALIKE = 0.6


_RENAMED = "was {} renamed? mend the source, or publish a new version of the contract"


def check_columns(
    there: Sequence[str], wanted: Sequence[str], place: str, *, hint: str = ""
) -> None:
    """Refuse a table that lacks a wanted column, before any record.

    Raises:
        PermanentSourceError: names the missing columns, and those that nobody asked for.
    """
    missing = [name for name in wanted if name not in there]
    if not missing:
        return
    surplus = [name for name in there if name and name not in wanted]
    beside = f" (and has {', '.join(surplus[:_MAX_NAMED])}, not in the contract)" if surplus else ""
    raise PermanentSourceError(
        f"source {place} has no column {', '.join(missing[:_MAX_NAMED])}{beside}",
        code="column-missing",
        hint=hint or _RENAMED.format(_renamed(missing[:_MAX_NAMED], surplus)),
        details={"missing": missing, "surplus": surplus},
    )


def _renamed(missing: Sequence[str], surplus: Sequence[str]) -> str:
    """Each missing column with the one that it may be called now: ``fee (now fee_cny?)``."""
    folded = {other.casefold(): other for other in surplus}
    found = []
    for name in missing:
        near = difflib.get_close_matches(name.casefold(), folded, 1, _ALIKE)
        found.append(f"{name} (now {folded[near[0]]}?)" if near else name)
    return ", ".join(found)
