"""A trigger on the ledger's head: another agency's new version starts a derived dataset.

Asset events stay within one Airflow. A member with an Airflow of its own watches its own copy of
the ledger instead, which the transport brings up to date. An event's payload::

    {"size": 42, "inputs": {"bts.gov.example/flights": 3, "noaa.gov.example/weather": 1}}

It fires when every input has a version that stands, and these are not the ones that the derived
dataset's newest version was made from. So a triggerer that restarts fires nothing twice for what
is published already; an event too many would do no harm, for a run that finds nothing changed
publishes nothing. The event is a hint: the run asks the ledger again, and verifies.
"""
# ruff: noqa: TID253 - the triggerer loads this module, and nobody else does

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from zhixin_errors import ZhixinError

__all__ = ["LedgerHeadTrigger"]


class LedgerHeadTrigger(BaseEventTrigger):
    """Watches the newest standing versions of a derived dataset's inputs.

    Args:
        home: the deriving member's home.
        dataset: the derived dataset.
        inputs: the datasets that it is made from.
        every_s: seconds between two looks.
    """

    def __init__(self, home: str, dataset: str, inputs: Sequence[str], every_s: float = 60) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.home = home
        self.dataset = dataset
        self.inputs = list(inputs)
        self.every_s = every_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what the triggerer builds this from again."""
        return (
            "zhixin_gateway.airflow.trigger.LedgerHeadTrigger",
            {
                "home": self.home,
                "dataset": self.dataset,
                "inputs": self.inputs,
                "every_s": self.every_s,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again; tell once of each set of versions that is news."""
        told: dict[str, int] | None = None
        while True:
            news = await asyncio.to_thread(self._look)
            if news is not None and news["inputs"] != told:
                told = news["inputs"]
                yield TriggerEvent(news)  # type: ignore[no-untyped-call]
            await asyncio.sleep(self.every_s)

    def _look(self) -> dict[str, Any] | None:
        from zhixin_gateway.airflow.watching import input_news

        try:
            return input_news(self.home, self.dataset, self.inputs)
        except (ZhixinError, OSError) as error:
            # The ledger is away, or the home is being set up: a watcher that ends is no watcher.
            self.log.warning("could not look at the ledger, will look again: %s", error)
            return None
