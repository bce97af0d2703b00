"""Records as texts for a terminal: the canonical form where a type has one, else Arrow's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.datasets.canonical import texts
from zhixin_gateway.datasets.types import type_json

__all__ = ["elements", "json_value"]


def elements(batch: pa.RecordBatch) -> Iterator[list[Any]]:
    """Give each record's canonical elements: exact, whatever the type.

    Args:
        batch: of any types: a query's answer may have other ones than a manifest.

    Yields:
        One list a record, of null, strings, lists and objects.
    """
    columns = [_plain(column) for column in batch.columns]
    plain = pa.record_batch(columns, names=[f"{at}" for at in range(len(columns))])
    for text in texts(plain).to_pylist():
        yield json.loads(text or "[]")


def json_value(element: Any, kind: pa.DataType) -> Any:  # noqa: ANN401 - any JSON value
    """Give a canonical element as ordinary JSON: numbers where JSON's are exact enough.

    Args:
        element: null, a string, a list or an object.
        kind: the field's type. Decimals stay texts: a reader's floats would round them.
    """
    if element is None or isinstance(element, (list, dict)):
        return _nested(element, kind)
    if pa.types.is_boolean(kind):
        return element == "true"
    if pa.types.is_integer(kind):
        return int(element)
    if pa.types.is_floating(kind) and element not in {"nan", "inf", "-inf"}:
        return float(element)
    return element


def _nested(element: Any, kind: pa.DataType) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(element, list) and isinstance(kind, pa.ListType):
        return [json_value(item, kind.value_type) for item in element]
    if isinstance(element, dict) and isinstance(kind, pa.StructType):
        return {field.name: json_value(element[field.name], field.type) for field in kind}
    return element


def _plain(column: Any) -> Any:  # noqa: ANN401 - an Arrow array
    """A column of a type that the canonical form knows."""
    try:
        wide = column.cast(_wide(column.type))
        if pa.types.is_floating(wide.type) and pc.all(pc.is_finite(wide)).as_py() is False:
            return wide.cast(pa.string())  # NaN and infinities, which only a query can make
        type_json(wide.type)
        return wide
    except (FormatError, pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return _as_text(column)  # such as nanoseconds, which only a query can make


def _as_text(column: Any) -> Any:  # noqa: ANN401 - an Arrow array
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError as error:
        raise ConfigError(
            f"a column of type {column.type} has no text", hint="cast it to VARCHAR in the query"
        ) from error


_WIDE: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pa.types.is_signed_integer, pa.int64()),
    (pa.types.is_unsigned_integer, pa.uint64()),
    (pa.types.is_floating, pa.float64()),
    (pa.types.is_large_string, pa.string()),
    (pa.types.is_large_binary, pa.binary()),
    (pa.types.is_time, pa.time64("us")),
)


def _wide(kind: pa.DataType) -> pa.DataType:
    """The canonical type that holds every value of a type, where there is one."""
    for holds, wide in _WIDE:
        if holds(kind):
            return wide
    if isinstance(kind, pa.TimestampType):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if isinstance(kind, pa.ListType):
        return pa.list_(_wide(kind.value_type))
    if isinstance(kind, pa.StructType):
        return pa.struct([pa.field(field.name, _wide(field.type)) for field in kind])
    return kind
