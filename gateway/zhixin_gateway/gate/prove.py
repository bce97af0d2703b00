"""Proving one record: what its holder gives to somebody who has no access to the dataset.

The version is verified first, then the one record is found that a SQL condition or its primary key
picks, then its part's tree is recomputed: a proof that would not verify is never given. By its key
only the part that holds it is read: the version's root is held to the parts' roots in the manifest,
and of the parts that are not read nothing is claimed. See ``record_proof`` for the form and for the
other side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from zhixin_errors import ConfigError, VerificationError
from zhixin_ledger import encoding, merkle
from zhixin_ledger.tlogproof import format_receipt

from zhixin_gateway.datasets import canonical, records
from zhixin_gateway.gate.keyed import find_by_key
from zhixin_gateway.gate.parts import part_reader
from zhixin_gateway.gate.query import query
from zhixin_gateway.gate.reader import VerifiedDataset
from zhixin_gateway.gate.record_proof import RecordProof, verify_record
from zhixin_gateway.gate.verify import Examination, Options, StandingSource, examine

if TYPE_CHECKING:
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.gate.standing import ClaimSource, LedgerView

__all__ = ["prove_record"]


def prove_record(
    path: Path | str,
    trust: Trust,
    *,
    where: str | None = None,
    key: Sequence[str] | None = None,
    expect: str | None = None,
    now: datetime | None = None,
    max_age: timedelta | None = None,
    standings: Sequence[StandingSource] = (),
    ledger_copy: LedgerView | None = None,
    ledger: ClaimSource | None = None,
    strict_inputs: bool = False,
    current_keys: bool = False,
    require_standing: bool = False,
    beside: bool = False,
) -> bytes:
    """Prove the one record of a version that a condition or its primary key picks.

    Args:
        path: the version's directory.
        trust: what the caller pinned.
        where: a SQL condition over the fields, such as ``tailnum = 'N14228' and day = 1``.
        key: the canonical text of each field of the primary key, by position; instead of ``where``.
        expect: ``MEMBER/DATASET[@N]``; None: what the path asks for, if it asks.
        now: the verifier's clock, aware; None: this machine's.
        max_age: how old a standing, or without one the receipt, may be.
        standings: standing files, or their bytes.
        ledger_copy: the home's copy of the ledger.
        ledger: a ledger that is asked over the network (`zhixin_gateway.online.ask`).
        strict_inputs: a withdrawn input refuses, and so does one without a standing.
        current_keys: cosigner keys that have ended since do not count.
        require_standing: without a source of standing it is ``stale``.
        beside: the standing files were found beside the directory, nobody named them.

    Returns:
        The record proof's bytes; it verifies.

    Raises:
        VerificationError: the version does not verify, or its records are not those stated.
        ConfigError: the condition can't be run, or does not pick exactly one record, or no record
            has the key.
    """
    if (where is None) == (key is None):
        raise ConfigError("say which record: by a condition or by its key, and not by both")
    options = Options(
        expect=expect,
        now=now,
        max_age=max_age,
        standings=standings,
        ledger_copy=ledger_copy,
        ledger=ledger,
        strict_inputs=strict_inputs,
        current_keys=current_keys,
        require_standing=require_standing,
        beside=beside,
        reading=True,
        streaming=key is not None,
    )
    examination = examine(path, trust, options)
    dataset = VerifiedDataset(examination)
    if key is not None:
        part, record = find_by_key(examination, key)
    else:
        part, record = _place(dataset, _find(dataset, where or ""))
    proof = _prove(examination, part, record)
    verify_record(proof, trust, expect=dataset.name, now=now).require()
    return proof


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A dataset with one more column, the record's position."""

    dataset: VerifiedDataset
    position: str

    @property
    def schema(self) -> pa.Schema:
        return self.dataset.schema.append(pa.field(self.position, pa.int64()))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The records; a column of them is read though the position alone is wanted."""
        names = self.schema.names if columns is None else list(columns)
        read = [name for name in names if name != self.position] or self.dataset.schema.names[:1]
        start = 0
        for batch in self.dataset.batches(read):
            positions = pa.array(range(start, start + batch.num_rows), pa.int64())
            yield batch.append_column(self.position, positions).select(names)
            start += batch.num_rows


def _find(dataset: VerifiedDataset, where: str) -> int:
    position = "zhixin_position"
    while position in dataset.schema.names:
        position += "_"
    numbered = _Numbered(dataset, position)
    name = dataset.dataset
    sql = f'SELECT "{position}" FROM "{name}" WHERE (\n{where}\n) LIMIT 2'
    tables = {name: numbered, name.partition("/")[2]: numbered}
    found: list[Any] = query(sql, tables).read_all().column(0).to_pylist()
    if len(found) != 1:
        many = "more than one record" if found else "no record"
        raise ConfigError(
            f"the condition picks {many} of {dataset.name}, want exactly one", code="where"
        )
    number = found[0]
    if type(number) is not int or not 0 <= number < dataset.records:
        raise ConfigError("give a condition over one record's fields alone", code="where")
    return number


def _place(dataset: VerifiedDataset, position: int) -> tuple[int, int]:
    for number, part in enumerate(dataset.manifest.parts):
        if position < part.records:
            return number, position
        position -= part.records
    raise RuntimeError("a position beyond the records was found")


def _prove(examination: Examination, number: int, record: int) -> bytes:
    version = examination.version
    if version is None:
        raise RuntimeError("a version that verified was not read")
    manifest = version.manifest
    part = manifest.parts[number]
    with part_reader(examination.files, part, manifest.schema) as reader:
        digest = reader.digest(part.salt_key, keep_leaves=True)
        if digest.root() != part.root:
            raise VerificationError(
                f"{part.path}: its records do not have the root that the manifest says, so none "
                "of them can be proved",
                code="record",
            )
        values = _values(reader.batches(), record)
    leaves = records.version_leaves(
        manifest.fields, [(item.records, item.root) for item in manifest.parts]
    )
    receipt = version.receipt
    return RecordProof(
        stated=version.stated,
        receipt=receipt,
        fields=manifest.fields,
        fields_path=tuple(merkle.inclusion_path(leaves, 0, len(leaves))),
        parts=len(manifest.parts),
        part=number,
        part_records=part.records,
        part_root=part.root,
        part_path=tuple(merkle.inclusion_path(leaves, number + 1, len(leaves))),
        record=record,
        salt=records.salts(part.salt_key, record, 1),
        values=values,
        record_path=tuple(merkle.inclusion_path(digest.leaves, record, part.records)),
    ).to_bytes(format_receipt(receipt.index, receipt.path, receipt.note))


def _values(batches: Iterator[pa.RecordBatch], record: int) -> list[encoding.Json]:
    for batch in batches:
        if record < batch.num_rows:
            text = canonical.texts(batch.slice(record, 1))[0].as_py()
            return encoding.as_array(encoding.parse_jcs(text.encode(), "record"), "record")
        record -= batch.num_rows
    raise RuntimeError("a position beyond the part's records was found")
