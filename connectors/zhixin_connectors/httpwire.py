"""What lies under httpx: answers that have an end, and a secret that no log of it shows.

A time-out of reading is one of each reading: who sends a byte now and then is never too slow for
it. Here all that is read since the last byte was sent counts. A secret in the query is added below
everything that logs a URL. This is the only module of the connectors that uses what is private to
httpx and httpcore; the tests of a slow answer and of a key in the query notice if it is gone.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from zhixin_connectors.addresses import with_parameters

__all__ = ["add_parameter", "bound"]


def bound(client: httpx.Client, times: int) -> None:
    """Let a whole answer take so many times the client's time-out of reading, and no longer."""
    for transport in (client._transport, *client._mounts.values()):
        pool: Any = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _Backend(pool._network_backend, times)


def add_parameter(client: httpx.Client, name: str, secret: str) -> None:
    """Send a secret in the query of each request, which the client itself does not know of."""
    client._transport = _Keyed(client._transport, name, secret)
    client._mounts = {
        pattern: None if inner is None else _Keyed(inner, name, secret)
        for pattern, inner in client._mounts.items()
    }


class _Keyed(httpx.BaseTransport):
    """Adds the secret to the query below everything that logs a URL."""

    def __init__(self, inner: httpx.BaseTransport, name: str, secret: str) -> None:
        self._inner = inner
        self._parameter = {name: secret}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it with the secret, and keep the request that is known without."""
        url = with_parameters(str(request.url), self._parameter)
        sent = httpx.Request(
            request.method,
            url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return self._inner.handle_request(sent)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend, times: int) -> None:
        self._inner = inner
        self._times = times

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        made = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(made, self._times)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, times: int) -> None:
        self._inner = inner
        self._times = times
        self._asked = time.monotonic()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if timeout is not None:
            left_s = self._asked + self._times * timeout - time.monotonic()
            if left_s <= 0:
                raise httpcore.ReadTimeout("the answer did not end in time")
            timeout = min(timeout, left_s)
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)
        self._asked = time.monotonic()

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        made = self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(made, self._times)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore has it
        return self._inner.get_extra_info(info)
