"""A PostgreSQL of the benchmark's own: a free port on loopback, gone when the block is left."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SETTINGS", "Server", "postgresql"]

SETTINGS = {
    "shared_buffers": "1GB",
    "fsync": "off",  # of the tables' making; nothing is written while the clock runs
    "max_wal_size": "4GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",  # tables are vacuumed and analysed once they are made
}
_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")


@dataclass(frozen=True)
class Server:
    """A server that runs: the URL of an empty database in it, and its first process."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Processor time of the connections that have ended, in ticks of the system's clock."""
        told = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(told[13]) + int(told[14])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def postgresql(folder: Path) -> Iterator[Server]:
    """Start a server with its data in this folder.

    As root it runs as the user postgres, since it refuses root; all else are its own defaults.
    """
    binaries = _binaries()
    folder.mkdir()
    as_user: list[str] = []
    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    if os.geteuid() == 0:
        for place in (folder, folder / "password"):
            shutil.chown(place, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"
    subprocess.run(
        [*as_user, binaries / "initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256",
         f"--pwfile={folder / 'password'}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*as_user, binaries / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1",
             "-k", "", *options],
            stdout=log, stderr=log, cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            _wait(binaries / "pg_isready", port, server)
            url = f"postgresql://owner:{password}@127.0.0.1:{port}/postgres"
            yield Server(url, server.pid)
        finally:
            server.send_signal(signal.SIGINT)  # at once: whoever is connected still is ours
            server.wait(60)


def _binaries() -> Path:
    for place in map(Path, _PLACES):
        for found in sorted(place.glob("**/bin/initdb"), reverse=True):
            return found.parent
    there = shutil.which("initdb")
    if there is None:
        raise SystemExit("bench: PostgreSQL's initdb was not found: install postgresql")
    return Path(there).parent


def _wait(ready: Path, port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        asked = [ready, "-q", "-h", "127.0.0.1", "-p", str(port)]
        if subprocess.run(asked, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise SystemExit("bench: PostgreSQL did not start")
