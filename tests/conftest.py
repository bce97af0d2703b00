"""What tests of several packages share: a real PostgreSQL of their own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("zhixin", deadline=None)  # a busy machine is no failure
settings.load_profile("zhixin")

_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")


@pytest.fixture(scope="session")
def postgresql_url():
    """The URL of a database in a server of this session's own: loopback, a free port, UTF-8.

    Tests fail where PostgreSQL is not installed; they are not skipped, because the product
    promises it. As root the server runs as the user postgres, since it refuses root.
    """
    binaries = _binaries()
    assert binaries, "PostgreSQL's initdb was not found: install postgresql (Debian) to run tests"
    folder = Path(tempfile.mkdtemp(prefix="zhixin-pg-"))
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    secret = folder / "password"
    secret.write_text("a b@c:/d")
    secret.chmod(0o644)
    data = folder / "data"
    subprocess.run(
        [*as_user, binaries / "initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256",
         f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    port = _free_port()
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [*as_user, binaries / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1",
         "-k", "", "-c", "fsync=off", "-c", "shared_buffers=32MB"],
        stdout=log, stderr=log, cwd=folder,
    )  # fmt: skip
    try:
        _wait_for(binaries / "pg_isready", port, server)
        yield f"postgresql://owner:a%20b%40c%3A%2Fd@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _binaries():
    for place in map(Path, _PLACES):
        for found in sorted(place.glob("**/bin/initdb"), reverse=True):
            return found.parent
    there = shutil.which("initdb")
    return Path(there).parent if there else None


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(ready, port, server):
    for _ in range(300):
        assert server.poll() is None, "PostgreSQL did not start"
        asked = subprocess.run(
            [ready, "-h", "127.0.0.1", "-p", str(port)], check=False, capture_output=True
        )
        if asked.returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("PostgreSQL did not answer within 30 s")


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demo, run once by its command: its folder and what it answered with ``--json``.

    It takes half a minute: tests that use it bear ``xdist_group("demo")``, so that one worker
    makes it for all.
    """
    folder = tmp_path_factory.mktemp("demo") / "zhixin-demo"
    done = subprocess.run(
        [sys.executable, "-m", "zhixin_gateway.cli", "demo", str(folder), "--json"],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder, json.loads(done.stdout)
