"""A log over HTTP: submission, receipts, reading, status and metrics.

::

    POST /entries[?wait=receipt[&timeout=30]]    {"index": 17}   201 new, 200 in already
    GET  /checkpoint, /tile/…                    C2SP tlog-tiles (`tile_routes`)
    GET  /status                                 JSON for people and programs
    GET  /metrics                                Prometheus

Who may write is said by the entry's own signature. Nothing here decides what may enter: the engine
does. What goes wrong is answered by a problem document (`problems`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from prometheus_client import CollectorRegistry, Metric
from starlette.responses import Response
from zhixin_errors import LedgerUnavailable

from zhixin_ledger.database import Database
from zhixin_ledger.embedded import DATABASE, Engine
from zhixin_ledger.gathering import REFRESH_S, WitnessTransport
from zhixin_ledger.http.answers import json_answer, problem_docs, tell_problems
from zhixin_ledger.http.express import Express
from zhixin_ledger.http.intake import CAPACITY, Intake
from zhixin_ledger.http.limits import read_body
from zhixin_ledger.http.observing import Gauges, counter, gauge, metrics_route
from zhixin_ledger.http.proposals import proposal_routes
from zhixin_ledger.http.publishing import INTERVAL_S, Publisher
from zhixin_ledger.http.standing_routes import standing_routes
from zhixin_ledger.http.tile_routes import tile_routes
from zhixin_ledger.proposal_box import log_box
from zhixin_ledger.state import State
from zhixin_ledger.store import SqliteStore

__all__ = ["LogOptions", "LogService", "make_log_app"]

MAX_WAIT_S = 60

_INDEX_DOCS: dict[str, Any] = {
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["index"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "receipt": {"type": "string", "description": "C2SP tlog-proof"},
                },
            }
        }
    }
}
_ENTRY_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The payload is in the ledger already.", **_INDEX_DOCS},
    201: {"description": "The statement is durable.", **_INDEX_DOCS},
    **problem_docs(400, 403, 408, 413, 422, 429, 503),
}
_ENVELOPE_DOCS: dict[str, Any] = {
    "required": True,
    "description": "A DSSE envelope of at most 256 KiB, signed by a member",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["payload", "payloadType", "signatures"],
                "additionalProperties": False,
                "properties": {
                    "payload": {"type": "string", "contentEncoding": "base64"},
                    "payloadType": {"const": "application/vnd.in-toto+json"},
                    "signatures": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["keyid", "sig"],
                            "additionalProperties": False,
                            "properties": {
                                "keyid": {"type": "string"},
                                "sig": {"type": "string", "contentEncoding": "base64"},
                            },
                        },
                    },
                },
            }
        }
    },
}
_STATUS_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "How it stands.", "content": {"application/json": {}}},
    **problem_docs(429),
}
_Timeout = Annotated[float, Query(gt=0, le=MAX_WAIT_S)]


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How a log is run.

    Args:
        capacity: how many envelopes may wait to be written.
        interval_s: between two publications at least.
        refresh_s: after how long an idle ledger's checkpoint is cosigned again.
    """

    capacity: int = CAPACITY
    interval_s: float = INTERVAL_S
    refresh_s: float = REFRESH_S


