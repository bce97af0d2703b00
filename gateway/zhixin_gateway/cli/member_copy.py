"""What the commands on members share: the home at work on its copy of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zhixin_errors import LedgerUnavailable

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.state import State

    from zhixin_gateway.cli.options import Context
    from zhixin_gateway.home import Home

__all__ = ["at_work"]


@contextmanager
def at_work(context: Context) -> Iterator[tuple[Home, LedgerClient, State]]:
    """Open the home and its view of the ledger, as new as it can be had."""
    home = context.open_home()
    with home.ledger_client() as client:
        state = context.newest_state(client)
        if state.size == 0:
            raise LedgerUnavailable(
                "this home has no copy of the ledger yet, and the ledger can't be reached",
                code="ledger-empty",
            )
        yield home, client, state
