r"""The texts of PostgreSQL's own types, by what the catalogue says of each column's type.

::

    bit(3)       101                       a string of bits, not the number one hundred and one
    real         0.1                       the shortest text of 32 bits: widened exactly
    bytea        \x00ff
    integer[]    [0:1]={1,NULL}            bounds say nothing new; text[]  {"a b","NULL"}
    box[]        {(1,1),(0,0);(2,2),(1,1)}
    (row)        (1,"a b",)                an empty member is null; a quote is doubled

Lists and structs are read from these texts; a list or struct under any other type is JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from zhixin_connectors._arrow import Array, pc
from zhixin_connectors.cast import Cast, cast_texts, refuse_all
from zhixin_connectors.columns import ArrowColumn, FloatColumn
from zhixin_connectors.grammar import Reading
from zhixin_connectors.typed import cast_typed

__all__ = ["BOOL", "TEXTS", "Ask", "Kind", "column", "kinds_of"]

BOOL, _BYTEA, _FLOAT4, _FLOAT8 = 16, 17, 700, 701
TEXTS = {25, 1042, 1043, 19, 18}  # text, bpchar, varchar, name, "char"
_BITS, _INTERVAL = {1560, 1562}, 1186
_ANOTHER = ", and another type was wanted"
_CATALOGUE = """
    SELECT t.oid::int8, t.typbasetype::int8, e.oid::int8, e.typdelim::text, t.typrelid::int8,
        pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(o.proname)
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_proc o ON o.oid = t.typoutput
    JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace
    LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
    WHERE t.oid IN ({})"""
_MEMBERS = """
    SELECT attname::text, atttypid::int8 FROM pg_catalog.pg_attribute
    WHERE attrelid = {} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""


Ask = Callable[[str], list[Any]]  # the rows of a small answer


@dataclass(frozen=True)
class Kind:
    """A type of the server's.

    Args:
        oid: of the type, of a domain that of what is under it.
        element: of an array.
        delimiter: between an array's elements.
        members: of a composite type, by name, in order.
        output: the function that gives the server's own text of a value.
    """

    oid: int
    element: Kind | None = None
    delimiter: str = ","
    members: tuple[tuple[str, Kind], ...] = ()
    output: str = ""


def kinds_of(ask: Ask, oids: Iterable[int]) -> dict[int, Kind]:
    """What the catalogue says of types."""
    oids = set(oids)
    if not oids:
        return {}
    kinds = {oid: Kind(oid) for oid in oids}
    rows = ask(_CATALOGUE.format(",".join(map(str, oids))))
    for oid, base, element, delimiter, relation, output in rows:
        if base:
            kinds[oid] = kinds_of(ask, [base])[base]
        elif element:
            inner = kinds_of(ask, [element])[element]
            kinds[oid] = Kind(oid, inner, delimiter, output=output)
        elif relation:
            members = ask(_MEMBERS.format(relation))
            each = kinds_of(ask, [kind for _, kind in members])
            named = tuple((name, each[kind]) for name, kind in members)
            kinds[oid] = Kind(oid, members=named, output=output)
        else:
            kinds[oid] = Kind(oid, output=output)
    return kinds


def column(texts: ArrowColumn, kind: Kind, wanted: pa.DataType) -> ArrowColumn:
    """A column of the server's texts, as its type has them read."""
    if kind.oid in {_FLOAT4, _FLOAT8}:
        return FloatColumn(texts.array, texts.escaped, kind.oid == _FLOAT4)
    if kind.oid == _BYTEA:
        return _BytesColumn(texts.array, texts.escaped)
    if kind.oid in _BITS and not (pt.is_string(wanted) or pt.is_boolean(wanted)):
        return _RefusedColumn(texts.array, texts.escaped, f"a string of bits{_ANOTHER}")
    if kind.oid == _INTERVAL and not pt.is_string(wanted):
        return _RefusedColumn(texts.array, texts.escaped, f"an interval{_ANOTHER}")
    if (kind.element and pt.is_list(wanted)) or (kind.members and pt.is_struct(wanted)):
        return _NestedColumn(texts.array, texts.escaped, kind)
    return texts


@dataclass(frozen=True)
class _BytesColumn(ArrowColumn):
    """Texts of ``bytea``."""

    def read(self, texts: Array, wanted: pa.DataType, reading: Reading) -> Cast:
        if not pt.is_binary(wanted):
            return refuse_all(texts, wanted, f"a binary value{_ANOTHER}")
        return cast_texts(texts, wanted, Reading(reading.zone, "pg"))


@dataclass(frozen=True)
class _RefusedColumn(ArrowColumn):
    """Texts that would be taken for what they are not."""

    reason: str = ""

    def read(self, texts: Array, wanted: pa.DataType, reading: Reading) -> Cast:  # noqa: ARG002
        return refuse_all(texts, wanted, self.reason)


