"""Reading Thrift's compact protocol from hostile bytes, as far as Parquet's footer and pages need.

A struct is a run of fields that ends with a zero byte; a field's first byte holds the step from the
last field's number (high half) and its kind (low half)::

    15 c0 f0 2a   field 1 of kind 5 (i32), zigzag varint
    1c … 00       field 2 of kind 12 (a struct)
    00            end

Every struct is read into a plain dictionary whose keys name number *and* kind (:func:`key`), since
a decoder skips a known field of another kind, and so must we. Stricter than any decoder that reads
the same bytes after us: numbers rise, integers fit their kind, and how much is read is bounded.
"""

from __future__ import annotations

import struct
from typing import Any

from zhixin_errors import VerificationError

__all__ = [
    "BINARY",
    "BYTE",
    "I32",
    "I64",
    "LIST",
    "STRUCT",
    "Struct",
    "ThriftReader",
    "boolean",
    "integer",
    "items",
    "optional",
]

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


class Items(list[Any]):
    """A list with the kind of its elements, which a decoder of a known field never looks at."""

    kind = 0


Struct = dict[int, Any]
"""A struct's fields by :func:`key`."""

_BITS = {BYTE: 8, I16: 16, I32: 32, I64: 64}
_MAX_DEPTH = 24


def key(number: int, kind: int) -> int:
    """How a struct's dictionary names a field."""
    return number << 4 | kind


def optional(fields: Struct, number: int, kind: int) -> Any:  # noqa: ANN401 - as the kind says
    """A field's value, or None where there is none.

    Raises:
        VerificationError: the field is there, but of another kind (``record``).
    """
    value = fields.get(key(number, kind))
    if value is None and any(key(number, other) in fields for other in range(16)):
        raise _fault(f"field {number} is of another kind than Parquet says")
    return value


def items(fields: Struct, number: int, kind: int) -> list[Any]:
    """A list's elements, none where there is no list.

    Raises:
        VerificationError: the field is no list, or one of elements of another kind (``record``).
    """
    found = optional(fields, number, LIST) or Items()
    if found and found.kind != kind:
        raise _fault(f"field {number} is a list of another kind than Parquet says")
    return list(found)


def integer(fields: Struct, number: int, kind: int = I32) -> int:
    """An integer that must be there."""
    value = optional(fields, number, kind)
    if value is None:
        raise _fault(f"field {number} is missing")
    return int(value)


def boolean(fields: Struct, number: int, default: bool | None = None) -> bool:
    """A boolean: its kind is its value."""
    if key(number, TRUE) in fields:
        return True
    if key(number, FALSE) in fields:
        return False
    if default is None:
        raise _fault(f"field {number} is missing")
    return default


class ThriftReader:
    """Reads structs from a run of bytes.

    Args:
        data: the bytes.
        at: where to begin.
        end: where the bytes end that may be read.
        budget: how many values may be read in all.

    Attributes:
        at: the first byte that is not read yet.
    """

    def __init__(self, data: memoryview, at: int, end: int, budget: int) -> None:
        """Begin at a byte."""
        self._data = data
        self._end = end
        self._budget = budget
        self.at = at

    def struct(self, depth: int = 0) -> Struct:
        """Read one struct.

        Raises:
            VerificationError: the bytes are none, or too many (``record``).
        """
        fields: Struct = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            last = number
            number = number + step if step else self._integer(16)
            if number <= last:
                raise _fault("field numbers do not rise")
            fields[key(number, kind)] = self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:  # noqa: ANN401 - as the kind says
        self._budget -= 1
        if self._budget < 0:
            raise _fault("it holds more values than any real one")
        if kind in _BITS:
            return self._byte_signed() if kind == BYTE else self._integer(_BITS[kind])
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind == BINARY:
            return bytes(self._take(self._varint()))
        if kind == DOUBLE:
            return struct.unpack("<d", self._take(8))[0]
        return self._container(kind, depth)

    def _container(self, kind: int, depth: int) -> Any:  # noqa: ANN401 - as the kind says
        if depth > _MAX_DEPTH:
            raise _fault(f"nested deeper than {_MAX_DEPTH}")
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            return self._list(depth)
        if kind == MAP:
            return self._map(depth)
        raise _fault(f"unknown kind {kind}")

    def _list(self, depth: int) -> Items:
        head = self._byte()
        size, kind = head >> 4, head & 15
        if size == 15:
            size = self._varint()
        if size > self._end - self.at:
            raise _fault("a list is longer than the bytes that are left")
        if kind in (TRUE, FALSE):
            found = Items(self._byte() == TRUE for _ in range(size))
        else:
            found = Items(self._value(kind, depth + 1) for _ in range(size))
        found.kind = kind
        return found

    def _map(self, depth: int) -> list[tuple[Any, Any]]:
        size = self._varint()
        if size == 0:
            return []
        if size > self._end - self.at:
            raise _fault("a map is longer than the bytes that are left")
        kinds = self._byte()
        return [
            (self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1))
            for _ in range(size)
        ]

    def _byte(self) -> int:
        at = self.at
        if at >= self._end:
            raise _fault("it ends within a struct")
        self.at = at + 1
        return self._data[at]

    def _byte_signed(self) -> int:
        value = self._byte()
        return value - 256 if value > 127 else value

    def _take(self, size: int) -> memoryview:
        at = self.at
        if size > self._end - at:
            raise _fault("a value is longer than the bytes that are left")
        self.at = at + size
        return self._data[at : at + size]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 63:
                raise _fault("an integer is longer than 10 bytes")
        return value

    def _integer(self, bits: int) -> int:
        raw = self._varint()
        if raw >> bits:
            raise _fault(f"an integer does not fit into {bits} bits")
        return (raw >> 1) ^ -(raw & 1)


def _fault(why: str) -> VerificationError:
    return VerificationError(f"Thrift structure: {why}", code="record")
