"""What the tasks do, each a function of plain values; nothing here imports Airflow.

Small dicts travel between tasks; records stay in the home's staging folder. Every step may be run
again after it died at any point: extraction and writing begin anew in their own folder, and
notarising finds what it has stated already. Imports stand in the functions: Airflow's parser
loads this module for every DAG, and needs none of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import LedgerUnavailable, TransientSourceError

if TYPE_CHECKING:
    from zhixin_ledger.state import State

__all__ = [
    "Json",
    "absent_datasets",
    "event_hints",
    "extract_and_validate",
    "newest_standing",
    "notarise",
    "second_opinion",
    "verify_inputs",
    "write",
]

log = logging.getLogger(__name__)

Json = dict[str, Any]
ORCHESTRATOR = "airflow"


def newest_standing(state: State, dataset: str) -> int | None:
    """Give the newest version of a dataset that is not withdrawn, as the ledger says it.

    Args:
        state: of the member's own copy of the ledger.
        dataset: ``member/name``.

    Returns:
        The version's number, or None where none stands.
    """
    fact = state.dataset(dataset)
    if fact is None:
        return None
    withdrawn = set(fact.withdrawn)
    return next((number for number in range(fact.version, 0, -1) if number not in withdrawn), None)


def absent_datasets(home: str, datasets: Iterable[str]) -> list[str]:
    """Ask the ledger which of these datasets have no standing version yet.

    Args:
        home: the member's home.
        datasets: ``member/name`` each.

    Raises:
        LedgerUnavailable: the ledger can't be reached now.
    """
    from zhixin_gateway.home import Home

    state = Home.open(home).ledger_client().sync()
    return [name for name in datasets if newest_standing(state, name) is None]


def verify_inputs(home: str, inputs: Iterable[str], hints: Mapping[str, int]) -> list[Json]:
    """Fetch and verify the newest standing version of every input, before anything is derived.

    Args:
        home: the member's home.
        inputs: ``member/name`` each.
        hints: the version that an asset event spoke of, by dataset; told in the log where the
            ledger says otherwise, and otherwise without effect.

    Returns:
        ``{dataset, version, index}`` of each, as the gate found them.

    Raises:
        TransientSourceError: an input has no standing version yet.
        VerificationError: the gate refused one.
        LedgerUnavailable: the ledger can't be reached now.
    """
    from zhixin_gateway.fetching import fetch
    from zhixin_gateway.home import Home

    opened = Home.open(home)
    state = opened.ledger_client().sync()
    verified = []
    for dataset in inputs:
        version = newest_standing(state, dataset)
        if version is None:
            raise TransientSourceError(f"{dataset} has no version that stands yet")
        if hints.get(dataset, version) != version:
            log.warning(
                "an asset event spoke of %s@%s; the ledger's newest that stands is %s",
                dataset, hints[dataset], version,
            )  # fmt: skip
        verdict = fetch(opened, dataset, version)
        verified.append({"dataset": dataset, "version": version, "index": verdict.index})
    return verified


def event_hints(extra: Mapping[str, Any] | None) -> dict[str, int]:
    """Read the versions that an asset event speaks of; whatever is not in its form says nothing.

    Args:
        extra: ``{dataset, version, …}`` of a run's event, or a watcher's ``{payload: {inputs}}``.

    Returns:
        Version by dataset.
    """
    told = dict(extra or {})
    payload = told.get("payload")
    versions = payload.get("inputs") if isinstance(payload, dict) else None
    pairs = (
        dict(versions) if isinstance(versions, dict) else {told.get("dataset"): told.get("version")}
    )
    return {
        name: number
        for name, number in pairs.items()
        if isinstance(name, str) and type(number) is int
    }


def extract_and_validate(
    home: str, contract: str, run: str, addresses: Mapping[str, str | None] | None = None
) -> Json:
    """Read the source, hold the records to the contract, and stage what was accepted.

    Args:
        home: the owner's home.
        contract: the contract's file.
        run: names this run in the manifest.
        addresses: of sources by name, where the scheduler keeps one; the home's own otherwise.

    Returns:
        What the next steps need to find the staged records.
    """
    from zhixin_gateway import pipeline
    from zhixin_gateway.home import Home

    return pipeline.extract(Home.open(home), Path(contract), orchestrator=ORCHESTRATOR, run_id=run)


def second_opinion(home: str, staged: Json) -> Json:
    """Let Great Expectations count the same rules over the same records.

    Raises:
        ValidationRefused: the counts differ, and the home's setting says ``stop``.
    """
    from zhixin_gateway import pipeline
    from zhixin_gateway.home import Home

    return pipeline.second_opinion(Home.open(home), staged)


def write(home: str, staged: Json) -> Json:
    """Write the manifest beside the staged parts, or find that nothing changed."""
    from zhixin_gateway import pipeline
    from zhixin_gateway.home import Home

    return pipeline.write(Home.open(home), staged)


def notarise(home: str, written: Json) -> Json:
    """State the version in the ledger, wait for its receipt, and let the version appear.

    Returns:
        ``{dataset, version, root, index, records, quarantined, warned}``; ``version`` is None
        where nothing changed.

    Raises:
        LedgerUnavailable: the ledger or its quorum can't be reached now; proof is pending.
    """
    from zhixin_gateway import pipeline
    from zhixin_gateway.home import Home

    result = pipeline.notarise(Home.open(home), written).to_json()
    if result["pending"]:
        raise LedgerUnavailable(f"the proof of {result['dataset']}@{result['version']} is pending")
    return {name: result[name] for name in _TOLD}


_TOLD = ("dataset", "version", "root", "index", "records", "quarantined", "warned")
