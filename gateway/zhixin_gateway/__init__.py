"""Zhixin: verified datasets between agencies.

::

    import zhixin_gateway as zhixin

    flights = zhixin.open("bts.gov.example/flights")
    frame = flights.to_pandas()

Importing this brings in neither Airflow, Great Expectations, pandas nor pyarrow: they come with
the call that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zhixin_gateway.gate import VerifiedDataset, verify
    from zhixin_gateway.home import Home
    from zhixin_gateway.opening import open

__all__ = ["Home", "VerifiedDataset", "open", "verify"]

_PLACES = {
    "Home": "zhixin_gateway.home",
    "VerifiedDataset": "zhixin_gateway.gate",
    "open": "zhixin_gateway.opening",
    "verify": "zhixin_gateway.gate",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Import a public name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
