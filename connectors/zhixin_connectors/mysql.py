r"""MariaDB and MySQL: every value as the server's own bytes, which its driver would change.

PyMySQL makes null of ``0000-00-00``, a duration of a TIME and a float of a JSON number. So its
converters are left out, and each cell comes as the server sends it::

    2024-06-00 00:00:00    -00:30:00    18446744073709551615    \x00\xff

Texts arrive in UTF-8, whatever the column's character set: the server converts. What it can't
convert it sends as ``?``; a column whose character set may have such is asked for its own bytes
too, and a text that lost one is a misfit. What else is particular:

* FLOAT is printed with six digits, so it is widened to 64 bits by the server, which is exact.
  A zero is printed without its sign, which the arc tangent still sees.
* BIT is a number, as a string its digits (``101``, as PostgreSQL has it), as binary its bytes.
* TIMESTAMP is an instant and the session in UTC, so its text ends in ``+00`` as PostgreSQL's does.
  DATETIME has no zone.
* Geometry is binary: four bytes of SRID, then WKB. ``ST_AsText`` in a query gives a text.

An extraction is one statement, streamed, in one read-only transaction with a consistent snapshot:
InnoDB gives one moment, and writers go on. MyISAM, Aria and MEMORY know no snapshots; their tables
are locked against writes while the one statement reads, which is one moment too. ALTER TABLE waits
for the extraction to end, or makes it fail before its first record (error 1412: worth a retry).
SELECT on the table, or on the wanted columns of it, is the only privilege that is needed.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.types as pt
from zhixin_errors import ConfigError

from zhixin_connectors._arrow import Array, pc
from zhixin_connectors.cast import Cast
from zhixin_connectors.columns import (
    ArrowColumn,
    FloatColumn,
    escape_byte,
    escaped_text,
    extracted,
    null_words,
)
from zhixin_connectors.grammar import Reading
from zhixin_connectors.mysqlrows import column_batches
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.protocol import Extracted, ReadRequest
from zhixin_connectors.relations import described, order_by, quoter
from zhixin_connectors.spans import within
from zhixin_connectors.sqlspans import condition, digits, iso, order_kind

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

__all__ = ["HIDDEN", "arguments", "names", "prepared", "read"]

HIDDEN = (
    "was it renamed, or may this login not read it? mend the source, grant SELECT on the column, "
    "or publish a new version of the contract"
)
_FLOAT, _DOUBLE, _TIMESTAMP, _BIT, _JSON, _GEOMETRY = 4, 5, 7, 16, 245, 255
_STRINGS = {15, 249, 250, 251, 252, 253, 254, _GEOMETRY}  # VARCHAR to STRING, the BLOBs between
_BYTEWISE = re.compile(r"(?:utf8|utf8mb3|utf8mb4|latin1|ascii)_(?:nopad_)?bin$")
_NUMBERED = 256 | 2048  # flags of ENUM and SET, which are ordered by their numbers
_BINARY = 63  # the character set of what is no text
_INTEGERS, _DECIMALS, _DATE, _DATETIME = {1, 2, 3, 8, 9}, {0, 246}, 10, 12
_WHOLE = {"binary", "latin1", "ucs2", "utf16", "utf16le", "utf32", "utf8", "utf8mb3", "utf8mb4"}
_SETTINGS = {
    "time_zone": "'+00:00'",
    "lock_wait_timeout": "30",
    "net_write_timeout": "3600",  # a batch may take long here before the next is taken
    "sql_select_limit": "18446744073709551615",  # a server's default would cut a table short
    "group_concat_max_len": "1073741824",  # or a query's texts
}
_TIMEOUTS = {"connect_timeout": 20, "read_timeout": 3_600, "write_timeout": 60}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_TLS = {
    "ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher",
    "ssl_check_hostname", "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity",
}  # fmt: skip


def arguments(url: URL, name: str) -> tuple[URL, dict[str, Any]]:
    """The URL without its query, and what PyMySQL is told besides.

    ``charset`` in the URL is let go: the connection is always in UTF-8.

    Raises:
        ConfigError: the URL has a setting that is not known, or with a value that is none of it.
    """
    query = {key: value for key, value in url.query.items() if isinstance(value, str)}
    unknown = sorted(set(url.query) - _TLS - set(_TIMEOUTS) - {"charset", "unix_socket"})
    if unknown:
        known = ", ".join(sorted(_TLS | set(_TIMEOUTS) | {"unix_socket"}))
        raise ConfigError(
            f"source {name}: its url has a setting that is not known: {', '.join(unknown)}",
            hint=f"known are {known}",
        )
    told: dict[str, Any] = {"charset": "utf8mb4", "sql_mode": ""}
    for key, default in _TIMEOUTS.items():
        told[key] = _seconds(key, query.get(key, str(default)), name)
    if "unix_socket" in query:
        told["unix_socket"] = query["unix_socket"]
    if url.password is not None:
        told["password"] = str(url.password).encode()  # the driver's own would be Latin-1
    if _flag("ssl_disabled", query, name, default=False):
        told["ssl_disabled"] = True
    elif _TLS & (set(query) - {"ssl_disabled"}):
        told["ssl"] = _tls(query, name)
    return url.set(query={}), told


def _seconds(key: str, value: str, name: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise ConfigError(f"source {name}: {key} of its url must be a number of seconds")
    return int(value)


def _flag(key: str, query: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = query.get(key)
    if value is None:
        return default
    if value.lower() not in _FLAGS:
        raise ConfigError(f"source {name}: {key} of its url must be true or false")
    return _FLAGS[value.lower()]


def _tls(query: Mapping[str, str], name: str) -> ssl.SSLContext:
    """TLS is then required; what is not said is on: the certificate is verified, and its name."""
    try:
        context = ssl.create_default_context(
            cafile=query.get("ssl_ca"), capath=query.get("ssl_capath")
        )
        if "ssl_cert" in query:
            context.load_cert_chain(query["ssl_cert"], query.get("ssl_key"))
        if "ssl_cipher" in query:
            context.set_ciphers(query["ssl_cipher"])
    except OSError:  # ssl.SSLError is one
        raise ConfigError(
            f"source {name}: the certificates or ciphers of its url can't be used",
            hint="check the files of ssl_ca, ssl_capath, ssl_cert and ssl_key, and ssl_cipher",
        ) from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the servers' own certificates fail it
    verified = _flag("ssl_verify_cert", query, name, default=True)
    named = _flag("ssl_verify_identity", query, name, default=True)
    named &= _flag("ssl_check_hostname", query, name, default=True)
    context.check_hostname = verified and named
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    return context


def prepared(connection: Connection) -> Connection:
    """One read-only snapshot, and a session in which the server's settings change no value."""
    settings = ", ".join(f"SESSION {name} = {value}" for name, value in _SETTINGS.items())
    connection.exec_driver_sql(f"SET {settings}")
    connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    return connection


