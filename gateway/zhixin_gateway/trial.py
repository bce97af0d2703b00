"""Trying a contract against a source: what each rule would reject, before it rejects anything.

Nothing is published and nothing is left: records go through the rules and into a temporary folder.
Relationships need other members' verified versions, and so a home; without one, or where there is
no version that stands, they are left out, by name. What is told of a record is its position; its
values only where they are asked for, and then as quarantine would hold them: treated.
"""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, ZhixinError

if TYPE_CHECKING:
    from zhixin_connectors.protocol import Connector
    from zhixin_schemas.model import Contract

    from zhixin_gateway.home import Home
    from zhixin_gateway.progress import Progress

__all__ = ["Trial", "try_contract"]


@dataclass(frozen=True)
class Trial:
    """What a contract would do to a source's records.

    Args:
        records: how many there are.
        rejected: how many would go to quarantine.
        rules: {rule, severity, checked, failed, rows} each; rows: positions of the first rejects.
        left_out: {rule, reason} of rules that were not tried.
        drift: what differs between the source's columns and the contract.
        examples: {rule, row, field, value} of rejects, where they were asked for.
    """

    records: int
    rejected: int
    rules: list[dict[str, Any]]
    left_out: list[dict[str, str]]
    drift: list[dict[str, str]]
    examples: list[dict[str, Any]]


_SHOWN = 5


def try_contract(
    contract: Contract,
    source: Connector,
    progress: Progress,
    *,
    home: Home | None = None,
    examples: int = 0,
) -> Trial:
    """Hold a source's records to a contract.

    Args:
        contract: the contract.
        source: where its records come from.
        progress: told how many records have passed.
        home: knows the versions that relationships point to.
        examples: give the values of so many rejects of each rule.

    Raises:
        ConfigError: the contract is of a derived dataset.
        SourceError: the source can't be read.
    """
    from zhixin_connectors.protocol import ReadRequest
    from zhixin_schemas.compile import RuleSet

    from zhixin_gateway.drift import find_drift, look
    from zhixin_gateway.home import Home
    from zhixin_gateway.pipeline.deletions import Deletions
    from zhixin_gateway.pipeline.intake import Intake
    from zhixin_gateway.pipeline.staging import Work
    from zhixin_gateway.pipeline.treating import Treater
    from zhixin_gateway.settings import Settings

    if contract.derived:
        raise ConfigError(f"{contract.dataset} is derived: it has no source of its own")
    drift = [each.to_json() for each in find_drift(contract, look(source, contract), None)]
    key_sets, targets, left_out = _keys(contract, home, progress)
    missing = {each["rule"] for each in left_out}
    judged = [rule for rule in contract.rules if rule.name not in missing]
    request = ReadRequest(object=contract.object, schema=contract.schema, options=contract.options)
    progress.step("try", contract.dataset)
    with tempfile.TemporaryDirectory(prefix="zhixin-trial-") as folder:
        work = Work(Home(Path(folder), Settings(member=contract.member), {}), contract.dataset)
        work.begin()
        treater = Treater(contract, lambda name: _key(name, home))
        intake = Intake(
            work, RuleSet(contract, judged, targets), key_sets, treater, targets=targets
        )
        living = Deletions(contract).without(partial(source.read, request))
        for extracted in living():
            intake.take(extracted)
            progress.advance(extracted.batch.num_rows)
        outcome = intake.finish(lambda: iter(()))  # own texts stand in for what had passed
        rows, shown = _rejects(work.quarantine, outcome.rules, examples)
    progress.done(f"{outcome.extracted:,} records")
    told = [{**rule, "rows": rows.get(rule["rule"], [])} for rule in outcome.rules]
    return Trial(outcome.extracted, outcome.quarantined, told, left_out, drift, shown)


def _key(name: str, home: Home | None) -> bytes:
    """The home's key; any other does too where nothing is kept, but for other members' keys."""
    from zhixin_gateway.pseudonyms import key_names, load_key

    if home is not None and name in key_names(home):
        return load_key(home, name)
    return secrets.token_bytes(32)


def _keys(
    contract: Contract, home: Home | None, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, str]]]:
    """The keys of each relationship to another dataset, and which can't be had, with the reason."""
    from zhixin_gateway.pipeline.inputs import Inputs
    from zhixin_gateway.pseudonyms import load_key

    key_sets: dict[str, Any] = {}
    targets: dict[str, Any] = {}
    left_out: list[dict[str, str]] = []
    others = [item for item in contract.relationships if item.dataset != contract.dataset]
    treated = contract.treated
    inputs = Inputs(home, home.ledger_client().state(), progress) if home and others else None
    for item in others:
        if home is None or inputs is None:
            reason = "it needs another dataset's verified version, and so a home"
            left_out.append({"rule": item.rule, "reason": reason})
            continue
        try:
            for name in {treated[field].key for field in item.fields if field in treated} - {""}:
                load_key(home, name)
            found = inputs.keys_of(replace(contract, relationships=(item,)))
        except ZhixinError as error:
            left_out.append({"rule": item.rule, "reason": error.message})
        else:
            key_sets |= found[0]
            targets |= found[1]
    return key_sets, targets, left_out


def _rejects(
    quarantine: Path, rules: list[dict[str, Any]], examples: int
) -> tuple[dict[str, list[int]], list[dict[str, Any]]]:
    """Give the positions of each rule's first rejects, and as many examples as were asked for."""
    import pyarrow.parquet as pq

    from zhixin_gateway.pipeline.rejects import REASONS, ROW

    most = max(_SHOWN, examples)
    wanted = {r["rule"]: min(most, r["failed"]) for r in rules if r["severity"] != "warning"}
    rows: dict[str, list[int]] = {name: [] for name, count in wanted.items() if count}
    shown: list[dict[str, Any]] = []
    with pq.ParquetFile(quarantine) as file:
        for batch in file.iter_batches(8_192):
            if all(len(found) >= wanted[name] for name, found in rows.items()):
                break
            for record in batch.to_pylist():
                for why in record[REASONS]:
                    found = rows.get(why["rule"], [])
                    if len(found) >= most or record[ROW] in found[-1:]:
                        continue
                    found.append(record[ROW])
                    if len(found) <= examples:
                        field = why["field"]
                        said = {"rule": why["rule"], "row": record[ROW], "field": field}
                        shown.append({**said, "value": record.get(field)})
    return {name: found[:_SHOWN] for name, found in rows.items()}, shown
