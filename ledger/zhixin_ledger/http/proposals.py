"""Proposals over HTTP: where members look for what is to be signed (docs/formats.md 7.3).

::

    GET  /proposals                        {"proposals": [{"digest": …, "proposal": {…}}, …]}
    POST /proposals                        an envelope; {"digest": …}: 201 new, 200 there already
    GET  /proposals/DIGEST                 the envelope with its signatures so far
    POST /proposals/DIGEST/signatures      {"keyid": …, "sig": …}; the envelope with it

The box (`proposal_box`) decides what is kept. Who may write is said by signatures alone.
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from starlette.responses import Response
from zhixin_errors import FormatError

from zhixin_ledger import encoding
from zhixin_ledger.http.answers import json_answer, problem_docs
from zhixin_ledger.http.limits import read_body
from zhixin_ledger.keys import ED25519_SIGNATURE_BYTES
from zhixin_ledger.proposal_box import ProposalBox
from zhixin_ledger.proposals import parse_proposal

__all__ = ["MAX_SIGNATURE_BYTES", "proposal_routes"]

MAX_SIGNATURE_BYTES = 1024

_Digest = Annotated[
    str, PathParameter(description="SHA-256 of the statement, in hex", pattern="^[0-9a-f]{64}$")
]
_JSON = {"application/json": {"schema": {"type": "object"}}}


def _body(example: str) -> dict[str, object]:
    return {"requestBody": {"required": True, "description": example, "content": _JSON}}


def proposal_routes(box: ProposalBox) -> APIRouter:
    """Give the routes over a box.

    Args:
        box: where the proposals lie.
    """
    router = APIRouter(tags=["proposals"])

    @router.get(
        "/proposals",
        summary="All proposals that wait for signatures",
        response_class=Response,
        responses={200: {"description": "Them.", "content": _JSON}, **problem_docs(429, 503)},
    )
    async def waiting() -> Response:
        found = await asyncio.to_thread(box.waiting)
        return json_answer(
            {
                "proposals": [
                    {"digest": each.digest_hex, "proposal": json.loads(each.to_bytes())}
                    for each in found
                ]
            }
        )

    @router.post(
        "/proposals",
        status_code=201,
        summary="Put a proposal in",
        response_class=Response,
        responses={
            200: {"description": "It is there already; its signatures were added."},
            201: {"description": "It waits for signatures now.", "content": _JSON},
            **problem_docs(400, 403, 408, 413, 422, 429, 503),
        },
        openapi_extra=_body("A member or rules statement in its envelope."),
    )
    async def offer(request: Request) -> Response:
        proposal = parse_proposal(await read_body(request))
        fresh = await asyncio.to_thread(box.offer, proposal)
        return json_answer({"digest": proposal.digest_hex}, 201 if fresh else 200)

    @router.get(
        "/proposals/{digest}",
        summary="One proposal",
        response_class=Response,
        responses={
            200: {"description": "Its envelope.", "content": _JSON},
            **problem_docs(400, 404, 429, 503),
        },
    )
    async def one(digest: _Digest) -> Response:
        return _envelope((await asyncio.to_thread(box.get, digest)).to_bytes())

    @router.post(
        "/proposals/{digest}/signatures",
        summary="Sign a proposal",
        response_class=Response,
        responses={
            200: {"description": "The envelope with the signature.", "content": _JSON},
            **problem_docs(400, 403, 404, 408, 413, 422, 429, 503),
        },
        openapi_extra=_body("`keyid` in hex and `sig` in base64."),
    )
    async def sign(digest: _Digest, request: Request) -> Response:
        keyid_hex, signature = _signature(await read_body(request, MAX_SIGNATURE_BYTES))
        signed = await asyncio.to_thread(box.sign, digest, keyid_hex, signature)
        return _envelope(signed.to_bytes())

    return router


def _envelope(data: bytes) -> Response:
    return Response(data, 200, {"content-type": "application/json", "cache-control": "no-store"})


def _signature(data: bytes) -> tuple[str, bytes]:
    value = encoding.parse_json_object_lenient(data, "the signature")
    keyid, sig = encoding.members(value, "the signature", ("keyid", "sig"))
    signature = encoding.unb64(sig, "sig")
    if len(signature) != ED25519_SIGNATURE_BYTES:
        raise FormatError(f"sig has {len(signature)} bytes, want {ED25519_SIGNATURE_BYTES}")
    return encoding.parse_hex(keyid, "keyid").hex(), signature
