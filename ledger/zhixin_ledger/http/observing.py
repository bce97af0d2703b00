"""What a server tells of itself: metrics for Prometheus, and a line a request.

::

    2026-11-26T08:00:00.123Z POST /entries 201 12 3.1

Time, method, path, status, bytes of the answer, milliseconds. No query, no header, no contents.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "Gauges",
    "Observed",
    "counter",
    "gauge",
    "metrics_route",
    "to_standard_error",
]

_TYPE = "text/plain; version=1.0.0; charset=utf-8"
_MAX_PATH_CHARS = 200
_ROUTES = {"entries", "checkpoint", "tile", "standing", "status", "metrics", "proposals",
           "add-checkpoint", "equivocation", "openapi.json"}  # fmt: skip
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

Labels = dict[str, str]


def gauge(name: str, told: str, values: Iterable[tuple[Labels, float]]) -> Metric:
    """Make a gauge of some values, each with its labels."""
    return _filled(GaugeMetricFamily, name, told, list(values))


def counter(name: str, told: str, values: Iterable[tuple[Labels, float]]) -> Metric:
    """Make a counter of some values, each with its labels."""
    return _filled(CounterMetricFamily, name, told, list(values))


def _filled(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    told: str,
    values: list[tuple[Labels, float]],
) -> Metric:
    labels = list(values[0][0]) if values else []
    family = kind(name, told, labels=labels)
    for given, value in values:
        family.add_metric([given[label] for label in labels], value)
    return family


class Gauges(Collector):
    """Figures that are read when they are asked for.

    Args:
        read: gives them.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        return self._read()


def metrics_route(registry: CollectorRegistry) -> APIRouter:
    """Give the route `/metrics`.

    Args:
        registry: whose figures.
    """
    router = APIRouter()

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"description": "Text.", "content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        headers = {"content-type": _TYPE, "cache-control": "no-store"}
        return Response(generate_latest(registry), 200, headers)

    return router


class Observed:
    """Middleware: how long requests take, and a line each.

    Args:
        app: what is observed.
        registry: takes the durations.
        write: takes the lines; None: nobody wants them.
    """

    def __init__(
        self,
        app: ASGIApp,
        registry: CollectorRegistry,
        write: Callable[[str], object] | None = None,
    ) -> None:
        self._app = app
        self._write = write
        self._durations = Histogram(
            "zhixin_http_request_seconds",
            "How long requests took.",
            ["method", "route", "status"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._known: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, sent = 0, 0

        async def watch(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._tell(scope, status, sent, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, sent: int, took_s: float) -> None:
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        name = scope["path"].split("/", 2)[1] if "/" in scope["path"] else ""
        key = (method, name if name in _ROUTES else "other", status)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._durations.labels(*map(str, key))
        known.observe(took_s)
        if self._write is not None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            path = _shown(scope)
            self._write(f"{now} {scope['method']} {path} {status} {sent} {took_s * 1000:.1f}\n")


def _shown(scope: Scope) -> str:
    """The path as it was sent, which is ASCII without spaces or line ends; not too long."""
    path: bytes = scope.get("raw_path") or b"-"
    return path[:_MAX_PATH_CHARS].decode("ascii", "backslashreplace")


def to_standard_error(line: str) -> None:
    """Write a line of the access log."""
    sys.stderr.write(line)
    sys.stderr.flush()
