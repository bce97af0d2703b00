"""A strict reading of YAML that keeps line and column of everything.

YAML 1.2's core schema decides what a plain word is, so ``NO`` is Norway and not false, ``010`` is
ten, and ``12:30`` is a text::

    null  ~  (nothing)      true  false  (also True, TRUE …)
    -12  0o17  0xff         1.5  1e3  (kept exactly, as decimals)      all else is text

Refused, because readers differ about them or because a contract needs none: keys that stand twice,
keys that are no text, anchors and aliases, tags, several documents, infinities, deep nesting.

Source: YAML 1.2.2, sections 10.3.2 (core schema) and 3.2.1.3 (unique keys).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

import yaml

from zhixin_schemas.model import Problem

__all__ = ["Document", "Path", "Place", "path_text", "read_document"]

Path: TypeAlias = tuple[str | int, ...]
Mark: TypeAlias = tuple[int, int]

_START: Mark = (1, 1)
_MAX_DEPTH = 40
_MAX_DIGITS = 400
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {
    word: value
    for value, words in ((True, ("true", "True", "TRUE")), (False, ("false", "False", "FALSE")))
    for word in words
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def path_text(path: Path) -> str:
    """Write a path as people do: ``schema[0].properties[2].name``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass
class Document:
    """What a YAML text says, with the position of each place.

    Args:
        value: made of dict, list, str, bool, int, Decimal and None.
        marks: line and column (both from 1, in characters) of each key or item, by its path.
        problems: what the strict reading refuses; `value` may be used for further checks all the
            same, unless it is None.
    """

    value: object = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mark(self, path: Path) -> Mark:
        """Give line and column of a place, or of the nearest place around it."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, _START)

    def report(self, path: Path, message: str) -> None:
        """Note a problem with a place."""
        self.problems.append(Problem(*self.mark(path), path_text(path), message))

    @property
    def root(self) -> Place:
        """The whole document as a place."""
        return Place(self, (), self.value)


@dataclass(frozen=True)
class Place:
    """A value of the document, and where it stands.

    Every getter gives a harmless default where the value has the wrong type: the ODCS schema has
    reported that already, and the other checks go on.
    """

    document: Document
    path: Path
    value: object

    def __contains__(self, key: str) -> bool:
        """Whether a mapping has the key."""
        return isinstance(self.value, dict) and key in self.value

    def at(self, key: str) -> Place:
        """Give the place under a key; its value is None where there is none."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return Place(self.document, (*self.path, key), value)

    def text(self, key: str, default: str = "") -> str:
        """Give the text under a key."""
        value = self.at(key).value
        return value if isinstance(value, str) else default

    def flag(self, key: str) -> bool:
        """Whether the key holds true."""
        return self.at(key).value is True

    def number(self, key: str) -> int | Decimal | None:
        """Give the number under a key."""
        value = self.at(key).value
        return value if isinstance(value, int | Decimal) and not isinstance(value, bool) else None

    def items(self, key: str) -> list[Place]:
        """Give the places of the list under a key."""
        place = self.at(key)
        return list(place) if isinstance(place.value, list) else []

    def option(self, *names: str) -> Place:
        """Give where the first of these ``zhixin.`` properties stands; this place if none does."""
        wanted = {f"zhixin.{name}" for name in names}
        said = (item for item in self.items("customProperties") if item.text("property") in wanted)
        return next(said, self)

    def names(self) -> list[str]:
        """Give a mapping's keys."""
        return [str(key) for key in self.value] if isinstance(self.value, dict) else []

    def __iter__(self) -> Iterator[Place]:
        """Go through a list's items."""
        if isinstance(self.value, list):
            for number, value in enumerate(self.value):
                yield Place(self.document, (*self.path, number), value)

    def report(self, message: str) -> None:
        """Note a problem with this place."""
        self.document.report(self.path, message)


def read_document(data: bytes) -> Document:
    """Read a YAML text strictly; whatever is wrong is in the document's ``problems``."""
    document = Document()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        mark = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        document.problems.append(Problem(*mark, "", "the file is not UTF-8"))
        return document
    if text.startswith("\ufeff"):
        document.problems.append(
            Problem(1, 1, "", "the file begins with a byte order mark; save it as plain UTF-8")
        )
        text = text[1:]
    try:
        _Builder(document).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = (at.line + 1, at.column + 1) if at else _START
        document.problems.append(Problem(*mark, "", _no_yaml(error, text)))
        document.value = None
    except (yaml.YAMLError, RecursionError):
        document.problems.append(Problem(1, 1, "", "this is no YAML: it holds control characters"))
        document.value = None
    return document


_FAULTS = (
    ("mapping values are not allowed", "a colon and a blank within a text: put it in quotes; or "
     "this line is indented more than the one before it"),
    ("found undefined tag", "a YAML tag (!); contracts use plain values"),
    ("did not find expected key", "this line is not indented as the ones beside it, or a bracket, "
     "brace or quote before it is not closed"),
    ("did not find expected '-'", "an item of the list does not begin with - and a blank"),
    ("did not find expected ',' or", "a bracket or brace is not closed, or a comma is missing"),
    ("could not find expected ':'", "a key without its colon, or a quote that is not closed"),
    ("block sequence entries are not allowed", "a list begins on a line of its own, under its key"),
    ("unexpected end of stream", "a quote that is not closed"),
    ("quoted scalar", "a quote that is not closed, or a backslash within double quotes"),
)  # fmt: skip


