"""Which part may hold a key: what the parts' own footers claim, and no more than a hint.

Records are ordered by their key, so of many parts one or two can hold it. A footer's statistics
tell the least and the greatest value of a column; they are bytes that nobody has held to a digest
yet, and even then its owner's word alone. So they choose the part that is looked at first, and
decide nothing: what they say of a part is never said to anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
from zhixin_errors import VerificationError, ZhixinError

from zhixin_gateway.datasets.footer import MAX_FOOTER_BYTES, Physical
from zhixin_gateway.datasets.thrift import BINARY, STRUCT, ThriftReader, integer, items, optional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zhixin_gateway.datasets.thrift import Struct

__all__ = ["claimed_range", "comparable", "likely_parts"]

Range = tuple[Any, Any]

_MAX_VALUES = 1 << 21
_COUNTS = (pa.int64(), pa.date32(), pa.time64("us"), pa.timestamp("us"), pa.timestamp("us", "UTC"))


def comparable(value: pa.Scalar[Any]) -> Any:  # noqa: ANN401 - an integer, bytes, or None
    """A key's value as its column's statistics are compared; None: its type has no hint."""
    arrow = value.type
    if isinstance(arrow, pa.Decimal128Type):
        return int(f"{value.as_py():f}".replace(".", ""))
    if arrow in _COUNTS:
        return value.cast(pa.int32() if arrow == pa.date32() else pa.int64()).as_py()
    if arrow == pa.uint64() or arrow == pa.binary():
        return value.as_py()
    return value.as_py().encode() if arrow == pa.string() else None


def likely_parts(value: Any, claims: Callable[[int], Range | None], parts: int) -> Sequence[int]:  # noqa: ANN401
    """Which parts claim a range with the value, of parts that rise as their keys do.

    Args:
        value: as `comparable` gives it.
        claims: of a part the range that it claims, if it does.
        parts: how many there are.

    Returns:
        Their numbers; none where one that was asked claims nothing. Few are asked.
    """
    try:
        low, high = 0, parts
        while low < high:  # the first part whose greatest value is not less
            middle = (low + high) // 2
            if _claimed(claims, middle)[1] < value:
                low = middle + 1
            else:
                high = middle
        end = low
        while end < parts and _claimed(claims, end)[0] <= value:
            end += 1
    except LookupError:
        return range(0)
    return range(low, end)


def _claimed(claims: Callable[[int], Range | None], part: int) -> Range:
    claim = claims(part)
    if claim is None:
        raise LookupError
    return claim


def claimed_range(file: BinaryIO, field: pa.Field[Any]) -> Range | None:
    """What a part's footer claims of a column of scalars: its least and its greatest value.

    Args:
        file: the part; its end alone is read.
        field: the column's.

    Returns:
        Both as `comparable` gives a value; None where it claims nothing that can be read.
    """
    try:
        whole = _footer(file)
        groups = [_statistics(group, field.name) for group in items(whole, 4, STRUCT)]
        ranges = [_range(found, physical, field.type) for found, physical in groups]
        return min(low for low, _ in ranges), max(high for _, high in ranges)
    except (ZhixinError, OSError, ValueError, TypeError):
        return None


def _footer(file: BinaryIO) -> Struct:
    end = file.seek(0, 2)
    file.seek(max(0, end - 8))
    size = int.from_bytes(file.read(4), "little")
    if size > min(MAX_FOOTER_BYTES, end - 8):
        raise _nothing()
    file.seek(end - 8 - size)
    data = file.read(size)
    return ThriftReader(memoryview(data), 0, len(data), _MAX_VALUES).struct()


def _statistics(group: Struct, name: str) -> tuple[Struct, int]:
    for column in items(group, 1, STRUCT):
        meta: Struct = optional(column, 3, STRUCT) or {}
        if items(meta, 3, BINARY) == [name.encode()]:
            found: Struct = optional(meta, 12, STRUCT) or {}
            return found, integer(meta, 1)
    raise _nothing()


def _range(found: Struct, physical: int, arrow: pa.DataType) -> Range:
    high, low = optional(found, 5, BINARY), optional(found, 6, BINARY)
    if high is None or low is None:
        raise _nothing()
    return _value(low, physical, arrow), _value(high, physical, arrow)


def _value(raw: bytes, physical: int, arrow: pa.DataType) -> Any:  # noqa: ANN401 - as comparable
    if physical in (Physical.INT32, Physical.INT64):
        return int.from_bytes(raw, "little", signed=arrow != pa.uint64())
    if isinstance(arrow, pa.Decimal128Type):
        return int.from_bytes(raw, "big", signed=True)
    return raw


def _nothing() -> VerificationError:
    return VerificationError("a footer that claims nothing", code="record")
