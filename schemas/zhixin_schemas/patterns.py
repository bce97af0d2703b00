r"""Which regular expressions a contract may use: those that RE2 and Python read alike.

Arrow's engine is RE2, Great Expectations' is Python's ``re``, and the next reader's may be ECMA's.
They differ in more than it seems: ``\d`` takes full-width and Arabic digits in Python, ``$`` stands
before a final newline there, ``{,5}`` is a repeat in one and plain text in the other. A pattern is

    ^ … $        anchored at both ends, and nowhere else
    [0-9A-Z_-]   classes and single characters, spelled out; ``.`` is any character but a newline
    ( | ) (?: )  * + ? {2} {1,5} and their lazy forms
    \. \- \[     an escaped sign

and nothing else. :func:`python_pattern` gives what Python must match to say the same.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any

__all__ = ["MAX_PATTERN", "pattern_problem", "python_pattern"]

MAX_PATTERN = 1_000

_SHORTHANDS = {
    "d": "[0-9]",
    "D": "[^0-9]",
    "w": "[0-9A-Za-z_]",
    "W": "[^0-9A-Za-z_]",
    "s": "the blanks that you mean, such as [ ]",
    "S": "[^ ]",
}
_SHORTHAND = re.compile(r"(?<!\\)(?:\\\\)*\\([dDwWsS])")
_OPEN_REPEAT = re.compile(r"(?<!\\)(?:\\\\)*\{,")


def pattern_problem(pattern: str) -> str | None:
    """Say what is wrong with a pattern, or None where it means the same everywhere."""
    if len(pattern) > MAX_PATTERN:
        return f"a pattern of more than {MAX_PATTERN} characters"
    if any(not ch.isprintable() for ch in pattern):
        return "a control character in the pattern"
    found = _SHORTHAND.search(pattern)
    if found:
        letter = found[1]
        return (
            f"\\{letter} means other characters in other engines (full-width and Arabic digits, "
            f"for one); write {_SHORTHANDS[letter]}"
        )
    if _OPEN_REPEAT.search(pattern):
        return "{,n} is a repeat in one engine and plain text in another; write {0,n}"
    if "[:" in pattern or "[[" in pattern:
        return "[: and [[ mean other things in other engines; put a backslash before the inner ["
    return _anchors(pattern) or _tree_problem(pattern) or _re2_problem(pattern)


def python_pattern(pattern: str) -> str:
    """Give the pattern for Python's ``re``: its ``$`` would match before a final newline."""
    return rf"\A(?:{pattern[1:-1]})\Z"


def _anchors(pattern: str) -> str | None:
    escaped = len(pattern) - len(pattern[:-1].rstrip("\\")) - 1
    if not pattern.startswith("^") or not pattern.endswith("$") or escaped % 2:
        return "a pattern is anchored: it begins with ^ and ends with $"
    return None


def _tree_problem(pattern: str) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
            whole = sre_parser.parse(pattern)
            inner = sre_parser.parse(pattern[1:-1])
    except (re.error, RecursionError, OverflowError) as error:
        return f"the pattern does not parse: {error}"
    except Warning:
        return "[[, --, &&, || and ~~ in a class mean other things in other engines"
    items = list(whole)
    if len(items) == 1 and items[0][0] is sre.BRANCH:
        return "a choice between anchors; write ^(?:a|b)$"
    try:
        return _walk(inner)
    except RecursionError:
        return "the pattern is nested too deep"


def _walk(items: Any) -> str | None:  # noqa: ANN401 - the parser's tree has no types
    for operation, argument in items:
        problem = _operation(operation, argument)
        if problem:
            return problem
    return None


def _operation(operation: Any, argument: Any) -> str | None:  # noqa: ANN401, PLR0911
    if operation in (sre.LITERAL, sre.NOT_LITERAL):
        return "a control character in the pattern" if argument < 32 else None
    if operation is sre.ANY:
        return None
    if operation is sre.IN:
        return _walk_class(argument)
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        return _walk(argument[2])
    if operation is sre.BRANCH:
        return next((p for p in map(_walk, argument[1]) if p), None)
    if operation is sre.SUBPATTERN:
        if argument[1] or argument[2]:
            return "flags such as (?i) are not admitted; write both cases out"
        return _walk(argument[3])
    return {
        sre.AT: "an anchor or word boundary inside the pattern",
        sre.GROUPREF: "a back-reference, which RE2 does not know",
        sre.ASSERT: "a look-ahead or look-behind, which RE2 does not know",
        sre.ASSERT_NOT: "a look-ahead or look-behind, which RE2 does not know",
    }.get(operation, f"{str(operation).lower()} is not admitted in a pattern")


def _walk_class(argument: Any) -> str | None:  # noqa: ANN401
    for kind, value in argument:
        if kind is sre.NEGATE:
            continue
        if kind is sre.CATEGORY:
            return "a shorthand class; spell the characters out"
        low = value if kind is sre.LITERAL else value[0]
        if low < 32:
            return "a control character in the pattern"
    return None


def _re2_problem(pattern: str) -> str | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except (pa.ArrowInvalid, UnicodeError) as error:
        return f"RE2, which checks the records, refuses it: {str(error).splitlines()[0]}"
    return None
