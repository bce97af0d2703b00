r"""JSON read exactly: numbers stay the text that they are, what is no JSON is refused.

::

    {"id": 9007199254740993, "amount": 1.10}    → {"id": Number("9007199254740993"), …}
    NaN, Infinity                               no JSON
    {"a": 1, "a": 2}                            JSON, but says two things: ``twice``
    "\ud800"                                    JSON, but no text: a lone surrogate
    [[[[…]]]]                                   refused beyond 64 levels

Whatever else RFC 8259 leaves to the reader is left to nobody here. Python's scanner does the work,
with hooks that convert nothing.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

__all__ = [
    "MAX_DEPTH",
    "MAX_VALUES",
    "JsonReader",
    "JsonRecord",
    "NotJsonError",
    "Number",
    "is_text",
    "member_texts",
    "plain_number",
    "skip_blank",
]

MAX_DEPTH = 64
MAX_VALUES = 1 << 20  # by its commas, of one record: each value takes a hundred bytes and more
_MAX_DIGITS = 4_000  # beyond this no type reaches, and writing it out would cost
_BLANK = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJsonError(ValueError):
    """A text is no JSON; ``at`` is where it was noticed, and the message holds nothing of it."""

    def __init__(self, what: str, at: int = 0) -> None:
        super().__init__(what)
        self.at = at


class Number(str):
    """A JSON number's own digits, told apart from a string's."""

    __slots__ = ()


class JsonRecord(NamedTuple):
    """A value and its own text.

    Args:
        value: of dict, list, str, :class:`Number`, bool or None.
        text: as it stands in the source.
        twice: an object in it has a member twice.
    """

    value: Any
    text: str
    twice: bool = False


class JsonReader:
    """Python's scanner with our hooks. Keep one for many values; not for two threads."""

    def __init__(self) -> None:
        self._twice = False
        self._once: Any = json.JSONDecoder(
            parse_float=Number,
            parse_int=Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=self._members,
        ).scan_once  # type: ignore[attr-defined]

    def parse(self, text: str) -> JsonRecord:
        """Read a whole text as one value.

        Raises:
            NotJsonError: it is none, or more than one, or nested too deeply.
        """
        record, end = self.scan(text, skip_blank(text, 0))
        if skip_blank(text, end) != len(text):
            raise NotJsonError("not JSON: something follows its end", end)
        return record

    def scan(self, text: str, start: int) -> tuple[JsonRecord, int]:
        """Read the value that begins at a place of a text.

        Returns:
            the value with its own text, and the place behind it.

        Raises:
            NotJsonError: there is none, or it is nested too deeply.
        """
        self._twice = False
        try:
            value, end = self._once(text, start)
        except StopIteration as stop:
            raise NotJsonError("not JSON", stop.value) from None
        except json.JSONDecodeError as error:
            raise NotJsonError("not JSON", error.pos) from None
        except RecursionError:
            raise NotJsonError(f"nested more than {MAX_DEPTH} deep", start) from None
        own = text[start:end]
        if own.count("[") + own.count("{") > MAX_DEPTH and _depth(own) > MAX_DEPTH:
            raise NotJsonError(f"nested more than {MAX_DEPTH} deep", start)
        return JsonRecord(value, own, self._twice), end

    def _members(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            self._twice = True
        return members


def skip_blank(text: str, start: int) -> int:
    """The place of the next character that is no blank of JSON."""
    found = _BLANK.match(text, start)
    return found.end() if found else start


def member_texts(text: str) -> dict[str, str]:
    """The members of an object's text, each as it stands there."""
    reader = JsonReader()
    found = {}
    place = skip_blank(text, 1)
    while text[place] != "}":
        name, place = reader.scan(text, place)
        start = skip_blank(text, skip_blank(text, place) + 1)  # behind the colon
        value, place = reader.scan(text, start)
        found[str(name.value)] = value.text
        place = skip_blank(text, place)
        if text[place] == ",":
            place = skip_blank(text, place + 1)
    return found


def is_text(value: str) -> bool:
    """Whether a string is Unicode text: without lone surrogates."""
    return value.isascii() or _SURROGATE.search(value) is None


def plain_number(number: str) -> str:
    """A number without its exponent, which in JSON is how numbers are written, no rounding.

    Raises:
        NotJsonError: no type reaches so far.
    """
    if "e" not in number and "E" not in number:
        return number
    try:
        value = Decimal(number[:_MAX_DIGITS])
    except InvalidOperation:
        raise NotJsonError("not a number of this range") from None
    if not value:
        return "0"
    if len(number) > _MAX_DIGITS or abs(value.adjusted()) >= _MAX_DIGITS:
        raise NotJsonError("not a number of this range")
    return format(value, "f")


def _depth(text: str) -> int:
    """How deep arrays and objects lie in one another."""
    depth = deepest = 0
    for character in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if character in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(_name: str) -> None:
    raise NotJsonError("not JSON: a number that is not finite")
