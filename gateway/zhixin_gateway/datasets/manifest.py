"""The manifest: the private description of one version of a dataset.

Section 2.3 of the formats, JCS::

    {"contract":{"sha256":"6b8c…","version":"1.0.0"},"dataset":"bts.gov.example/flights",
     "fields":[{"name":"carrier","type":"string"}],"inputs":[],
     "parts":[{"bytes":"5948","content":"80c3…","path":"part-00000.parquet","records":"12",
               "root":"c57a…","salt_key":"06b6…","sha256":"e773…"}],
     "quality":[{"checked":"13","failed":"1","rule":"not-null","severity":"error"}],
     "quarantined":"1","records":"12","root":"b543…",
     "run":{"id":"manual__1","orchestrator":"airflow"},
     "source":{"extracted_at":"2026-02-03T18:38:18.501576Z","object":"flights","system":"bts-ops",
               "watermark":null},
     "type":"zhixin/manifest/v1","version":"1"}

It holds the salt keys, so whoever has it can guess records from their leaves: it is given only to
those who may read the dataset. Reading checks the form alone; that records add up and the root
follows from the parts is the gate's to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, cast

from zhixin_errors import FormatError
from zhixin_ledger.encoding import (
    Json,
    as_array,
    as_text,
    format_time,
    jcs,
    members,
    parse_hex,
    parse_jcs,
    parse_time,
    parse_uint,
)
from zhixin_ledger.names import check_dataset, parse_contract_version, parse_version

from zhixin_gateway.datasets.fields import check_fields
from zhixin_gateway.datasets.records import version_root

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

__all__ = [
    "MANIFEST_TYPE",
    "MAX_MANIFEST_BYTES",
    "MAX_PARTS",
    "MAX_PART_BYTES",
    "ContractRef",
    "Input",
    "Manifest",
    "PartEntry",
    "QualityItem",
    "Run",
    "Severity",
    "Source",
    "entries_from_json",
    "entries_to_json",
    "parse_manifest",
    "part_name",
]

MANIFEST_TYPE = "zhixin/manifest/v1"
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_PART_BYTES = 256 * 1024 * 1024
MAX_PARTS = 100_000

Severity = Literal["error", "warning", "critical"]
_SEVERITIES = ("error", "warning", "critical")


def part_name(number: int) -> str:
    """The file name of a part: its position in the manifest, from 0."""
    return f"part-{number:05d}.parquet"


@dataclass(frozen=True, slots=True)
class ContractRef:
    """The contract that a version keeps: its version and the digest of its file."""

    version: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class PartEntry:
    """What the manifest says of one part; all digests are 32 bytes."""

    path: str
    records: int
    size_bytes: int
    sha256: bytes
    root: bytes
    salt_key: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class QualityItem:
    """How many records a rule was asked of, and how many broke it."""

    rule: str
    severity: Severity
    checked: int
    failed: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where the records came from, in the member's own words: no host, no credentials."""

    system: str
    object: str
    extracted_at: datetime
    watermark: str | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """A version that this one was made from; ``statement`` is H of that version's entry."""

    dataset: str
    version: int
    statement: bytes


@dataclass(frozen=True, slots=True)
class Run:
    """What ran the pipeline; both may be empty."""

    orchestrator: str = ""
    id: str = ""


