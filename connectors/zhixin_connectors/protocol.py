"""What a connector is: the one seam between a source and everything else (docs/formats.md 2.2).

A connector is handed the wanted ``pyarrow.Schema`` and yields :class:`Extracted`: a record batch of
exactly that schema, and the misfits, cells that the wanted type can't say exactly. It never raises
for a value; a misfit's cell is null in the batch, and its raw text is kept for the quarantine::

    batch     id=3  valid_until=null
    misfits   Misfit(row=0, field="valid_until", reason="not a date", raw="infinity")
    raw_texts id="3"  valid_until="infinity"

Positions count from 0. ``first_row`` is the batch's first record's position in the extraction, and
the batches of one extraction follow on without a gap: every record of the source is in one of them.

What stops an extraction is raised before the first batch wherever it can be seen there (a missing
column, a refused login), as ``PermanentSourceError``, or ``TransientSourceError`` where trying
again may help. A package of your own adds a connector by an entry point of the group
``zhixin.connectors``, named after its URL scheme; ``ConnectorFactory`` is what it points to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

__all__ = [
    "BATCH_ROWS",
    "ColumnDescription",
    "Connector",
    "ConnectorFactory",
    "Extracted",
    "Misfit",
    "RawTexts",
    "ReadRequest",
    "SeenColumn",
    "Span",
    "TableDescription",
    "TableInfo",
]

BATCH_ROWS = 65_536


class Misfit(NamedTuple):
    """A cell that the wanted type can't say exactly.

    ``field`` is empty where the whole record doesn't fit (a CSV row with too many fields); ``raw``
    is then the record's text. ``reason`` never holds what the cell holds.
    """

    row: int  # position in the batch
    field: str
    reason: str
    raw: str


RawTexts = Callable[[Sequence[int]], pa.RecordBatch]


@dataclass(frozen=True)
class Extracted:
    """Records of a source as the wanted types, and what didn't fit.

    Args:
        batch: columns are the request's schema, in its order; a misfit's cell is null.
        misfits: in row order, then in the schema's order.
        first_row: position of the batch's first record in the extraction, from 0.
        raw_source: gives the source's own texts of chosen rows; see :meth:`raw_texts`. It may be
            asked while later batches are being read, in another thread.
    """

    batch: pa.RecordBatch
    misfits: Sequence[Misfit]
    first_row: int
    raw_source: RawTexts = field(repr=False)

    def raw_texts(self, rows: Sequence[int] | pa.Array[Any]) -> pa.RecordBatch:
        r"""The raw texts of rows of this batch, whatever it was that rejected them.

        Args:
            rows: positions in the batch, 0 ≤ row < batch.num_rows.

        Returns:
            a batch of one string column for each field of the schema, in its order, one row for
            each of ``rows``, in their order; null where the source had null. Bytes that are no
            text are written ``\x`` and hex, as PostgreSQL writes them.
        """
        if isinstance(rows, pa.Array):
            return self.raw_source(rows.to_numpy(zero_copy_only=False).tolist())
        return self.raw_source(list(rows))


@dataclass(frozen=True)
class Span:
    """Records by the value of one field: ``low <= field < high``.

    A misfit lies where the database sorts it, or counts as null (``spans.py``): spans that leave
    nothing out, one of them with ``nulls``, have every record once.

    Args:
        field: one of the request's schema.
        low, high: of the field's type; None for no bound.
        low_open: ``low < field``.
        nulls: records whose field is null, too.
    """

    field: str
    low: pa.Scalar[Any] | None = None
    high: pa.Scalar[Any] | None = None
    low_open: bool = False
    nulls: bool = False


@dataclass(frozen=True)
class ReadRequest:
    """What to take out of a source.

    Args:
        object: table, ``schema.table``, query, or path in the source (the contract's physicalName).
        schema: the wanted fields with their types, in order; nothing else is selected.
        order_by: a hint. SQL sources then yield in the order of docs/formats.md 2.1 as far as the
            database can; files keep theirs. Whoever needs an order checks it.
        batch_rows: the most rows that a batch may have.
        options: ``zhixin.*`` options of the contract's server; they go before the source's own.
        span: only these records; None for all.
        snapshot: what ``spans.exported_snapshot`` gave, to read from that moment; empty for now.
    """

    object: str
    schema: pa.Schema
    order_by: Sequence[str] = ()
    batch_rows: int = BATCH_ROWS
    options: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = None
    snapshot: str = ""


class SeenColumn(NamedTuple):
    """A column that a table has now, before any record is read: for the report of schema drift.

    ``source_type`` is the source's own word for its type, empty where it declares none (CSV);
    ``nullable`` is what it declares, None where it declares nothing.
    """

    name: str
    source_type: str = ""
    nullable: bool | None = None


@dataclass(frozen=True)
class TableInfo:
    """A thing that can be read: ``name`` is what stands as ``physicalName`` in a contract."""

    name: str
    kind: str  # table, view, file
    columns: Sequence[str] = ()
    rows: int | None = None  # where the source knows it without reading
    bytes: int | None = None


@dataclass(frozen=True)
class ColumnDescription:
    """What was seen of a column.

    Args:
        type: the type to propose: all values that were read fit it exactly, ``misfits`` apart.
        nullable: what the source declares; None where it declares nothing.
        minimum, maximum: canonical texts, None for types without an order.
        distinct: the different values' texts where they are at most 20, else None.
        lengths: characters of the shortest and the longest text; None for other types.
        form: an anchored pattern that every text has; empty where there is none to speak of.
        remark: what a person should look at ("leading zeros: kept as string").
    """

    name: str
    type: pa.DataType
    nullable: bool | None = None
    nulls: int = 0
    misfits: int = 0
    minimum: str | None = None
    maximum: str | None = None
    distinct: Sequence[str] | None = None
    lengths: tuple[int, int] | None = None
    form: str = ""
    unique: bool | None = None
    source_type: str = ""
    remark: str = ""


@dataclass(frozen=True)
class TableDescription:
    """What was seen of a table: from ``rows`` rows, all there are if ``complete``."""

    object: str
    columns: Sequence[ColumnDescription]
    primary_key: Sequence[str] = ()
    rows: int = 0
    complete: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        """The proposed fields, in the source's order."""
        return pa.schema([pa.field(column.name, column.type) for column in self.columns])


@runtime_checkable
class Connector(Protocol):
    """A source. Safe to open often; holds no connection between calls."""

    name: str  # the member's own name for it: no host, no credentials

    def check(self) -> None:
        """Reach the source and read nothing; raises SourceError with the way out."""
        ...

    def tables(self) -> list[TableInfo]:
        """What can be read, in the order of names."""
        ...

    def columns(self, table: str) -> list[SeenColumn]:
        """The columns that a table has now, in its order; reads no records beyond a header.

        Raises:
            SourceError: as :meth:`read`, where the table can't be found or looked at.
        """
        ...

    def count(self, table: str) -> int | None:
        """About how many records a table has, where the source knows it without reading them.

        Raises:
            SourceError: as :meth:`read`, where the table can't be found or looked at.
        """
        ...

    def describe(self, table: str, *, rows: int = 100_000) -> TableDescription:
        """Look at a table for `source infer`; reads at most ``rows`` rows and says so."""
        ...

    def read(self, request: ReadRequest) -> Iterator[Extracted]:
        """Yield the records, from one snapshot, memory bounded.

        Raises:
            PermanentSourceError: no such object or column, no permission.
            TransientSourceError: a connection lost, a lock, a time-out.
        """
        ...


class ConnectorFactory(Protocol):
    """Makes a connector; what an entry point of ``zhixin.connectors`` names."""

    def __call__(self, url: str, options: Mapping[str, Any], name: str) -> Connector:
        """Make it without reaching the source yet."""
        ...
