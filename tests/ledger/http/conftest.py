"""A world whose log is served over HTTP, by a real server on loopback."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastapi import FastAPI
from zhixin_ledger.embedded import Engine
from zhixin_ledger.http.log_app import LogOptions, LogService, make_log_app
from zhixin_ledger.http.serving import Serving, running
from zhixin_ledger.signers import load_signer
from zhixin_ledger.tiles import DirectorySource
from zhixin_ledger.transport import FileWitness, Means


@dataclass
class Served:
    """A log that is being served."""

    world: object
    service: LogService
    app: FastAPI
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
            app = make_log_app(service)
            url = stack.enter_context(running(app, Serving(**serving), on_stop=service.stopping))
            return Served(world, service, app, url)

        yield start


class Canned:
    """A server that answers as it is told: (status, headers, body) a request, the last for ever."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("content-length", 0))
                outer.asked.append((self.command, self.path, self.rfile.read(length)))
                answers = outer.answers
                status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
                if status == 0:  # says nothing
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the name that the class wants

            def log_message(self, *_args) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture
def canned() -> Iterator[Callable[..., Canned]]:
    """Make servers that answer as they are told."""
    made: list[Canned] = []

    def make(*answers) -> Canned:
        made.append(Canned(*answers))
        return made[-1]

    yield make
    for server in made:
        server.close()


# Programs of other makers, in Go.

GO_MODULE = Path(__file__).parents[2] / "interop" / "network"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the two programs, built from source by the module's own Go."""
    here = Path(sys.executable).with_name("go")
    go = str(here) if here.exists() else shutil.which("go")
    assert go, "Go is not installed: run `make setup-test`"
    folder = tmp_path_factory.mktemp("go-network")
    command = [go, "build", "-o", f"{folder}/", ".", "tool"]
    subprocess.run(command, cwd=GO_MODULE, check=True, timeout=600)
    return folder


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start programs that end with the test."""
    with ExitStack() as stack:

        def started(*command: object, **options: object) -> subprocess.Popen:
            process = subprocess.Popen(
                [str(item) for item in command], stdout=subprocess.PIPE, text=True, **options
            )
            stack.callback(ended, process)
            return process

        yield started


def ended(process: subprocess.Popen) -> None:
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def entries_of() -> Callable[..., list[bytes]]:
    """Read a log's entries from its database."""

    def read(world) -> list[bytes]:
        with closing(sqlite3.connect(world.log_dir / "log.sqlite")) as database:
            rows = database.execute("SELECT data FROM entries ORDER BY idx").fetchall()
        return [row[0] for row in rows]

    return read
