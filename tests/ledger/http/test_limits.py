"""Requests that are too large, too slow, too many or none at all: the server goes on serving."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from zhixin_ledger.http import connections
from zhixin_ledger.http.limits import TokenBuckets
from zhixin_ledger.http.serving import dressed, running

FLIGHTS = "bts.gov.example/flights"


@pytest.fixture
def quick(monkeypatch):
    """Time-outs that a test can wait for."""
    monkeypatch.setattr(connections, "HEAD_S", 0.4)
    monkeypatch.setattr(connections, "BODY_S", 0.4)
    monkeypatch.setattr(connections, "WRITE_S", 0.4)


def talk(url: str, data: bytes, timeout_s: float = 20) -> bytes:
    """Send bytes as they are; give all that comes back until the server closes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout_s) as peer:
        with contextlib.suppress(ConnectionError):
            peer.sendall(data)
        came = b""
        with contextlib.suppress(ConnectionError):
            while piece := peer.recv(65536):
                came += piece
    return came


def problem(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head.lower()
    return json.loads(body)


def still_serves(served) -> bool:
    return httpx.get(f"{served.url}/status").status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /entries HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /entries HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST /entries HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n",
        bytes(range(256)) * 8,
    ],
)
def test_what_is_no_http_is_told_so(serve_log, quick, data):
    served = serve_log()
    answer = talk(served.url, data)
    assert answer.startswith(b"HTTP/1.1 400")
    assert problem(answer)["code"] == "malformed"
    assert still_serves(served)


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(serve_log):
    served = serve_log()
    head = b"POST /entries HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    answer = talk(served.url, head + b"content-length: 9999999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert problem(answer)["code"] == "too-large"
    assert still_serves(served)


def test_a_body_without_a_length_has_the_same_limit(serve_log):
    served = serve_log()
    answer = httpx.post(f"{served.url}/entries", content=(bytes(65536) for _ in range(9)))
    assert answer.status_code == 413
    answer = httpx.post(f"{served.url}/entries", content=bytes(256 * 1024))
    assert answer.status_code == 400
    assert still_serves(served)


def test_a_head_without_an_end_is_refused(serve_log):
    served = serve_log()
    answer = talk(served.url, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000)
    assert answer == b"" or problem(answer)["code"] == "headers-too-large"
    assert still_serves(served)


def test_a_long_head_that_ends_is_refused_too(serve_log):
    served = serve_log()
    answer = talk(
        served.url, b"GET / HTTP/1.1\r\nconnection: close\r\nx: " + b"y" * 50_000 + b"\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "start",
    [
        b"GET /status HTTP/1.1\r\nhost: x\r\n",
        b"POST /entries HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{",
    ],
    ids=["head", "body"],
)
def test_who_says_little_for_long_is_cut(serve_log, quick, start):
    served = serve_log()
    began = time.monotonic()
    answer = talk(served.url, start)
    assert answer.startswith(b"HTTP/1.1 408")
    assert problem(answer)["code"] == "slow"
    assert 0.3 < time.monotonic() - began < 10


def test_a_byte_now_and_then_gains_no_time(serve_log, quick):
    served = serve_log()
    host, port = served.url.removeprefix("http://").split(":")
    began = time.monotonic()
    with socket.create_connection((host, int(port)), 10) as peer:
        peer.sendall(b"GET /status HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 10:
                peer.sendall(b"x")
                time.sleep(0.05)
    assert time.monotonic() - began < 5


def test_who_never_says_a_word_is_cut(serve_log, quick):
    served = serve_log()
    assert talk(served.url, b"") == b""


def test_many_slow_clients_do_not_stop_the_others(world, serve_log):
    served = serve_log()
    host, port = served.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            peer = stack.enter_context(socket.create_connection((host, int(port)), 10))
            peer.sendall(b"POST /entries HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{")
        answer = httpx.post(f"{served.url}/entries", content=world.contract(FLIGHTS))
        assert answer.json() == {"index": 2}


def test_connections_beyond_the_limit_are_told_to_come_again(serve_log):
    served = serve_log(connections=5)
    host, port = served.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(socket.create_connection((host, int(port)), 10))
        answer = talk(served.url, b"GET /status HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answer == b"" or problem(answer)["code"] == "overloaded"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if still_serves(served):
                return
    raise AssertionError("it does not serve again")


def test_who_reads_nothing_is_cut(serve_log, quick):
    served = serve_log()
    ask = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    host, port = served.url.removeprefix("http://").split(":")
    asked, came = 0, 0
    with socket.create_connection((host, int(port)), 10) as peer, contextlib.suppress(OSError):
        peer.settimeout(0.5)
        for _ in range(400):
            peer.sendall(ask * 20)
            asked += 20
            time.sleep(0.005)
    with socket.create_connection((host, int(port)), 10) as peer, contextlib.suppress(OSError):
        peer.sendall(ask * 1000)  # more at once than anyone needs
        while piece := peer.recv(1 << 20):
            came += piece.count(b"HTTP/1.1 200")
    assert asked < 8000
    assert came < 1000
    assert still_serves(served)


def test_each_client_has_its_own_tokens():
    now = 0.0
    buckets = TokenBuckets(2, 3, lambda: now)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0
    now = 0.5
    assert buckets.take("a") == 0
    assert buckets.take("a") == 0.5
    now = 1000.0
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_the_tokens_of_clients_that_have_gone_are_forgotten():
    buckets = TokenBuckets(1, 1, lambda: 0.0)
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets._left) == 10_000


def test_who_asks_too_often_is_told_when_to_come_again():
    app = FastAPI()

    @app.get("/status")
    async def status() -> dict[str, bool]:
        return {"ok": True}

    with running(dressed(app, CollectorRegistry(), per_s=0.5, burst=2)) as url:
        answers = [httpx.get(f"{url}/status") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 3
    assert answers[2].json()["code"] == "rate"


def test_a_full_queue_is_told_to_come_again(world, serve_log, monkeypatch):
    served = serve_log()
    let_go = threading.Event()
    submit_many = served.service.engine.submit_many

    def slow(batch):
        let_go.wait(30)
        return submit_many(batch)

    monkeypatch.setattr(served.service.engine, "submit_many", slow)
    monkeypatch.setattr(served.service.intake, "_capacity", 2)
    envelopes = [world.contract(f"bts.gov.example/d{number}") for number in range(6)]
    answers = {}

    def send(number: int) -> None:
        answers[number] = httpx.post(f"{served.url}/entries", content=envelopes[number], timeout=60)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while len(answers) < 2 and time.monotonic() < deadline:  # two are taken, two wait, or fewer
        time.sleep(0.02)
    let_go.set()
    for thread in threads:
        thread.join(60)
    statuses = [answer.status_code for answer in answers.values()]
    assert set(statuses) == {201, 429}
    assert statuses.count(201) <= 4
    refused = next(answer for answer in answers.values() if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["code"] == "overloaded"
