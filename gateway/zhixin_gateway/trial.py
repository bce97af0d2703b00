"""Trying a contract against a source: what each rule would reject, before it rejects anything.

Nothing is published and nothing is left: records go through the rules and into a temporary folder.
Relationships need other members' verified versions, and so a home; here they are left out, by name.
"""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError

if TYPE_CHECKING:
    from zhixin_connectors.protocol import Connector
    from zhixin_schemas.model import Contract

    from zhixin_gateway.progress import Progress

__all__ = ["Trial", "try_contract"]


@dataclass(frozen=True)
class Trial:
    """What a contract would do to a source's records.

    Args:
        records: how many there are.
        rejected: how many would go to quarantine.
        rules: {rule, severity, checked, failed} each.
        left_out: rules that need more than the source.
    """

    records: int
    rejected: int
    rules: list[dict[str, Any]]
    left_out: list[str]


def try_contract(contract: Contract, source: Connector, progress: Progress) -> Trial:
    """Hold a source's records to a contract.

    Args:
        contract: the contract.
        source: where its records come from.
        progress: told how many records have passed.

    Raises:
        ConfigError: the contract is of a derived dataset.
        SourceError: the source can't be read.
    """
    from zhixin_connectors.protocol import ReadRequest
    from zhixin_schemas.compile import RuleSet

    from zhixin_gateway.home import Home
    from zhixin_gateway.pipeline.intake import Intake
    from zhixin_gateway.pipeline.schema import source_schema
    from zhixin_gateway.pipeline.staging import Work
    from zhixin_gateway.pipeline.treating import Treater
    from zhixin_gateway.settings import Settings

    if contract.derived:
        raise ConfigError(f"{contract.dataset} is derived: it has no source of its own")
    left_out = [item.rule for item in contract.relationships if item.dataset != contract.dataset]
    judged = [rule for rule in contract.rules if rule.name not in left_out]
    request = ReadRequest(
        object=contract.object, schema=source_schema(contract), options=contract.options
    )
    progress.step("try", contract.dataset)
    with tempfile.TemporaryDirectory(prefix="zhixin-trial-") as folder:
        home = Home(Path(folder), Settings(member=contract.member), {})
        work = Work(home, contract.dataset)
        work.begin()
        treater = Treater(contract, lambda _: secrets.token_bytes(32))  # any key: nothing is kept
        intake = Intake(work, RuleSet(contract, judged), {}, treater)
        for extracted in source.read(request):
            intake.take(extracted)
            progress.advance(extracted.batch.num_rows)
        outcome = intake.finish(lambda: iter(()))  # what they hold is not asked
    progress.done(f"{outcome.extracted:,} records")
    return Trial(outcome.extracted, outcome.quarantined, outcome.rules, left_out)
