"""Limits on requests: the size of a body, and how many a client may send.

A body is read raw, up to a limit, before anything looks at it. How slow a request may be, and how
many connections there may be, is held in ``connections``.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send
from zhixin_errors import LedgerRefused

from zhixin_ledger.http.problems import Problem

__all__ = [
    "MAX_BODY_BYTES",
    "RateLimit",
    "TokenBuckets",
    "read_body",
    "read_raw",
    "send_problem",
]

MAX_BODY_BYTES = 256 * 1024
_MAX_CLIENTS = 10_000


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Read a request's body.

    Args:
        request: whose.
        limit: bytes at most.

    Raises:
        LedgerRefused: `too-large`.
        ClientDisconnect: the client has gone.
    """
    return await read_raw(request.scope, request.receive, limit)


async def read_raw(scope: Scope, receive: Receive, limit: int = MAX_BODY_BYTES) -> bytes:
    """Read a request's body below any framework.

    Args:
        scope: the request's.
        receive: gives it, piece by piece.
        limit: bytes at most.

    Raises:
        LedgerRefused: `too-large`.
        ClientDisconnect: the client has gone.
    """
    for name, said in scope["headers"]:
        if name == b"content-length" and said.isdigit() and int(said) > limit:
            raise _too_large(limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        body += piece
        if len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(limit: int) -> LedgerRefused:
    return LedgerRefused(f"the request has more than {limit} bytes", code="too-large")


class TokenBuckets:
    """How many requests each client may still send.

    Args:
        per_s: requests a second that a client may send in the long run.
        burst: how many at once.
        clock: seconds that only rise.
    """

    def __init__(
        self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take one token; gives 0, or in how many seconds there will be one."""
        now = self._clock()
        tokens, then = self._left.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._per_s)
        wait_s = 0.0 if tokens >= 1 else (1 - tokens) / self._per_s
        self._left[client] = (tokens - 1 if wait_s == 0 else tokens, now)
        if len(self._left) > _MAX_CLIENTS:
            self._left.popitem(last=False)
        return wait_s


class RateLimit:
    """Middleware: answers 429 to a client that sends too many requests.

    Args:
        app: what is protected.
        buckets: what each client may still send.
    """

    def __init__(self, app: ASGIApp, buckets: TokenBuckets) -> None:
        self._app = app
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            client = scope.get("client")
            wait_s = self._buckets.take(client[0] if client else "")
            if wait_s:
                again = max(1, round(wait_s + 0.5))
                await send_problem(
                    send, Problem(429, "rate", "too many requests", retry_after_s=again)
                )
                return
        await self._app(scope, receive, send)


async def send_problem(send: Send, problem: Problem) -> None:
    """Answer with a problem document, below any framework."""
    body = problem.body
    fields = {**problem.headers, "content-length": str(len(body))}
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
