"""The records of one JSON document: a list, by its path, read element by element.

::

    zhixin.records: data.items
    {"total": 2, "data": {"items": [{"id": 1}, {"id": 2}], "more": false}}
     └──────── beside: {"total": 2, "data": {"more": false}} ────────┘

The document is never held as a whole: a window slides over it, as large as one element. What lies
beside the list is kept, up to a window, for whoever asks for a total or the next page.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

from zhixin_errors import PermanentSourceError

from zhixin_connectors import jsoncolumns
from zhixin_connectors.jsoncolumns import JsonRow, row_of, seen_columns
from zhixin_connectors.jsontext import (
    MAX_VALUES,
    JsonReader,
    JsonRecord,
    NotJsonError,
    member_texts,
    skip_blank,
)
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.protocol import Extracted, ReadRequest, SeenColumn
from zhixin_connectors.textstream import Utf8Stream
from zhixin_connectors.unpack import OpenStream

__all__ = ["JsonDocument", "batches", "columns", "count_of", "member_at"]

_CHUNK = 1 << 20
_AFTER = frozenset(" \t\n\r,:]}")  # a number goes on until one of these
_MOST = 1 << 26  # characters of one element, or of one member beside the list


class JsonDocument:
    """A document and the list in it.

    Args:
        stream: its bytes as UTF-8.
        path: members on the way to the list, with dots between them; empty: the document is it.
            After ``[]`` those on the way to the record in each element (``features[].properties``).
        place: source and object, for messages.
    """

    def __init__(self, stream: Utf8Stream, path: str, place: str) -> None:
        self._stream = stream
        outer, _, inner = path.partition("[].")
        self._path = outer.split(".") if outer else []
        self._inner = inner.split(".") if inner else []
        self._place = place
        self._reader = JsonReader()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._ended = False
        self._count = 0
        self.beside: dict[str, Any] = {}

    def rows(self) -> Iterator[JsonRow]:
        """The records, to the document's end.

        Raises:
            PermanentSourceError: it is no JSON, or there is no list at the path.
        """
        try:
            yield from self._inside(0, self.beside)
            if self._peek():
                raise NotJsonError("not JSON: something follows its end")
        except NotJsonError as error:
            follows = "follows" in str(error) and not self._path
            raise PermanentSourceError(
                f"source {self._place}: {error}, after record {self._count}",
                code="json-invalid",
                hint="if each line is a record, it is JSON Lines: name it .jsonl"
                if follows
                else "mend it where it is made; nothing was taken from it",
            ) from None

    def _inside(self, depth: int, beside: dict[str, Any]) -> Iterator[JsonRow]:
        opens = self._peek()
        if depth == len(self._path):
            if opens != "[":
                raise self._no_list(depth)
            yield from self._elements()
            return
        if opens != "{":
            raise self._no_list(depth)
        for name in self._members():
            twice = name in beside
            if name == self._path[depth]:
                inner = beside[name] = {}
                yield from self._inside(depth + 1, inner)
            else:
                record = self._scan()
                beside[name] = record.value
                twice = twice or record.twice
            if twice:
                raise NotJsonError("a member stands twice beside the records")
        if self._path[depth] not in beside:
            raise self._no_list(depth)

    def _elements(self) -> Iterator[JsonRow]:
        self._at += 1
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            row = self._row(self._scan())
            self._count += 1
            yield row
            if self._separator("]"):
                return

    def _row(self, element: JsonRecord) -> JsonRow:
        record = element
        for name in [] if element.twice else self._inner:
            if not isinstance(record.value, dict) or record.value.get(name) is None:
                return JsonRow({}, element.text, f"no object at zhixin.records: …[].{name}")
            text = member_texts(record.text)[name]
            record = JsonRecord(record.value[name], text)
        return row_of(record)

    def _members(self) -> Iterator[str]:
        self._at += 1
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            if self._peek() != '"':
                raise NotJsonError("not JSON")
            name = self._scan().value
            if self._peek() != ":":
                raise NotJsonError("not JSON")
            self._at += 1
            yield name
            if self._separator("}"):
                return

    def _separator(self, closing: str) -> bool:
        """Step over a comma or the closing sign; whether it was that."""
        found = self._peek()
        if found not in {",", closing}:
            raise NotJsonError("not JSON" if found else "not JSON: it ends early")
        self._at += 1
        return found == closing

    def _scan(self) -> JsonRecord:
        self._peek()
        while True:
            left = len(self._text) - self._at
            try:
                record, end = self._reader.scan(self._text, self._at)
                follows = self._text[end : end + 1]
                if follows in _AFTER if follows else self._ended:
                    self._at = end
                    return record
                if self._ended:
                    raise NotJsonError("not JSON")
            except NotJsonError:
                if self._ended or left > _MOST:
                    raise
            if self._text.count(",", self._at) > MAX_VALUES:
                raise NotJsonError(f"an element has more than {MAX_VALUES:,} values")
            if left > _MOST:
                raise NotJsonError(f"an element is longer than {_MOST >> 20} MiB")
            self._fill(left)

    def _peek(self) -> str:
        """The next character that is no blank, which is where it then stands; empty at the end."""
        while True:
            self._at = skip_blank(self._text, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill(0)

    def _fill(self, left: int) -> None:
        """Slide on: the window keeps what is left and at least doubles."""
        data = self._stream.read(max(_CHUNK, left))
        self._ended = not data
        self._text = self._text[self._at :] + self._decoder.decode(data, final=self._ended)
        self._at = 0

    def _no_list(self, depth: int) -> PermanentSourceError:
        shown = ".".join(self._path[:depth]) or "the document"
        said = ".".join(self._path)
        lists = [name for name, value in self.beside.items() if isinstance(value, list)]
        if not said and self._peek() == "{":
            lists = [n for n in self._members() if isinstance(self._scan().value, list)]
        lists = [name for name in lists if name.isprintable()]
        hint = f"zhixin.records: {lists[0]}" if lists else "see what the source answers"
        if not said:
            what = "the document is no list, and zhixin.records does not say where the list is"
        else:
            what = f"there is no list at zhixin.records: {said} ({shown} has none)"
        return PermanentSourceError(
            f"source {self._place}: {what}", code="records-missing", hint=hint
        )


def columns(open_stream: OpenStream, place: str, options: SourceOptions) -> list[SeenColumn]:
    """The members that the first records have, in the order in which they appear."""
    with open_stream() as source:
        stream = Utf8Stream(source, options.encoding, place)
        return seen_columns(JsonDocument(stream, options.records, place).rows())


def batches(
    open_stream: OpenStream, place: str, request: ReadRequest, options: SourceOptions
) -> Iterator[Extracted]:
    """The records of one file, batch by batch; arguments as ``jsonlines.batches`` has them.

    Raises:
        PermanentSourceError: no JSON, no list there, a wanted member in no record, or another
            count than the document itself says.
    """
    with open_stream() as source:
        stream = Utf8Stream(source, options.encoding, place)
        document = JsonDocument(stream, options.records, place)
        rows = document.rows()
        count = 0
        for each in jsoncolumns.batches(rows, place, request, options, lambda: stream.invalid):
            yield each
            count += each.batch.num_rows
    said = count_of(document.beside, options.total, place)
    if said is not None and said != count:
        raise PermanentSourceError(
            f"source {place}: {options.total} says {said:,} records, and {count:,} are there",
            code="count-mismatch",
            hint="the file is not whole: have it made again",
        )


def count_of(beside: dict[str, Any], path: str, place: str) -> int | None:
    """The number of all records, as the document says it; None where nobody asks.

    Raises:
        PermanentSourceError: there is no such number.
    """
    if not path:
        return None
    said = str(member_at(beside, path))
    if not (said.isascii() and said.isdecimal()) or len(said) > 18:
        raise PermanentSourceError(
            f"source {place}: there is no count at zhixin.total: {path}",
            code="total-missing",
            hint="name the member that counts all records, with dots on the way to it",
        )
    return int(said)


def member_at(beside: object, path: str) -> object:
    """A member by its path; a name may itself have dots in it (``@odata.nextLink``)."""
    if not isinstance(beside, dict):
        return None
    if path in beside:
        return beside[path]
    for place, character in enumerate(path):
        if character == "." and path[:place] in beside:
            return member_at(beside[path[:place]], path[place + 1 :])
    return None
