"""A dataset's version (`urn:zhixin:dataset:v1`), stated by its owner alone.

::

    {"contract":{"sha256":"d9c4…","version":"1.0.0"},"dataset":"bts.gov.example/flights",
     "inputs":[{"dataset":"faa.gov.example/planes","statement":"44fa…","version":"1"}],
     "origin":"ledger.gov.example/2026","previous":null,"root":"f0b4…","version":"1"}

Subject: `dataset@version`, with H of manifest.json. Versions are consecutive and each names the
entry of the one before it, so that an omitted one shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import encoding, names
from zhixin_ledger.encoding import Json
from zhixin_ledger.facts import DatasetFact
from zhixin_ledger.intoto import Statement
from zhixin_ledger.kinds import base
from zhixin_ledger.state import Change, State
from zhixin_ledger.store import Stated

__all__ = ["DATASET", "DatasetVersion", "InputVersion"]


@dataclass(frozen=True, slots=True)
class InputVersion:
    """A version that this one was made from; `statement_hex` is H of its entry."""

    dataset: str
    version: int
    statement_hex: str


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """What a dataset's statement says.

    Args:
        dataset: `member/name`.
        version: from 1.
        root_hex: the version's root.
        contract_version: of the contract that it keeps.
        contract_sha256_hex: H of that contract.
        previous_hex: H of the entry of the version before; None for version 1.
        inputs: sorted by dataset, then version; no pair twice.
        manifest_hex: the subject's digest.
    """

    dataset: str
    version: int
    root_hex: str
    contract_version: str
    contract_sha256_hex: str
    previous_hex: str | None
    inputs: tuple[InputVersion, ...]
    manifest_hex: str


def read(statement: Statement) -> DatasetVersion:
    """Read the form.

    Raises:
        FormatError: another form.
    """
    _, dataset, version, root, contract, previous, inputs = base.predicate(
        statement,
        ("origin", "dataset", "version", "root", "contract", "previous", "inputs"),
    )
    contract_version, contract_sha256 = encoding.members(
        contract, "contract", ("version", "sha256")
    )
    names.parse_contract_version(contract_version, "contract's version")
    stated = DatasetVersion(
        names.check_dataset(dataset, "dataset"),
        names.parse_version(version, "version"),
        encoding.check_hex(root, "root"),
        encoding.as_text(contract_version, "contract's version"),
        encoding.check_hex(contract_sha256, "contract's sha256"),
        None if previous is None else encoding.check_hex(previous, "previous"),
        tuple(
            _input(value, f"inputs[{at}]")
            for at, value in enumerate(encoding.as_array(inputs, "inputs"))
        ),
        statement.subject_sha256.hex(),
    )
    places = [(item.dataset, item.version) for item in stated.inputs]
    if any(before >= after for before, after in pairwise(places)):
        raise FormatError("inputs are not sorted by dataset and version, or one is there twice")
    base.check_subject(statement, f"{stated.dataset}@{stated.version}")
    return stated


def rule(state: State, stated: DatasetVersion, entry: base.Entry) -> Change:
    """Say what a dataset's statement changes.

    Raises:
        LedgerRefused: `owner`, `contract-not-newest`, `version-order`, `input-unknown`,
            `input-withdrawn`.
    """
    base.owner_signs(entry, stated.dataset)
    contract = state.contract(stated.dataset)
    cited = (stated.contract_version, stated.contract_sha256_hex)
    if contract is None or (contract.version, contract.sha256_hex) != cited:
        raise LedgerRefused(
            f"{stated.dataset}@{stated.version} does not cite the newest contract in the ledger",
            code="contract-not-newest",
            hint="publish the contract first",
        )
    before = state.dataset(stated.dataset)
    follows = (1, None) if before is None else (before.version + 1, before.statement_hex)
    if (stated.version, stated.previous_hex) != follows:
        raise LedgerRefused(
            f"{stated.dataset}@{stated.version} does not follow on: the next is {follows[0]}, "
            "and `previous` is the entry of the one before",
            code="version-order",
        )
    for item in stated.inputs:
        _check_input(state, item)
    fact = DatasetFact(
        stated.dataset,
        stated.version,
        entry.hash.hex(),
        entry.index,
        () if before is None else before.withdrawn,
    )
    mark = Stated(entry.index, entry.hash, bytes.fromhex(stated.manifest_hex))
    return Change((fact,), (stated.dataset, stated.version, mark))


def _check_input(state: State, item: InputVersion) -> None:
    found = state.stated(item.dataset, item.version)
    if found is None or found.statement.hex() != item.statement_hex:
        raise LedgerRefused(
            f"the input {item.dataset}@{item.version} was not stated so", code="input-unknown"
        )
    fact = state.dataset(item.dataset)
    if fact is None or item.version in fact.withdrawn:
        raise LedgerRefused(
            f"the input {item.dataset}@{item.version} is withdrawn", code="input-withdrawn"
        )


def _input(value: Json, what: str) -> InputVersion:
    dataset, version, statement = encoding.members(value, what, ("dataset", "version", "statement"))
    return InputVersion(
        names.check_dataset(dataset, f"{what}'s dataset"),
        names.parse_version(version, f"{what}'s version"),
        encoding.check_hex(statement, f"{what}'s statement"),
    )


DATASET = base.Kind("urn:zhixin:dataset:v1", read, rule)
