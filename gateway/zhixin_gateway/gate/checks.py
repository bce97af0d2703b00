"""Rows of the table (docs/formats.md 4) that need the version's own files alone: pure functions.

Each takes bytes or parsed values and returns, or raises `FormatError` (code ``malformed``) or
`VerificationError` with the row's code. In which order they are asked is said in ``verify``; what a
receipt must hold stands in ``receipts``, what a standing must in ``standing``. No clock, no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError, FormatError, VerificationError
from zhixin_ledger import dsse, intoto, names
from zhixin_ledger.encoding import sha256
from zhixin_ledger.kinds.dataset import DATASET, DatasetVersion
from zhixin_ledger.tlogproof import Receipt, parse_receipt

from zhixin_gateway.datasets.directory import (
    CONTRACT_FILE,
    FILE_LIMITS,
    MANIFEST_FILE,
    RECEIPT_FILE,
    STATEMENT_FILE,
)
from zhixin_gateway.datasets.manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from zhixin_ledger.dsse import Envelope
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.gate.files import Kind

__all__ = [
    "Asked",
    "Stated",
    "Version",
    "asked_by_path",
    "check_asked",
    "check_contract",
    "check_listing",
    "check_manifest",
    "check_root",
    "check_signature",
    "parse_asked",
    "parse_stated",
    "parse_version_files",
]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which version the caller asked for.

    Attributes:
        dataset: ``member/name``.
        version: None: any.
        by_path: the directory's path asks, not the caller in words.
    """

    dataset: str
    version: int | None
    by_path: bool = False

    @property
    def name(self) -> str:
        """As people write it."""
        return self.dataset if self.version is None else f"{self.dataset}@{self.version}"


@dataclass(frozen=True, slots=True)
class Stated:
    """A dataset's statement in good form; its signature is not verified yet.

    Attributes:
        entry: the ledger entry's exact bytes.
        envelope: the same, parsed.
        origin: the ledger that the statement is made for.
        says: what it states.
    """

    entry: bytes
    envelope: Envelope
    origin: str
    says: DatasetVersion

    @property
    def name(self) -> str:
        """The version as people write it."""
        return f"{self.says.dataset}@{self.says.version}"


@dataclass(frozen=True, slots=True)
class Version:
    """A version's four small files in good form.

    Attributes:
        contract: the contract's bytes, UTF-8.
        manifest_sha256: H of manifest.json's bytes.
        manifest: the same, parsed.
        stated: the statement.
        receipt: the receipt.
    """

    contract: bytes
    manifest_sha256: bytes
    manifest: Manifest
    stated: Stated
    receipt: Receipt


def parse_asked(expect: str) -> Asked:
    """Read ``MEMBER/DATASET[@N]`` as a caller gives it.

    Raises:
        ConfigError: another form.
    """
    try:
        if "@" in expect:
            return Asked(*names.parse_dataset_version(expect, "the version asked for"))
        return Asked(names.check_dataset(expect, "the dataset asked for"), None)
    except FormatError as error:
        raise ConfigError(
            error.message, hint="ask for MEMBER/DATASET or MEMBER/DATASET@N"
        ) from error


def asked_by_path(path: PurePath) -> Asked | None:
    """Which version a path asks for: one that ends in member/dataset/number does.

    Args:
        path: absolute, links not followed; or of an object store's address.
    """
    if len(path.parts) < 3:
        return None
    member, dataset, number = path.parts[-3:]
    try:
        return Asked(
            names.check_dataset(f"{member}/{dataset}"), names.parse_version(number), by_path=True
        )
    except FormatError:
        return None


def parse_stated(entry: bytes, what: str = STATEMENT_FILE) -> Stated:
    """Read a dataset's statement.

    Args:
        entry: the ledger entry's exact bytes.
        what: how a message names it.

    Raises:
        FormatError: another form, another kind, not exactly one signature.
    """
    envelope = dsse.parse_envelope(entry, what)
    statement = intoto.parse_statement(envelope.payload, what)
    if statement.predicate_type != DATASET.predicate_type:
        raise FormatError(f"{what} is not a dataset's statement")
    says = DATASET.read(statement)
    if len(envelope.signatures) != 1:
        raise FormatError(f"{what} must carry exactly one signature, its owner's")
    if (says.version == 1) != (says.previous_hex is None):
        raise FormatError(f"{what}: `previous` is null in version 1, and in no other")
    origin = names.check_origin(statement.predicate["origin"], f"{what}: origin")
    return Stated(entry, envelope, origin, says)


def parse_version_files(
    contract: bytes, manifest: bytes, statement: bytes, receipt: bytes
) -> Version:
    """Read the four small files of a version.

    Raises:
        FormatError: one of them is not in its form.
    """
    try:
        contract.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{CONTRACT_FILE} is not UTF-8 at byte {error.start}") from error
    return Version(
        contract=contract,
        manifest_sha256=sha256(manifest),
        manifest=parse_manifest(manifest),
        stated=parse_stated(statement),
        receipt=parse_receipt(receipt, RECEIPT_FILE),
    )


