"""What the ledger's head means for a derived dataset: are there inputs that it was not made from?

The answer follows from the member's own copy of the ledger, which is brought up to date first, and
from nothing else: no memory is needed to tell news from what is published already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.state import State

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
    from zhixin_gateway.fetching import newest_standing
    from zhixin_gateway.home import Home

    with Home.open(home).ledger_client() as client:
        state = client.sync()
        newest = {name: newest_standing(state, name) for name in inputs}
        wanted = {name: version for name, version in newest.items() if version is not None}
        if len(wanted) < len(newest) or wanted == _made_from(client, state, dataset, inputs):
            return None
        return {"size": state.size, "inputs": wanted}


def _made_from(
    client: LedgerClient, state: State, dataset: str, inputs: Sequence[str]
) -> dict[str, int] | None:
    """Read from a dataset's newest standing statement what it was made from."""
    from zhixin_ledger.dsse import parse_envelope
    from zhixin_ledger.intoto import parse_statement
    from zhixin_ledger.kinds.dataset import DATASET

    from zhixin_gateway.fetching import newest_standing

    version = newest_standing(state, dataset)
    stated = None if version is None else state.stated(dataset, version)
    if stated is None:
        return None
    says = DATASET.read(parse_statement(parse_envelope(client.entry(stated.index)).payload))
    return {item.dataset: item.version for item in says.inputs if item.dataset in inputs}
