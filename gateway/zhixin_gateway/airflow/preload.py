"""What tasks need, imported once in the scheduler, so that its forked workers need not.

Airflow's LocalExecutor forks a worker a task. Each would import pyarrow and, for the second
opinion, Great Expectations: seven seconds of CPU time. Imported before the fork they cost nothing.
:mod:`~zhixin_gateway.airflow.services` asks for it by ``airflow_local_settings``; nothing breaks
where it is left out, tasks only start later.
"""

from __future__ import annotations

import importlib
import sys

__all__ = ["LOCAL_SETTINGS", "preload"]

LOCAL_SETTINGS = '''"""Every Airflow process reads this; it helps the scheduler alone."""

from zhixin_gateway.airflow.preload import preload

__all__: list[str] = []
preload()
'''
_MODULES = (
    "great_expectations",
    "zhixin_gateway.fetching",
    "zhixin_gateway.opening",
    "zhixin_gateway.pipeline.derivation",
    "zhixin_gateway.pipeline.opinion",
    "zhixin_gateway.pipeline.running",
)


def preload() -> None:
    """Import what tasks need, if this process is the scheduler."""
    if "scheduler" in sys.argv[1:2]:
        for name in _MODULES:
            importlib.import_module(name)
