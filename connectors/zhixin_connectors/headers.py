"""What the columns of a sheet or text file are called, by the lines above its records.

A cell merged over several columns stands in its first one: the empty ones to its right are part of
it, in every header line but the last. A header in which columns can't be told apart is refused, and
so is a title that was taken for one.
"""

from __future__ import annotations

from collections.abc import Sequence

from zhixin_errors import PermanentSourceError

from zhixin_connectors.checks import repeated

__all__ = ["check_names", "check_width", "joined"]


def joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """The columns' names from one header line or several, merged cells filled to the right."""
    width = max(map(len, rows), default=0)
    filled = []
    for number, row in enumerate(rows):
        cells = [*row, *[""] * (width - len(row))]
        for place in range(1, width if number < len(rows) - 1 else 0):
            cells[place] = cells[place] or cells[place - 1]
        filled.append(cells)
    return ["/".join(dict.fromkeys(filter(None, parts))) for parts in zip(*filled, strict=True)]


def check_names(place: str, names: Sequence[str], below: Sequence[str]) -> None:
    """Refuse a header in which columns can't be told apart.

    Args:
        place: for the message.
        names: the header.
        below: the line after the only header line, which may be a second one.

    Raises:
        PermanentSourceError: names the columns without a name, and the names that stand twice.
    """
    empty = [place for place, name in enumerate(names, 1) if not name]
    twice = repeated(names)
    problems = []
    if empty and empty != [1]:  # what only numbers the rows (of R and pandas) may have no name
        problems.append(f"has no name for column {', '.join(map(str, empty))}")
    if twice:
        problems.append(f"has the name {', '.join(twice)} more than once")
    if not problems:
        return
    again = repeated(below) if _like_a_header(below) else []
    if empty and again:
        problems.append(f"line 2 looks like a second header and repeats {', '.join(again)}")
    raise PermanentSourceError(
        f"the header of source {place} {'; '.join(problems)}",
        code="header",
        hint="every column needs a name of its own; lines above the header are left out by "
        "zhixin.skipRows, several header lines joined by zhixin.headerRows",
    )


def check_width(place: str, names: int, below: int) -> None:
    """Refuse a header that is narrower than the record below it: it is a title, as a rule.

    Raises:
        PermanentSourceError: says how to leave it out.
    """
    if below > names:
        raise PermanentSourceError(
            f"the header of source {place} names {names} columns, and the line below has {below}",
            code="header",
            hint="is it a title? leave out the lines before the header by zhixin.skipRows",
        )


def _like_a_header(line: Sequence[str]) -> bool:
    return not any(character.isdigit() for name in line for character in name)
