"""A witness and its mirror over HTTP: cosigning, the copy's tiles, reports of equivocation.

::

    POST /add-checkpoint             C2SP tlog-witness; who has the log's signature may ask
    GET  /<log ID>/checkpoint        the latest that it cosigned; SHA-256 of the origin, in hex
    GET  /checkpoint, /tile/…        its own copy, for anybody (`tile_routes`)
    GET  /equivocation[/<name>]      reports that it keeps (docs/formats.md 8)
    GET  /status, /metrics           JSON, Prometheus

C2SP has no status for what it does not foresee. A checkpoint whose entries break a rule, or that no
key of this member in force may cosign, is 422: as final for the log as a proof that fails, and a
log of any make leaves it at that. Where the log's own entries can't be fetched it is 503.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi import Path as PathParameter
from starlette.responses import Response
from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import forks
from zhixin_ledger.encoding import parse_uint, unb64
from zhixin_ledger.gathering import WITNESS_CONFLICT
from zhixin_ledger.http.answers import (
    json_answer,
    not_found,
    problem_answer,
    problem_docs,
    tell_problems,
)
from zhixin_ledger.http.limits import read_body
from zhixin_ledger.http.observing import metrics_route
from zhixin_ledger.http.problems import LOG_STATUS, SIZE_TYPE, Problem
from zhixin_ledger.http.standing_routes import standing_routes
from zhixin_ledger.http.tile_routes import NOTE_TYPE, tile_routes
from zhixin_ledger.http.witness_service import WitnessService
from zhixin_ledger.merkle import HASH_BYTES
from zhixin_ledger.note import MAX_NOTE_BYTES

__all__ = ["make_witness_app", "parse_question"]

MAX_PROOF = 63
MAX_QUESTION_BYTES = MAX_NOTE_BYTES + 8192

_REFUSED_IN_LOG = {"unknown-signer", "signature", "owner"}
WITNESS_STATUS: Mapping[str, int] = {
    **{code: status for code, status in LOG_STATUS.items() if code not in _REFUSED_IN_LOG},
    "log-signature": 403,
    "other-origin": 404,
}
"""By code; every other refusal is 422, whatever can't be had now 503."""


def parse_question(body: bytes) -> tuple[int, list[bytes], bytes]:
    """Read the body of add-checkpoint (C2SP tlog-witness).

    Args:
        body: the old size, up to 63 hashes, an empty line, the checkpoint.

    Returns:
        The old size, the proof, the note's bytes.

    Raises:
        LedgerRefused: `malformed`.
    """
    head, blank, note = body.partition(b"\n\n")
    try:
        if not blank:
            raise FormatError("the question has no empty line before its checkpoint")
        first, *lines = head.decode("ascii").split("\n")
        if not first.startswith("old "):
            raise FormatError("the question does not begin with the old size")
        if len(lines) > MAX_PROOF:
            raise FormatError(f"the proof has more than {MAX_PROOF} hashes")
        old_size = parse_uint(first.removeprefix("old "), "the old size")
        return old_size, [unb64(line, "a hash of the proof", HASH_BYTES) for line in lines], note
    except FormatError as fault:
        raise LedgerRefused(fault.message, code="malformed") from fault
    except UnicodeDecodeError as fault:
        raise LedgerRefused("the question's head is not ASCII", code="malformed") from fault


_TEXT_DOCS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Text.", "content": {"text/plain": {}}}
}
_QUESTION_DOCS: dict[str, Any] = {
    "required": True,
    "description": "C2SP tlog-witness: old size, consistency proof, empty line, checkpoint",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


def make_witness_app(service: WitnessService) -> FastAPI:
    """Make the application of a witness.

    Args:
        service: the witness.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="A Zhixin witness", version="1", lifespan=lifespan, docs_url=None, redoc_url=None
    )
    tell_problems(app, WITNESS_STATUS)
    _add_cosigning(app, service)
    app.include_router(tile_routes(service.mirror.directory))
    app.include_router(standing_routes(service.mirror.directory))
    app.include_router(metrics_route(service.registry))
    _add_telling(app, service)
    return app


def _add_cosigning(app: FastAPI, service: WitnessService) -> None:
    @app.post(
        "/add-checkpoint",
        response_class=Response,
        summary="Cosign a checkpoint",
        responses={
            **_TEXT_DOCS,
            409: {
                "description": "Another size was cosigned last.",
                "content": {SIZE_TYPE: {"schema": {"type": "string"}}},
            },
            **problem_docs(400, 403, 404, 408, 413, 422, 429, 503),
        },
        openapi_extra={"requestBody": _QUESTION_DOCS},
    )
    async def add_checkpoint(request: Request) -> Response:
        question = parse_question(await read_body(request, MAX_QUESTION_BYTES))
        try:
            lines = await service.add_checkpoint(*question)
        except LedgerRefused as fault:
            if fault.code == WITNESS_CONFLICT:
                size = f"{fault.details['size']}\n".encode()
                # No charset: clients compare the type as it stands.
                return Response(size, 409, {"content-type": SIZE_TYPE})
            if fault.code == "malformed" and "replay" in fault.details:
                return problem_answer(
                    Problem(422, fault.code, fault.message, fault.hint, None, fault.details)
                )
            raise
        return Response(lines, 200, {"content-type": NOTE_TYPE, "cache-control": "no-store"})

    @app.get(
        "/{log_id}/checkpoint",
        response_class=Response,
        summary="The latest checkpoint that this witness cosigned",
        responses={**_TEXT_DOCS, **problem_docs(404, 429)},
    )
    async def latest(
        log_id: Annotated[str, PathParameter(description="SHA-256 of the origin, in hex")],
    ) -> Response:
        seen = service.seen
        if (
            seen.latest is None
            or log_id != hashlib.sha256((seen.origin or "").encode()).hexdigest()
        ):
            return not_found("this witness has cosigned no checkpoint of such a ledger")
        return Response(seen.latest, 200, {"content-type": NOTE_TYPE, "cache-control": "no-store"})


def _add_telling(app: FastAPI, service: WitnessService) -> None:
    @app.get(
        "/status",
        response_class=Response,
        responses={200: {"description": "How it stands.", "content": {"application/json": {}}}},
    )
    async def status() -> Response:
        return json_answer(service.status())

    @app.get(
        "/equivocation",
        response_class=Response,
        responses={200: {"description": "Names.", "content": {"application/json": {}}}},
    )
    async def reports() -> Response:
        return json_answer({"reports": list(service.seen.reports)})

    @app.get(
        "/equivocation/{name}",
        response_class=Response,
        responses={
            200: {"description": "zhixin/equivocation/v1", "content": {"application/json": {}}},
            **problem_docs(404, 429),
        },
    )
    async def report(name: str) -> Response:
        folder = service.mirror.directory / forks.FOLDER
        if re.fullmatch(r"[0-9a-f-]+\.json", name) is None or name not in service.seen.reports:
            return not_found("this witness keeps no such report")
        data = await asyncio.to_thread((folder / name).read_bytes)
        return Response(
            data, 200, {"content-type": "application/json", "cache-control": "no-store"}
        )
