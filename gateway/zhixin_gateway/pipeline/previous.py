"""The versions before, as this home's own store has them, if they are those that were stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zhixin_errors import ConfigError, FormatError
from zhixin_ledger.encoding import sha256
from zhixin_schemas.loader import read_contract
from zhixin_schemas.quality import Past
from zhixin_schemas.rules import CountChange, RateJump

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from zhixin_ledger.state import State
    from zhixin_schemas.model import Contract

    from zhixin_gateway.stores import Store

__all__ = ["Previous", "past_quality", "previous_version"]


class Previous(NamedTuple):
    """A version, where it lies, and its manifest, whose bytes are those that were stated."""

    version: int
    store: Store
    manifest: Manifest


def previous_version(store: Store, known: State, dataset: str) -> Previous | None:
    """Find the newest version of an own dataset.

    Args:
        store: the home's.
        known: the ledger's state.
        dataset: ``member/name``.

    Returns:
        None where there is none, or where what lies in the store is not what was stated, or not
        whole.
    """
    fact = known.dataset(dataset)
    found = None if fact is None else _stated_version(store, known, dataset, fact.version)
    if found is None:
        return None
    sizes = store.sizes(dataset, found.version)
    whole = all(sizes.get(part.path) == part.size_bytes for part in found.manifest.parts)
    return found if whole else None


def past_quality(store: Store, known: State, contract: Contract) -> list[Past]:
    """What the last versions' manifests say, as far as the contract's rules look back at them.

    Args:
        store: the home's.
        known: the ledger's state.
        contract: the one that judges now; of an earlier contract's rules only those count that
            check the same.

    Returns:
        The newest first; without versions that are withdrawn, or not in the store as they were
        stated. Empty where no rule looks back.
    """
    checks = [rule.check for rule in contract.rules]
    wanted = max(
        [each.versions for each in checks if isinstance(each, RateJump)]
        + [1 for each in checks if isinstance(each, CountChange)],
        default=0,
    )
    fact = known.dataset(contract.dataset)
    found: list[Past] = []
    if fact is None or not wanted:
        return found
    same = _Comparable(contract)
    for version in range(fact.version, 0, -1):
        before = _stated_version(store, known, contract.dataset, version)
        if version in fact.withdrawn or before is None:
            continue
        manifest, rules = before.manifest, same.rules(before)
        extracted = manifest.records + manifest.quarantined
        failed = {
            item.rule: item.failed
            for item in manifest.quality
            if item.rule in rules and item.checked == extracted  # not of some records alone
        }
        found.append(Past(version, extracted, manifest.quarantined, failed))
        if len(found) == wanted:
            break
    return found


class _Comparable:
    """Which rules of an earlier version's contract check the same as now; each contract once."""

    def __init__(self, contract: Contract) -> None:
        self._now = {rule.name: rule.check for rule in contract.rules}
        self._known = {bytes.fromhex(contract.sha256): set(self._now)}

    def rules(self, before: Previous) -> set[str]:
        digest = before.manifest.contract.sha256
        if digest not in self._known:
            self._known[digest] = self._read(before, digest)
        return self._known[digest]

    def _read(self, before: Previous, digest: bytes) -> set[str]:
        name = directory.CONTRACT_FILE
        try:
            data = before.store.read(before.manifest.dataset, before.version, name)
        except (FormatError, ConfigError):
            return set()
        contract = read_contract(data).contract if sha256(data) == digest else None
        rules = () if contract is None else contract.rules
        return {rule.name for rule in rules if self._now.get(rule.name) == rule.check}


def _stated_version(store: Store, known: State, dataset: str, version: int) -> Previous | None:
    """A version whose statement and manifest are those that the ledger knows."""
    stated = known.stated(dataset, version)
    if stated is None:
        return None
    try:
        statement = store.read(dataset, version, directory.STATEMENT_FILE)
        data = store.read(dataset, version, directory.MANIFEST_FILE)
        if sha256(statement) != stated.statement or sha256(data) != stated.manifest:
            return None
        return Previous(version, store, parse_manifest(data))
    except (FormatError, ConfigError):
        return None
