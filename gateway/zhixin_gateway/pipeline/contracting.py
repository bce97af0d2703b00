"""A contract's way into the ledger: held to the version that its changes ask for, then stated.

The contract in force is found by the digest that the ledger has of it: as this home remembered it
when it was stated (``runs/<member>/<dataset>.contract.yaml``), or in the newest version's folder.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError, ContractError, FormatError
from zhixin_ledger import client as ledger
from zhixin_ledger.dsse import sign_envelope
from zhixin_ledger.encoding import sha256_hex
from zhixin_ledger.names import parse_contract_version
from zhixin_schemas.loader import read_contract

from zhixin_gateway.contract_diff import refuse_small_step
from zhixin_gateway.datasets import directory
from zhixin_gateway.progress import NullProgress, Progress

if TYPE_CHECKING:
    from pathlib import Path

    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.state import State
    from zhixin_schemas.model import Contract

    from zhixin_gateway.home import Home

__all__ = ["check_step", "publish_contract", "published_contract", "state_contract"]


def publish_contract(
    home: Home,
    client: LedgerClient,
    contract: Contract,
    state: State,
    progress: Progress | None = None,
) -> int | None:
    """State a contract in the ledger, if it is new there.

    Args:
        home: the owner's.
        client: its view of the ledger.
        contract: the contract.
        state: the ledger's.
        progress: told where what changed can't be compared.

    Returns:
        The index, or None where it is there already.

    Raises:
        ContractError: the ledger has this version with other contents, or a higher one, or the
            changes ask for a higher one.
        LedgerUnavailable: the ledger can't be reached.
    """
    check_step(home, contract, state, progress)
    named = (contract.dataset, contract.version, contract.sha256)
    kept, stating = _remembered(home, contract.dataset)
    kept.parent.mkdir(parents=True, exist_ok=True)
    directory.write_whole(stating, contract.bytes)  # the answer may be lost, or this process
    index = state_contract(home, client, named, state)
    stating.replace(kept)
    return index


def check_step(
    home: Home, contract: Contract, state: State, progress: Progress | None = None
) -> None:
    """Hold a contract to the one in force: its version is as high as its changes ask for.

    Raises:
        ContractError: see ``publish_contract``.
    """
    known = state.contract(contract.dataset)
    if known is None or known.sha256_hex == contract.sha256:
        return
    _refuse_not_raised(contract.dataset, contract.version, known.version)
    before = published_contract(home, state, contract.dataset)
    if before is None:
        (progress or NullProgress()).warn(
            f"the contract {contract.dataset}@{known.version}, which is in force, is not in this "
            "home: whether the new one breaks its users was not checked"
        )
    else:
        refuse_small_step(before, contract)


def state_contract(
    home: Home, client: LedgerClient, named: tuple[str, str, str], state: State
) -> int | None:
    """State a contract of which the version and digest are known, if it is new in the ledger.

    Args:
        home: the owner's.
        client: its view of the ledger.
        named: dataset, version and SHA-256 in hex.
        state: the ledger's.

    Returns:
        The index, or None where it is there already.

    Raises:
        ContractError: the ledger has this version with other contents, or a higher one.
        LedgerUnavailable: the ledger can't be reached.
    """
    dataset, version, digest = named
    known = state.contract(dataset)
    if known is not None and (known.version, known.sha256_hex) == (version, digest):
        return None
    if known is not None:
        _refuse_not_raised(dataset, version, known.version)
    payload = ledger.contract_statement(client.origin, dataset, version, digest)
    return client.submit(sign_envelope(payload, [home.signer()]))


def published_contract(home: Home, state: State, dataset: str) -> Contract | None:
    """The contract in force of an own dataset, as the ledger has it.

    Returns:
        None where there is none, or its text is not in this home, or is not sound any more.
    """
    known, newest = state.contract(dataset), state.dataset(dataset)
    if known is None:
        return None
    places: list[Callable[[], bytes]] = [path.read_bytes for path in _remembered(home, dataset)]
    if newest is not None:
        name = directory.CONTRACT_FILE
        places.append(partial(home.open_store().read, dataset, newest.version, name))
    for read in places:
        try:
            data = read()
        except (OSError, FormatError, ConfigError):
            continue
        if sha256_hex(data) == known.sha256_hex:
            return read_contract(data).contract
    return None


def _remembered(home: Home, dataset: str) -> tuple[Path, Path]:
    """Where the contract in force is kept, and one that is being stated."""
    folder = home.path / "runs"
    return folder / f"{dataset}.contract.yaml", folder / f"{dataset}.contract-next.yaml"


def _refuse_not_raised(dataset: str, version: str, known: str) -> None:
    if parse_contract_version(known) >= parse_contract_version(version):
        raise ContractError(
            f"the contract of {dataset} says version {version}, but the ledger has {known}"
            + (" with other contents" if known == version else ""),
            code="contract-version",
            hint="raise the version in the contract: its text is bound to it for ever",
        )
