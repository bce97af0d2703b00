"""A small HTTP server that does what servers should not: real sockets, a thread a connection.

A route is a function that gets a :class:`Request` and gives a reply: a value (sent as JSON), a
:class:`Reply`, or a function that writes to the socket itself. ``asked`` keeps all that came.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """What came; ``number`` counts from 1 for each path."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str
    number: int


@dataclass(frozen=True)
class Reply:
    """What goes back; ``length`` may be a lie."""

    body: bytes | str | Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    def sent(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        length = len(body) if self.length is None else self.length
        headers = {"content-type": "application/json", "content-length": str(length)}
        lines = [f"HTTP/1.1 {self.status} X"]
        lines += [f"{name}: {value}" for name, value in (headers | self.headers).items()]
        return "\r\n".join([*lines, "connection: close", "", ""]).encode() + body


Route = Callable[[Request], Any]


class HostileServer:
    """Serves ``routes`` on a free port of this machine until it is closed."""

    def __init__(self, routes: dict[str, Route] | None = None) -> None:
        self.routes = dict(routes or {})
        self.asked: list[Request] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def paths(self) -> list[str]:
        """The paths and queries that were asked for, in order."""
        return [
            f"{each.path}?{'&'.join(f'{k}={v}' for k, v in each.query.items())}".removesuffix("?")
            for each in self.asked
        ]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, suppress(OSError):
            request = self._read(connection)
            if request is None:
                return
            route = self.routes.get(request.path)
            reply = Reply({"secret": "words of the server"}, 404) if route is None else (
                route(request)
            )  # fmt: skip
            if callable(reply):
                reply(connection)
            else:
                connection.sendall((reply if isinstance(reply, Reply) else Reply(reply)).sent())

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        parts = urlsplit(target)
        with self._lock:
            number = 1 + sum(each.path == parts.path for each in self.asked)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            request = Request(method, parts.path, query, headers, body.decode(), number)
            self.asked.append(request)
        return request


def paged(records: list[Any], size: int) -> list[list[Any]]:
    """Records in pages."""
    return [records[start : start + size] for start in range(0, len(records), size)]
