"""Crafts Parquet files that no writer makes: a few bytes that claim to be gigabytes."""

from __future__ import annotations

import struct
from itertools import pairwise
from types import SimpleNamespace

import pytest

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def zigzag(value):
    return varint((value << 1) ^ (value >> 63))


def thrift(fields):
    """A struct from {number: (kind, value)}."""
    out, last = b"", 0
    for number, (kind, value) in fields.items():
        out += bytes([(number - last) << 4 | kind]) + encoded(kind, value)
        last = number
    return out + b"\0"


def encoded(kind, value):
    if kind in (I32, I64):
        return zigzag(value)
    if kind == BINARY:
        return varint(len(value)) + value
    if kind == STRUCT:
        return thrift(value)
    if kind == LIST:
        inner, items = value
        head = bytes([min(len(items), 15) << 4 | inner])
        return (
            head
            + (varint(len(items)) if len(items) >= 15 else b"")
            + b"".join(encoded(inner, i) for i in items)
        )
    return b""


def page(body, values, *, kind=0, encoding=0, size=None, uncompressed=None):
    """A page of version 1 or a dictionary page, uncompressed."""
    inner = {1: (I32, values), 2: (I32, encoding)}
    if kind == 0:
        inner |= {3: (I32, 3), 4: (I32, 3)}
    header = {
        1: (I32, kind),
        2: (I32, len(body) if uncompressed is None else uncompressed),
        3: (I32, len(body) if size is None else size),
        {0: 5, 2: 7}[kind]: (STRUCT, inner),
    }
    return thrift(header) + body


STRING = {1: (I32, 6), 3: (I32, 1), 6: (I32, 0), 10: (STRUCT, {1: (STRUCT, {})})}
INTEGER = {1: (I32, 2), 3: (I32, 1)}
DECIMAL = {1: (I32, 6), 3: (I32, 1), 6: (I32, 5), 7: (I32, 2), 8: (I32, 5)}


def leaf(name, element):
    return dict(sorted({**element, 4: (BINARY, name)}.items()))


def group(name, children, repetition=1, **more):
    fields = {3: (I32, repetition), 4: (BINARY, name), 5: (I32, children)}
    if more.get("listed"):
        fields[6] = (I32, 3)
    return fields


def listed(element):
    """Schema elements of a list named x."""
    return [group(b"x", 1, listed=True), group(b"list", 1, 2), leaf(b"element", element)]


def parquet(elements, groups, *, rows=None, columns=1):
    """A file of columns given as {pages, values, physical, codec, dictionary}."""
    data, described = b"PAR1", []
    for group_rows, chunks in groups:
        columns_ = []
        for chunk in chunks:
            start = len(data)
            data += b"".join(chunk["pages"])
            first = len(chunk["pages"][0]) if chunk.get("dictionary") else 0
            meta = {
                1: (I32, chunk["physical"]),
                2: (LIST, (I32, [0])),
                3: (LIST, (BINARY, [b"x"])),
                4: (I32, chunk.get("codec", 0)),
                5: (I64, chunk["values"]),
                6: (I64, len(data) - start),
                7: (I64, chunk.get("size", len(data) - start)),
                9: (I64, chunk.get("offset", start + first)),
            }
            if first:
                meta[11] = (I64, start)
            meta = dict(sorted({**meta, **chunk.get("meta", {})}.items()))
            columns_.append({2: (I64, 0), 3: (STRUCT, meta)})
        described.append({1: (LIST, (STRUCT, columns_)), 2: (I64, 0), 3: (I64, group_rows)})
    root = {4: (BINARY, b"schema"), 5: (I32, columns)}
    total = sum(g for g, _ in groups) if rows is None else rows
    footer = thrift(
        {
            1: (I32, 2),
            2: (LIST, (STRUCT, [root, *elements])),
            3: (I64, total),
            4: (LIST, (STRUCT, described)),
        }
    )
    return data + footer + struct.pack("<I", len(footer)) + b"PAR1"


def levels(count, value, width=1):
    """Levels of one run, as a page of version 1 has them."""
    run = varint(count << 1) + value.to_bytes((width + 7) // 8, "little")
    return struct.pack("<I", len(run)) + run


def strings(*values):
    return b"".join(struct.pack("<I", len(v)) + v for v in values)


def one_index(count):
    """Indices of a dictionary of one value."""
    return b"\x01" + varint(count << 1) + b"\x00"


def packed(numbers):
    """DELTA_BINARY_PACKED: blocks of 128 in 4 miniblocks."""
    out = varint(128) + varint(4) + varint(len(numbers)) + zigzag(numbers[0])
    deltas = [b - a for a, b in pairwise(numbers)]
    for start in range(0, len(deltas), 128):
        block = deltas[start : start + 128]
        least = min(block)
        minis = [[d - least for d in block[at : at + 32]] for at in range(0, 128, 32)]
        widths = [max((d.bit_length() for d in mini), default=0) for mini in minis]
        out += zigzag(least) + bytes(widths)
        for mini, width in zip(minis, widths, strict=True):
            bits = sum(d << (width * at) for at, d in enumerate(mini))
            out += bits.to_bytes(width * 4, "little") if mini else b""
    return out


def delta_strings(values):
    """DELTA_BYTE_ARRAY: each value as what it shares with the one before, and the rest."""
    prefixes, rests, before = [], [], b""
    for value in values:
        shared = len(value) if value == before else 0
        prefixes.append(shared)
        rests.append(value[shared:])
        before = value
    return packed(prefixes) + packed([len(rest) for rest in rests]) + b"".join(rests)


def one_column(element, pages, values, rows=None, **more):
    """A file of one flat column x."""
    physical = element[1][1]
    chunk = {"pages": pages, "values": values, "physical": physical, **more}
    return parquet([leaf(b"x", element)], [(values if rows is None else rows, [chunk])])


def repeated(value, count, element=None):
    """One value, in a dictionary, behind so many indices."""
    pages = [
        page(strings(value), 1, kind=2),
        page(levels(count, 1) + one_index(count), count, encoding=8),
    ]
    return one_column(element or STRING, pages, count, dictionary=True)


def one_list(count, element=None, rows=1):
    """A record whose list has so many nulls."""
    runs = varint(1 << 1) + b"\0" + varint((count - 1) << 1) + b"\1"
    repetition = struct.pack("<I", len(runs)) + runs
    body = page(repetition + levels(count, 2, 2), count)
    chunk = {"pages": [body], "values": count, "physical": 2}
    return parquet(listed(element or INTEGER), [(rows, [chunk])])


@pytest.fixture(scope="session")
def craft():
    """The builders by name."""
    return SimpleNamespace(
        **{name: value for name, value in globals().items() if name[0] != "_" and name != "craft"}
    )
