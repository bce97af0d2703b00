"""What tests of datasets share: vectors, an obvious slow reference, and generators of records.

The reference knows values as the vectors spell them (tests/vectors/README.md): integers, unscaled
decimals, the bits of floats, days, microseconds. No date, number or JSON library is in it.
"""

from __future__ import annotations

import base64
import random
import struct
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import strategies as st

VECTORS = Path(__file__).parents[2] / "vectors"
SCALARS = ["boolean", "integer", "unsigned", "float", "string", "binary",
           "date", "time", "timestamp", "timestamptz"]  # fmt: skip
DAY_US = 86_400_000_000


# --- spelled values to Arrow --------------------------------------------------------------------


def from_vector(kind, value):
    """A vector's value, as the reference wants it."""
    if value is None:
        return None
    if isinstance(kind, dict):
        if "list" in kind:
            return [from_vector(kind["list"], item) for item in value]
        return {m["name"]: from_vector(m["type"], value[m["name"]]) for m in kind["struct"]}
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(value))[0]
    if kind == "string":
        return bytes.fromhex(value)
    if kind == "binary":
        return bytes.fromhex(value)
    return int(value)


def to_array(kind, values, arrow):
    """Spelled values as an Arrow array, by their bits where there is a choice."""
    if isinstance(kind, dict):
        return nested_array(kind, values, arrow)
    if kind == "string":
        return pa.array(values, pa.binary()).view(pa.string())
    if kind in ("integer", "unsigned", "binary", "float"):
        return pa.array(values, arrow)
    if kind == "boolean":
        return pa.array([None if v is None else bool(v) for v in values], arrow)
    if kind == "date":
        return pa.array(values, pa.int32()).view(arrow)
    if kind in ("time", "timestamp", "timestamptz"):
        return pa.array(values, pa.int64()).view(arrow)
    return decimals(values, arrow)


def decimals(values, arrow):
    raw = b"".join((v or 0).to_bytes(16, "little", signed=True) for v in values)
    valid = pa.array([v is not None for v in values], pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(arrow, len(values), [valid, pa.py_buffer(raw)])


def nested_array(kind, values, arrow):
    mask = pa.array([v is None for v in values], pa.bool_())
    if "list" in kind:
        offsets, items = [0], []
        for value in values:
            items += value or []
            offsets.append(len(items))
        inner = to_array(kind["list"], items, arrow.value_type)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner, type=arrow, mask=mask)
    members = [
        to_array(m["type"], [None if v is None else v[m["name"]] for v in values], f.type)
        for m, f in zip(kind["struct"], arrow, strict=True)
    ]
    return pa.StructArray.from_arrays(members, fields=list(arrow), mask=mask)


