"""A PostgreSQL source: what SQLAlchemy knows of databases, and readers of its own.

Reading, counting and looking at a table's columns need no SQLAlchemy, whose start alone would cost
a run more than a hundred thousand records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, PermanentSourceError, TransientSourceError

from zhixin_connectors import postgresql, postgresql_adbc, postgresql_copy
from zhixin_connectors.options import SECRET, parse_options
from zhixin_connectors.postgresql import Column, Selection, Session
from zhixin_connectors.postgresql_adbc import AdbcSession
from zhixin_connectors.postgresql_copy import CopySession
from zhixin_connectors.postgresql_text import TextSession, patient
from zhixin_connectors.postgresql_values import kinds_of
from zhixin_connectors.protocol import Extracted, ReadRequest, SeenColumn
from zhixin_connectors.spans import within
from zhixin_connectors.sql import SqlSource, short
from zhixin_connectors.sqlerrors import translated

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from zhixin_connectors.describe import Declared

__all__ = ["PostgresSource", "open_postgresql"]

_NO_SNAPSHOT = {"22023", "42704"}


def open_postgresql(url: str, options: Mapping[str, Any], name: str) -> PostgresSource:
    """What the registry calls for PostgreSQL's URLs, whatever driver they name.

    Raises:
        ConfigError: the URL is in no known form, or the driver is not installed.
    """
    if find_spec("psycopg") is None:
        raise ConfigError(
            f"source {name}: the driver for postgresql: is not installed",
            hint="pip install 'zhixin-gateway[postgresql]'",
        )
    own = {key: value for key, value in options.items() if key != SECRET}
    told, limit_s = postgresql.parameters(url, options.get(SECRET), name)
    return PostgresSource(told, limit_s, own, name)


class PostgresSource(SqlSource):
    """A connector to PostgreSQL.

    Args:
        parameters: as libpq knows them.
        limit_s: how long the server may say nothing.
        options: ``zhixin.*`` options of the source.
        name: the member's own name for it.
    """

    def __init__(
        self, parameters: Mapping[str, str], limit_s: float, options: Mapping[str, Any], name: str
    ) -> None:
        self.name = name
        self.folder = Path()
        self._options = dict(options)
        self._parameters = parameters
        self._limit_s = limit_s

    def check(self) -> None:
        """Connect, and ask for the settings."""
        parse_options(self._options)
        with self._session():
            pass

    def columns(self, table: str) -> list[SeenColumn]:
        """The columns of a table with their declared types; of a query, their names."""
        with self._session(table) as (session, _):
            found = postgresql.columns(session, self._relation_in(session, table))
        return [
            SeenColumn(each.name, each.type_name, each.nullable) for each in found if each.readable
        ]

    def count(self, table: str) -> int | None:
        """As many as the table's last ANALYZE found; of a view or a query nobody knows."""
        with self._session(table) as (session, _):
            return postgresql.counted(session.ask, self._relation_in(session, table))

    def _from(self, table: str, column: str) -> tuple[str, str]:
        with self._session(table) as (session, _):
            return f"{self._relation_in(session, table)} q", postgresql.quoted(column)

    @contextmanager
    def exported_snapshot(self) -> Iterator[str]:
        """Hold a transaction open whose snapshot others read."""
        with ExitStack() as stack:
            session, _ = stack.enter_context(self._session())
            with translated(self.name):
                snapshot = session.ask("SELECT pg_catalog.pg_export_snapshot()")[0][0]
            try:
                yield snapshot
            finally:
                stack.close()

    def try_snapshot(self, snapshot: str) -> None:
        """Begin a transaction at a snapshot, and end it."""
        with self._session(snapshot=snapshot):
            pass

    def read(self, request: ReadRequest) -> Iterator[Extracted]:
        """Yield a table's records from one snapshot."""
        options = parse_options(self._options, request.options)
        with self._session(request.object, request.snapshot) as (session, encoding):
            relation = self._relation_in(session, request.object)
            found = postgresql.columns(session, relation)
            self._check([column.name for column in found], request)
            known = {column.name: column for column in found}
            self._check_rights(known, request)
            wanted = request.schema.names
            types = kinds_of(session.ask, {known[name].oid for name in wanted})
            kinds = {name: types[known[name].oid] for name in wanted}
            order, span = postgresql.order_by(request, known, kinds), request.span
            where = postgresql.where(request, kinds, encoding)
            selection = Selection(relation, kinds, f"{where or ''}{order}")
            with closing(session.records(selection, request, options)) as stream:
                yield from stream if span is None or where is not None else within(stream, span)

    def _check_rights(self, known: Mapping[str, Column], request: ReadRequest) -> None:
        refused = [name for name in request.schema.names if not known[name].readable]
        if refused:
            raise PermanentSourceError(
                f"source {self.name}, {short(request.object)}: no permission to read "
                f"{', '.join(refused)}",
                code="permission-denied",
                hint="grant SELECT on the table, or on these columns",
                details={"columns": refused},
            )

    def _relation_in(self, session: Session, named: str) -> str:
        query = self._query(named)
        if query:
            return query
        schema, dot, table = named.partition(".")
        relation = postgresql.found(session, [(named,), (schema, table)][: 2 if dot else 1])
        if relation:
            return relation
        with self._connect(named) as connection:  # what else it may be called SQLAlchemy knows
            return self._quoted(connection, *self._found(connection, named))

    @contextmanager
    def _session(self, table: str = "", snapshot: str = "") -> Iterator[tuple[Session, str]]:
        """A transaction, and the database's encoding."""
        with translated(self.name, short(table)), ExitStack() as stack:
            adbc = AdbcSession if postgresql_adbc.is_installed() else TextSession
            kind = CopySession if postgresql_copy.is_installed() else adbc
            session, encoding = self._begun(stack, kind, snapshot)
            fits = adbc if encoding == "UTF8" else TextSession
            if isinstance(session, CopySession) and fits is adbc and session.in_the_clear:
                fits = CopySession
            if fits is not kind:
                stack.close()
                session, encoding = self._begun(stack, fits, snapshot)
            yield session, encoding

    def _begun(
        self, stack: ExitStack, kind: type[AdbcSession | TextSession], snapshot: str
    ) -> tuple[Session, str]:
        session = kind(self._parameters, self._limit_s)
        stack.callback(session.close)
        try:
            return session, postgresql.begin(session, snapshot)
        except Exception as error:
            if snapshot and getattr(error, "sqlstate", "") in _NO_SNAPSHOT:
                raise TransientSourceError(
                    f"source {self.name}: the snapshot to read from is gone",
                    code="snapshot-gone",
                    hint="begin the whole extraction anew: its transaction has ended",
                ) from None
            raise

    def _engine(self) -> Engine:
        import sqlalchemy as sa
        from sqlalchemy.pool import NullPool

        return sa.create_engine(
            "postgresql+psycopg://",
            poolclass=NullPool,
            creator=lambda: patient(self._limit_s).connect(**self._parameters),
        )

    def _prepared(self, connection: Connection) -> Connection:
        return connection.execution_options(
            no_parameters=True, isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def _declared(
        self, connection: Connection, table: str
    ) -> tuple[dict[str, Declared], list[str]]:
        """As SQLAlchemy says, without the columns that this login may not read."""
        there = {column.name for column in self.columns(table)}
        columns, key = super()._declared(connection, table)
        return {name: each for name, each in columns.items() if name in there}, key

    def _schemas(self, inspector: Any) -> list[str | None]:  # noqa: ANN401 (an Inspector)
        others = set(inspector.get_schema_names()) - {"information_schema"}
        own = inspector.default_schema_name
        return [None, *sorted(s for s in others if s != own and not s.startswith("pg_"))]

    def _more_views(self, inspector: Any, schema: str | None) -> list[str]:  # noqa: ANN401
        return list(inspector.get_materialized_view_names(schema))
