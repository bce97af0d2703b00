"""The log's server dies by kill -9 at some write, with clients at work: its answers stay true."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import world
from campaign import build_shim
from zhixin_ledger.audit import audit
from zhixin_ledger.client import LedgerClient
from zhixin_ledger.tlogproof import parse_receipt

SERVER = Path(__file__).with_name("server.py")
CLIENTS = 4
ENTRIES = 8  # of each client

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@contextmanager
def server(root: Path, shim: Path | None = None, fault: str = "") -> Iterator[tuple]:
    environment = dict(os.environ)
    if shim is not None:
        environment |= {"LD_PRELOAD": str(shim), "FAULT_AT": fault}
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(root)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        yield process, found[0] if found else ""
    finally:
        process.terminate()
        process.communicate(timeout=60)


def submit(url: str, number: int) -> list[tuple[int, bytes, bytes | None]]:
    """Submit until the server is gone: (index, envelope, receipt) of each answer."""
    answers = []
    with httpx.Client(timeout=30) as client:
        for at in range(ENTRIES):
            data = world.contract(f"{world.OWNER}/d{number}-{at}")
            wait = "?wait=receipt" if at % 2 else ""
            try:
                answer = client.post(f"{url}/entries{wait}", content=data)
            except httpx.TransportError:
                break
            if answer.status_code in (200, 201):
                told = answer.json()
                receipt = told.get("receipt")
                answers.append((told["index"], data, receipt and receipt.encode()))
    return answers


@pytest.mark.parametrize("point", [7, 61, 180, 333, 470])
def test_what_a_killed_server_has_answered_is_there(tmp_path, shim, point):
    root = tmp_path / "world"
    world.found(root)
    with server(root, shim, f"{point} 1 {root.resolve()}") as (process, url):
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = [
                item for got in pool.map(lambda n: submit(url, n), range(CLIENTS)) for item in got
            ]
        assert process.wait(30) == -signal.SIGKILL
    with server(root) as (process, url):
        for index, data, _ in answers:
            again = httpx.post(f"{url}/entries", content=data)
            assert (again.status_code, again.json()["index"]) == (200, index)
        last = submit(url, CLIENTS)
        assert len(last) == ENTRIES
        with LedgerClient.open(root / world.READER / "ledger", url, (), world.clock) as client:
            client.sync()
            entries = dict(client.entries())
            assert client.fsck().ok
    for index, data, receipt in answers + last:
        assert entries[index] == data
        assert receipt is None or parse_receipt(receipt).index == index
    assert audit(root / world.OPERATOR / "log").ok
    assert process.returncode == 0
