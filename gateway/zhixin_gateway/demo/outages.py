"""What the networked demo does to its members while they publish.

Three of four must cosign. With one witness killed, publication goes on; with two it waits, its
entries safe in the ledger and told as such, until one of them is back.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from zhixin_gateway.demo.network import LEDGER, Network
from zhixin_gateway.demo.story import publish_one
from zhixin_gateway.demo.world import BTS, FAA, NOAA, World
from zhixin_gateway.pipeline import RunResult
from zhixin_gateway.progress import Progress

__all__ = ["Outages"]

_SEEN_S = 1.5
_POLL_S = 0.1


class Outages:
    """Publishes datasets, with witnesses dying at two of them.

    Args:
        network: the members' processes.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def publish(self, world: World, dataset: str, progress: Progress) -> RunResult:
        """Run one dataset, having killed whom the story kills there."""
        if dataset == f"{NOAA}/weather":
            self._kill(NOAA, progress)
        if dataset == f"{BTS}/airlines":
            return self._publish_without_quorum(world, dataset, progress)
        return publish_one(world, dataset, progress)

    def _publish_without_quorum(self, world: World, dataset: str, progress: Progress) -> RunResult:
        """With two of four left the run waits; with the third it ends."""
        self._kill(FAA, progress)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(publish_one, world, dataset, progress)
            try:
                while not running.done() and self._pending_s() < _SEEN_S:
                    time.sleep(_POLL_S)
                if not running.done():
                    told = self._network.status(LEDGER)
                    progress.say(
                        f"WAITS     {dataset}: {told['size']} entries are durable, "
                        f"{told['published']} have their quorum"
                    )
            finally:
                self._restart(NOAA, progress)
            result = running.result()
        self._restart(FAA, progress)
        return result

    def _pending_s(self) -> float:
        age = self._network.status(LEDGER).get("pending_age_s")
        return float(age) if isinstance(age, int | float) else 0.0

    def _kill(self, member: str, progress: Progress) -> None:
        self._network.kill(member)
        progress.say(f"KILLED    the witness of {member}")

    def _restart(self, member: str, progress: Progress) -> None:
        self._network.start(member)
        progress.say(f"RESTARTED the witness of {member}")