def names(connection: Connection, relation: str) -> list[str]:
    """The columns of a relation: of a table invisible ones too, and those alone that may be read.

    Args:
        connection: a prepared one.
        relation: a quoted name, or a query in parentheses.
    """
    if relation.startswith("("):
        return [column[0] for column in described(connection, relation)]
    return [row[0] for row in connection.exec_driver_sql(f"SHOW COLUMNS FROM {relation}")]


def read(
    connection: Connection, relation: str, request: ReadRequest, options: SourceOptions
) -> Iterator[Extracted]:
    """Yield the records."""
    driver: Any = connection.connection.driver_connection
    driver.use_unicode, driver.decoders = False, {}  # bytes, as they come
    quoted = quoter(connection)
    columns = [quoted(name) for name in request.schema.names]
    kinds = _kinds(driver, relation, columns)
    takers = [
        _taker(name, kind, wanted.type)
        for name, kind, wanted in zip(columns, kinds, request.schema, strict=True)
    ]
    selected = ", ".join(expression for taker in takers for expression in taker.expressions)

    of = dict(zip(request.schema.names, kinds, strict=True))

    def by_bytes(name: str) -> str:  # the collations that know its characters pad or fold them
        return f"CAST(CONVERT({quoted(name)} USING utf8mb4) AS BINARY)"

    def by_index(name: str) -> str:
        return quoted(name) if of[name].bytewise else by_bytes(name)

    order = order_by(request, quoted, by_index)
    where = _where(request, of, quoted, by_bytes)
    statement = f"SELECT {selected} FROM {relation}{where or ''}{order}"
    readings = [Reading(options.timezone, "")] * len(takers)

    def batches() -> Generator[Extracted]:
        first_row = 0
        for columns in _streamed(connection, statement, request):
            cells = iter(columns)
            taken = [taker.column(*(next(cells) for _ in taker.expressions)) for taker in takers]
            own = [null_words(column, options.null) for column in taken]
            yield extracted(own, request.schema, readings, first_row)
            first_row += len(columns[0])

    span = request.span
    with closing(batches()) as stream:
        yield from stream if span is None or where is not None else within(stream, span)


