"""Finding one record by its primary key, without reading the parts that can't hold it.

Which part is looked at first follows from what footers claim (``datasets.ranges``), and from
nothing that was verified. So the part's bytes are held to the owner's digest before a key in them
is looked at, and only once every other part was looked at is a record said not to be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from zhixin_errors import ConfigError, ContractError, FormatError
from zhixin_ledger import encoding

from zhixin_gateway.datasets import canonical, ranges
from zhixin_gateway.datasets.arrow import pc
from zhixin_gateway.gate.parts import part_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zhixin_gateway.gate.files import VersionFiles
    from zhixin_gateway.gate.verify import Examination

__all__ = ["find_by_key"]


def find_by_key(examination: Examination, values: Sequence[str]) -> tuple[int, int]:
    """Find the record with a primary key.

    Args:
        examination: of a version whose statement, manifest and contract verified.
        values: the canonical text of each field of its contract's primary key, by position.

    Returns:
        The number of the part, and the record's position in it.

    Raises:
        ConfigError: ``key``: the contract has no primary key, these are no values of it, or no
            record or more than one has it.
        VerificationError: ``part-digest``, ``record``: a part that was read is not its owner's.
    """
    version = examination.version
    if version is None:
        raise RuntimeError("a version that verified was not read")
    name, manifest = version.stated.name, version.manifest
    fields = _key_fields(version.contract, manifest.schema, name)
    key = _key(values, fields, name)
    numbers = range(len(manifest.parts))
    likely = _likely(examination.files, [part.path for part in manifest.parts], key)
    others = [number for number in numbers if number not in likely]
    for number in (*likely, *others):
        batches = part_batches(
            examination.files, [manifest.parts[number]], manifest.schema, columns=key.schema.names
        )
        found = list(_positions(batches, key))
        if len(found) > 1:
            raise ConfigError(f"more than one record of {name} has this key", code="key")
        if found:
            return number, found[0]
    raise ConfigError(
        f"no record of {name} has this key: all its {len(manifest.parts)} parts were looked at",
        code="key",
    )


def _key_fields(contract: bytes, schema: pa.Schema, name: str) -> pa.Schema:
    from zhixin_schemas.loader import load_contract

    try:
        names = load_contract(contract).primary_key
    except ContractError as error:
        raise ConfigError(
            f"the contract of {name} can't be read here, so its primary key is not known",
            code="key",
            hint="pick the record by --where",
        ) from error
    if not names or not set(names) <= set(schema.names):
        raise ConfigError(
            f"the contract of {name} has no primary key",
            code="key",
            hint="pick the record by --where",
        )
    return pa.schema([schema.field(field) for field in names])


def _key(values: Sequence[str], fields: pa.Schema, name: str) -> pa.RecordBatch:
    given: list[encoding.Json] = list(values)
    try:
        return canonical.parse_values(given, fields, "key")
    except FormatError as error:
        raise ConfigError(
            f"this is no key of {name}: {error.message}",
            code="key",
            hint=f"its primary key is {', '.join(fields.names)}: give a value of each, in its "
            "canonical form, as `zhixin cat` writes it",
        ) from error


def _likely(files: VersionFiles, names: Sequence[str], key: pa.RecordBatch) -> Sequence[int]:
    field = key.schema.field(0)
    value = ranges.comparable(key.column(0)[0])
    if value is None:
        return range(0)

    def claims(number: int) -> tuple[object, object] | None:
        with files.open_anywhere(names[number]) as file:
            return ranges.claimed_range(file, field)

    return ranges.likely_parts(value, claims, len(names))


def _positions(batches: Iterator[pa.RecordBatch], key: pa.RecordBatch) -> Iterator[int]:
    """Where the records lie whose key fields have the same canonical text."""
    start, want = 0, canonical.texts(key)[0]
    for batch in batches:
        same = pc.equal(batch.column(0), key.column(0)[0])
        for at in range(1, batch.num_columns):
            same = pc.and_kleene(same, pc.equal(batch.column(at), key.column(at)[0]))
        for row in pc.indices_nonzero(same).to_pylist():
            if canonical.texts(batch.slice(row, 1))[0] == want:
                yield start + row
        start += batch.num_rows
