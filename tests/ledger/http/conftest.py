"""A world whose log is served over HTTP, by a real server on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from zhixin_ledger.embedded import Engine
from zhixin_ledger.http.log_app import LogOptions, LogService, make_log_app
from zhixin_ledger.http.serving import running
from zhixin_ledger.signers import load_signer
from zhixin_ledger.tiles import DirectorySource
from zhixin_ledger.transport import FileWitness, Means


@dataclass
class Served:
    """A log that is being served."""

    world: object
    service: LogService
    url: str


@pytest.fixture
def serve_log(world) -> Iterator[Callable[..., Served]]:
    """Serve the world's log on a thread; its witnesses are asked in process by default."""
    with ExitStack() as stack:

        def start(witnesses=None, options=None, **serving) -> Served:
            engine = Engine(
                world.log_dir,
                load_signer(world.log_dir.parent / "keys/log.pem"),
                clock=world.clock,
                hold=True,
            )
            stack.callback(engine.close)
            source, means = DirectorySource(world.log_dir), Means(world.clock)
            asked = [FileWitness(name, world.home(name), source, means) for name in world.names]
            service = LogService(
                engine, asked if witnesses is None else witnesses, options or LogOptions()
            )
            url = stack.enter_context(running(make_log_app(service), **serving))
            return Served(world, service, url)

        yield start