def _where(
    request: ReadRequest,
    kinds: Mapping[str, _Kind],
    quoted: Callable[[str], str],
    by_bytes: Callable[[str], str],
) -> str | None:
    """The clause for a span; None where the server does not order the column as its type does."""
    span = request.span
    if span is None:
        return ""
    kind, ordered = kinds[span.field], order_kind(request.schema.field(span.field).type)
    accepts, literal = _LITERALS.get(ordered, (set(), iso))
    if kind.code not in accepts or (ordered == "text" and kind.charset not in _WHOLE):
        return None
    name = by_bytes(span.field) if ordered == "text" else quoted(span.field)
    clause = condition(span, name, literal)
    return f" WHERE {clause}" if clause else ""


def _moment(bound: pa.Scalar[Any]) -> str:
    """Of an instant, too: the session is in UTC."""
    return f"TIMESTAMP'{iso(bound).removesuffix('+00:00').replace('T', ' ')}'"


def _streamed(
    connection: Connection, statement: str, request: ReadRequest
) -> Iterator[list[Array]]:
    """Batches of columns of bytes.

    A statement can't be given up half-way in this protocol: the driver would read all that is
    left. So a reading that ends early ends its connection.
    """
    from pymysql.cursors import SSCursor

    driver: Any = connection.connection.driver_connection
    cursor: Any = driver.cursor(SSCursor)
    ended = False
    try:
        cursor.execute(statement)
        yield from column_batches(driver, len(cursor.description), request.batch_rows)
        ended = True
    finally:
        if driver._result is not None:
            driver._result.unbuffered_active = False  # what was left of it is read, or is not to be
        if not ended:
            connection.invalidate()
        cursor.connection = None


@dataclass(frozen=True)
class _Kind:
    """What the server says of a column: its type in the protocol, and which text it is, if any."""

    code: int
    width: int
    text: bool
    charset: str = ""
    bytewise: bool = False  # an index of it is in the order of bytes, blanks at the end apart


def _kinds(driver: Any, relation: str, columns: Sequence[str]) -> list[_Kind]:  # noqa: ANN401
    with driver.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM {relation} WHERE 1 = 0")
        fields = list(cursor._result.fields)
        texts = [
            name
            for name, seen in zip(columns, fields, strict=True)
            if seen.type_code in _STRINGS and seen.charsetnr != _BINARY
        ]
        collations: dict[str, str] = {}
        if texts:  # the field itself tells the connection's own
            asked = ", ".join(f"COLLATION(MAX({name}))" for name in texts)
            cursor.execute(f"SELECT {asked} FROM {relation} WHERE 1 = 0")
            found = [value.decode() for value in cursor.fetchone()]
            collations = dict(zip(texts, found, strict=True))
    return [
        _Kind(
            seen.type_code,
            seen.length,
            name in collations or seen.type_code == _JSON,
            collations.get(name, "").partition("_")[0],
            bool(_BYTEWISE.match(collations.get(name, ""))) and not seen.flags & _NUMBERED,
        )
        for name, seen in zip(columns, fields, strict=True)
    ]


class _Taker(NamedTuple):
    """What to select for a field, and how to make a column of it."""

    expressions: Sequence[str]
    column: Callable[..., ArrowColumn]


