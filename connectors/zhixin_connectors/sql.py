"""Databases by SQLAlchemy: SQLite, and any dialect that is installed.

SQLAlchemy connects, names and quotes; the rows are the driver's own values, for a statement in the
database's own words has no type of SQLAlchemy's that could change one on the way. A whole
extraction is one read-only transaction. An object is a table, ``schema.table``, a query (it begins
with SELECT or WITH), or a file of one (``queries/open.sql``, from the home).

PostgreSQL has a way of its own (``postgresql_source.py``), and so has MariaDB (``mysql.py``), whose
driver loses zero dates.
"""

from __future__ import annotations

import difflib
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.types as pt
from zhixin_errors import ConfigError, PermanentSourceError

from zhixin_connectors import generic, mysql, mysqltypes
from zhixin_connectors.checks import check_columns, repeated
from zhixin_connectors.columns import extracted, from_values
from zhixin_connectors.describe import Declared, describe
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SECRET, SourceOptions, parse_options
from zhixin_connectors.protocol import (
    Extracted,
    ReadRequest,
    SeenColumn,
    TableDescription,
    TableInfo,
)
from zhixin_connectors.relations import described, order_by, quoter
from zhixin_connectors.spans import Bounds, no_snapshots, within
from zhixin_connectors.sqlerrors import translated
from zhixin_connectors.sqltypes import columns_of, declared

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

__all__ = ["QUERY", "SqlSource", "open_sql", "short"]

_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_EXTRAS = {"pymysql": "mysql"}
QUERY = re.compile(r"^\s*(?:select|with)\s", re.IGNORECASE)
_FIRST_FETCH = 1_024
_FETCH = 512
_MOST_FETCH = 32_768
_FETCH_BYTES = 1 << 25
_LOCK_WAIT_S = 30.0


def open_sql(url: str, options: Mapping[str, Any], name: str) -> SqlSource:
    """What the registry calls for a database's URL.

    Raises:
        ConfigError: no URL of a database, or its driver is not installed. The URL is not repeated.
    """
    import sqlalchemy as sa

    scheme, colon, rest = url.partition(":")
    known = _DRIVERS.get(scheme.lower().partition("+")[0], scheme)
    try:
        parsed = sa.make_url(known + colon + rest)
        parsed.get_dialect().import_dbapi()
    except sa.exc.NoSuchModuleError:
        raise _unknown(name, scheme) from None
    except sa.exc.ArgumentError:
        if not rest.startswith("//"):  # a package's own scheme, and the package is not here
            raise _unknown(name, scheme) from None
        raise ConfigError(
            f"source {name}: its url is not in the form scheme://user@host/database",
            hint="special characters of a password are written %XX",
        ) from None
    except ImportError:
        extra = _EXTRAS.get(known.partition("+")[2])
        raise ConfigError(
            f"source {name}: the driver for {scheme}: is not installed",
            hint=f"pip install 'zhixin-gateway[{extra}]'"
            if extra
            else f"install the driver that SQLAlchemy's dialect {scheme} uses",
        ) from None
    return SqlSource(parsed, options, name)


def _unknown(name: str, scheme: str) -> ConfigError:
    return ConfigError(
        f"source {name}: nothing is installed for {scheme}:",
        hint="a path, file:, sqlite:///, postgresql://, mariadb://, https://, any URL of "
        "SQLAlchemy's, or what a connector's package brings",
    )


