"""Connections that can't be held open by saying little: uvicorn's protocol with time-outs.

uvicorn waits for ever for a request's head and body, and for a client that does not read. Here the
head must be there within `HEAD_S` of its first byte (or of the connection), the body within
`BODY_S`, and a client that reads nothing for `WRITE_S` is cut. A head of more than
`MAX_HEAD_BYTES` is refused. So is a connection beyond the limit, and what is no HTTP.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from zhixin_ledger.http.limits import send_problem
from zhixin_ledger.http.problems import Problem

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

__all__ = ["Connection"]

HEAD_S = 15.0
BODY_S = 30.0
WRITE_S = 30.0
MAX_HEAD_BYTES = 32 * 1024
MAX_PIPELINE = 64
_TOO_LONG = Problem(431, "headers-too-large", "the request's head is too long")


async def _too_long(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send_problem(send, _TOO_LONG)


class Connection(HttpToolsProtocol):
    """One connection of a client."""

    _timer: TimerHandle | None = None
    _write_timer: TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client in, unless there are too many."""
        super().connection_made(transport)
        limit = getattr(self.config, "limit_connections", None)
        if limit is not None and len(self.connections) > limit:
            self._refuse(Problem(429, "overloaded", "too many connections", retry_after_s=1))
            return
        self._wait_for("head", HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers; the request that is worked on hears that nobody waits for it."""
        self._stop_waiting()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that does not end is refused."""
        if self._in_head:
            if self._timer is None:
                self._wait_for("head", HEAD_S)
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(_TOO_LONG)

    def on_headers_complete(self) -> None:
        """Wait for the body from here on."""
        self._in_head = False
        self._stop_waiting()
        self._wait_for("body", BODY_S)
        head_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head_bytes > MAX_HEAD_BYTES:
            self.app, app = _too_long, self.app
            super().on_headers_complete()
            self.app = app
        else:
            super().on_headers_complete()
        if len(self.pipeline) > MAX_PIPELINE:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """Wait for nothing: the request is whole."""
        self._stop_waiting()
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_S, self._abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say that it is no HTTP."""
        del msg
        self._refuse(Problem(400, "malformed", "this is no HTTP request"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _wait_for(self, what: str, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._too_slow, what)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self, what: str) -> None:
        self._timer = None
        if what == "head" and not self._head_bytes:
            self.transport.close()  # it never said a word
            return
        self._refuse(Problem(408, "slow", f"the request's {what} took too long"))

    def _refuse(self, problem: Problem) -> None:
        """Answer and close, unless an answer is under way already."""
        self._stop_waiting()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = problem.body
            fields = {**problem.headers, "content-length": str(len(body)), "connection": "close"}
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            self.transport.write(STATUS_LINE[problem.status] + head.encode() + b"\r\n" + body)
        if cycle is not None:
            cycle.disconnected = True  # what still works on the request hears of it
            cycle.message_event.set()
        self.transport.close()

    def _abort(self) -> None:
        self.transport.abort()