def _taker(name: str, kind: _Kind, wanted: pa.DataType) -> _Taker:
    if kind.code in {_FLOAT, _DOUBLE}:
        return _float_taker(name, kind, wanted)
    if kind.code == _BIT and not pt.is_binary(wanted):
        digits = f"LPAD(BIN({name}), {kind.width}, '0')"
        return _Taker([digits if pt.is_string(wanted) else f"CAST({name} AS UNSIGNED)"], _texts)
    if kind.code in _STRINGS | {_BIT} and not kind.text:
        return _Taker([name], ArrowColumn)
    if kind.code == _TIMESTAMP:
        return _Taker([f"CONCAT({name}, '+00')"], _texts)
    if kind.text and kind.charset and kind.charset not in _WHOLE:
        lost = f"LOCATE('?', CONVERT({name} USING utf8mb4)) > 0"
        return _Taker([name, f"IF({lost}, CAST({name} AS BINARY), NULL)"], _converted)
    return _Taker([name], _texts)


def _float_taker(name: str, kind: _Kind, wanted: pa.DataType) -> _Taker:
    if not pt.is_string(wanted):
        signed = f"IF({name} = 0 AND ATAN2({name}, -1) < 0, '-0', {name} * 1e0)"
        return _Taker([signed], lambda values: FloatColumn(_texts(values).array))
    return (
        _Taker([name], _texts)
        if kind.code == _DOUBLE
        else _Taker([name, f"{name} * 1e0"], _printed)
    )


def _texts(values: Array) -> ArrowColumn:
    """Bytes that should be UTF-8; some of MariaDB's own may hold half a surrogate pair."""
    try:
        return ArrowColumn(pc.cast(values, pa.string()))
    except pa.ArrowInvalid:
        read = [
            None if value is None else escaped_text(value.decode(errors="surrogateescape"))
            for value in values.to_pylist()
        ]
        return ArrowColumn(pa.array(read, pa.string()), escaped=True)


def _converted(values: Array, own: Array) -> ArrowColumn:
    """Texts of a character set that has characters, or bytes, of which Unicode knows nothing.

    Args:
        values: as the server converted them, with ? for what it could not.
        own: the bytes that were converted, where the text has a ?. No other character's code has
            the byte of a ? in any of the server's character sets that come here.
    """
    if own.null_count == len(own):
        return _texts(values)
    pairs = list(zip(values.to_pylist(), own.to_pylist(), strict=True))
    read = [
        value if raw is None or value is None or value.count(b"?") == raw.count(b"?") else None
        for value, raw in pairs
    ]
    texts = _texts(pa.array(read, pa.binary()))
    lost = [
        "".join(chr(byte) if byte < 0x80 else escape_byte(byte) for byte in raw)
        if raw is not None and kept is None
        else None
        for kept, (_, raw) in zip(read, pairs, strict=True)
    ]
    return ArrowColumn(pc.coalesce(texts.array, pa.array(lost, pa.string())), escaped=True)


def _printed(values: Array, wide: Array) -> _PrintedColumn:
    return _PrintedColumn(_texts(values).array, wide=_texts(wide).array)


@dataclass(frozen=True)
class _PrintedColumn(ArrowColumn):
    """Texts of a FLOAT, wanted as string: the server's own, where its six digits say the number."""

    wide: Array = field(kw_only=True)

    def read(self, column: Array, wanted: pa.DataType, reading: Reading) -> Cast:  # noqa: ARG002
        said = [
            text is None or np.float32(text) == np.float32(whole)
            for text, whole in zip(column.to_pylist(), self.wide.to_pylist(), strict=True)
        ]
        texts = pc.if_else(pa.array(said), column, pa.scalar(None, pa.string()))
        reason = "a number of more digits than the server's text of it: read it as a number"
        return Cast(texts, [(row, reason) for row, right in enumerate(said) if not right])

    def raw(self, rows: Sequence[int]) -> list[str | None]:
        return ArrowColumn(self.wide).raw(rows)


_LITERALS: dict[str, tuple[set[int], Callable[[pa.Scalar[Any]], str]]] = {
    "number": (_INTEGERS | _DECIMALS, digits),
    "date": ({_DATE}, lambda bound: f"DATE'{iso(bound)}'"),
    "timestamp": ({_DATETIME}, _moment),
    "instant": ({_TIMESTAMP}, _moment),
    "text": (_STRINGS - {_GEOMETRY}, lambda bound: f"X'{bound.as_py().encode().hex()}'"),
}
