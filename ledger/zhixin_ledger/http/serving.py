"""Serving an application: uvicorn on one thread, ended cleanly by a signal.

It listens before it says so, prints where, stops accepting on SIGTERM or SIGINT, finishes what is
under way within a few seconds, and returns.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp
from zhixin_errors import ConfigError

from zhixin_ledger.http.connections import Connection
from zhixin_ledger.http.limits import RateLimit, TokenBuckets
from zhixin_ledger.http.observing import Observed, to_standard_error

__all__ = ["Serving", "dressed", "running", "serve"]

BACKLOG = 1024
GRACE_S = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and how an application is served.

    Args:
        host: an address of this machine.
        port: 0 for a free one.
        tls_cert: the certificate chain's file, PEM; with `tls_key`.
        tls_key: its private key's file.
        proxy_headers: believe a proxy on this machine who the client is.
        connections: how many may be open at once.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    proxy_headers: bool = False
    connections: int = 1000


class _Server(uvicorn.Server):
    """uvicorn's server: says when it is ready, and ends by returning."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], on_stop: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._on_stop = on_stop

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the end."""
        try:
            super().run(sockets)
        except SystemExit as end:
            raise ConfigError("the server could not begin", code="internal") from end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """End on a signal, and give the old handlers back without raising it once more."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        kept = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second signal ends at once."""
        del sig, frame
        self.force_exit = self.should_exit
        self.should_exit = True


def _nothing() -> None:
    """Nothing is to be told."""


def dressed(
    app: ASGIApp,
    registry: CollectorRegistry,
    *,
    access_log: bool = False,
    per_s: float = 0,
    burst: int = 0,
) -> ASGIApp:
    """Put around an application what every server of ours has.

    Args:
        app: the application.
        registry: takes the durations of requests.
        access_log: write a line a request to standard error.
        per_s: requests a second that a client may send in the long run; 0: any number.
        burst: how many at once.

    Returns:
        What is to be served.
    """
    if per_s > 0:
        app = RateLimit(app, TokenBuckets(per_s, max(1, burst)))
    return Observed(app, registry, to_standard_error if access_log else None)


def serve(
    app: ASGIApp,
    serving: Serving | None = None,
    *,
    ready: Callable[[str], None] | None = None,
    on_stop: Callable[[], None] = _nothing,
) -> None:
    """Serve an application until a signal ends it.

    Args:
        app: the ASGI application.
        serving: where and how; a free port on loopback by default.
        ready: told the base URL once requests are answered; standard error by default.
        on_stop: called when the end begins, before requests under way are waited for.

    Raises:
        ConfigError: the address or the TLS files can't be used.
    """
    serving = serving or Serving()
    bound = _bind(serving)
    url = _url(serving, bound)
    told = ready or _say
    with bound:
        _Server(_config(app, serving), lambda: told(url), on_stop).run([bound])


@contextlib.contextmanager
def running(
    app: ASGIApp,
    serving: Serving | None = None,
    *,
    on_stop: Callable[[], None] = _nothing,
) -> Iterator[str]:
    """Serve an application on a thread of its own, for as long as the context lasts.

    Args:
        app: the ASGI application.
        serving: where and how; a free port on loopback by default.
        on_stop: as `serve` has it.

    Yields:
        The base URL; requests are answered.
    """
    serving = serving or Serving()
    bound = _bind(serving)
    begun, faults = threading.Event(), list[ConfigError]()
    server = _Server(_config(app, serving), begun.set, on_stop)

    def run() -> None:
        try:
            server.run([bound])
        except ConfigError as fault:
            faults.append(fault)
            begun.set()

    thread = threading.Thread(target=run, name="serving", daemon=True)
    thread.start()
    try:
        if not begun.wait(30) or faults:
            raise faults[0] if faults else ConfigError("the server did not begin within 30 s")
        yield _url(serving, bound)
    finally:
        server.should_exit = True
        thread.join(GRACE_S + 10)
        bound.close()


def _say(url: str) -> None:
    sys.stderr.write(f"serving at {url}\n")
    sys.stderr.flush()


def _config(app: ASGIApp, serving: Serving) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=serving.proxy_headers,
        forwarded_allow_ips="127.0.0.1,::1",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=serving.tls_cert,
        ssl_keyfile=serving.tls_key,
    )
    try:
        config.load()
    except (OSError, ValueError) as fault:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"the TLS certificate {serving.tls_cert} or its key can't be used"
        ) from fault
    config.limit_connections = serving.connections  # type: ignore[attr-defined] # read by Connection
    return config


def _bind(serving: Serving) -> socket.socket:
    if (serving.tls_cert is None) != (serving.tls_key is None):
        raise ConfigError("TLS wants both a certificate and its key")
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((serving.host, serving.port))
        made.listen(BACKLOG)
    except OSError as fault:
        made.close()
        raise ConfigError(
            f"{serving.host} port {serving.port} can't be served: {fault.strerror}",
            hint="another program may serve there; --port 0 takes a free one",
        ) from fault
    return made


def _url(serving: Serving, bound: socket.socket) -> str:
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    scheme = "http" if serving.tls_cert is None else "https"
    return f"{scheme}://{host}:{bound.getsockname()[1]}"
