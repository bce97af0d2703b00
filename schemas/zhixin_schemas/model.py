"""What a contract says, once it is known to be sound.

A contract is an ODCS YAML file (docs/contracts.md). :mod:`zhixin_schemas.loader` reads it strictly
and makes these frozen values; nothing here parses, and nothing here needs pyarrow until the Arrow
schema is asked for.

A field's type is written as in the manifest::

    "integer"   "decimal(10,2)"   {"list": "string"}   {"struct": [{"name": "x", "type": "float"}]}
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    from zhixin_schemas.incremental import Incremental
    from zhixin_schemas.partitioning import Partitioning
    from zhixin_schemas.rules import Rule
    from zhixin_schemas.treatment import Treatment

__all__ = ["MAX_CONTRACT_BYTES", "Contract", "Field", "FieldType", "Problem", "Relationship"]

MAX_CONTRACT_BYTES = 1 << 20

FieldType: TypeAlias = "str | dict[str, object]"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with a contract, or worth knowing about it.

    Args:
        line: line in the file, from 1.
        column: character in that line, from 1.
        path: place in the document, such as ``schema[0].properties[2].logicalType``.
        message: what is wrong and the way out, in one sentence.
    """

    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        """Give ``7:5: schema[0].name: message``; editors open a file by what stands before it."""
        return f"{self.line}:{self.column}: {self.path or 'contract'}: {self.message}"

    def to_json(self) -> dict[str, object]:
        """Give the four parts for ``--json``."""
        return dict(vars(self))


@dataclass(frozen=True)
class Field:
    """One field of the dataset.

    Args:
        name: column's name in the source and in the dataset.
        type: what the source is read as and the rules judge.
        required: null is not allowed.
        key_position: 1, 2, … in the primary key; 0 where the field is no part of it.
        titles: by language, such as ``{"en": "Carrier", "zh": "承运人"}``.
        description: for people.
        treatment: what becomes of its values before anything is written; None: they stay.
    """

    name: str
    type: FieldType
    required: bool = False
    key_position: int = 0
    titles: dict[str, str] = field(default_factory=dict)
    description: str = ""
    treatment: Treatment | None = None

    @property
    def written_type(self) -> FieldType:
        """The manifest's type: what stands in the dataset."""
        return "string" if self.treatment and self.treatment.how == "pseudonym" else self.type


@dataclass(frozen=True)
class Relationship:
    """Values of fields must stand together in fields of a dataset: another one, or the same.

    Args:
        rule: name of the rule that checks it; the keys are handed over under this name.
        fields: own fields, at least one.
        dataset: ``member/name`` of the dataset that they point to.
        targets: its fields, as many, in the same order.
        severity: error, warning or critical.
    """

    rule: str
    fields: tuple[str, ...]
    dataset: str
    targets: tuple[str, ...]
    severity: str


@dataclass(frozen=True)
class Contract:
    """A sound contract: one dataset's promise.

    Args:
        bytes: the file's exact bytes, at most 1 MiB; their SHA-256 stands in the ledger.
        dataset: ``member/name``.
        version: ``major.minor.patch``.
        server: name of the source, or ``zhixin`` for a derived dataset.
        object: table, query file or path in the source (``physicalName``).
        options: the server's custom properties ``zhixin.*`` without that prefix, as the connector
            takes them: ``null``, ``delimiter``, ``encoding``, ``timezone`` …
        fields: in their order.
        rules: every rule, in the order of the file.
        relationships: the rules among them that need another dataset's keys.
        sql: of a derived dataset, else None.
        inputs: the datasets that the SQL names, sorted; empty where there is none.
        titles: of the dataset, by language.
        status: ``active``, ``draft`` …; empty where the contract does not say.
    """

    bytes: bytes = field(repr=False)
    dataset: str
    version: str
    server: str
    object: str
    options: dict[str, Any]
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = field(repr=False)
    relationships: tuple[Relationship, ...] = ()
    sql: str | None = None
    inputs: tuple[str, ...] = ()
    titles: dict[str, str] = field(default_factory=dict)
    description: str = ""
    status: str = ""

    @property
    def member(self) -> str:
        """The owner's name."""
        return self.dataset.partition("/")[0]

    @property
    def name(self) -> str:
        """The dataset's name without its member."""
        return self.dataset.partition("/")[2]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, in lowercase hex."""
        return hashlib.sha256(self.bytes).hexdigest()

    @property
    def derived(self) -> bool:
        """Whether it is made by SQL over other datasets."""
        return self.sql is not None

    @cached_property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the key's fields, by position; empty where there is no key."""
        keys = sorted((f.key_position, f.name) for f in self.fields if f.key_position)
        return tuple(name for _, name in keys)

    @cached_property
    def partitioning(self) -> Partitioning | None:
        """How its source is divided among workers; None where one reads all."""
        from zhixin_schemas.partitioning import partitioning_of

        return partitioning_of(self.options)

    @cached_property
    def incremental(self) -> Incremental | None:
        """How a run takes only what is new; None where each takes all."""
        from zhixin_schemas.incremental import incremental_of

        return incremental_of(self.options)

    @cached_property
    def written_fields(self) -> tuple[Field, ...]:
        """The fields as the dataset has them, after treatment."""
        return tuple(replace(f, type=f.written_type, treatment=None) for f in self.fields)

    @cached_property
    def treated(self) -> dict[str, Treatment]:
        """The fields with a treatment, by name."""
        return {f.name: f.treatment for f in self.fields if f.treatment is not None}

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema of what is read and judged: every column nullable."""
        from zhixin_schemas.arrow import arrow_schema

        return arrow_schema(self.fields)

    @cached_property
    def written_schema(self) -> pa.Schema:
        """The Arrow schema of the dataset, after treatment: as the part files are."""
        from zhixin_schemas.arrow import arrow_schema

        return arrow_schema(self.written_fields)
