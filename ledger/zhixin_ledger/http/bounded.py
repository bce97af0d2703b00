"""Connections of a client on which an answer has an end, however slowly its bytes come.

A time-out of reading is one of each reading: who sends a byte of a head now and then is never too
slow for it, and whoever waits for the answer waits for ever. Here all that is read since the last
byte was sent counts.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

__all__ = ["bound"]

_TIMES = 4


def bound(transport: object) -> None:
    """Bound the answers that a transport of httpx waits for.

    Args:
        transport: an ``httpx.HTTPTransport`` that was not used yet; of a whole answer it waits so
            many times as long as its time-out of reading is.
    """
    pool: Any = getattr(transport, "_pool", None)
    if pool is not None:
        pool._network_backend = _Backend(pool._network_backend)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        made = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(made)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._asked = time.monotonic()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if timeout is not None:
            left_s = self._asked + _TIMES * timeout - time.monotonic()
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
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore has it
        return self._inner.get_extra_info(info)
