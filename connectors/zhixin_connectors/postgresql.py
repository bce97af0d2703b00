"""PostgreSQL: what is asked of it, whoever carries the answer.

Three readers carry it: the native kernel (``postgresql_copy.py``) and ADBC (``postgresql_adbc.py``)
in binary, and the server's own texts (``postgresql_text.py``). All read in one transaction with one
snapshot, under the server's default forms of text, whatever the login's own settings are, and say
the same of every value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote

import pyarrow as pa
import pyarrow.types as pt
from zhixin_errors import ConfigError

from zhixin_connectors.options import Secret, SourceOptions
from zhixin_connectors.postgresql_values import TEXTS, Ask, Kind
from zhixin_connectors.protocol import Extracted, ReadRequest
from zhixin_connectors.sqlspans import condition, digits, iso, order_kind

__all__ = [
    "CODECS",
    "Column",
    "Selection",
    "Session",
    "begin",
    "columns",
    "counted",
    "found",
    "order_by",
    "parameters",
    "quoted",
    "setting",
    "where",
]

CODECS = {  # those that Python decodes as the server does, to the last character: a test holds it
    "SQL_ASCII": "utf-8",  # it holds any bytes
    "LATIN1": "iso8859-1", "LATIN2": "iso8859-2", "LATIN3": "iso8859-3", "LATIN4": "iso8859-4",
    "LATIN5": "iso8859-9", "LATIN6": "iso8859-10", "LATIN7": "iso8859-13", "LATIN8": "iso8859-14",
    "LATIN9": "iso8859-15", "LATIN10": "iso8859-16", "ISO_8859_5": "iso8859-5",
    "ISO_8859_6": "iso8859-6", "ISO_8859_7": "iso8859-7", "ISO_8859_8": "iso8859-8",
    "KOI8R": "koi8-r", "KOI8U": "koi8-u", "WIN866": "cp866", "WIN874": "cp874",
    "WIN1250": "cp1250", "WIN1251": "cp1251", "WIN1252": "cp1252", "WIN1253": "cp1253",
    "WIN1254": "cp1254", "WIN1255": "cp1255", "WIN1256": "cp1256", "WIN1257": "cp1257",
    "WIN1258": "cp1258", "EUC_CN": "gb2312",
}  # fmt: skip
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "synchronize_seqscans": "off",  # a table's order is its own, whoever else reads it
    "client_encoding": "UTF8",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "0",  # a snapshot is held until its readers are done
}
_READ_WAIT_S = 3_600.0  # a view may compute for long before its first record
_ALIVE = {  # a machine that is gone is noticed within a minute, however long a query may take
    "connect_timeout": "20",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "4",
    "tcp_user_timeout": "60000",
    "client_encoding": "utf8",
}
_URL = re.compile(
    r"[^:]+://(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^/?:]*))(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?"
)
_COLUMNS = """
    SELECT attname::text, atttypid::int8,
        pg_catalog.has_column_privilege(attrelid, attnum, 'SELECT'),
        pg_catalog.format_type(atttypid, atttypmod), NOT attnotnull,
        CASE c.collprovider WHEN 'c' THEN c.collcollate::text WHEN 'd' THEN (
            SELECT datcollate::text FROM pg_catalog.pg_database d
            WHERE datname = pg_catalog.current_database()
            AND COALESCE(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') = 'c') END
    FROM pg_catalog.pg_attribute a
    LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
    WHERE attrelid = '{}'::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum"""
_COUNTED = """
    SELECT sum(reltuples)::int8, COALESCE(bool_or(reltuples < 0), true)
    FROM pg_catalog.pg_class WHERE relkind IN ('r', 'm') AND oid IN (
        SELECT '{0}'::pg_catalog.regclass
        UNION SELECT relid FROM pg_catalog.pg_partition_tree('{0}'::pg_catalog.regclass))"""
_BYTEWISE = {"C", "POSIX", "C.UTF-8", "C.utf8"}
_NUMBERS, _FLOATS, _UUID = {20, 21, 23, 1700}, {700, 701}, 2950
_BPCHAR = 1042


class Session(Protocol):
    """A connection in a transaction."""

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small answer."""
        ...

    def names(self, query: str) -> list[str]:
        """The columns that a query gives."""
        ...

    def records(
        self, selection: Selection, request: ReadRequest, options: SourceOptions
    ) -> Generator[Extracted]:
        """Yield the records of a selection."""
        ...

    def close(self) -> None:
        """Without asking the server."""
        ...


class Column(NamedTuple):
    """A column of a relation; of a query's only name and type are known."""

    name: str
    oid: int
    readable: bool = True
    type_name: str = ""
    nullable: bool | None = None
    collation: str | None = None


@dataclass(frozen=True)
class Selection:
    """What to select from.

    Args:
        relation: a quoted name, or a query in parentheses.
        kinds: the types of its columns.
        clauses: WHERE and ORDER BY.
    """

    relation: str
    kinds: Mapping[str, Kind]
    clauses: str = ""

    def select(self, expressions: Iterable[str]) -> str:
        """The statement."""
        return f"SELECT {', '.join(expressions)} FROM {self.relation} q{self.clauses}"

    @staticmethod
    def column(name: str) -> str:
        """The column, and never what is selected under its name."""
        return f"q.{quoted(name)}"


def parameters(url: str, secret: str | None, name: str) -> tuple[dict[str, str], float]:
    """What libpq is told, and how many seconds the server may say nothing.

    Args:
        url: ``read_timeout`` in it is those seconds.
        secret: the password, where the URL has none.
        name: the source's.

    Raises:
        ConfigError: the URL is in no known form, or ``read_timeout`` is no number.
    """
    parts = _URL.fullmatch(url)
    if parts is None or (parts["port"] and not parts["port"].isdecimal()):
        raise ConfigError(
            f"source {name}: its url is not in the form scheme://user@host/database",
            hint="special characters of a password are written %XX",
        )
    given = {key: unquote(parts[key] or "") for key in ("user", "password", "port", "dbname")}
    given["host"] = parts["v6"] or unquote(parts["host"] or "")
    if parts["password"] is None and secret is not None:
        given["password"] = secret
    query = dict(parse_qsl(parts["query"] or "", keep_blank_values=True))
    text = query.pop("read_timeout", str(_READ_WAIT_S))
    try:
        limit_s = float(text)
    except ValueError:
        raise ConfigError(f"source {name}: read_timeout of its url is no number") from None
    told = {**_ALIVE, **{key: value for key, value in given.items() if value}, **query}
    hidden = {key: Secret(told[key]) for key in ("password", "sslpassword") if key in told}
    return {**told, **hidden}, limit_s


def quoted(name: str) -> str:
    """A name as PostgreSQL quotes it."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """A text as a literal, whatever ``standard_conforming_strings`` is."""
    return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def setting(name: str, value: str) -> str:
    """The expression that sets something until the transaction's end."""
    return f"pg_catalog.set_config('{name}', '{value}', true)"


def begin(session: Session, snapshot: str) -> str:
    """Fix the transaction's snapshot and the forms of text.

    Args:
        session: in a transaction that has asked nothing yet.
        snapshot: an exported one; empty for now.

    Returns:
        the database's encoding.
    """
    session.ask("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    if snapshot:
        session.ask(f"SET TRANSACTION SNAPSHOT {_text(snapshot)}")
    settings = ", ".join(setting(name, value) for name, value in _SETTINGS.items())
    answer = session.ask(f"SELECT pg_catalog.current_setting('server_encoding') e, {settings}")
    return str(answer[0][0])


def found(session: Session, places: Sequence[Sequence[str]]) -> str:
    """The quoted name of the first of some tables that is there; empty if none is."""
    names = [".".join(map(quoted, place)) for place in places]
    asked = ", ".join(f"pg_catalog.to_regclass({_text(name)}) IS NOT NULL" for name in names)
    there = session.ask(f"SELECT {asked}")[0]
    return next((name for name, known in zip(names, there, strict=True) if known), "")


def columns(session: Session, relation: str) -> list[Column]:
    """The columns of a relation, in its order; of a query's that stands there twice only names."""
    if not relation.startswith("("):
        rows = session.ask(_COLUMNS.format(relation.replace("'", "''")))
        return [Column(*row) for row in rows]
    names = session.names(f"SELECT * FROM {relation} q LIMIT 0")
    if len(set(names)) < len(names):
        return [Column(name, 0) for name in names]
    asked = ", ".join(f"pg_catalog.pg_typeof(q.{quoted(name)})::oid::int8" for name in names)
    nothing = f"(SELECT * FROM {relation} q LIMIT 0)"
    types = session.ask(f"SELECT {asked} FROM (SELECT 1) o LEFT JOIN {nothing} q ON true")[0]
    return [Column(name, oid) for name, oid in zip(names, types, strict=True)]


def counted(ask: Ask, relation: str) -> int | None:
    """About how many records a table has, as its last ANALYZE found; None of a view or a query."""
    if relation.startswith("("):
        return None
    total, unknown = ask(_COUNTED.format(relation.replace("'", "''")))[0]
    return None if unknown else int(total)


def order_by(request: ReadRequest, known: Mapping[str, Column], kinds: Mapping[str, Kind]) -> str:
    """The clause for the wanted order, by an index's own order where there is one."""

    def key(name: str) -> str:
        column, oid = Selection.column(name), kinds[name].oid
        if not pt.is_string(request.schema.field(name).type) or oid == _UUID:
            return column
        if oid not in TEXTS:
            return f'{column}::text COLLATE "C"'
        return column if known[name].collation in _BYTEWISE else f'{column} COLLATE "C"'

    keys = ", ".join(map(key, request.order_by))
    return f" ORDER BY {keys}" if keys else ""


def where(request: ReadRequest, kinds: Mapping[str, Kind], encoding: str) -> str | None:
    """The clause for a span; None where the server does not order the column as its type does."""
    span = request.span
    if span is None:
        return ""
    column = Selection.column(span.field)
    ordered = order_kind(request.schema.field(span.field).type)
    accepts, literal = _LITERALS.get(ordered, (set(), iso))
    if kinds[span.field].oid not in accepts:
        return None
    if ordered == "text":
        ends = [end.as_py() for end in (span.low, span.high) if end is not None]
        if encoding != "UTF8" or any("\0" in end for end in ends):
            return None
        column = f'{column}::text COLLATE "C"'
    clause = condition(span, column, literal)
    return f" WHERE {clause}" if clause else ""


def _number(bound: pa.Scalar[Any]) -> str:
    value = bound.as_py()
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return f"'{value}'::int8"  # which an index of any integers serves
    return digits(bound)


_LITERALS: dict[str, tuple[set[int], Callable[[pa.Scalar[Any]], str]]] = {
    "number": (_NUMBERS, _number),
    "float": (_FLOATS, lambda bound: f"'{bound.as_py()!r}'::float8"),
    "date": ({1082}, lambda bound: f"'{iso(bound)}'::date"),
    "timestamp": ({1114}, lambda bound: f"'{iso(bound)}'::timestamp"),
    "instant": ({1184}, lambda bound: f"'{iso(bound)}'::timestamptz"),
    "text": (TEXTS - {_BPCHAR, 18}, lambda bound: _text(bound.as_py())),
}