class LogService:
    """A log at work: its engine, the way in and the way out.

    Args:
        engine: opened with `hold=True`; closed by who opened it.
        witnesses: who is asked to cosign.
        options: how it is run.
    """

    def __init__(
        self,
        engine: Engine,
        witnesses: Sequence[WitnessTransport],
        options: LogOptions = LogOptions(),
    ) -> None:
        self.engine = engine
        self.origin, size = _durable(engine)
        self.publisher = Publisher(
            engine, witnesses, size, interval_s=options.interval_s, refresh_s=options.refresh_s
        )
        self.registry = CollectorRegistry()
        self.registry.register(Gauges(self.figures))
        self.intake = Intake(engine, size, self.publisher.grown, options.capacity)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to write and to publish."""
        self.publisher.start(loop)
        self.intake.start(loop)

    def stopping(self) -> None:
        """Take nothing more, and let go who waits for a receipt: the end begins."""
        self.intake.refuse()
        self.publisher.dismiss()

    def stop(self) -> None:
        """Write what is queued, then end; not on the loop's thread."""
        self.intake.close()
        self.publisher.close()

    def status(self) -> dict[str, object]:
        """Tell how it stands."""
        return {
            "origin": self.origin,
            "size": self.intake.size,
            "published": self.publisher.published,
            "pending_age_s": round(self.publisher.pending_age_s, 3),
            "queued": self.intake.waiting,
            "fault": None if self.publisher.fault is None else self.publisher.fault.code,
            "witnesses": [
                {
                    "name": witness.name,
                    "size": witness.size,
                    "failures": witness.failures,
                    "last_success_s": witness.last_success_s,
                    "fault": witness.fault,
                }
                for witness in self.publisher.witnesses
            ],
        }

    def figures(self) -> Iterator[Metric]:
        """Tell the same to Prometheus."""
        intake, publisher = self.intake, self.publisher
        for name, told, value in (
            ("queue_length", "Envelopes that wait to be written.", intake.waiting),
            ("entries", "Entries that are durable, seals among them.", intake.size),
            ("published_entries", "Entries that a checkpoint covers.", publisher.published),
            ("pending_age_seconds", "Age of the oldest uncovered entry.", publisher.pending_age_s),
            ("receipt_waiters", "Requests that wait for a receipt.", publisher.waiting),
        ):
            yield gauge(f"zhixin_ledger_{name}", told, [({}, value)])
        for name, told, value in (
            ("durable_entries", "Entries that became durable here.", intake.entries),
            ("refused_entries", "Envelopes that were not taken in.", intake.refused),
            ("publication_failures", "Publications that failed.", publisher.failures),
        ):
            yield counter(f"zhixin_ledger_{name}", told, [({}, value)])
        yield from self._witness_figures()

    def _witness_figures(self) -> Iterator[Metric]:
        named = [({"witness": each.name}, each) for each in self.publisher.witnesses]
        yield counter(
            "zhixin_witness_failures",
            "Questions that a witness did not answer well.",
            [(labels, each.failures) for labels, each in named],
        )
        yield gauge(
            "zhixin_witness_last_success_timestamp_seconds",
            "When a witness cosigned last.",
            [(labels, each.last_success_s or 0) for labels, each in named],
        )
        yield gauge(
            "zhixin_witness_lag_entries",
            "Entries that are durable and that a witness has not cosigned.",
            [(labels, max(0, self.intake.size - each.size)) for labels, each in named],
        )


def make_log_app(service: LogService) -> FastAPI:
    """Make the application of a log.

    Args:
        service: the log.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start(asyncio.get_running_loop())
        yield
        await asyncio.to_thread(service.stop)

    app = FastAPI(
        title="A Zhixin ledger", version="1", lifespan=lifespan, docs_url=None, redoc_url=None
    )
    tell_problems(app)
    app.add_middleware(Express, intake=service.intake)
    _add_entries(app, service)
    app.include_router(tile_routes(service.engine.directory))
    app.include_router(proposal_routes(log_box(service.engine.directory)))
    app.include_router(metrics_route(service.registry))
    app.include_router(standing_routes(service.engine.directory))

    @app.get("/status", response_class=Response, responses=_STATUS_DOCS)
    async def status() -> Response:
        return json_answer(service.status())

    return app


def _add_entries(app: FastAPI, service: LogService) -> None:
    @app.post(
        "/entries",
        status_code=201,
        response_class=Response,
        summary="Submit a statement",
        responses=_ENTRY_DOCS,
        openapi_extra={"requestBody": _ENVELOPE_DOCS},
    )
    async def entries(
        request: Request,
        wait: Literal["receipt"] | None = None,
        timeout: _Timeout = 30,  # noqa: ASYNC109 - a client's word
    ) -> Response:
        taken = await service.intake.submit(await read_body(request))
        status = 201 if taken.fresh else 200
        if wait is None:
            return json_answer({"index": taken.index}, status)
        try:
            receipt = await asyncio.wait_for(service.publisher.receipt(taken.index), timeout)
        except TimeoutError:
            raise _pending(taken.index) from None
        except LedgerUnavailable as fault:
            fault.details["index"] = taken.index  # it is in the ledger all the same
            raise
        return json_answer({"index": taken.index, "receipt": receipt.decode()}, status)


def _pending(index: int) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"entry {index} is in the ledger, but no checkpoint with its quorum covers it yet",
        code="quorum",
        hint="the entry is safe; ask again for its receipt",
        details={"index": index},
    )


def _durable(engine: Engine) -> tuple[str, int]:
    """The ledger's origin, and how many entries are durable."""
    database = Database(engine.directory / DATABASE)
    try:
        with database.reading() as connection:
            state = State(SqliteStore(connection))
            return state.origin or "", state.size
    finally:
        database.close()
