"""Answers of our servers: small, built once, and a problem document for whatever goes wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from zhixin_errors import ZhixinError

from zhixin_ledger.http.problems import CONTENT_TYPE, LOG_STATUS, Problem, problem_of

__all__ = [
    "cached_answer",
    "json_answer",
    "not_found",
    "problem_answer",
    "problem_docs",
    "tell_problems",
]

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "hint": {"type": "string"},
    },
}

_FRAMEWORK = {404: "not-found", 405: "method"}


def json_answer(value: object, status: int = 200) -> Response:
    """Answer in JSON; nothing on the way may keep it."""
    return Response(
        json.dumps(value, ensure_ascii=False).encode(),
        status,
        {"content-type": "application/json", "cache-control": "no-store"},
    )


def cached_answer(request: Request, data: bytes, kind: str) -> Response:
    """Answer with what changes with the newest checkpoint: kept for 2 s, then asked about anew."""
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"content-type": kind, "cache-control": "public, max-age=2", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(data, 200, headers)


def not_found(detail: str) -> Response:
    """Answer that what the path names is not here."""
    return problem_answer(Problem(404, "not-found", detail))


def problem_answer(problem: Problem) -> Response:
    """Answer with a problem document."""
    return Response(problem.body, problem.status, problem.headers)


def problem_docs(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Say in an OpenAPI document which problems a route answers with."""
    return {
        status: {
            "description": "A problem.",
            "content": {CONTENT_TYPE: {"schema": _PROBLEM_SCHEMA}},
        }
        for status in statuses
    }


def tell_problems(app: FastAPI, table: Mapping[str, int] = LOG_STATUS) -> None:
    """Have every error of ours and of the framework answered by a problem document.

    Args:
        app: the application.
        table: status by an error's code.
    """

    async def ours(_request: Request, error: Exception) -> Response:
        if not isinstance(error, ZhixinError):
            raise error
        return problem_answer(problem_of(error, table))

    async def framework(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        code = _FRAMEWORK.get(status, "malformed" if status < 500 else "internal")
        detail = str(error.detail) if isinstance(error, HTTPException) else _invalid(error)
        answer = problem_answer(Problem(status, code, detail))
        if status == 405:
            answer.headers["allow"] = _allowed(app, request.url.path)
        return answer

    async def gone(_request: Request, _error: Exception) -> Response:
        return problem_answer(Problem(408, "slow", "the client has gone"))  # nobody reads it

    async def unforeseen(_request: Request, _error: Exception) -> Response:
        return problem_answer(Problem(500, "internal", "a fault of this server's"))

    app.router.redirect_slashes = False
    app.add_middleware(Plain)
    app.openapi = lambda: _true_openapi(app)  # type: ignore[method-assign]
    app.add_exception_handler(ZhixinError, ours)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, framework)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unforeseen)


def _allowed(app: FastAPI, path: str) -> str:
    """Every method that a path knows; one route knows only its own."""
    routes = [route for route in app.routes if isinstance(route, Route)]
    methods = [route.methods or () for route in routes if route.path_regex.match(path)]
    return ", ".join(sorted({method for known in methods for method in known}))


class Plain:
    """Middleware: HEAD is answered as GET is, and a path with control characters names nothing.

    The server leaves the body out where HEAD was asked. Routes would take a line end behind a path
    for its end.

    Args:
        app: what is asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            if not scope["path"].isprintable():
                await not_found("no path has control characters")(scope, receive, send)
                return
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}  # the server keeps its own
        await self._app(scope, receive, send)


def _true_openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the application as it is: without the framework's own form of a refusal."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for operations in made["paths"].values():
            for operation in operations.values():
                _without_framework(operation["responses"])
        made.get("components", {}).pop("schemas", None)
        app.openapi_schema = made
    return app.openapi_schema


def _without_framework(responses: dict[str, Any]) -> None:
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]
    if set(responses.get("200", {}).get("content", {})) == {"application/json"}:
        responses["200"]["content"]["application/json"].setdefault("schema", {"type": "object"})


def _invalid(error: Exception) -> str:
    if not isinstance(error, RequestValidationError) or not error.errors():
        return "the request is not in its form"
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
