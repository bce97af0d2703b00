"""Serving standing files: what a consumer without a copy of the ledger asks a log or a mirror.

::

    GET /standing/<member>/<dataset>     a standing file (docs/formats.md 2.7), of the newest
                                         checkpoint that is published here; 404 `version-unknown`

The file proves itself, so nobody need trust who serves it. The state that belongs to the published
checkpoint lies in a database of its own beside it, for what is served has always gone on already.
Where that is far behind, each question brings it on for some seconds and is answered with 503.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from starlette.responses import Response
from zhixin_errors import FormatError, LedgerRefused, LedgerUnavailable

from zhixin_ledger import names
from zhixin_ledger.http.answers import cached_answer, not_found, problem_answer, problem_docs
from zhixin_ledger.http.problems import Problem
from zhixin_ledger.standing import REPLICA, Replica, make_standing, published
from zhixin_ledger.tiles import DirectorySource

__all__ = ["standing_routes"]

_TYPE = "application/json"
_WORK_S = 5.0


class _StandingFolder:
    """Standing files of a ledger's folder; asked by one thread at a time.

    Args:
        directory: the folder with `checkpoint` and `tile/`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._source = DirectorySource(directory)
        self._replica: Replica | None = None

    def make(self, dataset: str) -> bytes:
        """Make a dataset's standing file.

        Raises:
            LedgerRefused: `version-unknown`.
            LedgerUnavailable: `ledger-empty`; `ledger-damaged`; `ledger-behind`: ask again.
        """
        if self._replica is None:
            self._replica = Replica(self._directory / REPLICA)
        try:
            note = published(self._source)
            state = self._replica.at(note, self._source, limit_s=_WORK_S)
            return make_standing(state, self._source, note, dataset)
        except FormatError as fault:  # of the files here, no fault of who asks
            raise LedgerUnavailable(
                f"what the ledger published is damaged: {fault.message}", code="ledger-damaged"
            ) from fault


def standing_routes(directory: Path) -> APIRouter:
    """Give the routes over a folder.

    Args:
        directory: the folder with `checkpoint` and `tile/`.
    """
    folder = _StandingFolder(directory)
    router = APIRouter(tags=["standing"])
    turn = asyncio.Lock()  # one thread at most, whoever asks: the others serve tiles

    @router.get(
        "/standing/{member}/{dataset}",
        summary="The standing of a dataset, with its proof",
        response_class=Response,
        responses={
            200: {"description": "A standing file.", "content": {_TYPE: {}}},
            304: {"description": "It is still the one of `If-None-Match`."},
            **problem_docs(404, 429, 503),
        },
    )
    async def standing(
        request: Request,
        member: Annotated[str, PathParameter(description="the owner's name")],
        dataset: Annotated[str, PathParameter(description="the dataset's name")],
    ) -> Response:
        name = f"{member}/{dataset}"
        try:
            names.check_dataset(name)
        except FormatError:
            return not_found("that is no dataset's name")
        try:
            async with turn:
                data = await asyncio.to_thread(folder.make, name)
        except LedgerRefused as error:
            if error.code != "version-unknown":
                raise
            return problem_answer(Problem(404, error.code, error.message))
        return cached_answer(request, data, _TYPE)

    return router
