"""Serving a ledger's folder as it stands: C2SP tlog-tiles, for logs and for mirrors.

::

    GET /checkpoint                     the newest published note; kept for seconds
    GET /tile/<L>/<N>[.p/<W>]           hashes; never changes
    GET /tile/entries/<N>[.p/<W>]       entries; never changes; compressed for who takes gzip

What is served lies in the folder under the same name. A partial file that was removed once its full
one was there is cut from that, so that every size that was ever published stays readable. Tiles
that no published checkpoint covers yet are served too: witnesses replay before they cosign.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from starlette.responses import Response

from zhixin_ledger import tiles
from zhixin_ledger.http.answers import cached_answer, not_found, problem_docs
from zhixin_ledger.tiles import HASH_BYTES, DirectorySource

__all__ = ["NOTE_TYPE", "TileFolder", "tile_routes"]

NOTE_TYPE = "text/plain; charset=utf-8"
_TILE_TYPE = "application/octet-stream"
_TILE_CACHE = "public, max-age=31536000, immutable"
_GROUPS = r"(?:x[0-9]{3}/)*[0-9]{3}"
_PATH = rf"(?:[0-9]|[1-5][0-9]|6[0-3]|entries)/{_GROUPS}(?:\.p/[1-9][0-9]{{0,2}})?"
_PARTIAL = re.compile(r"(.+)\.p/([0-9]+)")
_MIN_GZIP_BYTES = 1024
_KEPT_BYTES = 32 * 1024 * 1024


class TileFolder:
    """A ledger's files, as they are served.

    Args:
        directory: the folder with `checkpoint` and `tile/`.
    """

    def __init__(self, directory: Path) -> None:
        self._source = DirectorySource(directory)
        self._packed: OrderedDict[str, bytes] = OrderedDict()
        self._packed_bytes = 0

    def checkpoint(self) -> bytes | None:
        """Give the newest published note; None before the first."""
        return self._source.read(tiles.CHECKPOINT)

    def tile(self, path: str) -> bytes | None:
        """Give a tile's or bundle's bytes; `path` as it stands in the URL after `tile/`."""
        if re.fullmatch(_PATH, path) is None:
            return None
        partial = _PARTIAL.fullmatch(path)
        if partial is None:
            return self._source.read(f"tile/{path}")
        width = int(partial[2])
        if width >= tiles.WIDTH:
            return None
        data = self._source.read(f"tile/{path}")
        return self._cut(partial[1], width) if data is None else data

    def _cut(self, path: str, width: int) -> bytes | None:
        full = self._source.read(f"tile/{path}")
        if full is None:
            return None
        if not path.startswith("entries/"):
            return full[: width * HASH_BYTES]
        return tiles.pack_entries(tiles.unpack_entries(full, tiles.WIDTH)[:width])

    def packed(self, path: str, data: bytes) -> bytes:
        """Give a bundle's bytes compressed; the last ones are kept."""
        kept = self._packed.get(path)
        if kept is not None:
            return kept
        maker = zlib.compressobj(5, wbits=31)
        made = maker.compress(data) + maker.flush()
        if self._packed.setdefault(path, made) is made:
            self._packed_bytes += len(made)
        while self._packed_bytes > _KEPT_BYTES:
            _, gone = self._packed.popitem(last=False)
            self._packed_bytes -= len(gone)
        return made


def tile_routes(directory: Path) -> APIRouter:
    """Give the reading routes over a folder.

    Args:
        directory: the folder with `checkpoint` and `tile/`.
    """
    folder = TileFolder(directory)
    router = APIRouter(tags=["tlog-tiles"])

    @router.get(
        "/checkpoint",
        summary="The newest published checkpoint",
        response_class=Response,
        responses={
            200: {"description": "A signed note.", "content": {"text/plain": {}}},
            304: {"description": "It is still the one of `If-None-Match`."},
            **problem_docs(404, 429, 503),
        },
    )
    async def checkpoint(request: Request) -> Response:
        data = folder.checkpoint()
        if data is None:
            return not_found("no checkpoint is published yet")
        return cached_answer(request, data, NOTE_TYPE)

    @router.get(
        "/tile/{path:path}",
        summary="A tile of hashes, or a bundle of entries",
        response_class=Response,
        responses={
            200: {"description": "Its bytes.", "content": {_TILE_TYPE: {}}},
            **problem_docs(404, 429, 503),
        },
    )
    async def tile(
        request: Request,
        path: Annotated[str, PathParameter(description="as C2SP tlog-tiles has it")],
    ) -> Response:
        bundle = path.startswith("entries/")
        data = await asyncio.to_thread(folder.tile, path) if bundle else folder.tile(path)
        if data is None:
            return not_found("the ledger has no such tile")
        headers = {"content-type": _TILE_TYPE, "cache-control": _TILE_CACHE}
        if bundle:
            headers["vary"] = "accept-encoding"
            if len(data) >= _MIN_GZIP_BYTES and _takes_gzip(request):
                data = await asyncio.to_thread(folder.packed, path, data)
                headers["content-encoding"] = "gzip"
        return Response(data, 200, headers)

    return router


def _takes_gzip(request: Request) -> bool:
    for item in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = item.strip().partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
