"""A server before an S3 server, which breaks chosen requests: 503, 403, or a connection reset."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """What happens to requests that match.

    Args:
        method: of the request.
        path: a pattern that its path and parameters hold.
        code: the answer; 0: the connection is reset in the midst of the answer.
        times: how many requests meet it; the others pass.
    """

    method: str
    path: str
    code: int
    times: int = 1_000_000
    met: int = 0

    def meets(self, method: str, path: str) -> bool:
        if method != self.method or self.met >= self.times or not re.search(self.path, path):
            return False
        self.met += 1
        return True


class Breaking:
    """Passes all requests on, but for those that a fault meets.

    Args:
        port: the real server's.
    """

    def __init__(self, port: int) -> None:
        self.faults: list[Fault] = []
        self.seen: list[str] = []
        handler = type("Own", (_Handler,), {"behind": port, "breaking": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port

    def __enter__(self) -> Breaking:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self, method: str, path: str) -> int:
        return sum(bool(re.fullmatch(f"{method} .*{path}.*", each)) for each in self.seen)


_OWN = ("transfer-encoding", "content-length", "connection", "expect")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind: int
    breaking: Breaking

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _pass(self) -> None:
        body = self._body()
        self.breaking.seen.append(f"{self.command} {self.path}")
        found = next((f for f in self.breaking.faults if f.meets(self.command, self.path)), None)
        if found is not None and found.code:
            self._answer(found.code, {}, _error(found.code))
            return
        server = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        data = answer.read()
        server.close()
        if found is not None:
            self._answer(answer.status, dict(answer.getheaders()), data, cut=len(data) // 2)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._answer(answer.status, dict(answer.getheaders()), data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def do_GET(self) -> None:
        self._pass()

    do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815 - as the server calls them

    def _answer(self, code, headers, data, *, cut=None) -> None:
        self.send_response(code)
        length = headers.pop("Content-Length", None)
        length = length if self.command == "HEAD" else str(len(data))
        for name, value in headers.items():
            if name.lower() not in _OWN:
                self.send_header(name, value)
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data if cut is None else data[:cut])
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


def _error(code: int) -> bytes:
    name = {403: "AccessDenied", 503: "SlowDown", 500: "InternalError"}[code]
    return f"<Error><Code>{name}</Code><Message>no</Message></Error>".encode()
