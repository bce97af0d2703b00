"""A log over HTTP: what it acknowledges is there, what it refuses says why."""

from __future__ import annotations

import httpx
from zhixin_ledger.tlogproof import parse_receipt

FLIGHTS = "bts.gov.example/flights"


def test_a_statement_gets_its_index_and_the_same_one_again(world, serve_log):
    served = serve_log()
    envelope = world.contract(FLIGHTS)
    first = httpx.post(f"{served.url}/entries", content=envelope)
    again = httpx.post(f"{served.url}/entries", content=envelope)
    assert (first.status_code, first.json()) == (201, {"index": 2})
    assert (again.status_code, again.json()) == (200, {"index": 2})


def test_the_receipt_is_the_answer_once_the_quorum_has_cosigned(world, serve_log):
    served = serve_log()
    url = f"{served.url}/entries?wait=receipt"
    answer = httpx.post(url, content=world.contract(FLIGHTS), timeout=60)
    assert answer.status_code == 201
    receipt = parse_receipt(answer.json()["receipt"].encode())
    assert receipt.index == 2
    assert len(receipt.signed.signatures) == 5