def to_batch(fields, records, schema):
    """Records of spelled values as a batch."""
    columns = [
        to_array(f["type"], [r[i] for r in records], s.type)
        for i, (f, s) in enumerate(zip(fields, schema, strict=True))
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


# --- the slow reference --------------------------------------------------------------------------


def slow_record(fields, values):
    elements = [slow_element(f["type"], v) for f, v in zip(fields, values, strict=True)]
    return "[" + ",".join(elements) + "]"


def slow_element(kind, value):
    if value is None:
        return "null"
    if isinstance(kind, dict):
        if "list" in kind:
            return "[" + ",".join(slow_element(kind["list"], item) for item in value) + "]"
        members = sorted(kind["struct"], key=lambda m: m["name"].encode("utf-16-be"))
        return (
            "{"
            + ",".join(
                slow_string(m["name"]) + ":" + slow_element(m["type"], value[m["name"]])
                for m in members
            )
            + "}"
        )
    return slow_string(slow_scalar(kind, value))


def slow_string(text):
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
             "\t": "\\t"}  # fmt: skip
    return '"' + "".join(short.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


def slow_scalar(kind, value):
    if kind == "boolean":
        return "true" if value else "false"
    if kind in ("integer", "unsigned"):
        return str(value)
    if kind == "float":
        return slow_number(value)
    if kind == "string":
        return value.decode("utf-8")
    if kind == "binary":
        return base64.standard_b64encode(value).decode()
    if kind == "date":
        return slow_day(value)
    if kind == "time":
        return slow_clock(value)
    if kind.startswith("timestamp"):
        days, rest = divmod(value, DAY_US)
        return f"{slow_day(days)}T{slow_clock(rest)}" + ("Z" if kind == "timestamptz" else "")
    scale = int(kind[:-1].split(",")[1])
    digits = str(abs(value)).rjust(scale + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


def slow_clock(us):
    seconds, micros = divmod(us, 10**6)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micros:06d}"


def slow_day(days):
    """Count by 400-year cycles, then years, then months, as a calendar does."""
    days += 719_162  # since 0001-01-01
    cycles, days = divmod(days, 146_097)
    year = 1 + 400 * cycles
    while days >= (366 if leap(year) else 365):
        days -= 366 if leap(year) else 365
        year += 1
    month = 0
    lengths = [31, 29 if leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    while days >= lengths[month]:
        days -= lengths[month]
        month += 1
    return f"{year:04d}-{month + 1:02d}-{days + 1:02d}"


def leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def slow_number(value):
    """ECMAScript's Number::toString by its definition: fewest digits, then the closest."""
    if value == 0:
        return "-0" if struct.pack(">d", value)[0] else "0"
    sign, value = ("-" if value < 0 else ""), abs(value)
    for k in range(1, 18):
        s, n = closest(value, k)
        if s is not None:
            return sign + layout(str(s), k, n)
    raise AssertionError


def closest(value, k):
    exact = Fraction(value)
    n = Decimal(value).adjusted() + 1
    unit = Fraction(10) ** (n - k)
    near = exact // unit
    found = [
        (abs(s * unit - exact), s)
        for s in (near - 1, near, near + 1)
        if 10 ** (k - 1) <= s <= 10**k and rounds_to(s * unit, value)
    ]
    if not found:
        return None, n
    s = min(found)[1]
    return (s, n) if s < 10**k else (s // 10, n + 1)


def rounds_to(exact, value):
    try:
        return float(exact) == value
    except OverflowError:
        return False


def layout(s, k, n):
    if k <= n <= 21:
        return s + "0" * (n - k)
    if 0 < n <= 21:
        return s[:n] + "." + s[n:]
    if -6 < n <= 0:
        return "0." + "0" * -n + s
    power = f"e{'+' if n > 0 else '-'}{abs(n - 1)}"
    return s + power if k == 1 else s[0] + "." + s[1:] + power


# --- generators ---------------------------------------------------------------------------------


def scalar_types():
    precisions = st.integers(1, 38).flatmap(
        lambda p: st.integers(0, p).map(lambda s: f"decimal({p},{s})")
    )
    return st.one_of(st.sampled_from(SCALARS), precisions)


NAMES = st.one_of(
    st.sampled_from(["a", "b", "名", 'q"\\', "\u20ac", "\U0001f600", "\ufb33", "a.b", "list"]),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=4),
)


def types(depth=3):
    if depth == 0:
        return scalar_types()
    deeper = st.deferred(lambda: types(depth - 1))
    members = st.lists(st.tuples(NAMES, deeper), min_size=1, max_size=3, unique_by=lambda m: m[0])
    return st.one_of(
        scalar_types(),
        scalar_types(),
        deeper.map(lambda t: {"list": t}),
        members.map(lambda ms: {"struct": [{"name": n, "type": t} for n, t in ms]}),
    )


def field_lists():
    named = st.lists(st.tuples(NAMES, types()), min_size=1, max_size=4, unique_by=lambda m: m[0])
    return named.map(lambda ms: [{"name": n, "type": t} for n, t in ms])


STRINGS = st.one_of(
    st.sampled_from(["", "\x00", '"', "\\", "\n", "a", "NULL", "null", "\u2028", "e\u0301", "NA"]),
    st.text(st.characters(codec="utf-8"), max_size=12),
).map(str.encode)
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.integers(-(2**54), 2**54).map(float),
    st.integers(-1074, 1023).map(lambda e: 2.0**e),
    st.tuples(st.integers(1, 10**6), st.integers(-30, 30)).map(lambda t: float(f"{t[0]}e{t[1]}")),
    st.sampled_from([0.0, -0.0, 1e21, 1e-7, 1e15, 123456789012345680000.0, 5e-324]),
)


FIRST_US, LAST_US = -719_162 * DAY_US, 2_932_897 * DAY_US - 1
FILLED = {
    "boolean": st.integers(0, 1),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "unsigned": st.integers(0, 2**64 - 1),
    "float": FLOATS,
    "string": STRINGS,
    "binary": st.binary(max_size=9),
    "date": st.integers(-719_162, 2_932_896),
    "time": st.integers(0, DAY_US - 1),
    "timestamp": st.integers(FIRST_US, LAST_US),
    "timestamptz": st.integers(FIRST_US, LAST_US),
}


@st.composite
def values(draw, kind):
    """One spelled value of a type; one in five is null."""
    if draw(st.integers(0, 4)) == 0:
        return None
    if isinstance(kind, dict) and "list" in kind:
        return [draw(values(kind["list"])) for _ in range(draw(st.integers(0, 3)))]
    if isinstance(kind, dict):
        return {m["name"]: draw(values(m["type"])) for m in kind["struct"]}
    if kind in FILLED:
        return draw(FILLED[kind])
    most = 10 ** int(kind[8:].split(",")[0]) - 1
    near = min(most, 50)
    return draw(st.one_of(st.integers(-most, most), st.integers(-near, near)))


@st.composite
def record_lists(draw, fields, min_size=1, max_size=8):
    """Records of spelled values."""
    count = draw(st.integers(min_size, max_size))
    return [tuple(draw(values(f["type"])) for f in fields) for _ in range(count)]


def some_records(fields, count, seed):
    """Records of spelled values from a seed, without hypothesis."""
    chance = random.Random(seed)
    return [tuple(some_value(f["type"], chance) for f in fields) for _ in range(count)]


def some_value(kind, chance):
    if chance.random() < 0.2:
        return None
    if isinstance(kind, dict) and "list" in kind:
        return [some_value(kind["list"], chance) for _ in range(chance.randrange(4))]
    if isinstance(kind, dict):
        return {m["name"]: some_value(m["type"], chance) for m in kind["struct"]}
    if kind == "boolean":
        return chance.randrange(2)
    if kind == "string":
        return chance.choice(["", "é", "a\n", "同" * 9]).encode()
    if kind == "binary":
        return chance.randbytes(chance.randrange(6))
    if kind == "float":
        return chance.choice([0.0, -0.0, 1.5, 1e21, chance.random()])
    return chance.randrange(1000)


def expanded(item):
    """A file of a vector: base64, or head, repeat, times, tail."""
    if isinstance(item, str):
        return base64.b64decode(item)
    parts = {k: base64.b64decode(item.get(k, "")) for k in ("head", "repeat", "tail")}
    return parts["head"] + parts["repeat"] * int(item["times"]) + parts["tail"]


@pytest.fixture(scope="session")
def vectors():
    """The folder of the test vectors."""
    return VECTORS


@pytest.fixture(scope="session")
def forms():
    """Reference and generators, by name."""
    return SimpleNamespace(
        decimals=decimals,
        expanded=expanded,
        field_lists=field_lists,
        floats=FLOATS,
        from_vector=from_vector,
        record_lists=record_lists,
        some_records=some_records,
        slow_element=slow_element,
        slow_number=slow_number,
        slow_record=slow_record,
        to_array=to_array,
        to_batch=to_batch,
        types=types,
        values=values,
    )


@pytest.fixture(scope="session")
def every_type():
    """A schema's fields with every type, as JSON."""
    kinds = [*SCALARS, "decimal(38,10)", "decimal(5,0)", "decimal(4,4)"]
    flat = [{"name": kind, "type": kind} for kind in kinds]
    pair = {"struct": [{"name": "b", "type": "string"}, {"name": "a", "type": "decimal(5,2)"}]}
    return [
        *flat,
        {"name": "strings", "type": {"list": "string"}},
        {"name": "pair", "type": pair},
        {"name": "pairs", "type": {"list": pair}},
        {"name": "deep", "type": {"list": {"list": {"list": "binary"}}}},
    ]
