"""Another package's connector, held to the protocol: what it hands over is checked before use.

Such a package is trusted to run, for it runs in this process; it is not trusted to be right. A
batch of another schema, a gap in the positions, a misfit whose cell is not null or an exception
that is not ours stops the extraction in one sentence that names the package. Its own words are not
repeated: they may hold an address, a secret or what a record holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import pyarrow as pa
from zhixin_errors import PermanentSourceError, ZhixinError

from zhixin_connectors._arrow import pc
from zhixin_connectors.jsontext import is_text
from zhixin_connectors.protocol import (
    Connector,
    Extracted,
    Misfit,
    RawTexts,
    ReadRequest,
    SeenColumn,
    TableDescription,
    TableInfo,
)
from zhixin_connectors.spans import inside

__all__ = ["HeldConnector"]

_Kind = TypeVar("_Kind")


class HeldConnector:
    """Passes calls on, and answers back where they are right.

    Args:
        inner: the package's connector.
        name: what messages call the source.
        package: whose it is.
    """

    def __init__(self, inner: Connector, name: str, package: str) -> None:
        self.name = name
        self._inner = inner
        self._package = package

    def check(self) -> None:
        """Reach the source and read nothing."""
        with self._held("check"):
            self._inner.check()

    def tables(self) -> list[TableInfo]:
        """What can be read."""
        with self._held("tables"):
            found = self._inner.tables()
        return self._all_of(found, TableInfo, "tables")

    def columns(self, table: str) -> list[SeenColumn]:
        """The columns of a table."""
        with self._held("columns", table):
            found = self._inner.columns(table)
        return self._all_of(found, SeenColumn, "columns")

    def count(self, table: str) -> int | None:
        """About how many records a table has."""
        with self._held("count", table):
            found = self._inner.count(table)
        if found is not None and (type(found) is not int or found < 0):
            raise self._broken("count gives something else than a number, or None")
        return found

    def describe(self, table: str, *, rows: int = 100_000) -> TableDescription:
        """Look at a table."""
        with self._held("describe", table):
            found = self._inner.describe(table, rows=rows)
        return self._all_of([found], TableDescription, "describe")[0]

    def read(self, request: ReadRequest) -> Iterator[Extracted]:
        """Yield the records, each batch checked."""
        with self._held("read", request.object):
            stream = iter(self._inner.read(request))
        first_row = 0
        try:
            while True:
                with self._held("read", request.object):
                    batch = next(stream, _END)
                if batch is _END:
                    return
                found = self._all_of([batch], Extracted, "read")[0]
                self._check(found, request, first_row)
                yield replace(found, raw_source=self._raw(found, request))
                first_row += found.batch.num_rows
        finally:
            if hasattr(stream, "close"):
                with self._held("read", request.object):
                    stream.close()

    def _check(self, found: Extracted, request: ReadRequest, first_row: int) -> None:
        batch = self._all_of([found.batch], pa.RecordBatch, "read")[0]
        if not batch.schema.equals(request.schema):
            raise self._broken("read gives a batch of another schema than was asked for")
        if found.first_row != first_row:
            raise self._broken(
                f"read gives a batch that begins at row {found.first_row}, and not at {first_row}"
            )
        if batch.num_rows > request.batch_rows:
            raise self._broken(f"read gives a batch of more than {request.batch_rows} rows")
        try:
            batch.validate(full=True)
        except pa.ArrowException:
            raise self._broken("read gives a batch that Arrow finds damaged") from None
        if request.span is not None:
            column = batch.column(request.span.field)
            if not pc.all(pc.or_(inside(column, request.span), column.is_null())).as_py():
                raise self._broken("read gives records that lie outside of the span")
        self._check_misfits(found.misfits, batch)

    def _check_misfits(self, misfits: Sequence[Misfit], batch: pa.RecordBatch) -> None:
        places = {name: place for place, name in enumerate(batch.schema.names)}
        found = self._all_of(misfits, Misfit, "read")
        if not all(map(_is_whole, found)):
            raise self._broken("read gives a misfit that is not a position and three texts")
        rows = [misfit.row for misfit in found]
        if rows != sorted(rows) or len({misfit[:2] for misfit in found}) < len(found):
            raise self._broken("read gives misfits twice, or not in the order of the rows")
        for misfit in found:
            if not 0 <= misfit.row < batch.num_rows:
                raise self._broken("read gives a misfit of a row that its batch does not have")
            if misfit.field and misfit.field not in places:
                raise self._broken("read gives a misfit of a field that was not asked for")
            if misfit.field and batch.column(places[misfit.field])[misfit.row].is_valid:
                raise self._broken(f"read gives a misfit of {misfit.field} whose cell is not null")

    def _raw(self, found: Extracted, request: ReadRequest) -> RawTexts:
        wanted = pa.schema([pa.field(name, pa.string()) for name in request.schema.names])

        def raw(rows: Sequence[int]) -> pa.RecordBatch:
            with self._held("raw_texts", request.object):
                given = found.raw_source(rows)
            texts = self._all_of([given], pa.RecordBatch, "raw_texts")[0]
            if texts.num_rows != len(rows) or not texts.schema.equals(wanted):
                raise self._broken("raw_texts gives other rows or columns than were asked for")
            return texts

        return raw

    def _all_of(self, found: object, kind: type[_Kind], method: str) -> list[_Kind]:
        if not isinstance(found, Sequence) or not all(isinstance(each, kind) for each in found):
            raise self._broken(f"{method} gives something else than {kind.__name__}")
        return list(found)

    @contextmanager
    def _held(self, method: str, table: str = "") -> Iterator[None]:
        try:
            yield
        except ZhixinError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a stranger's code raises
            where = f" for {table}" if table else ""
            raise self._broken(f"{method} fails{where} ({type(error).__name__})") from None

    def _broken(self, what: str) -> PermanentSourceError:
        return PermanentSourceError(
            f"source {self.name}: the connector of the package {self._package} is at fault: {what}",
            code="connector-broken",
            hint="nothing was taken from it; its authors' tests: zhixin_connectors.testing",
        )


def _is_whole(misfit: tuple[object, ...]) -> bool:
    """Whether its parts are what they are to be, and can be written."""
    row, *texts = misfit
    return type(row) is int and all(isinstance(each, str) and is_text(each) for each in texts)


_END = object()
