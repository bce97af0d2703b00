"""What the ledger's head means for a derived dataset: are there inputs that it was not made from?

Pure but for the member's own copy of the ledger, which it brings up to date.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zhixin_gateway.airflow.steps import newest_standing

if TYPE_CHECKING:
    pass

__all__ = ["input_news"]


def input_news(home: str, dataset: str, inputs: Sequence[str]) -> dict[str, Any] | None:
    """Say which versions a derived dataset should be made from, if it was not yet.

    Args:
        home: the deriving member's home.
        dataset: the derived dataset.
        inputs: the datasets that it is made from.

    Returns:
        ``{size, inputs: {dataset: version}}``, or None where an input is missing or all are in.

    Raises:
        LedgerUnavailable: the ledger can't be reached now.
    """
    from zhixin_gateway.home import Home

    client = Home.open(home).ledger_client()
    state = client.sync()
    newest = {name: newest_standing(state, name) for name in inputs}
    wanted = {name: version for name, version in newest.items() if version is not None}
    if len(wanted) < len(newest) or wanted == _made_from(client, state, dataset, inputs):
        return None
    return {"size": state.size, "inputs": wanted}
