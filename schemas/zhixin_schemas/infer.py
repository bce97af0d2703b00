"""Writes a first contract for a table: sound, short, and honest about what it guessed.

It proposes types, the primary key and ``required`` as the source declares them, and says in
comments what a person should decide: every line that begins with ``# `` and a key is a suggestion
that becomes part of the contract by removing ``# ``, alone or with all others.

    # Proposed by `zhixin source infer` from 340 rows (all there are). …
    apiVersion: v3.2.0
    …
          - name: id
            logicalType: integer
            primaryKey: true
          # 2.4 % are null (8 of 340)
          - name: kind
            logicalType: string
            # enum: [{value: 零售}, {value: 餐饮}]   # each seen often

Contracts travel, comments too: which values a suggestion may tell is decided in
:mod:`zhixin_schemas.suggestions`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import pyarrow as pa
from zhixin_errors import ContractError

from zhixin_schemas.header import SOURCE_OPTIONS, is_dataset_name
from zhixin_schemas.loader import read_contract
from zhixin_schemas.suggestions import flow, notes, rules_of_the_whole, scalar, suggestions

__all__ = ["ColumnSeen", "TableSeen", "infer_contract"]


class ColumnSeen(Protocol):
    """What a connector saw of a column (``ColumnDescription`` is one)."""

    @property
    def name(self) -> str:
        """Column's name."""
        ...

    @property
    def type(self) -> pa.DataType:
        """Proposed type."""
        ...

    @property
    def nullable(self) -> bool | None:
        """What the source declares; None where it declares nothing."""
        ...

    @property
    def nulls(self) -> int:
        """Nulls seen."""
        ...

    @property
    def misfits(self) -> int:
        """Values seen that the proposed type can't say."""
        ...

    @property
    def minimum(self) -> str | None:
        """Least value, as canonical text."""
        ...

    @property
    def maximum(self) -> str | None:
        """Greatest value, as canonical text."""
        ...

    @property
    def distinct(self) -> Sequence[str] | None:
        """The different values where they are few."""
        ...

    @property
    def lengths(self) -> tuple[int, int] | None:
        """Characters of the shortest and the longest text."""
        ...

    @property
    def form(self) -> str:
        """A pattern that every text has; empty where there is none."""
        ...

    @property
    def unique(self) -> bool | None:
        """Whether all values seen differ; None where that is not known."""
        ...

    @property
    def remark(self) -> str:
        """What a person should look at."""
        ...


class TableSeen(Protocol):
    """What a connector saw of a table (``TableDescription`` is one)."""

    @property
    def object(self) -> str:
        """Table, query file or path."""
        ...

    @property
    def columns(self) -> Sequence[ColumnSeen]:
        """In the source's order."""
        ...

    @property
    def primary_key(self) -> Sequence[str]:
        """As declared; empty where there is none."""
        ...

    @property
    def rows(self) -> int:
        """Rows looked at."""
        ...

    @property
    def complete(self) -> bool:
        """Whether these are all rows."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What the connector needs to read it the same way again."""
        ...


def infer_contract(dataset: str, table: TableSeen, *, server: str, with_values: bool = True) -> str:
    """Write a contract for a table.

    Args:
        dataset: ``member/name``.
        table: what the connector saw.
        server: name of the source in the home's ``zhixin.toml``.
        with_values: suggestions may tell ranges and allowed values.

    Returns:
        YAML text that lints clean.

    Raises:
        ContractError: no sound contract can be written for it (an odd name, an unknown type).
    """
    if not is_dataset_name(dataset):
        raise ContractError(
            f'"{dataset}" is no dataset name; it is member/dataset in lowercase, such as '
            "bts.gov.example/flights"
        )
    text = "\n".join(_lines(dataset, table, server, with_values)) + "\n"
    problems = read_contract(text.encode("utf-8")).problems
    if problems:
        raise ContractError(
            f"no contract can be proposed for {table.object}: {problems[0].message}",
            details={"problems": [problem.to_json() for problem in problems]},
        )
    return text


