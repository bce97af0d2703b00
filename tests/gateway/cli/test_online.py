"""``--ledger URL`` against a real `zhixin ledger serve` and a witness's mirror."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest

THINGS = "agency.example/things"
TIMEOUT_S = 30


@pytest.fixture
def served(published, tmp_path):
    """Serve the home's log by the command; gives its URL."""
    with ExitStack() as stack:
        command = ["-m", "zhixin_gateway.cli", "ledger", "serve", "--port", "0", "--json"]
        told = stack.enter_context((tmp_path / "server.log").open("wb"))
        server = stack.enter_context(
            subprocess.Popen(
                [sys.executable, *command, "--home", str(published)],
                stdout=subprocess.PIPE,
                stderr=told,
                env={**os.environ, "ZHIXIN_HOME": ""},
            )
        )
        stack.callback(server.wait, TIMEOUT_S)
        stack.callback(server.terminate)
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, (tmp_path / "server.log").read_text()
        yield json.loads(line)["url"]


@pytest.mark.slow
def test_a_consumer_asks_the_log_over_http(zhixin, published, served, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    disk = shutil.copytree(published / "store" / THINGS / "1", tmp_path / "disk" / THINGS / "1")
    trust = shutil.copytree(published / "trust", tmp_path / "trust")
    asked = (disk, "--trust", trust, "--ledger", served)
    answer = zhixin("verify", *asked, "--max-age", "1h", "--require-standing", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["checks"][-1] == {"name": "standing", "status": "passed"}
    assert len(list((tmp_path / "state" / "zhixin" / "seen").glob("*.checkpoint"))) == 1
    assert (published / "log" / "published.sqlite").is_file()  # it was not replayed by us
    assert zhixin("cat", *asked, "--sql", "SELECT count(*) AS n FROM things").out == "n\n3\n"
    with_home = zhixin("verify", disk, "--ledger", served, home=published)
    assert with_home.code == 0, with_home.err
    assert list((published / "seen").glob("*.checkpoint"))
