"""Record batches made of any bytes, and both paths' answers to them.

Bytes say the types, the lengths and every buffer, so offsets and indices may point anywhere. What
is no Arrow array at all is refused; what is broken the kernel must refuse; all else both paths hash
alike, or refuse alike. pyarrow itself may crash on what is broken, so the pure path never sees it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import pyarrow as pa
from zhixin_errors import FormatError, ZhixinError
from zhixin_gateway.datasets import canonical, hashing

# Each type, and the plain one of the same layout.
SCALARS: tuple[tuple[pa.DataType, pa.DataType], ...] = (
    (pa.bool_(), pa.bool_()),
    (pa.int64(), pa.int64()),
    (pa.uint64(), pa.uint64()),
    (pa.float64(), pa.int64()),
    (pa.decimal128(5, 2), pa.binary(16)),
    (pa.decimal128(38, 0), pa.binary(16)),
    (pa.string(), pa.binary()),
    (pa.binary(), pa.binary()),
    (pa.date32(), pa.int32()),
    (pa.time64("us"), pa.int64()),
    (pa.timestamp("us"), pa.int64()),
    (pa.timestamp("us", "UTC"), pa.int64()),
)
LIST, STRUCT, DICTIONARY = len(SCALARS), len(SCALARS) + 1, len(SCALARS) + 2
NAMES = ("a", "b", "\0", "\U0001f600", "\ufb33", 'q"')


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, size: int) -> bytes:
        """The next bytes; zeros behind the end."""
        found = self._data[self._at : self._at + size]
        self._at += size
        return found.ljust(size, b"\0")


def _array(source: _Bytes, length: int, depth: int, *, plain: bool) -> pa.Array:
    kind = source.byte() % (DICTIONARY + 1 if depth else len(SCALARS))
    nulls = source.byte() % 2
    validity = pa.py_buffer(source.take((length + 7) // 8)) if nulls else None
    if kind == LIST:
        offsets, last = _offsets(source, length)
        item = _array(source, last, depth - 1, plain=plain)
        arrow = pa.list_(pa.field("element", item.type))
        return pa.Array.from_buffers(arrow, length, [validity, offsets], children=[item])
    if kind == STRUCT:
        names = sorted({NAMES[source.byte() % len(NAMES)] for _ in range(1 + source.byte() % 2)})
        members = [_array(source, length, depth - 1, plain=plain) for _ in names]
        arrow = pa.struct([pa.field(n, m.type) for n, m in zip(names, members, strict=True)])
        return pa.Array.from_buffers(arrow, length, [validity], children=members)
    if kind == DICTIONARY:
        indices = [source.byte() - 2 for _ in range(length)]
        values = _array(source, 1 + source.byte() % 4, 0, plain=plain)
        if plain and not all(0 <= index < len(values) for index in indices):
            raise pa.ArrowInvalid("an index beyond its dictionary")
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), values, safe=False)
    arrow = SCALARS[kind][plain]
    if pa.types.is_string(arrow) or pa.types.is_binary(arrow):
        offsets, last = _offsets(source, length)
        buffers = [validity, offsets, pa.py_buffer(source.take(last))]
        return pa.Array.from_buffers(arrow, length, buffers)
    size = (length * arrow.bit_width + 7) // 8
    return pa.Array.from_buffers(arrow, length, [validity, pa.py_buffer(source.take(size))])


def _offsets(source: _Bytes, length: int) -> tuple[pa.Buffer, int]:
    if source.byte() % 8:
        edges = list(accumulate((source.byte() % 7 for _ in range(length)), initial=0))
    else:
        edges = [source.byte() - 8 for _ in range(length + 1)]
    last = max(0, edges[-1])
    return pa.array(edges, pa.int32()).buffers()[1], last


def _batch(data: bytes, *, plain: bool) -> pa.RecordBatch:
    source = _Bytes(data)
    length, start, count = source.byte() % 24, source.byte() % 4, 1 + source.byte() % 3
    columns = [_array(source, length, 3, plain=plain) for _ in range(count)]
    names = [f"c{at}" for at in range(count)]
    return pa.RecordBatch.from_arrays(columns, names=names).slice(start)


@contextmanager
def _pure() -> Any:
    os.environ["ZHIXIN_KERNEL"] = "pure"
    try:
        yield
    finally:
        del os.environ["ZHIXIN_KERNEL"]


def _answer(batch: pa.RecordBatch) -> Any:
    try:
        digest = hashing.new_digest(bytes(32), keep_leaves=True)
        digest.append(batch)
        cutter = hashing.new_cutter(batch.schema, batch.schema.names[:1], new_salt_key=bytes)
        cut = cutter.feed(batch), cutter.end()
        texts = canonical.texts(batch).to_pylist()
    except ZhixinError as error:
        return type(error), error.code
    return texts, list(digest.leaves), digest.root(), digest.content(), cut


def read_batch(data: bytes) -> Any:
    """Both paths' answer to a batch made of these bytes.

    Raises:
        FormatError: they make no batch, or one that is refused.
    """
    try:
        batch = _batch(data, plain=False)
    except (pa.ArrowException, ValueError) as error:
        raise FormatError("no batch") from error
    assert hashing.kernel() is not None, "the kernel is not there: make kernel"
    native = _answer(batch)
    try:
        _batch(data, plain=True).validate(full=True)
    except pa.ArrowException as error:
        raise FormatError("a broken batch") from error
    with _pure():
        pure = _answer(batch)
    assert native == pure, f"two answers to {data!r}"
    if len(native) == 2:
        raise FormatError("refused")
    return native


def seeds() -> list[bytes]:
    """A batch of each type, lists and structs of them, dictionaries, and a broken one."""
    filled = bytes(range(1, 60))
    flat = [bytes([5, 0, 0, kind, 0]) + filled for kind in range(len(SCALARS))]
    listed = [
        bytes([5, 1, 0, LIST, 0, 1, 1, 2, 0, 3, 1, kind, 0]) + filled for kind in range(6, 12)
    ]
    pairs = [bytes([4, 0, 0, STRUCT, 0, 1, 0, 2, kind, 0]) + filled for kind in range(len(SCALARS))]
    coded = [bytes([4, 0, 0, DICTIONARY, 0, 2, 3, 2, 3, 1, kind, 0, 1]) + filled for kind in (6, 7)]
    broken = [bytes([2, 0, 0, 6, 0, 0, 8, 20, 9]) + b"abcdefghijkl"]
    return [*flat, *listed, *pairs, *coded, *broken]