def check_listing(entries: Mapping[str, Kind], manifest: Manifest) -> None:
    """Hold a directory to what the manifest lists: no part less, no file more.

    Args:
        entries: every name in the directory, and what it is.
        manifest: the version's.

    Raises:
        FormatError: a listed file is a link, a folder or special.
        VerificationError: ``part-missing``, ``unlisted-file``.
    """
    for part in manifest.parts:
        kind = entries.get(part.path)
        if kind is None:
            raise VerificationError(
                f"{part.path} is not there, though {MANIFEST_FILE} lists it: fetch the version "
                "again",
                code="part-missing",
            )
        _check_kind(part.path, kind)
    for name in FILE_LIMITS:  # in a bucket one that was read may be a folder besides
        _check_kind(name, entries.get(name, "file"))
    listed = {*FILE_LIMITS, *(part.path for part in manifest.parts)}
    surplus = sorted(name for name in entries if name not in listed)
    if surplus:
        shown = ", ".join(ascii(name[:80]) for name in surplus[:3])
        raise VerificationError(
            f"{len(surplus)} files are there that {MANIFEST_FILE} does not list, such as {shown}",
            code="unlisted-file",
        )


def _check_kind(name: str, kind: Kind) -> None:
    if kind != "file":
        raise FormatError(f"{name} is a {kind}: want a regular file")


def check_asked(stated: Stated, asked: Asked | None) -> None:
    """Hold the statement to the version that the caller asked for.

    Raises:
        VerificationError: ``unexpected``.
    """
    if asked is None:
        return
    says = stated.says
    if says.dataset == asked.dataset and asked.version in (None, says.version):
        return
    way_out = f"; to verify it where it lies, say --expect {stated.name}" if asked.by_path else ""
    asker = "its path asks" if asked.by_path else "the caller asked"
    raise VerificationError(
        f"this is {stated.name}, but {asker} for {asked.name}{way_out}",
        code="unexpected",
        details={"expected": asked.name, "got": stated.name},
    )


def check_signature(stated: Stated, trust: Trust, index: int) -> None:
    """Hold the statement to the trust's ledger and to its owner's key in force at its index.

    Args:
        stated: the statement.
        trust: what the caller pinned.
        index: of the entry, as the receipt says.

    Raises:
        VerificationError: ``statement-signature``; ``owner``: a member's key, but not the owner's.
    """
    if stated.origin != trust.origin:
        raise VerificationError(
            f"the statement of {stated.name} is made for the ledger {stated.origin}, not for "
            f"{trust.origin}",
            code="statement-signature",
        )
    ((keyid, _),) = stated.envelope.signatures
    key = trust.statement_key(keyid, index)
    if key is None:
        raise VerificationError(
            f"the statement of {stated.name} is signed by the key {keyid[:16]}…, which is no "
            f"member's key in force at entry {index}",
            code="statement-signature",
        )
    if not stated.envelope.verifies(key.public_key):
        raise VerificationError(
            f"the signature of {key.member} under the statement of {stated.name} does not verify",
            code="statement-signature",
        )
    owner = stated.says.dataset.partition("/")[0]
    if key.member != owner:
        raise VerificationError(
            f"the statement of {stated.name} is signed by {key.member}, not by its owner {owner}",
            code="owner",
        )


def check_manifest(version: Version) -> None:
    """Hold the manifest to the statement, and its records to their sum.

    Raises:
        VerificationError: ``manifest``.
    """
    manifest, says = version.manifest, version.stated.says
    faults = {
        f"has the SHA-256 {version.manifest_sha256.hex()}, the statement says "
        f"{says.manifest_hex}": version.manifest_sha256.hex() != says.manifest_hex,
        "is of another dataset than the statement": manifest.dataset != says.dataset,
        "is of another version than the statement": manifest.version != says.version,
        "has another root than the statement": manifest.root.hex() != says.root_hex,
        "has another contract than the statement": (
            manifest.contract.version,
            manifest.contract.sha256.hex(),
        )
        != (says.contract_version, says.contract_sha256_hex),
        "has other inputs than the statement": [
            (item.dataset, item.version, item.statement.hex()) for item in manifest.inputs
        ]
        != [(item.dataset, item.version, item.statement_hex) for item in says.inputs],
        f"says {manifest.records} records, its parts have {manifest.computed_records()}": (
            manifest.records != manifest.computed_records()
        ),
    }
    for fault, there in faults.items():
        if there:
            raise VerificationError(
                f"{MANIFEST_FILE} of {version.stated.name} {fault}", code="manifest"
            )


def check_contract(version: Version) -> None:
    """Hold the contract's bytes to the digest that manifest and statement give.

    Raises:
        VerificationError: ``contract``.
    """
    want = version.manifest.contract
    found = sha256(version.contract)
    if found != want.sha256:
        raise VerificationError(
            f"{CONTRACT_FILE} is not the contract {want.version} of {version.stated.name}: its "
            f"SHA-256 is {found.hex()}, want {want.sha256.hex()}",
            code="contract",
        )


def check_root(version: Version) -> None:
    """Hold the version's root to its fields and its parts' roots.

    Raises:
        VerificationError: ``root``.
    """
    if version.manifest.computed_root() != version.manifest.root:
        raise VerificationError(
            f"the root of {version.stated.name} does not follow from its fields and the roots of "
            f"its parts: {MANIFEST_FILE} contradicts itself",
            code="root",
        )