def _lines(dataset: str, table: TableSeen, server: str, with_values: bool) -> Iterator[str]:
    name = dataset.partition("/")[2]
    seen = "all there are" if table.complete else "there are more"
    yield f"# Proposed by `zhixin source infer` from {table.rows:,} rows ({seen})."
    yield "# Read it and make it yours. A line that begins with # and a key is a suggestion: remove"
    yield "# the # to take it. It says what these rows have in common, not what holds for ever."
    yield "apiVersion: v3.2.0"
    yield "kind: DataContract"
    yield f"id: {dataset}"
    yield "version: 1.0.0"
    yield "status: draft"
    yield f"name: {scalar(name)}"
    yield "# description: {purpose: …, usage: …, limitations: …}"
    yield "# team: {name: who answers for it}"
    yield "servers:"
    yield f"  - server: {scalar(server)}"
    yield "    type: custom"
    options = [(key, table.options[key]) for key in sorted(table.options)]
    known = [
        (key, value) for key, value in options if key.removeprefix("zhixin.") in SOURCE_OPTIONS
    ]
    if known:
        yield "    customProperties:"
    for key, value in known:
        named = f"zhixin.{key.removeprefix('zhixin.')}"
        yield f"      - {{property: {named}, value: {flow(value)}}}"
    yield "schema:"
    yield f"  - name: {scalar(name)}"
    yield f"    physicalName: {scalar(table.object)}"
    yield "    logicalType: object"
    yield "    # description: what one record is"
    yield "    properties:"
    key_fields, guessed = _key(table)
    if not key_fields:
        yield "      # No primary key: records keep the source's order. Better name one."
    for column in table.columns:
        position = key_fields.index(column.name) + 1 if column.name in key_fields else 0
        yield from _column(column, table, position, guessed=guessed, with_values=with_values)
    yield from rules_of_the_whole(table.columns)


def _key(table: TableSeen) -> tuple[list[str], bool]:
    """Give the key's fields, and whether they are a guess: a column that tells all rows apart."""
    if table.primary_key:
        return list(table.primary_key), False
    for column in table.columns:
        plain = not (pa.types.is_floating(column.type) or pa.types.is_nested(column.type))
        whole = table.complete and table.rows > 1 and not column.nulls and not column.misfits
        if column.unique and plain and whole:
            return [column.name], True
    return [], False


def _column(
    column: ColumnSeen, table: TableSeen, position: int, *, guessed: bool, with_values: bool
) -> Iterator[str]:
    for note in notes(column, table.rows):
        yield f"      # {note}"
    yield f"      - name: {scalar(column.name)}"
    suggested = dict(suggestions(column, table, key=position > 0, with_values=with_values))
    options = cast("dict[str, object]", suggested.pop("logicalTypeOptions", {}))
    nested = yield from _type_lines(column.type, options)
    if position:
        note = "  # a guess: every value seen differs" if guessed else ""
        yield f"        primaryKey: true{note}"
        yield f"        primaryKeyPosition: {position}"
    if position or column.nullable is False:
        yield "        required: true"
    if options and not nested:
        yield f"        # logicalTypeOptions: {flow(options)}"
    for key, value in suggested.items():
        yield f"        # {key}: {flow(value)}"


def _type_lines(kind: pa.DataType, options: Mapping[str, object]) -> Generator[str, None, bool]:
    """Write a type; suggested options go among its own, where it has some (then true)."""
    lines = list(_type(kind, " " * 8))
    own = [line for line in lines if line.startswith(" " * 8 + "logicalTypeOptions: {")]
    if not own or not options:
        yield from lines
        return False
    for line in lines:
        if line not in own:
            yield line
            continue
        yield "        logicalTypeOptions:"
        yield f"          {line.partition('{')[2].rstrip('}')}"
        for key, value in options.items():
            yield f"          # {key}: {flow(value)}"
    return True


def _type(kind: pa.DataType, indent: str) -> Iterator[str]:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield f"{indent}logicalType: array"
        yield f"{indent}items:"
        yield from _type(kind.value_type, indent + "  ")
    elif isinstance(kind, pa.StructType):
        yield f"{indent}logicalType: object"
        yield f"{indent}properties:"
        for at in range(kind.num_fields):
            yield f"{indent}  - name: {scalar(kind.field(at).name)}"
            yield from _type(kind.field(at).type, indent + "    ")
    else:
        yield from _plain_type(kind, indent)


def _plain_type(kind: pa.DataType, indent: str) -> Iterator[str]:
    logical, physical, options = _odcs(kind)
    yield f"{indent}logicalType: {logical}"
    if physical:
        yield f"{indent}physicalType: {physical}"
    if options:
        yield f"{indent}logicalTypeOptions: {{{options}}}"


_KINDS: tuple[tuple[Any, tuple[str, str, str]], ...] = (
    (pa.types.is_boolean, ("boolean", "", "")),
    (pa.types.is_uint64, ("integer", "", "format: u64")),
    (pa.types.is_integer, ("integer", "", "")),
    (pa.types.is_floating, ("number", "double", "")),
    (pa.types.is_binary, ("string", "", "format: binary")),
    (pa.types.is_large_binary, ("string", "", "format: binary")),
    (pa.types.is_date, ("date", "", "")),
    (pa.types.is_time, ("time", "", "")),
)


def _odcs(kind: pa.DataType) -> tuple[str, str, str]:
    """Give (logicalType, physicalType, options)."""
    if pa.types.is_decimal(kind):
        return "number", f"decimal({kind.precision},{kind.scale})", ""
    if isinstance(kind, pa.TimestampType):
        return "timestamp", "", "timezone: true" if kind.tz else ""
    return next((told for is_kind, told in _KINDS if is_kind(kind)), ("string", "", ""))