@dataclass(frozen=True)
class Manifest:
    """One version of a dataset; see the module's head."""

    dataset: str
    version: int
    contract: ContractRef
    fields: list[Json]
    records: int
    root: bytes
    parts: tuple[PartEntry, ...]
    quality: tuple[QualityItem, ...]
    quarantined: int
    source: Source
    inputs: tuple[Input, ...] = ()
    run: Run = Run()

    @cached_property
    def schema(self) -> pa.Schema:
        """The fields as an Arrow schema; who only compares digests does without Arrow."""
        from zhixin_gateway.datasets.types import fields_schema

        return fields_schema(self.fields, "manifest: fields")

    def computed_root(self) -> bytes:
        """The version root that follows from fields and parts."""
        return version_root(self.fields, [(part.records, part.root) for part in self.parts])

    def computed_records(self) -> int:
        """The sum over the parts."""
        return sum(part.records for part in self.parts)

    def to_bytes(self) -> bytes:
        """Write the manifest.

        Raises:
            FormatError: a value that the form does not have, such as inputs out of order.
        """
        written = jcs(self._json())
        parse_manifest(written)
        return written

    def _json(self) -> Json:
        return {
            "type": MANIFEST_TYPE,
            "dataset": self.dataset,
            "version": str(self.version),
            "contract": {"version": self.contract.version, "sha256": self.contract.sha256.hex()},
            "fields": self.fields,
            "records": str(self.records),
            "root": self.root.hex(),
            "parts": entries_to_json(self.parts),
            "quality": [
                {
                    "rule": item.rule,
                    "severity": item.severity,
                    "checked": str(item.checked),
                    "failed": str(item.failed),
                }
                for item in self.quality
            ],
            "quarantined": str(self.quarantined),
            "source": {
                "system": self.source.system,
                "object": self.source.object,
                "extracted_at": format_time(self.source.extracted_at),
                "watermark": self.source.watermark,
            },
            "inputs": [
                {
                    "dataset": item.dataset,
                    "version": str(item.version),
                    "statement": item.statement.hex(),
                }
                for item in self.inputs
            ],
            "run": {"orchestrator": self.run.orchestrator, "id": self.run.id},
        }


