"""Random tables over the manifest's types, with the canonical text of every value.

The texts are computed here, from the values alone and as plainly as can be (docs/formats.md 2.2),
so that what a connector reads and the product hashes is held to something that shares no code with
either. A test writes ``table.rows`` into its source, reads them back, and compares::

    @given(table=tables(values={"string": texts(nul=False)}))
    def test_values_come_back(table, …):
        …                                              # CREATE, INSERT of table.rows
        assert read_content(url, "t", table) == table.content
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_gateway.datasets.canonical import texts as canonical_texts

STEMS = ["c", "编号", "50%", "it's", 'a "b"', "select", "a`b", "x.y", "Ünï ", "a\\b", "#1", "[x]"]
HARD_TEXTS = [
    "", " ", "  x  ", "NULL", "\\N", "\\.", "NA", "nan", "true", "007", "1e5", "0x10", "'", '"',
    '""', "a,b;c\td", "a\nb", "a\r\nb", "\r", "é", "e\u0301", "ﬁ", "ß", "İi", "\ufeffx", "\u2028",
    "\u202eabc", "\u200b", "👩‍👩‍👧‍👦", "𠮷", "丂\U0002a6d6", "\ue000", "\uffff", "\U0010ff41",
    "\U0010ffff", "\x7f\x9f", "\x01\x1f", "{1,2}", "[]", "%s %(x)s", "$1", ":a", "\\x00", "甲一",
]  # fmt: skip
_DAY = st.one_of(
    st.dates(),
    st.sampled_from([dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1582, 10, 10)]),
    st.dates(dt.date(1960, 1, 1), dt.date(2040, 1, 1)),
)
_CLOCK = st.one_of(
    st.times(), st.sampled_from([dt.time(), dt.time(23, 59, 59, 999999), dt.time(0, 0, 0, 1)])
)


def texts(*, nul: bool = True) -> st.SearchStrategy[str]:
    """Any valid Unicode, and texts that something somewhere takes for more than a text."""
    characters = st.characters(exclude_categories=["Cs"], min_codepoint=0 if nul else 1)
    hard = [*HARD_TEXTS, "a\x00b", "\x00"] if nul else HARD_TEXTS
    return st.one_of(st.sampled_from(hard), st.text(characters, max_size=8))


def integers(low: int, high: int) -> st.SearchStrategy[int]:
    """Also the edges, and those that a double can't say."""
    edges = [low, high, 0, 1, 2**53 + 1, -(2**53) - 1, 2**31, 10**18]
    return st.one_of(
        st.sampled_from([edge for edge in edges if low <= edge <= high]), st.integers(low, high)
    )


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    """With exactly ``scale`` digits after the point; zero has no sign."""

    def build(unscaled: int) -> Decimal:
        return Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))

    return integers(1 - 10**precision, 10**precision - 1).map(build)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "integer": integers(-(2**63), 2**63 - 1),
    "unsigned": integers(0, 2**64 - 1),
    "float": st.one_of(
        st.sampled_from([-0.0, 0.1, 1e21, 1e22, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308,
                         9007199254740993.0, 123456789012345680.0, -1.5e300]),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    "string": texts(),
    "binary": st.one_of(st.sampled_from([b"", b"\x00\xff", b"'\\\""]), st.binary(max_size=8)),
    "date": _DAY,
    "time": _CLOCK,
    "timestamp": st.builds(dt.datetime.combine, _DAY, _CLOCK),
    "timestamptz": st.builds(dt.datetime.combine, _DAY, _CLOCK, st.just(dt.UTC)),
}  # fmt: skip
_ARROW = {
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "unsigned": pa.uint64(),
    "float": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
SCALARS = ("decimal", *VALUES)


@dataclass(frozen=True)
class RandomTable:
    """A table and what must come of it.

    Args:
        types: each field's type as the manifest has it; the first field is always ``id``,
            the row's number from 0, so that the order of rows is plain.
        rows: Python values in the order of ``types``: int, Decimal, str, bytes, aware or naive
            datetime, list, dict.
    """

    types: dict[str, Any]
    rows: list[tuple[Any, ...]]

    @property
    def schema(self) -> pa.Schema:
        """What to ask a connector for."""
        return pa.schema([(name, arrow_type(kind)) for name, kind in self.types.items()])

    @property
    def texts(self) -> list[str]:
        """The canonical text of each record."""
        kinds = list(self.types.values())
        return [
            "[" + ",".join(element(v, k) for v, k in zip(row, kinds, strict=True)) + "]"
            for row in self.rows
        ]

    @property
    def content(self) -> str:
        """SHA-256 over the texts, each followed by a newline."""
        return hashlib.sha256("".join(f"{text}\n" for text in self.texts).encode()).hexdigest()


@st.composite
def tables(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = SCALARS,
    values: dict[str, st.SearchStrategy[Any]] | None = None,
    stems: tuple[str, ...] = tuple(STEMS),
    most_columns: int = 8,
    most_rows: int = 6,
) -> RandomTable:
    """A random schema over ``kinds`` and random rows.

    Args:
        draw: hypothesis's.
        kinds: names of types; besides SCALARS ``list`` and ``struct``.
        values: strategies that stand for those of VALUES where a source can hold less.
        stems: what names of columns are made of.
        most_columns: besides ``id``.
        most_rows: the least is none.
    """
    values = {**VALUES, **(values or {})}
    types: dict[str, Any] = {"id": "integer"}
    columns = []
    for number in range(draw(st.integers(1, most_columns))):
        kind = draw(st.sampled_from(kinds).flatmap(lambda name: _types(name, kinds)))
        types[f"{draw(st.sampled_from(stems))}{number}"] = kind
        columns.append(st.one_of(st.none(), of_type(kind, values), of_type(kind, values)))
    rows = draw(st.lists(st.tuples(*columns), max_size=most_rows))
    return RandomTable(types, [(number, *row) for number, row in enumerate(rows)])


def _types(name: str, kinds: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """The types of a name: any precision and scale, any scalars in a list or struct."""
    scalars = [kind for kind in kinds if kind in SCALARS]
    inner = st.sampled_from(scalars).flatmap(lambda scalar: _types(scalar, kinds))
    if name == "decimal":
        return st.integers(1, 38).flatmap(
            lambda p: st.integers(0, p).map(lambda s: f"decimal({p},{s})")
        )
    if name == "list":
        return inner.map(lambda kind: {"list": kind})
    if name == "struct":
        members = st.dictionaries(st.sampled_from(["b", "a", "é", "名"]), inner, min_size=1)
        return members.map(
            lambda found: {"struct": [{"name": n, "type": t} for n, t in found.items()]}
        )
    return st.just(name)


def of_type(kind: Any, values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Values of a type of the manifest; nulls only inside lists and structs."""
    if isinstance(kind, str):
        return decimals(*digits(kind)) if kind.startswith("decimal") else values[kind]
    if "list" in kind:
        return st.lists(st.one_of(st.none(), of_type(kind["list"], values)), max_size=3)
    return st.fixed_dictionaries(
        {m["name"]: st.one_of(st.none(), of_type(m["type"], values)) for m in kind["struct"]}
    )


def digits(kind: str) -> tuple[int, int]:
    """Precision and scale of ``decimal(p,s)``."""
    precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
    return int(precision), int(scale)


def arrow_type(kind: Any) -> pa.DataType:
    """The Arrow type of a type of the manifest."""
    if isinstance(kind, str):
        return pa.decimal128(*digits(kind)) if kind.startswith("decimal") else _ARROW[kind]
    if "list" in kind:
        return pa.list_(arrow_type(kind["list"]))
    return pa.struct([(m["name"], arrow_type(m["type"])) for m in kind["struct"]])


def element(value: Any, kind: Any) -> str:
    """A value's element in its record's text, as JCS writes it."""
    if value is None:
        return "null"
    if isinstance(kind, str):
        return json.dumps(canonical(value, kind), ensure_ascii=False)
    if "list" in kind:
        return "[" + ",".join(element(item, kind["list"]) for item in value) + "]"
    members = sorted(kind["struct"], key=lambda member: member["name"].encode("utf-16-be"))
    return "{" + ",".join(
        json.dumps(m["name"], ensure_ascii=False) + ":" + element(value[m["name"]], m["type"])
        for m in members
    ) + "}"  # fmt: skip


def canonical(value: Any, kind: str) -> str:
    """A scalar's canonical text."""
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "float":
        return _ecmascript(value)
    if kind == "binary":
        return base64.b64encode(value).decode()
    if kind == "time":
        return value.isoformat("microseconds")
    if kind in {"timestamp", "timestamptz"}:
        naive = value.replace(tzinfo=None).isoformat("T", "microseconds")
        return naive + ("Z" if kind == "timestamptz" else "")
    if kind == "date":
        return value.isoformat()
    return format(value, "f") if kind.startswith("decimal") else str(value)


def _ecmascript(value: float) -> str:
    """Number::toString: the shortest digits, placed by their exponent n (value = 0.ddd x 10^n)."""
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    sign, figures, exponent = Decimal(repr(value)).normalize().as_tuple()
    shown = "".join(map(str, figures))
    k, n = len(shown), len(shown) + int(exponent)
    if k <= n <= 21:
        text = shown + "0" * (n - k)
    elif 0 < n <= 21:
        text = f"{shown[:n]}.{shown[n:]}"
    elif -6 < n <= 0:
        text = "0." + "0" * -n + shown
    else:
        fraction = f".{shown[1:]}" if k > 1 else ""
        text = f"{shown[0]}{fraction}e{'+' if n > 0 else '-'}{abs(n - 1)}"
    return "-" * sign + text


def read_content(url: str, name: str, table: RandomTable, **request: Any) -> str:
    """What a connector and the product make of a source: ``content``, and no misfit."""
    return content_of(url, name, table.schema, **request)


def content_of(url: str, name: str, schema: pa.Schema, **request: Any) -> str:
    """The digest of the canonical texts of what a connector reads, in its order."""
    digest = hashlib.sha256()
    for each in open_source(url).read(ReadRequest(name, schema, **request)):
        assert list(each.misfits) == []
        for text in canonical_texts(each.batch).to_pylist():
            digest.update(f"{text}\n".encode())
    return digest.hexdigest()
