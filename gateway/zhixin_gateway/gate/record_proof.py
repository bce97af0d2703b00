r"""Record proofs (docs/formats.md 2.7): one record shown to who has no access to its dataset.

::

    {"type":"zhixin/record-proof/v1","statement":"<base64 of statement.json>","receipt":"c2sp…\n…",
     "fields":[{"name":"id","type":"integer"}],"fields_path":["<hex>",…],
     "parts":"2","part":"0","part_records":"7","part_root":"<hex>","part_path":["<hex>",…],
     "record":"0","salt":"<16 bytes, hex>","values":["0"],"record_path":["<hex>",…]}

It holds the record with its names and types, its own salt, and three paths: fields and part in the
version's tree, whose root the owner stated, and the record in the part's. About other records it
shows nothing. Checked by the rows up to ``inclusion``, then ``root``, then ``record``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from zhixin_errors import FormatError, VerificationError
from zhixin_ledger import encoding, merkle
from zhixin_ledger.encoding import Json
from zhixin_ledger.tlogproof import Receipt, parse_receipt

from zhixin_gateway.datasets import records
from zhixin_gateway.datasets.types import fields_schema
from zhixin_gateway.datasets.values import check_values
from zhixin_gateway.gate import checks
from zhixin_gateway.gate.checks import Stated
from zhixin_gateway.gate.verdict import Verdict
from zhixin_gateway.gate.verify import (
    Machine,
    Options,
    Question,
    Refused,
    StandingSource,
    check_standing,
    check_stated,
)

if TYPE_CHECKING:
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.gate.standing import ClaimSource, LedgerView

__all__ = ["MAX_PROOF_BYTES", "RecordProof", "RecordVerdict", "parse_record_proof", "verify_record"]

MAX_PROOF_BYTES = 64 * 1024 * 1024
TYPE = "zhixin/record-proof/v1"


@dataclass(frozen=True, slots=True)
class RecordProof:
    """A record proof in good form; nothing is verified.

    Attributes:
        stated: the statement of the version.
        receipt: its receipt.
        fields: names and types, as JSON.
        fields_path: from the fields' leaf up, in the version's tree of ``parts`` + 1 leaves.
        parts: how many parts the version has, at least 1.
        part: which of them, from 0; may lie beyond.
        part_records: how many records that part has, at least 1.
        part_root: 32 bytes.
        part_path: from the part's leaf up, in the version's tree.
        record: which record of the part, from 0; may lie beyond.
        salt: 16 bytes.
        values: the record, as JSON.
        record_path: from the record's leaf up, in the part's tree.
    """

    stated: Stated
    receipt: Receipt
    fields: list[Json]
    fields_path: tuple[bytes, ...]
    parts: int
    part: int
    part_records: int
    part_root: bytes
    part_path: tuple[bytes, ...]
    record: int
    salt: bytes
    values: list[Json]
    record_path: tuple[bytes, ...]

    def to_bytes(self, receipt: bytes) -> bytes:
        """The proof's bytes.

        Args:
            receipt: the bytes of ``receipt.tlog-proof``.
        """
        return encoding.jcs(
            {
                "type": TYPE,
                "statement": encoding.b64(self.stated.entry),
                "receipt": receipt.decode(),
                "fields": self.fields,
                "fields_path": [item.hex() for item in self.fields_path],
                "parts": str(self.parts),
                "part": str(self.part),
                "part_records": str(self.part_records),
                "part_root": self.part_root.hex(),
                "part_path": [item.hex() for item in self.part_path],
                "record": str(self.record),
                "salt": self.salt.hex(),
                "values": self.values,
                "record_path": [item.hex() for item in self.record_path],
            }
        )


@dataclass(frozen=True, kw_only=True)
class RecordVerdict(Verdict):
    """A verdict on a record proof, and the record itself where it holds.

    Attributes:
        fields: names and types, as JSON; None where it is refused.
        values: the record's elements in the order of the fields; None where it is refused.
    """

    fields: list[Json] | None = None
    values: list[Json] | None = None


def parse_record_proof(data: bytes) -> RecordProof:
    """Read a record proof.

    Args:
        data: the whole file, at most 64 MiB.

    Raises:
        FormatError: another form; values that are no canonical texts of the fields' types.
    """
    what = "record proof"
    if len(data) > MAX_PROOF_BYTES:
        raise FormatError(f"{what} is longer than {MAX_PROOF_BYTES} bytes")
    names = (
        *("type", "statement", "receipt", "fields", "fields_path", "parts", "part"),
        *("part_records", "part_root", "part_path", "record", "salt", "values", "record_path"),
    )
    whole = encoding.members(encoding.parse_jcs(data, what), what, names)
    given = dict(zip(names, whole, strict=True))
    if given["type"] != TYPE:
        raise FormatError(f"{what}: type is not {TYPE}")
    schema = fields_schema(given["fields"], f"{what}: fields")
    values = encoding.as_array(given["values"], f"{what}: values")
    check_values(values, schema, f"{what}: values")
    receipt = encoding.as_text(given["receipt"], f"{what}: receipt")
    return RecordProof(
        stated=parse_stated_of(given["statement"], what),
        receipt=parse_receipt(receipt.encode(), f"{what}: receipt"),
        fields=encoding.as_array(given["fields"], f"{what}: fields"),
        fields_path=_path(given["fields_path"], f"{what}: fields_path"),
        parts=_count(given["parts"], f"{what}: parts"),
        part=encoding.parse_uint(given["part"], f"{what}: part"),
        part_records=_count(given["part_records"], f"{what}: part_records"),
        part_root=encoding.parse_hex(given["part_root"], f"{what}: part_root"),
        part_path=_path(given["part_path"], f"{what}: part_path"),
        record=encoding.parse_uint(given["record"], f"{what}: record"),
        salt=encoding.parse_hex(given["salt"], f"{what}: salt", records.SALT_BYTES),
        values=values,
        record_path=_path(given["record_path"], f"{what}: record_path"),
    )


def parse_stated_of(value: Json, what: str) -> Stated:
    """Read the statement inside a proof."""
    return checks.parse_stated(
        encoding.unb64(value, f"{what}: statement"), f"the statement of the {what}"
    )


def _count(value: Json, what: str) -> int:
    number = encoding.parse_uint(value, what)
    if number < 1:
        raise FormatError(f"{what}: at least 1")
    return number


def _path(value: Json, what: str) -> tuple[bytes, ...]:
    return tuple(
        encoding.parse_hex(item, f"{what}[{at}]")
        for at, item in enumerate(encoding.as_array(value, what))
    )


def check_root(proof: RecordProof) -> None:
    """Hold fields and part to the root that the owner stated.

    Raises:
        VerificationError: ``root``.
    """
    leaves = proof.parts + 1
    root = bytes.fromhex(proof.stated.says.root_hex)
    for what, index, leaf, path in (
        ("fields", 0, records.fields_leaf(proof.fields, proof.parts), proof.fields_path),
        (
            f"part {proof.part}",
            proof.part + 1,
            records.part_leaf(proof.part_records, proof.part_root),
            proof.part_path,
        ),
    ):
        try:
            merkle.verify_inclusion(index, leaves, leaf, path, root)
        except VerificationError as error:
            raise VerificationError(
                f"{what} of the record proof do not lead to the root of {proof.stated.name}: "
                f"{error.message}",
                code="root",
            ) from error


def check_record(proof: RecordProof) -> None:
    """Hold the record to its part's root.

    Raises:
        VerificationError: ``record``.
    """
    leaf = records.record_leaf(proof.salt, encoding.jcs(proof.values))
    try:
        merkle.verify_inclusion(
            proof.record, proof.part_records, leaf, proof.record_path, proof.part_root
        )
    except VerificationError as error:
        raise VerificationError(
            f"the values are not those of record {proof.record} in part {proof.part} of "
            f"{proof.stated.name}: {error.message}",
            code="record",
        ) from error


def verify_record(
    data: bytes,
    trust: Trust,
    *,
    expect: str | None = None,
    now: datetime | None = None,
    max_age: timedelta | None = None,
    standings: Sequence[StandingSource] = (),
    ledger_copy: LedgerView | None = None,
    strict_inputs: bool = False,
    current_keys: bool = False,
    require_standing: bool = False,
    ledger: ClaimSource | None = None,
    beside: bool = False,
) -> RecordVerdict:
    """Verify a record proof, offline.

    Args:
        data: the proof's bytes.
        trust: what the caller pinned.
        expect: ``MEMBER/DATASET[@N]`` that the record must be of.
        now: the verifier's clock, aware; None: this machine's.
        max_age: how old a standing, or without one the receipt, may be.
        standings: standing files, or their bytes: the version's and its inputs'.
        ledger_copy: the home's copy of the ledger.
        strict_inputs: a withdrawn input refuses, and so does one without a standing.
        current_keys: cosigner keys that have ended since do not count.
        require_standing: without a source of standing it is ``stale``.
        ledger: a ledger that is asked over the network (`zhixin_gateway.online.ask`).
        beside: the standing files were found beside the proof, nobody named them.

    Returns:
        The verdict; with the record where it holds.

    Raises:
        ConfigError: the set-up is at fault.
    """
    options = Options(
        expect=expect,
        now=now,
        max_age=max_age,
        standings=standings,
        ledger_copy=ledger_copy,
        strict_inputs=strict_inputs,
        current_keys=current_keys,
        require_standing=require_standing,
        ledger=ledger,
        beside=beside,
    )
    asked = checks.parse_asked(expect) if expect else None
    question = Question.make(asked, trust, options)
    machine = Machine()
    try:
        with machine.row("malformed"):
            proof = parse_record_proof(data)
            says = proof.stated.says
            machine.know(dataset=says.dataset, version=says.version)
        check_stated(machine, proof.stated, proof.receipt, question)
        with machine.row("root"):
            check_root(proof)
        with machine.row("record"):
            check_record(proof)
        check_standing(machine, proof.stated, proof.receipt, question)
    except Refused:
        return _with_record(machine.found, None)
    message = f"the record is one of {proof.stated.name}, as its owner stated it"
    return _with_record(machine.passed(message), proof)


def _with_record(verdict: Verdict, proof: RecordProof | None) -> RecordVerdict:
    parts = {item.name: getattr(verdict, item.name) for item in fields(Verdict)}
    if proof is None:
        return RecordVerdict(**parts)
    return RecordVerdict(**parts, fields=proof.fields, values=proof.values)