def parse_manifest(data: bytes) -> Manifest:
    """Read ``manifest.json``.

    Args:
        data: the file's bytes, at most 64 MiB.

    Raises:
        FormatError: it is not exactly in the form of section 2.3; the message names the member.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise FormatError(f"manifest: {len(data)} bytes, at most {MAX_MANIFEST_BYTES} are allowed")
    whole = members(
        parse_jcs(data, "manifest"),
        "manifest",
        (
            *("type", "dataset", "version", "contract", "fields", "records", "root"),
            *("parts", "quality", "quarantined", "source", "inputs", "run"),
        ),
    )
    kind, dataset, version, contract, fields, records, root = whole[:7]
    parts, quality, quarantined, source, inputs, run = whole[7:]
    if kind != MANIFEST_TYPE:
        raise FormatError(f"manifest: type is not {MANIFEST_TYPE!r}")
    return Manifest(
        dataset=check_dataset(dataset, "manifest: dataset"),
        version=parse_version(version, "manifest: version"),
        contract=_contract(contract),
        fields=check_fields(fields, "manifest: fields"),
        records=parse_uint(records, "manifest: records"),
        root=parse_hex(root, "manifest: root"),
        parts=entries_from_json(parts),
        quality=_quality(quality),
        quarantined=parse_uint(quarantined, "manifest: quarantined"),
        source=_source(source),
        inputs=parse_inputs(inputs, "manifest: inputs"),
        run=_run(run),
    )


def parse_inputs(value: Json, what: str) -> tuple[Input, ...]:
    """Read ``inputs``: of a manifest, or of a dataset statement's predicate.

    Raises:
        FormatError: another form, not sorted by dataset and version, or a pair twice.
    """
    found = []
    for position, item in enumerate(as_array(value, what)):
        place = f"{what}[{position}]"
        dataset, version, statement = members(item, place, ("dataset", "version", "statement"))
        found.append(
            Input(
                dataset=check_dataset(dataset, f"{place}.dataset"),
                version=parse_version(version, f"{place}.version"),
                statement=parse_hex(statement, f"{place}.statement"),
            )
        )
    keys = [(item.dataset.encode(), item.version) for item in found]
    if any(left >= right for left, right in pairwise(keys)):
        raise FormatError(f"{what}: not sorted by dataset and version, or a pair is there twice")
    return tuple(found)


def _contract(value: Json) -> ContractRef:
    what = "manifest: contract"
    version, sha256 = members(value, what, ("version", "sha256"))
    parse_contract_version(version, f"{what}.version")
    return ContractRef(
        version=as_text(version, f"{what}.version"), sha256=parse_hex(sha256, f"{what}.sha256")
    )


def entries_from_json(value: Json) -> tuple[PartEntry, ...]:
    """Read ``parts``.

    Raises:
        FormatError: another form.
    """
    listed = as_array(value, "manifest: parts")
    if len(listed) > MAX_PARTS:
        raise FormatError(f"manifest: {len(listed)} parts, at most {MAX_PARTS} are allowed")
    return tuple(_part(item, position) for position, item in enumerate(listed))


def _part(value: Json, position: int) -> PartEntry:
    what = f"manifest: parts[{position}]"
    names = ("path", "records", "bytes", "sha256", "root", "salt_key", "content")
    path, records, size, sha256, root, salt_key, content = members(value, what, names)
    if path != part_name(position):
        raise FormatError(f"{what}: path is not {part_name(position)!r}")
    entry = PartEntry(
        path=part_name(position),
        records=parse_uint(records, f"{what}.records"),
        size_bytes=parse_uint(size, f"{what}.bytes"),
        sha256=parse_hex(sha256, f"{what}.sha256"),
        root=parse_hex(root, f"{what}.root"),
        salt_key=parse_hex(salt_key, f"{what}.salt_key"),
        content=parse_hex(content, f"{what}.content"),
    )
    if entry.records == 0:
        raise FormatError(f"{what}: a part is never empty")
    if entry.size_bytes > MAX_PART_BYTES:
        raise FormatError(f"{what}: {entry.size_bytes} bytes, at most {MAX_PART_BYTES} are allowed")
    return entry


def entries_to_json(parts: Iterable[PartEntry]) -> list[Json]:
    """Write ``parts``."""
    return [_part_json(part) for part in parts]


def _part_json(part: PartEntry) -> Json:
    return {
        "path": part.path,
        "records": str(part.records),
        "bytes": str(part.size_bytes),
        "sha256": part.sha256.hex(),
        "root": part.root.hex(),
        "salt_key": part.salt_key.hex(),
        "content": part.content.hex(),
    }


def _quality(value: Json) -> tuple[QualityItem, ...]:
    found: dict[str, QualityItem] = {}
    for position, item in enumerate(as_array(value, "manifest: quality")):
        what = f"manifest: quality[{position}]"
        rule, severity, checked, failed = members(
            item, what, ("rule", "severity", "checked", "failed")
        )
        name = as_text(rule, f"{what}.rule")
        if name in found:
            raise FormatError(f"{what}: the rule {name[:80]!r} is there twice")
        if severity not in _SEVERITIES:
            raise FormatError(f"{what}.severity: want one of {', '.join(_SEVERITIES)}")
        found[name] = QualityItem(
            rule=name,
            severity=cast("Severity", severity),
            checked=parse_uint(checked, f"{what}.checked"),
            failed=parse_uint(failed, f"{what}.failed"),
        )
    return tuple(found.values())


def _source(value: Json) -> Source:
    what = "manifest: source"
    system, source_object, extracted_at, watermark = members(
        value, what, ("system", "object", "extracted_at", "watermark")
    )
    return Source(
        system=as_text(system, f"{what}.system"),
        object=as_text(source_object, f"{what}.object"),
        extracted_at=parse_time(extracted_at, f"{what}.extracted_at"),
        watermark=None if watermark is None else as_text(watermark, f"{what}.watermark"),
    )


def _run(value: Json) -> Run:
    orchestrator, run_id = members(value, "manifest: run", ("orchestrator", "id"))
    return Run(
        orchestrator=as_text(orchestrator, "manifest: run.orchestrator"),
        id=as_text(run_id, "manifest: run.id"),
    )
