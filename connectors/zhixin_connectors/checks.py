"""What is refused before the first record: a table that lacks a wanted column."""

from __future__ import annotations

from collections.abc import Sequence

from zhixin_errors import PermanentSourceError

__all__ = ["check_columns"]

_MAX_NAMED = 20


_RENAMED = "was it renamed? mend the source, or publish a new version of the contract"


def check_columns(
    there: Sequence[str], wanted: Sequence[str], place: str, *, hint: str = _RENAMED
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
        hint=hint,
        details={"missing": missing, "surplus": surplus},
    )
