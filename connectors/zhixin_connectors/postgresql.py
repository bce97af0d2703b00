r"""PostgreSQL by its own COPY: every value as the server's text, which says what no driver can.

::

    COPY (SELECT "id", "valid_until" FROM "permits") TO STDOUT (FORMAT csv)
    2,infinity           null is an unquoted empty field, the empty string is ""

The texts then go the same way as a CSV's. What is particular: ``real`` is widened by the server
(its text is the shortest for 32 bits), ``bytea`` comes as ``\x`` and hex, arrays as ``{1,NULL}``,
and the texts of a float column may have exponents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.types as pt

from zhixin_connectors._arrow import Array
from zhixin_connectors.cast import Cast, cast_texts
from zhixin_connectors.columns import ArrowColumn, SourceColumn, extracted, null_words
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.protocol import Extracted, ReadRequest
from zhixin_connectors.typed import cast_typed

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["prepared", "quoter", "read"]

_BOOL, _BYTEA, _FLOAT4, _FLOAT8 = 16, 17, 700, 701
_TEXTS = {25, 1042, 1043, 19, 18}  # text, bpchar, varchar, name, "char"
_CHUNK_BYTES = 1 << 22
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_encoding": "UTF8",
    "lock_timeout": "30s",
}


def prepared(connection: Connection) -> Connection:
    """One read-only snapshot, and the server's default forms of text."""
    connection = connection.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    for name, value in _SETTINGS.items():
        connection.exec_driver_sql(f"SELECT set_config('{name}', '{value}', true)")
    return connection


def quoter(connection: Connection) -> Callable[[str], str]:
    """Quotes names as the dialect does, without the doubled % that parameters would ask for."""
    rules: Any = connection.dialect.identifier_preparer

    def quoted(name: str) -> str:
        inner = name.replace(rules.escape_quote, rules.escape_to_quote)
        return f"{rules.initial_quote}{inner}{rules.final_quote}"

    return quoted


def read(
    connection: Connection,
    relation: str,
    kinds: Mapping[str, Any],
    request: ReadRequest,
    options: SourceOptions,
) -> Iterator[Extracted]:
    """Yield the records; ``kinds`` are the columns' type OIDs."""
    driver: Any = connection.connection.driver_connection
    arrays = {name for name, oid in kinds.items() if _is_array(driver.adapters.types, oid)}
    quoted = quoter(connection)
    selected = ", ".join(
        _expression(quoted(field.name), kinds[field.name], field.type) for field in request.schema
    )
    order = _order(request, kinds, quoted)
    statement = f"COPY (SELECT {selected} FROM {relation}{order}) TO STDOUT (FORMAT csv)"
    readings = [
        Reading(options.timezone, "pg" if kinds[field.name] == _BYTEA else "")
        for field in request.schema
    ]
    first_row = 0
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk, rows in _chunks(copy, request.batch_rows):
            texts = _parse(chunk, len(request.schema))
            columns: list[SourceColumn] = []
            for field, column in zip(request.schema, texts, strict=True):
                own = null_words(ArrowColumn(column), options.null)
                if kinds[field.name] in {_FLOAT4, _FLOAT8}:
                    columns.append(_FloatColumn(own.array))
                elif field.name in arrays and pt.is_list(field.type):
                    columns.append(_ListColumn(own.array))
                else:
                    columns.append(own)
            yield extracted(columns, request.schema, readings, first_row)
            first_row += rows


def _expression(quoted: str, oid: int, wanted: pa.DataType) -> str:
    if oid == _FLOAT4 and not pt.is_string(wanted):
        return f"{quoted}::float8"
    if oid == _BOOL and pt.is_string(wanted):
        return f"{quoted}::text"
    return quoted


def _order(request: ReadRequest, kinds: Mapping[str, Any], quoted: Callable[[str], str]) -> str:
    keys = []
    for name in request.order_by:
        key = quoted(name)
        if pt.is_string(request.schema.field(name).type):
            text = key if kinds[name] in _TEXTS else f"{key}::text"
            key = f'{text} COLLATE "C"'
        keys.append(key)
    return f" ORDER BY {', '.join(keys)}" if keys else ""


def _is_array(types: Any, oid: int) -> bool:  # noqa: ANN401 (psycopg's TypesRegistry)
    info = types.get(oid)
    return info is not None and info.array_oid == oid


def _chunks(copy: Any, most: int) -> Iterator[tuple[bytes, int]]:  # noqa: ANN401 (psycopg.Copy)
    """Whole rows: the server sends one message for each."""
    pieces: list[bytes] = []
    size = 0
    while row := copy.read():
        pieces.append(row)
        size += len(row)
        if size >= _CHUNK_BYTES or len(pieces) >= most:
            yield b"".join(pieces), len(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces), len(pieces)


def _parse(chunk: bytes, width: int) -> list[Array]:
    names = [str(place) for place in range(width)]
    table = arrow_csv.read_csv(
        cast("Any", pa.BufferReader(chunk)),
        read_options=arrow_csv.ReadOptions(
            use_threads=False, block_size=len(chunk) + 1, column_names=names
        ),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=width > 1),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    return [column.combine_chunks() for column in table.columns]


@dataclass(frozen=True)
class _FloatColumn(ArrowColumn):
    """Texts of ``real`` and ``double precision``: an exponent is how they are written."""

    def cast(self, wanted: pa.DataType, reading: Reading) -> Cast:
        if pt.is_floating(wanted) or pt.is_string(wanted):
            return cast_texts(self.array, wanted, reading)
        floats = cast_texts(self.array, pa.float64(), reading)
        read = cast_typed(floats.array, wanted, reading)
        return Cast(read.array, sorted(floats.misfits + read.misfits))


@dataclass(frozen=True)
class _ListColumn(ArrowColumn):
    """Texts of an array type: ``{1,NULL,"a b"}``."""

    def cast(self, wanted: pa.DataType, reading: Reading) -> Cast:
        depth, inner = 0, wanted
        texts = pa.string()
        while pt.is_list(inner):
            depth, inner = depth + 1, inner.value_type
        nested: Any = texts
        for _ in range(depth):
            nested = pa.list_(nested)
        values: list[object] = []
        misfits: list[tuple[int, str]] = []
        for row, text in enumerate(self.array.to_pylist()):
            value = None if text is None else _literal(text)
            if text is not None and _depth(value) not in {depth, 0}:
                misfits.append((row, "an array of other dimensions than the wanted type"))
                value = None
            values.append(value)
        read = cast_typed(pa.array(values, nested), wanted, reading)
        return Cast(read.array, sorted(misfits + read.misfits))


_TOKEN = re.compile(r'[{},]|"((?:[^"\\]|\\.)*)"|([^{},"]+)', re.DOTALL)


def _literal(text: str) -> list[Any] | None:
    """An array's text as nested lists of texts; bounds before it (``[0:1]=``) say nothing new."""
    stack: list[list[Any]] = [[]]
    for token in _TOKEN.finditer(text[text.index("{") :]):
        mark = token.group()
        if mark == "{":
            stack.append([])
        elif mark == "}":
            done = stack.pop()
            stack[-1].append(done)
        elif token.group(1) is not None:
            stack[-1].append(re.sub(r"\\(.)", r"\1", token.group(1), flags=re.DOTALL))
        elif mark != ",":
            stack[-1].append(None if mark.upper() == "NULL" else mark)
    return cast("list[Any]", stack[0][0])


def _depth(value: object) -> int:
    """How many lists deep; 0 for an empty array, which has no dimensions."""
    if not isinstance(value, list) or not value:
        return 0
    return 1 + max((_depth(item) for item in value), default=0)
