"""A contract's new version (`urn:zhixin:contract:v1`), stated by the dataset's owner alone.

::

    {"dataset":"bts.gov.example/flights","origin":"ledger.gov.example/2026","version":"1.1.0"}

Subject: `dataset@version`, with H of contract.yaml's bytes; its text stays off the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

from zhixin_errors import LedgerRefused

from zhixin_ledger import names
from zhixin_ledger.facts import ContractFact
from zhixin_ledger.intoto import Statement
from zhixin_ledger.kinds import base
from zhixin_ledger.state import Change, State

__all__ = ["CONTRACT", "Contract"]


@dataclass(frozen=True, slots=True)
class Contract:
    """What a contract's statement says."""

    dataset: str
    version: tuple[int, int, int]
    sha256_hex: str

    @property
    def version_text(self) -> str:
        """The version as `major.minor.patch`."""
        return ".".join(map(str, self.version))


def read(statement: Statement) -> Contract:
    """Read the form.

    Raises:
        FormatError: another form.
    """
    _, dataset, version = base.predicate(statement, ("origin", "dataset", "version"))
    contract = Contract(
        names.check_dataset(dataset, "dataset"),
        names.parse_contract_version(version, "version"),
        statement.subject_sha256.hex(),
    )
    base.check_subject(statement, f"{contract.dataset}@{contract.version_text}")
    return contract


def rule(state: State, contract: Contract, entry: base.Entry) -> Change:
    """Say what a contract's statement changes.

    Raises:
        LedgerRefused: `owner`, `contract-version`.
    """
    base.owner_signs(entry, contract.dataset)
    before = state.contract(contract.dataset)
    if before is not None and contract.version <= names.parse_contract_version(before.version):
        raise LedgerRefused(
            f"a contract's version rises, and {before.version} of {contract.dataset} is there",
            code="contract-version",
        )
    fact = ContractFact(contract.dataset, contract.version_text, contract.sha256_hex, entry.index)
    return Change((fact,))


CONTRACT = base.Kind("urn:zhixin:contract:v1", read, rule)
