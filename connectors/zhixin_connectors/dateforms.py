"""Forms of dates that a source declares, in the letters of ODCS and the JDK's DateTimeFormatter.

::

    y年M月d日     2021年3月5日, 2021年03月05日     y: four digits; M, d: one or two
    dd/MM/yyyy   05/03/2021                     MM, dd: exactly two
    yyyyMMdd     20210305
    d.M.y 'г.'   5.3.2021 г.                    letters in single quotes stand for themselves

Year, month and day, each once. Two digits are no year, nothing is filled in, and a text in another
form (ISO's too) is no date: with a declared form there is one way to read each text.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

__all__ = ["DateForm", "date_form"]

_PIECE = re.compile(r"'((?:[^']|'')*)'|(y+|u+|M+|d+)|([A-Za-z])|(.)", re.DOTALL)
_DIGITS = {"y": "{4}", "yyyy": "{4}", "u": "{4}", "uuuu": "{4}", "M": "{1,2}", "MM": "{2}",
           "d": "{1,2}", "dd": "{2}"}  # fmt: skip


@dataclass(frozen=True)
class DateForm:
    """A declared form; ``text`` is how it was declared."""

    text: str
    pattern: re.Pattern[str]

    def parse(self, text: str) -> dt.date | None:
        """The day, or None where the text has another form.

        Raises:
            ValueError: it has the form, and there is no such day.
        """
        found = self.pattern.fullmatch(text)
        if found is None:
            return None
        return dt.date(*(int(found.group(part)) for part in ("y", "M", "d")))


def date_form(text: str) -> DateForm:
    """Read a declaration.

    Raises:
        ValueError: it is none; ``str()`` says why.
    """
    parts: list[str] = []
    loose = ""  # a number just before, whose end another number would hide
    for quoted, letters, other, literal in _PIECE.findall(text):
        if other:
            raise ValueError(f"{other} stands for nothing here; put letters in single quotes")
        if letters and letters not in _DIGITS:
            raise ValueError(f"{letters} is no year of four digits, month or day")
        if not letters:
            parts.append(re.escape(quoted.replace("''", "'") or literal))
            loose = ""
            continue
        if loose and "1,2" in loose + _DIGITS[letters]:
            raise ValueError(f"{letters} follows a number without anything between them")
        loose = _DIGITS[letters]
        parts.append(f"(?P<{letters[0].replace('u', 'y')}>[0-9]{loose})")
    try:
        pattern = re.compile("".join(parts))
    except re.error:
        raise ValueError("year, month or day stands in it twice") from None
    if set(pattern.groupindex) != {"y", "M", "d"}:
        raise ValueError("it needs y, M and d")
    return DateForm(text, pattern)
