"""A log over HTTP: what it acknowledges is there, what it refuses says why."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from zhixin_errors import LedgerUnavailable
from zhixin_ledger.http.log_app import LogOptions
from zhixin_ledger.http.watching import Watched
from zhixin_ledger.tiles import DirectorySource
from zhixin_ledger.tlogproof import parse_receipt
from zhixin_ledger.transport import FileWitness, Means

FLIGHTS = "bts.gov.example/flights"


def until(holds, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


class Gate:
    """A witness that can be away, be slow, and come back."""

    def __init__(self, witness: FileWitness) -> None:
        self.witness = witness
        self.away = False
        self.let_go = threading.Event()
        self.let_go.set()
        self.asked = 0

    @property
    def name(self) -> str:
        return self.witness.name

    def latest(self, origin: str) -> bytes | None:
        return None if self.away else self.witness.latest(origin)

    def add_checkpoint(self, old_size, proof, note) -> bytes:
        self.asked += 1
        self.let_go.wait(60)
        if self.away:
            raise LedgerUnavailable("it is away")
        return self.witness.add_checkpoint(old_size, proof, note)


@pytest.fixture
def gates(world) -> list[Gate]:
    source, means = DirectorySource(world.log_dir), Means(world.clock)
    return [Gate(FileWitness(name, world.home(name), source, means)) for name in world.names]


def figures(url: str) -> dict[str, float]:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def tampered(envelope: bytes) -> bytes:
    """The same with another signature in its form."""
    head, _, tail = envelope.partition(b'"sig":"')
    return head + b'"sig":"' + (b"B" if tail[:1] == b"A" else b"A") + tail[1:]


def test_a_statement_gets_its_index_and_the_same_one_again(world, serve_log):
    served = serve_log()
    envelope = world.contract(FLIGHTS)
    first = httpx.post(f"{served.url}/entries", content=envelope)
    again = httpx.post(f"{served.url}/entries", content=envelope)
    assert (first.status_code, first.json()) == (201, {"index": 2})
    assert (again.status_code, again.json()) == (200, {"index": 2})
    assert first.headers["content-type"] == "application/json"


def test_the_express_way_answers_as_the_route_does(world, serve_log):
    served = serve_log()
    envelopes = [world.contract(FLIGHTS), world.contract(FLIGHTS), b"{}", bytes(300_000)]
    for express, envelope in zip(envelopes, [*envelopes[1:2], *envelopes[1:]], strict=True):
        ways = [
            httpx.post(f"{served.url}/entries{query}", content=data)
            for query, data in (("", express), ("?timeout=30", envelope))
        ]
        if express is envelopes[0]:
            assert [answer.status_code for answer in ways] == [201, 200]
            continue
        first, second = ((a.status_code, a.content, a.headers.get("content-type")) for a in ways)
        assert first == second


def test_of_the_same_statement_at_once_one_is_new(world, serve_log, monkeypatch):
    served = serve_log()
    envelope = world.contract(FLIGHTS)
    answers = []
    entered, let_go = threading.Event(), threading.Event()
    submit_many, blocks = served.service.engine.submit_many, []

    def slow(batch):
        entered.set()
        let_go.wait(30)
        blocks.append(len(batch))
        return submit_many(batch)

    monkeypatch.setattr(served.service.engine, "submit_many", slow)
    envelopes = [world.contract("bts.gov.example/first")] + 12 * [envelope]

    def send(data: bytes) -> None:
        answers.append(httpx.post(f"{served.url}/entries", content=data, timeout=60))

    threads = [threading.Thread(target=send, args=(data,)) for data in envelopes]
    threads[0].start()
    assert entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    until(lambda: served.service.intake.waiting == 12)
    let_go.set()
    for thread in threads:
        thread.join(30)
    assert blocks == [1, 12]
    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [201] * 2
    assert len({answer.json()["index"] for answer in answers}) == 2


def test_the_receipt_is_the_answer_once_the_quorum_has_cosigned(world, serve_log):
    served = serve_log()
    url = f"{served.url}/entries?wait=receipt"
    answer = httpx.post(url, content=world.contract(FLIGHTS), timeout=60)
    assert answer.status_code == 201
    receipt = parse_receipt(answer.json()["receipt"].encode())
    assert receipt.index == 2
    assert len(receipt.signed.signatures) == 5
    again = httpx.post(url, content=world.contract(FLIGHTS), timeout=60)
    assert again.status_code == 200
    assert parse_receipt(again.json()["receipt"].encode()).index == 2


def test_without_the_quorum_the_entry_is_durable_and_the_proof_pending(world, serve_log, gates):
    for gate in gates[:2]:
        gate.away = True
    served = serve_log(gates)
    url = f"{served.url}/entries?wait=receipt&timeout=0.3"
    answer = httpx.post(url, content=world.contract(FLIGHTS), timeout=60)
    assert answer.status_code == 503
    told = answer.json()
    assert (told["code"], told["index"], told["status"]) == ("quorum", 2, 503)
    assert told["type"] == "urn:zhixin:error:quorum"
    assert answer.headers["content-type"] == "application/problem+json"
    until(lambda: httpx.get(f"{served.url}/status").json()["fault"] == "quorum")
    status = httpx.get(f"{served.url}/status").json()
    assert (status["size"], status["published"]) == (4, 0)
    assert status["pending_age_s"] > 0
    gates[0].away = False
    until(lambda: httpx.get(f"{served.url}/status").json()["published"] == 4)
    again = httpx.post(f"{served.url}/entries?wait=receipt", content=world.contract(FLIGHTS))
    assert again.status_code == 200
    status = httpx.get(f"{served.url}/status").json()
    assert (status["fault"], status["pending_age_s"]) == (None, 0)
    by_name = {each["name"]: each for each in status["witnesses"]}
    assert by_name[gates[1].name]["fault"] == "ledger-unavailable"
    assert by_name[gates[3].name]["size"] == 4


def test_a_slow_witness_does_not_slow_the_log(world, serve_log, gates):
    gates[0].let_go.clear()
    served = serve_log(gates, LogOptions(interval_s=0))
    try:
        until(lambda: httpx.get(f"{served.url}/status").json()["published"] == 2)
        began = time.monotonic()
        for number in range(5):
            answer = httpx.post(
                f"{served.url}/entries?wait=receipt",
                content=world.contract(f"bts.gov.example/d{number}"),
                timeout=60,
            )
            assert answer.status_code == 201
        assert time.monotonic() - began < 10
        assert gates[0].asked == 1
    finally:
        gates[0].let_go.set()


def test_a_dead_witness_is_spared_unless_the_quorum_needs_it(world, serve_log, gates):
    gates[0].away = True
    served = serve_log(gates, LogOptions(interval_s=0))
    for number in range(8):
        httpx.post(
            f"{served.url}/entries?wait=receipt",
            content=world.contract(f"bts.gov.example/d{number}"),
            timeout=60,
        )
    assert gates[0].asked <= 5
    before = gates[0].asked
    gates[0].away, gates[1].away = False, True
    for number in range(2):
        answer = httpx.post(
            f"{served.url}/entries?wait=receipt",
            content=world.contract(f"bts.gov.example/e{number}"),
            timeout=60,
        )
        assert answer.status_code == 201
    assert gates[0].asked > before


def test_one_question_at_a_time_is_asked_of_a_witness(gates):
    gates[0].let_go.clear()
    watched = Watched(gates[0])
    gates[0].away = True
    thread = threading.Thread(target=_quietly, args=(watched,))
    thread.start()
    until(lambda: gates[0].asked == 1)
    assert not watched.willing
    with pytest.raises(LedgerUnavailable, match="still works"):
        watched.add_checkpoint(0, [], b"")
    gates[0].let_go.set()
    thread.join(10)
    assert watched.willing


def _quietly(watched) -> None:
    with pytest.raises(LedgerUnavailable):
        watched.add_checkpoint(0, [], b"")


def test_an_idle_ledger_is_cosigned_anew(world, serve_log, gates):
    served = serve_log(gates, LogOptions(interval_s=0, refresh_s=0.2))
    until(lambda: gates[3].asked >= 3)
    assert httpx.get(f"{served.url}/status").json()["published"] == 2


def test_what_was_durable_but_unpublished_is_published_at_the_start(world, serve_log):
    client = world.client(witnesses=[])
    client.submit(world.contract(FLIGHTS))
    served = serve_log()
    until(lambda: httpx.get(f"{served.url}/status").json()["published"] == 4)


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda world: b"", 400, "malformed"),
        (lambda world: b"{}", 400, "malformed"),
        (lambda world: b"\xff" * 300, 400, "malformed"),
        (lambda world: world.version(FLIGHTS), 422, "contract-not-newest"),
        (lambda world: world.signed(b"{}", "bts.gov.example"), 400, "malformed"),
        (lambda world: tampered(world.contract(FLIGHTS)), 403, "signature"),
    ],
    ids=["nothing", "empty", "bytes", "rule", "payload", "signature"],
)
def test_a_refusal_has_its_status_and_code(world, serve_log, make, status, code):
    served = serve_log()
    answer = httpx.post(f"{served.url}/entries", content=make(world))
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code)
    assert told["type"] == f"urn:zhixin:error:{code}"
    assert set(told) >= {"type", "title", "status", "detail", "code"}
    assert httpx.get(f"{served.url}/status").json()["size"] == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nowhere", 404),
        ("GET", "entries", 405),
        ("DELETE", "checkpoint", 405),
        ("POST", "status", 405),
        ("POST", "entries?wait=nothing", 400),
        ("POST", "entries?wait=receipt&timeout=61", 400),
        ("POST", "entries?timeout=nan", 400),
        ("GET", "checkpoint/", 404),
        ("GET", "docs", 404),
        ("PUT", "proposals", 405),
    ],
)
def test_the_framework_s_refusals_are_problem_documents_too(serve_log, method, path, status):
    served = serve_log()
    answer = httpx.request(method, f"{served.url}/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    if status == 405:
        assert answer.headers["allow"] == {"entries": "POST", "proposals": "GET, POST"}.get(
            path, "GET"
        )


def test_a_fault_of_ours_is_no_traceback(serve_log, monkeypatch):
    served = serve_log()
    monkeypatch.setattr(served.service, "status", lambda: 1 / 0)
    answer = httpx.get(f"{served.url}/status")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "division" not in answer.text
    assert httpx.get(f"{served.url}/checkpoint").status_code in (200, 404)


def test_the_metrics_tell_how_it_stands(world, serve_log, gates):
    gates[0].away = True
    served = serve_log(gates)
    httpx.post(f"{served.url}/entries?wait=receipt", content=world.contract(FLIGHTS), timeout=60)
    httpx.post(f"{served.url}/entries", content=b"{}")
    told = figures(served.url)
    assert told["zhixin_ledger_queue_length"] == 0
    assert told["zhixin_ledger_entries"] == 4
    assert told["zhixin_ledger_published_entries"] == 4
    assert told["zhixin_ledger_durable_entries_total"] == 1
    assert told["zhixin_ledger_refused_entries_total"] == 1
    assert told["zhixin_ledger_pending_age_seconds"] == 0
    assert told['zhixin_witness_failures_total{witness="bts.gov.example"}'] >= 1
    assert told['zhixin_witness_lag_entries{witness="bts.gov.example"}'] == 4
    assert told['zhixin_witness_lag_entries{witness="ntsb.gov.example"}'] == 0
    last = told['zhixin_witness_last_success_timestamp_seconds{witness="ntsb.gov.example"}']
    assert abs(time.time() - last) < 600


@pytest.mark.slow
def test_the_interface_is_as_its_openapi_document_says(serve_log, tmp_path):
    """Schemathesis sends what the document allows and what it does not, to every operation.

    Left out: that what fits the schema is taken, since only a member's signature makes an entry.
    """
    served = serve_log()
    attack = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", f"{served.url}/openapi.json",
         "--checks", "all", "--exclude-checks", "positive_data_acceptance",
         "--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1",
         "--no-color", "--generation-database", "none"],
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert attack.returncode == 0, attack.stdout[-6000:] + attack.stderr[-1000:]
    assert httpx.get(f"{served.url}/status").json()["size"] == 2