class SqlSource:
    """A connector to a database."""

    def __init__(self, url: URL, options: Mapping[str, Any], name: str) -> None:
        self.name = name
        self.folder = Path()
        self._options = {key: value for key, value in options.items() if key != SECRET}
        secret = options.get(SECRET)
        self._url = url.set(password=secret) if secret and url.password is None else url

    def check(self) -> None:
        """Connect, and ask for one row of nothing."""
        parse_options(self._options)
        with self._connect() as connection:
            sqlite = connection.dialect.name == "sqlite"  # it opens the file at the first look
            connection.exec_driver_sql(f"SELECT 1{' FROM sqlite_master' if sqlite else ''}")

    def tables(self) -> list[TableInfo]:
        """Tables and views that this login sees."""
        import sqlalchemy as sa

        with self._connect() as connection:
            if connection.dialect.driver == "pymysql":
                return sorted(mysqltypes.tables(connection), key=lambda table: table.name)
            inspector = sa.inspect(connection)
            found = []
            for schema in self._schemas(inspector):
                prefix = "" if schema is None else f"{schema}."
                names = {
                    "table": inspector.get_table_names(schema),
                    "view": inspector.get_view_names(schema),
                }
                names["view"] += self._more_views(inspector, schema)
                for kind, each in names.items():
                    for table in each:
                        columns = [c["name"] for c in columns_of(inspector, table, schema)]
                        found.append(TableInfo(prefix + table, kind, columns))
        return sorted(found, key=lambda table: table.name)

    def columns(self, table: str) -> list[SeenColumn]:
        """The columns of a table with their declared types; of a query, their names."""
        with self._connect(table) as connection:
            known, _ = self._declared(connection, table)
        return [SeenColumn(name, each.source_type, each.nullable) for name, each in known.items()]

    def describe(self, table: str, *, rows: int = 100_000) -> TableDescription:
        """Look at a table for `source infer`."""
        with self._connect(table) as connection:
            columns, key = self._declared(connection, table)
        return describe(
            self, table, columns, rows=rows, primary_key=tuple(key), options=self._options
        )

    def _declared(
        self, connection: Connection, table: str
    ) -> tuple[dict[str, Declared], list[str]]:
        """What the database declares of a table's columns, and its primary key.

        Of a query it tells names: the values say the types.
        """
        import sqlalchemy as sa

        if QUERY.match(table) or table.lower().endswith(".sql"):
            found = described(connection, self._relation(connection, table))
            return {c[0]: Declared(None, getattr(c, "type_display", "")) for c in found}, []
        schema, name = self._found(connection, table)
        if connection.dialect.driver == "pymysql":
            relation = self._quoted(connection, schema, name)
            return (
                mysqltypes.columns(connection, relation),
                mysqltypes.primary_key(connection, relation),
            )
        inspector = sa.inspect(connection)
        dynamic = connection.dialect.name == "sqlite"
        columns = {
            column["name"]: declared(column, dynamic=dynamic)
            for column in columns_of(inspector, name, schema)
        }
        return columns, inspector.get_pk_constraint(name, schema).get("constrained_columns") or []

    def count(self, table: str) -> int | None:
        """What MariaDB keeps of a table; other databases would have to read it."""
        with self._connect(table) as connection:
            if connection.dialect.driver != "pymysql" or self._query(table):
                return None
            return mysqltypes.counted(connection, *self._found(connection, table))

    def bounds(
        self, table: str, field: pa.Field[Any], *, options: Mapping[str, Any], snapshot: str
    ) -> Bounds:
        """Where a field's values lie; an index serves where there is one."""
        check_columns(
            [column.name for column in self.columns(table)], [field.name], f"{self.name}, {table}"
        )
        relation, name = self._from(table, field.name)
        query = (
            f"SELECT (SELECT MIN({name}) FROM {relation}) AS low,"
            f" (SELECT MAX({name}) FROM {relation}) AS high,"
            f" (SELECT COUNT(*) FROM {relation} WHERE {name} IS NULL) AS missing"
        )
        schema = pa.schema([("low", field.type), ("high", field.type), ("missing", pa.int64())])
        request = ReadRequest(query, schema, options=options, snapshot=snapshot)
        (found,) = self.read(request)
        low, high, missing = (column[0] for column in found.batch.columns)
        return Bounds(low, high, int(missing.as_py()))

    def _from(self, table: str, column: str) -> tuple[str, str]:
        """What stands after FROM, and a quoted column."""
        with self._connect(table) as connection:
            return self._relation(connection, table), quoter(connection)(column)

    def read(self, request: ReadRequest) -> Iterator[Extracted]:
        """Yield a table's records from one snapshot."""
        if request.snapshot:
            raise no_snapshots(self.name)
        options = parse_options(self._options, request.options)
        with self._connect(request.object) as connection:
            relation = self._relation(connection, request.object)
            if connection.dialect.driver == "pymysql":
                self._check(mysql.names(connection, relation), request, hint=mysql.HIDDEN)
                yield from mysql.read(connection, relation, request, options)
                return
            known = described(connection, relation)
            self._check([column[0] for column in known], request)
            yield from self._read_values(connection, relation, known, request, options)

    def _read_values(
        self,
        connection: Connection,
        relation: str,
        known: Sequence[Any],
        request: ReadRequest,
        options: SourceOptions,
    ) -> Iterator[Extracted]:
        """Yield records of the driver's own Python values."""
        sqlite, query = connection.dialect.name == "sqlite", relation.startswith("(")
        found = None if sqlite or query else self._found(connection, request.object)
        lossy = generic.losses(connection, found)
        where, exact = generic.where(connection, found, request)
        of = {column[0]: column for column in known}
        names = request.schema.names
        statement = self._select(connection, relation, request, where)
        readings = [Reading(options.timezone, "")] * len(names)

        def batches() -> Iterator[Extracted]:
            first_row = 0
            for values in _fetch(connection, statement, request.batch_rows):
                columns = [
                    from_values(generic.shown(own, of[name], lossy.get(name)), options.null)
                    for name, own in zip(names, values, strict=True)
                ]
                yield extracted(columns, request.schema, readings, first_row)
                first_row += len(values[0])

        yield from batches() if request.span is None or exact else within(batches(), request.span)

    def _check(self, there: Sequence[str], request: ReadRequest, *, hint: str = "") -> None:
        twice = repeated(there)
        if twice:
            raise PermanentSourceError(
                f"source {self.name}, {short(request.object)} has the column "
                f"{', '.join(twice)} more than once",
                hint="name the query's columns apart with AS",
            )
        place = f"{self.name}, {short(request.object)}"
        check_columns(there, request.schema.names, place, hint=hint)

    def _select(
        self, connection: Connection, relation: str, request: ReadRequest, where: str
    ) -> str:
        quoted = quoter(connection)
        columns = ", ".join(map(quoted, request.schema.names))
        statement = f"SELECT {columns} FROM {relation}{where}"
        sqlite = connection.dialect.name == "sqlite"
        if sqlite or not any(pt.is_string(request.schema.field(n).type) for n in request.order_by):
            statement += order_by(request, quoted, lambda name: f"{quoted(name)} COLLATE BINARY")
        return statement

    def _relation(self, connection: Connection, named: str) -> str:
        """What stands after FROM: a quoted name, or a query in parentheses."""
        query = self._query(named)
        return f"{query} q" if query else self._quoted(connection, *self._found(connection, named))

    def _query(self, named: str) -> str:
        """A query in parentheses; empty where a table is named."""
        if named.lower().endswith(".sql") and not QUERY.match(named):
            named = self._query_file(named)
        return f"({named.strip().rstrip(';')}\n)" if QUERY.match(named) else ""

    def _quoted(self, connection: Connection, schema: str | None, table: str) -> str:
        return ".".join(map(quoter(connection), filter(None, (schema, table))))

    def _found(self, connection: Connection, named: str) -> tuple[str | None, str]:
        """Schema and name of a table or view that is there."""
        import sqlalchemy as sa

        close: list[str] = []
        if connection.dialect.driver == "pymysql":
            if found := mysqltypes.found(connection, named):
                return found
            there = [table.name for table in mysqltypes.tables(connection)]
        else:
            inspector = sa.inspect(connection)
            if inspector.has_table(named):
                return None, named
            schema, dot, table = named.partition(".")
            if dot and inspector.has_table(table, schema):
                return schema, table
            there = inspector.get_table_names() + inspector.get_view_names()
            close = self._elsewhere(inspector, named)
        close = close or difflib.get_close_matches(named, there, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see `zhixin source tables`"
        raise PermanentSourceError(
            f"source {self.name} has no table or view {short(named)}, or not for this login",
            code="object-missing",
            hint=hint,
        )

    def _elsewhere(self, inspector: Any, named: str) -> list[str]:  # noqa: ANN401
        """Where a table of that name is, if in another schema than the login's own."""
        schemas = [schema for schema in self._schemas(inspector) if schema]
        return [f"{schema}.{named}" for schema in schemas if inspector.has_table(named, schema)]

    def _query_file(self, named: str) -> str:
        try:
            text = (self.folder / named).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise PermanentSourceError(
                f"source {self.name}: the query file {named} can't be read",
                code="object-missing",
                hint=f"its path counts from {self.folder.absolute()}",
            ) from None
        bare = re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)
        if not QUERY.match(bare):
            raise PermanentSourceError(
                f"source {self.name}: {named} holds no SELECT", hint="one SELECT or WITH is wanted"
            )
        return bare

    def _schemas(self, inspector: Any) -> list[str | None]:  # noqa: ANN401, ARG002 (an Inspector)
        return [None]

    def _more_views(self, inspector: Any, schema: str | None) -> list[str]:  # noqa: ANN401, ARG002
        return []

    @contextmanager
    def _connect(self, table: str = "") -> Iterator[Connection]:
        with translated(self.name, short(table)):
            engine = self._engine()
            try:
                with engine.connect() as connection:
                    try:
                        yield self._prepared(connection)
                    except BaseException:
                        connection.invalidate()  # closed as it is: a rollback could fail, or wait
                        raise
            finally:
                engine.dispose()

    def _engine(self) -> Engine:
        import sqlalchemy as sa
        from sqlalchemy.pool import NullPool

        if self._url.get_backend_name() == "sqlite":
            return sa.create_engine("sqlite://", poolclass=NullPool, creator=self._open_sqlite)
        if self._url.get_driver_name() == "pymysql":
            url, told = mysql.arguments(self._url, self.name)
            return sa.create_engine(url, poolclass=NullPool, connect_args=told)
        return sa.create_engine(self._url, poolclass=NullPool)

    def _open_sqlite(self) -> sqlite3.Connection:
        """Read-only: a database that is not there must not come into being."""
        path = self._url.database or ""
        if path in {"", ":memory:"} or path.startswith("file:"):
            raise ConfigError(
                f"source {self.name}: a SQLite source is a file",
                hint="write sqlite:///relative.db or sqlite:////absolute.db",
            )
        full = Path(path).expanduser().absolute()
        if not full.is_file():
            raise PermanentSourceError(
                f"source {self.name}: there is no such SQLite file",
                hint="check the path, or url in [sources] of zhixin.toml: sqlite:/// and then it",
            )
        if not os.access(full, os.R_OK):
            raise PermanentSourceError(
                f"source {self.name}: no permission to read it", code="permission-denied"
            )
        return sqlite3.connect(
            f"file:{quote(str(full))}?mode=ro", uri=True, timeout=_LOCK_WAIT_S, isolation_level=None
        )

    def _prepared(self, connection: Connection) -> Connection:
        name = connection.dialect.name
        connection.execution_options(no_parameters=True)  # a % in a name or query is itself
        if name == "sqlite":
            connection.exec_driver_sql("BEGIN")
            return connection
        if connection.dialect.driver == "pymysql":
            return mysql.prepared(connection)
        return generic.prepared(connection)


