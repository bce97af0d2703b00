"""The form that all texts of a column have, as a pattern for a contract; never what they say.

::

    11010519491231002X, 440524188001010014    ^[0-9]{17}[0-9X]$
    AB-0012, XY-9304                          ^[A-Z]{2}-[0-9]{4}$

A form is one of those that are known by their kind, or a class for each place of equally long
texts. Letters are told as a class, signs as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from zhixin_connectors._arrow import Array, no_misfit, pc

__all__ = ["form_of"]

_LEAST = 20
_MOST = 40
_MOST_MASKS = 50
_KNOWN = (
    r"^[0-9]{17}[0-9X]$",  # identity numbers of China
    r"^1[3-9][0-9]{9}$",  # mobile telephones of China
    r"^[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}$",  # unified social credit code
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",  # UUID
)
_CLASSES = {"9": "0-9", "A": "A-Z", "a": "a-z"}
_SPECIAL = r"\.^$*+?{}[]|()"
_IN_CLASS = r"\]^-[:"


def form_of(values: Array) -> str:
    """Give the pattern that all texts have, or nothing: for few, long or unlike ones.

    Args:
        values: texts, without nulls.
    """
    if len(values) < _LEAST:
        return ""
    for form in _KNOWN:
        if no_misfit(pc.match_substring_regex(values, form)):
            return form
    bounds = pc.min_max(pc.utf8_length(values))
    if bounds["min"] != bounds["max"] or not 1 < bounds["max"].as_py() <= _MOST:
        return ""
    masked = values
    for class_, letter in (("[0-9]", "9"), ("[A-Z]", "A"), ("[a-z]", "a")):
        masked = pc.replace_substring_regex(masked, class_, letter)
    masks = pc.unique(masked)
    if len(masks) > _MOST_MASKS:
        return ""
    return _pattern([str(mask) for mask in masks])


def _pattern(masks: list[str]) -> str:
    places = ["".join(sorted(set(letters))) for letters in zip(*masks, strict=True)]
    signs = {ch for place in places for ch in place if ch not in _CLASSES}
    if not all(ch.isascii() and ch.isprintable() for ch in signs):
        return ""
    if not any(ch in _CLASSES for place in places for ch in place):
        return ""
    return f"^{''.join(_runs(places))}$"


def _runs(places: list[str]) -> Iterator[str]:
    for letters, run in groupby(places):
        count = len(list(run))
        yield _one(letters) + (f"{{{count}}}" if count > 1 else "")


def _one(letters: str) -> str:
    """Write a place: a class, or a sign as itself."""
    if len(letters) == 1 and letters not in _CLASSES:
        return "\\" + letters if letters in _SPECIAL else letters
    classes = "".join(_CLASSES[ch] for ch in letters if ch in _CLASSES)
    signs = (ch for ch in letters if ch not in _CLASSES)
    return f"[{classes}{''.join(chr(92) + ch if ch in _IN_CLASS else ch for ch in signs)}]"
