"""What is refused before the first record: a table that lacks a wanted column."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from zhixin_errors import PermanentSourceError

__all__ = ["alike", "check_columns", "nearest", "repeated"]

_MAX_NAMED = 20
_ALIKE = 0.6
_RENAMED = "was {} renamed? mend the source, or publish a new version of the contract"
_NO_HEADER = (
    "its first line names no column of the contract, and is not shown, since it may be a record: "
    "leave lines before the header out by zhixin.skipRows, or say zhixin.headerRows: 0 if it has "
    "none"
)


def check_columns(
    there: Sequence[str],
    wanted: Sequence[str],
    place: str,
    *,
    hint: str = "",
    first_line: bool = False,
) -> None:
    """Refuse a table that lacks a wanted column, before any record.

    Args:
        there: its columns.
        wanted: the contract's.
        place: for the message.
        hint: the way out, where it is another than usual.
        first_line: the columns are a file's first line, which is a record where no header is.

    Raises:
        PermanentSourceError: names the missing columns, and those that nobody asked for.
    """
    missing = [name for name in wanted if name not in there]
    if not missing:
        return
    surplus = [name for name in there if name and name not in wanted]
    if first_line and len(missing) == len(wanted):
        surplus = alike(surplus, missing)
        hint = hint or ("" if surplus else _NO_HEADER)
    beside = f" (and has {', '.join(surplus[:_MAX_NAMED])}, not in the contract)" if surplus else ""
    raise PermanentSourceError(
        f"source {place} has no column {', '.join(missing[:_MAX_NAMED])}{beside}",
        code="column-missing",
        hint=hint or _RENAMED.format(_renamed(missing[:_MAX_NAMED], surplus)),
        details={"missing": missing, "surplus": surplus},
    )


def repeated(names: Sequence[str]) -> list[str]:
    """The names that stand more than once, the empty one apart."""
    return [name for name, times in Counter(filter(None, names)).items() if times > 1]


def nearest(name: str, others: Sequence[str]) -> str:
    """The one that a column may be called now; empty where none is like it."""
    folded = {other.casefold(): other for other in others}
    near = difflib.get_close_matches(name.casefold(), folded, 1, _ALIKE)
    return folded[near[0]] if near else ""


def alike(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Those of the names that are much like a wanted one: they are no record's values."""
    return [name for name in names if nearest(name, wanted)]


def _renamed(missing: Sequence[str], surplus: Sequence[str]) -> str:
    """Each missing column with the one that it may be called now: ``fee (now fee_cny?)``."""
    found = [(name, nearest(name, surplus)) for name in missing]
    return ", ".join(f"{name} (now {near}?)" if near else name for name, near in found)