@dataclass(frozen=True)
class _NestedColumn(ArrowColumn):
    """Texts of an array or a composite type."""

    kind: Kind = Kind(0)

    def read(self, texts: Array, wanted: pa.DataType, reading: Reading) -> Cast:
        values: list[object] = []
        misfits: list[tuple[int, str]] = []
        for row, text in enumerate(texts.to_pylist()):
            try:
                values.append(None if text is None else _value(text, self.kind, wanted))
            except _UnlikeError as unlike:
                values.append(None)
                misfits.append((row, str(unlike)))
        read = cast_typed(pa.array(values, _shape(self.kind, wanted)), wanted, reading)
        return Cast(read.array, sorted(misfits + read.misfits))


class _UnlikeError(Exception):
    """An array or composite of another shape than the wanted type; ``str()`` is the reason."""


def _shape(kind: Kind, wanted: Any) -> pa.DataType:  # noqa: ANN401 (its fields, of a nested type)
    """The Arrow type of what :func:`_value` gives."""
    if pt.is_list(wanted) and kind.element:
        inner = kind if pt.is_list(wanted.value_type) else kind.element
        return pa.list_(_shape(inner, wanted.value_type))
    if pt.is_struct(wanted) and kind.members:
        return pa.struct([(n, _shape(each, _member(wanted, n))) for n, each in kind.members])
    if not pt.is_string(wanted):
        own: dict[int, pa.DataType] = {
            _FLOAT4: pa.float32(),
            _FLOAT8: pa.float64(),
            _BYTEA: pa.binary(),
        }
        return own.get(kind.oid, pa.string())
    return pa.binary() if kind.oid == _BYTEA else pa.string()


def _value(text: str, kind: Kind, wanted: Any) -> object:  # noqa: ANN401
    if pt.is_list(wanted) and kind.element:
        return _list(_elements(text, kind), kind, wanted)
    if pt.is_struct(wanted) and kind.members:
        return {
            name: None if own is None else _value(own, each, _member(wanted, name))
            for (name, each), own in zip(kind.members, _members(text), strict=True)
        }
    return _leaf(text, kind.oid, wanted)


def _leaf(text: str, oid: int, wanted: pa.DataType) -> object:
    if oid == _BYTEA:
        return bytes.fromhex(text.removeprefix("\\x"))
    if pt.is_string(wanted):
        return {"t": "true", "f": "false"}[text] if oid == BOOL else text
    if oid in {_FLOAT4, _FLOAT8}:
        return pc.cast(pa.scalar(text), pa.float32() if oid == _FLOAT4 else pa.float64()).as_py()
    if oid in _BITS and not pt.is_boolean(wanted):
        raise _UnlikeError(f"an element is a string of bits{_ANOTHER}")
    if oid == _INTERVAL:
        raise _UnlikeError(f"an element is an interval{_ANOTHER}")
    return text


def _list(items: list[Any], kind: Kind, wanted: Any) -> list[object]:  # noqa: ANN401
    inner = wanted.value_type
    deeper = pt.is_list(inner)
    if any(isinstance(item, list) != deeper for item in items if item is not None) or (
        deeper and None in items
    ):
        raise _UnlikeError("an array of other dimensions than the wanted type")
    if deeper:
        return [_list(item, kind, inner) for item in items]
    element = kind.element or kind
    return [None if item is None else _value(item, element, inner) for item in items]


def _member(wanted: Any, name: str) -> pa.DataType:  # noqa: ANN401 (a struct type)
    """The wanted type of a member; of one that is not wanted a text's, and the cast refuses it."""
    at = wanted.get_field_index(name)
    known: pa.DataType = wanted.field(at).type if at >= 0 else pa.string()
    return known


@lru_cache
def _tokens(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    return re.compile(rf'[{{}}{mark}]|"((?:[^"\\]|\\.)*)"|([^{{}}{mark}"]+)', re.DOTALL)


def _elements(text: str, kind: Kind) -> list[Any]:
    """An array's text as nested lists of texts."""
    stack: list[list[Any]] = [[]]
    for token in _tokens(kind.delimiter).finditer(text, text.index("{")):
        mark = token.group()
        if mark == "{":
            stack.append([])
        elif mark == "}":
            done = stack.pop()
            stack[-1].append(done)
        elif token.group(1) is not None:
            stack[-1].append(re.sub(r"\\(.)", r"\1", token.group(1), flags=re.DOTALL))
        elif mark != kind.delimiter:
            stack[-1].append(None if mark.upper() == "NULL" else mark)
    found: list[Any] = stack[0][0]
    return found


_MEMBER = re.compile(r'(?:"((?:[^"\\]|""|\\.)*)"|([^,"]*))(?:,|\Z)', re.DOTALL)


def _members(text: str) -> list[str | None]:
    """A composite value's text as its members' texts."""
    found: list[str | None] = []
    inner, at = text[1:-1], 0
    while True:
        member = _MEMBER.match(inner, at)
        if member is None:
            raise _UnlikeError("not a row of the server's")
        quoted, bare = member.groups()
        if quoted is not None:
            quoted = re.sub(r'\\(.)|""', lambda m: m.group(1) or '"', quoted, flags=re.DOTALL)
        found.append(quoted if quoted is not None else bare or None)
        at = member.end()
        if not member.group().endswith(","):
            return found