def _no_yaml(error: yaml.MarkedYAMLError, text: str) -> str:
    """Say in words what the parser stopped at."""
    at = error.problem_mark
    lines = text.splitlines()
    indent = lines[at.line][: at.column + 1] if at and at.line < len(lines) else ""
    if "\t" in indent and not indent.strip():
        return "this is no YAML: a tab; lines are indented by blanks"
    said = f"{error.context or ''} {error.problem or ''}"
    told = next((words for fault, words in _FAULTS if fault in said), error.problem)
    return f"this is no YAML: {told}"


@dataclass
class _Open:
    """A mapping or list that is being read."""

    value: dict[str, object] | list[object]
    path: Path
    key: str | None = None  # a mapping's key that waits for its value
    skip: bool = False


class _Builder:
    """Makes the document from the parser's events: no recursion, no constructors."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.stack: list[_Open] = []
        self.documents = 0

    def build(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self._problem(event, "a second YAML document; one file is one contract")
                    return
            elif isinstance(event, yaml.AliasEvent):
                self._problem(event, "an alias (*); write the value out")
                self._put(event, None)
            elif isinstance(event, yaml.NodeEvent):
                if not self._node(event):
                    return
            elif isinstance(event, yaml.CollectionEndEvent):
                self.stack.pop()
        if self.documents == 0:
            self.document.problems.append(Problem(1, 1, "", "the file is empty"))

    def _node(self, event: yaml.NodeEvent) -> bool:
        if event.anchor is not None:
            self._problem(event, "an anchor (&); write the value out where it is needed")
        if getattr(event, "tag", None) is not None:
            self._problem(event, "a YAML tag (!); contracts use plain values")
        if isinstance(event, yaml.ScalarEvent):
            self._put(event, event)
            return True
        if len(self.stack) >= _MAX_DEPTH:
            self._problem(event, f"nested more than {_MAX_DEPTH} deep")
            self.document.value = None
            return False
        value: dict[str, object] | list[object]
        value = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._put(event, value)
        return True

    def _put(self, event: yaml.NodeEvent, item: object) -> None:
        """Put a value where it belongs, or keep a key."""
        top = self.stack[-1] if self.stack else None
        mark = _mark(event)
        if top is None:
            self.document.marks[()] = mark
            self.document.value = self._value(event, item, ())
            path: Path = ()
        elif isinstance(top.value, list):
            path = (*top.path, len(top.value))
            self.document.marks[path] = mark
            top.value.append(self._value(event, item, path))
        elif top.key is None and not top.skip:
            self._key(event, item, top)
            path = (*top.path, "?")
        else:
            path = (*top.path, top.key or "?")
            value = self._value(event, item, path)
            if not top.skip and top.key is not None:
                top.value[top.key] = value
            top.key, top.skip = None, False
        if isinstance(item, dict | list):
            self.stack.append(_Open(item, path))

    def _key(self, event: yaml.NodeEvent, item: object, top: _Open) -> None:
        mark = _mark(event)
        value = self._value(event, item, top.path)
        if not isinstance(value, str):
            self.document.problems.append(
                Problem(*mark, path_text(top.path), "a key that is no text; put it in quotes")
            )
            top.skip = True
            return
        path = (*top.path, value)
        if isinstance(top.value, dict) and value in top.value:
            first = self.document.marks[path][0]
            self.document.problems.append(
                Problem(*mark, path_text(path), f"the key stands twice: first in line {first}")
            )
            top.skip = True
            return
        self.document.marks[path] = mark
        top.key = value

    def _value(self, event: yaml.NodeEvent, item: object, path: Path) -> object:
        if not isinstance(item, yaml.ScalarEvent):
            return item
        text = item.value
        if not item.implicit[0] or item.style not in (None, ""):
            return text
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        return self._number(event, text, path)

    def _number(self, event: yaml.NodeEvent, text: str, path: Path) -> object:
        if _NOT_A_NUMBER.fullmatch(text):
            self._problem(event, "an infinity or NaN; leave the bound out instead", path)
            return None
        if len(text) > _MAX_DIGITS:
            return text
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text):
            return int(text[2:], 8)
        if _HEXADECIMAL.fullmatch(text):
            return int(text[2:], 16)
        return Decimal(text) if _FLOAT.fullmatch(text) else text

    def _problem(self, event: yaml.Event, message: str, path: Path | None = None) -> None:
        if path is None:
            path = self.stack[-1].path if self.stack else ()
            if self.stack and self.stack[-1].key:
                path = (*path, self.stack[-1].key)
        self.document.problems.append(Problem(*_mark(event), path_text(path), message))


def _mark(event: yaml.Event) -> Mark:
    at = event.start_mark
    return (at.line + 1, at.column + 1) if at else _START
