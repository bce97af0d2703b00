"""The second opinion."""

from __future__ import annotations

from typing import Any

from zhixin_gateway.home import Home
from zhixin_gateway.pipeline.staging import Staged
from zhixin_gateway.progress import Progress


def second_opinion(
    home: Home, staged: Staged, *, progress: Progress | None = None
) -> dict[str, Any]:
    raise NotImplementedError
