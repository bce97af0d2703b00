"""A member whose ledger is a served one: pipeline, copy and check-up go by its URL."""

import datetime as dt
import socket
from contextlib import contextmanager
from dataclasses import replace

import pytest
from zhixin_gateway import checkup, pipeline
from zhixin_gateway.checkup import check_up
from zhixin_gateway.datasets import directory
from zhixin_gateway.gate import verify
from zhixin_gateway.pipeline.staging import unfinished
from zhixin_gateway.settings import WitnessSetting
from zhixin_gateway.withdrawing import withdraw
from zhixin_gateway.witnessing import witnesses_of
from zhixin_ledger.embedded import Engine
from zhixin_ledger.http.client import HttpLog
from zhixin_ledger.http.log_app import LogService, make_log_app
from zhixin_ledger.http.serving import Serving, running

PLACES = "faa.gov.example/places"


class Network:
    """The owner's log, served when it is asked for, always at one address."""

    def __init__(self, world) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.owner = world.owner
        world.fill("places", [("JFK", "Kennedy"), ("LGA", "La Guardia")])
        world.other = world.other.save(replace(world.other.filed_settings(), ledger_url=self.url))

    @contextmanager
    def served(self, *, witnesses=True):
        engine = Engine(
            self.owner.path / "log",
            self.owner.signer("log.pem"),
            clock=lambda: dt.datetime.now(dt.UTC),
            hold=True,
        )
        service = LogService(engine, witnesses_of(self.owner) if witnesses else [])
        try:
            with running(make_log_app(service), Serving(port=self.port)):
                yield service
        finally:
            engine.close()


@pytest.fixture
def network(world):
    return Network(world)


def found(home, check):
    return [(each.state, each.message) for each in check_up(home) if each.check == check]


def test_a_version_is_published_verified_and_withdrawn_by_url(world, network):
    with network.served():
        result = pipeline.run(world.other, world.places())
        assert (result.version, result.pending) == (1, False)
        path = directory.version_path(world.other.store, PLACES, 1)
        assert verify(path, world.other.trust(), ledger_copy=world.other.ledger_view()).ok
        withdraw(world.other, PLACES, 1, reason="error")
        told = verify(path, world.other.trust(), ledger_copy=world.other.ledger_view())
        assert told.code == "withdrawn"
        states = found(world.other, "network")
        assert states == [
            ("ok", f"{network.url}: 8 entries are durable, 8 of them published"),
        ]


def test_while_the_server_is_away_the_proof_is_pending(world, network, monkeypatch):
    from zhixin_ledger.http import asking

    monkeypatch.setattr(asking, "_PAUSE_S", 0.01)
    result = pipeline.run(world.other, world.places())
    assert (result.pending, result.version) == (True, 1)
    assert [work.dataset for work in unfinished(world.other)] == [PLACES]
    ((state, message),) = found(world.other, "network")
    assert state == "fail"
    assert "can't be reached" in message
    with network.served():
        (finished,) = pipeline.resume(world.other)
        assert (finished.pending, finished.version) == (False, 1)


def test_while_the_quorum_is_missing_the_proof_is_pending(world, network, monkeypatch):
    monkeypatch.setattr(checkup, "_LATE_S", 0)
    settle = HttpLog.settle
    monkeypatch.setattr(
        HttpLog, "settle", lambda *given, timeout_s=1, **more: settle(*given, timeout_s=1, **more)
    )
    with network.served(witnesses=False) as service:
        result = pipeline.run(world.other, world.places())
        assert result.pending
        assert service.intake.size > 2
        assert found(world.other, "network")[0][0] == "warn"
    with network.served():
        (finished,) = pipeline.resume(world.other)
        assert finished.version == 1


def test_the_check_up_names_witnesses_that_do_not_answer_and_plain_http(world, network):
    with network.served():
        home = world.other.save(
            replace(
                world.other.filed_settings(),
                ledger_url=network.url.replace("127.0.0.1", "localhost"),
                witnesses=(
                    WitnessSetting("bts.gov.example", f"{network.url}"),
                    WitnessSetting("faa.gov.example", "http://127.0.0.1:9"),
                    WitnessSetting("noaa.gov.example", "file:../x"),
                ),
            )
        )
        states = found(home, "network")
    assert [state for state, _ in states] == ["ok", "ok", "warn"]
    assert "bts.gov.example: its witness has cosigned nothing yet" in states[1][1]
    assert "faa.gov.example" in states[2][1]
