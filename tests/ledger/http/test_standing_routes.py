"""Standing files over HTTP: made of what is published, by a server that is ahead of it."""

from __future__ import annotations

import json

import httpx
import pytest
from fastapi import FastAPI
from zhixin_ledger import encoding, standing
from zhixin_ledger.http import standing_routes as routes
from zhixin_ledger.http.answers import tell_problems
from zhixin_ledger.http.client import HttpSource
from zhixin_ledger.http.serving import running
from zhixin_ledger.tlogproof import parse_receipt

FLIGHTS = "bts.gov.example/flights"


@pytest.fixture
def published(world):
    """A log with flights@1 and @2, published."""
    client = world.client()
    for envelope in (world.contract(FLIGHTS), world.version(FLIGHTS, 1)):
        index = client.submit(envelope)
    client.receipt(index)
    return world


@pytest.fixture
def url(published):
    """A server of the log's folder that serves standings alone."""
    app = FastAPI()
    tell_problems(app)
    app.include_router(routes.standing_routes(published.log_dir))
    with running(app) as url:
        yield url


def test_a_standing_is_of_what_is_published_though_the_log_has_gone_on(published, url):
    first = httpx.get(f"{url}/standing/{FLIGHTS}")
    assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
    told = json.loads(first.content)
    assert (told["fact"]["version"], told["fact"]["withdrawn"]) == ("1", [])
    receipt = parse_receipt(told["receipt"].encode())
    assert receipt.index == receipt.checkpoint.size - 1
    client = published.client()
    index = client.submit(published.withdrawal(FLIGHTS, 1, "bts.gov.example"))
    assert httpx.get(f"{url}/standing/{FLIGHTS}").content == first.content
    client.receipt(index)
    assert json.loads(httpx.get(f"{url}/standing/{FLIGHTS}").content)["fact"]["withdrawn"] == ["1"]
    assert encoding.jcs(told) == first.content


def test_it_is_asked_whether_it_changed(url):
    first = httpx.get(f"{url}/standing/{FLIGHTS}")
    again = httpx.get(f"{url}/standing/{FLIGHTS}", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("name", "code"),
    [("bts.gov.example/none", "version-unknown"), ("bts/flights", "not-found"),
     ("bts.gov.example/Flights", "not-found"), ("bts.gov.example/%2e%2e", "not-found")],
)  # fmt: skip
def test_what_is_not_there_is_a_problem(url, name, code):
    answer = httpx.get(f"{url}/standing/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_a_server_that_is_far_behind_itself_says_so_and_goes_on(url, monkeypatch):
    monkeypatch.setattr(routes, "_WORK_S", -1.0)
    monkeypatch.setattr(standing, "_CHUNK", 2)
    answer = httpx.get(f"{url}/standing/{FLIGHTS}")
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger-behind")
    assert answer.headers["retry-after"] == "1"
    for _ in range(9):
        answer = httpx.get(f"{url}/standing/{FLIGHTS}")
    assert answer.status_code == 200


def test_a_damaged_file_is_the_servers_fault_and_no_word_on_the_name(published, url):
    (bundle,) = (published.log_dir / "tile" / "entries").glob("000.p/*")
    bundle.write_bytes(bundle.read_bytes()[:-1])
    answer = httpx.get(f"{url}/standing/{FLIGHTS}")
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger-damaged")


def test_the_client_asks_for_it(url):
    source = HttpSource(url)
    assert json.loads(source.standing(FLIGHTS) or b"")["fact"]["dataset"] == FLIGHTS
    assert source.standing("bts.gov.example/none") is None
    source.close()