def short(named: str) -> str:
    """A table's name; of a query not its text, which may hold what is private."""
    return "the query" if QUERY.match(named) else named


def _fetch(connection: Connection, statement: str, most: int) -> Iterator[list[list[object]]]:
    """Batches of columns of the driver's values, of bounded size in bytes.

    They are fetched through SQLAlchemy's result: where it streams, it has taken the first rows from
    the driver's cursor already. A text that is not UTF-8 stops SQLite's driver: the statement is
    run again in the same transaction, decoding byte by byte, and goes on where it was.
    """
    done = 0
    try:
        for columns in _batches(connection.exec_driver_sql(statement), most):
            yield columns
            done += len(columns[0])
        return
    except Exception as error:
        cause = getattr(error, "orig", None) or error
        told = isinstance(cause, sqlite3.OperationalError) and str(cause)
        if not told or "Could not decode to UTF-8" not in told:
            raise
    driver: Any = connection.connection.driver_connection
    driver.text_factory = _decode
    result = connection.exec_driver_sql(statement)
    _skip(result, done)
    yield from _batches(result, most)


def _batches(result: Any, most: int) -> Iterator[list[list[object]]]:  # noqa: ANN401
    size = min(_FIRST_FETCH, most)
    while rows := result.fetchmany(min(size, _FETCH)):
        columns = [list(column) for column in zip(*rows, strict=True)]
        while (left := size - len(columns[0])) and (more := result.fetchmany(min(left, _FETCH))):
            for column, values in zip(columns, zip(*more, strict=True), strict=True):
                column.extend(values)  # few rows at a time are still in the processor's cache
        yield columns
        sample = [value for row in rows[:64] for value in row]
        weight = sum(len(value) for value in sample if isinstance(value, (str, bytes)))
        each = weight / min(64, len(rows)) + 16 * len(columns)
        size = max(1, min(most, _MOST_FETCH, int(_FETCH_BYTES / each)))


def _skip(result: Any, rows: int) -> None:  # noqa: ANN401
    while rows > 0:
        passed = result.fetchmany(min(rows, _FIRST_FETCH))
        rows -= len(passed) or rows


def _decode(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
