"""A span of a source's records for those that can't select one, and what spans are planned by.

A partitioned run divides a table into spans of a field that leave nothing out, one of them with
``nulls``; an incremental one asks for what lies above a watermark. Here a batch is filtered after
it was read: then a cell that is a misfit counts as null, for nobody knows where it lies, and so
does each of a record that is a misfit as a whole: its values may be other fields'. A database
selects by itself, and its misfits lie where it sorts them. Either way spans that leave nothing out
have every record once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pyarrow as pa
from zhixin_errors import PermanentSourceError

from zhixin_connectors._arrow import Array, pc
from zhixin_connectors.protocol import Connector, Extracted, ReadRequest, Span
from zhixin_connectors.sqlspans import order_kind

__all__ = [
    "Bounds",
    "bounds",
    "chosen",
    "exported_snapshot",
    "inside",
    "no_snapshots",
    "spanned",
    "try_snapshot",
    "values",
    "within",
]


class Bounds(NamedTuple):
    """Where a field's values lie: the least, the greatest, and how many records have none.

    ``low`` and ``high`` are null scalars where there is no value, or the one at that end is a
    misfit (an infinite date).
    """

    low: pa.Scalar[Any]
    high: pa.Scalar[Any]
    nulls: int


@runtime_checkable
class _Bounded(Protocol):
    def bounds(
        self,
        table: str,
        field: pa.Field[Any],
        *,
        options: Mapping[str, Any],
        snapshot: str,
    ) -> Bounds: ...


@runtime_checkable
class _Exporting(Protocol):
    def exported_snapshot(self) -> AbstractContextManager[str]: ...

    def try_snapshot(self, snapshot: str) -> None: ...


def bounds(
    connector: Connector,
    table: str,
    field: pa.Field[Any],
    *,
    options: Mapping[str, Any] = {},
    snapshot: str = "",
) -> Bounds:
    """Where a field's values lie, asked of a database.

    Args:
        connector: of a database.
        table: as in ``ReadRequest.object``.
        field: name and wanted type: a number, a date or a time with a day.
        options: as in ``ReadRequest.options``.
        snapshot: as in ``ReadRequest.snapshot``.

    Raises:
        SourceError: as :meth:`Connector.read`; or the source is no database.
    """
    ordered = order_kind(field.type) not in {"", "text"}
    if not isinstance(connector, _Bounded) or not ordered:
        raise PermanentSourceError(
            f"source {connector.name} can't say where the values of {field.name} lie",
            code="bounds-unknown",
            hint="only a database can, of numbers, dates and times with a day",
        )
    return connector.bounds(table, field, options=options, snapshot=snapshot)


def exported_snapshot(connector: Connector) -> AbstractContextManager[str]:
    """Hold one moment of a source open, by a name that others read it by (PostgreSQL).

    Returns:
        a context that gives what ``ReadRequest.snapshot`` takes, until it is left.

    Raises:
        SourceError: the source has no such snapshots; or as :meth:`Connector.read`.
    """
    if not isinstance(connector, _Exporting):
        raise no_snapshots(connector.name)
    return connector.exported_snapshot()


def try_snapshot(connector: Connector, snapshot: str) -> None:
    """See that others can still read from a snapshot; reads nothing.

    Args:
        connector: that exported it.
        snapshot: its name.

    Raises:
        TransientSourceError: it is gone, or the source can't be reached.
        PermanentSourceError: the source has no such snapshots.
    """
    if not isinstance(connector, _Exporting):
        raise no_snapshots(connector.name)
    connector.try_snapshot(snapshot)


def no_snapshots(name: str) -> PermanentSourceError:
    """What a source says that has no snapshots for others to read from."""
    return PermanentSourceError(
        f"source {name} can't let others read from one snapshot",
        code="snapshot-unsupported",
        hint="only PostgreSQL can; say zhixin.immutable: true in the contract if what once was in "
        "the source never changes nor vanishes, or leave out zhixin.partition",
    )


def spanned(stream: Iterator[Extracted], request: ReadRequest, name: str) -> Iterator[Extracted]:
    """The records that were asked for, of a source that can't select them itself.

    Args:
        stream: all records.
        request: whose span it is; one with a snapshot is refused.
        name: the source's.

    Raises:
        PermanentSourceError: a snapshot was asked for.
    """
    if request.snapshot:
        raise no_snapshots(name)
    yield from stream if request.span is None else within(stream, request.span)


def within(stream: Iterator[Extracted], span: Span) -> Iterator[Extracted]:
    """The records of a stream that lie in a span, renumbered."""
    first_row = 0
    for each in stream:
        mask = inside(values(each, span.field), span)
        kept = chosen(each, pc.indices_nonzero(mask), first_row)
        if kept.batch.num_rows:
            yield kept
            first_row += kept.batch.num_rows


def values(each: Extracted, field: str) -> Array:
    """A field's values; null in a record that is a misfit as a whole, where it may be another's."""
    column = each.batch.column(field)
    whole = [misfit.row for misfit in each.misfits if not misfit.field]
    if not whole:
        return column
    rows = pa.array(range(each.batch.num_rows))
    return pc.if_else(
        pc.is_in(rows, value_set=pa.array(whole)), pa.scalar(None, column.type), column
    )


def inside(column: Array, span: Span) -> Array:
    """Whether each value lies in the span, without nulls in the answer."""
    mask = column.is_valid()
    if span.low is not None:
        above = pc.greater if span.low_open else pc.greater_equal
        mask = pc.and_(mask, pc.fill_null(above(column, span.low), False))
    if span.high is not None:
        mask = pc.and_(mask, pc.fill_null(pc.less(column, span.high), False))
    return pc.or_(mask, column.is_null()) if span.nulls else mask


def chosen(each: Extracted, rows: Array, first_row: int) -> Extracted:
    """Some rows of a batch, as a batch of their own.

    Args:
        each: the batch.
        rows: which, rising.
        first_row: the position that the first of them then has.
    """
    if len(rows) == each.batch.num_rows:
        return Extracted(each.batch, each.misfits, first_row, each.raw_source)
    numbers = rows.to_pylist()
    places = {row: place for place, row in enumerate(numbers)} if each.misfits else {}

    def raw(wanted: Sequence[int]) -> pa.RecordBatch:
        return each.raw_source([numbers[row] for row in wanted])

    return Extracted(
        each.batch.take(rows),
        [m._replace(row=places[m.row]) for m in each.misfits if m.row in places],
        first_row,
        raw,
    )
