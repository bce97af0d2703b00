"""The pipeline: from an agency's source to a notarised version, step by step.

::

    extract ─▶ (second_opinion) ─▶ write ─▶ notarise          run = all of them
       │             │               │          └ sign, submit, receipt, rename
       │             │               └ parts, contract, manifest, in a folder beside the place
       │             └ Great Expectations counts the same rules
       └ connector → rules → external sort → unique keys → rejects aside

Each step may be called alone, in another process, and again: what lies between them is in the
home's staging folder, and only a small dict travels. Begin with ``running``.

Where a contract divides its source, ``partitions`` and ``joining`` take the place of ``extract``:
several workers read a span each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zhixin_gateway.pipeline.extraction import extract
    from zhixin_gateway.pipeline.notarising import notarise, resume
    from zhixin_gateway.pipeline.opinion import second_opinion
    from zhixin_gateway.pipeline.results import RunResult
    from zhixin_gateway.pipeline.running import run
    from zhixin_gateway.pipeline.staging import Staged
    from zhixin_gateway.pipeline.writing import write

__all__ = [
    "RunResult",
    "Staged",
    "extract",
    "notarise",
    "resume",
    "run",
    "second_opinion",
    "write",
]

_PLACES = {
    "RunResult": "results",
    "Staged": "staging",
    "extract": "extraction",
    "notarise": "notarising",
    "resume": "notarising",
    "run": "running",
    "second_opinion": "opinion",
    "write": "writing",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import a step when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
