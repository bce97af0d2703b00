"""Airflow's side: one DAG per contract, started by assets or by the ledger's head.

Begin with :mod:`~zhixin_gateway.airflow.plans` (contract files → neutral plans), then
:mod:`~zhixin_gateway.airflow.factory` (plans → DAGs) and :mod:`~zhixin_gateway.airflow.steps`
(what a task does). :mod:`~zhixin_gateway.airflow.local` is ``make airflow``.

A file in a DAG folder needs these lines and no more::

    from zhixin_gateway.airflow import dags

    globals().update(dags())
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import DAG

__all__ = ["dags"]


def dags(homes: str | None = None) -> dict[str, DAG]:
    """Build the DAGs of every contract of every home.

    A worker that runs one task asks for its own DAG alone, and gets that alone.

    Args:
        homes: folders of homes, or homes, separated as in ``PATH``; ``ZHIXIN_HOMES`` by default.

    Returns:
        DAGs by id, for the globals of a file in a DAG folder.

    Raises:
        ConfigError: nothing names the homes, or a folder is not there.
    """
    from airflow.sdk import get_parsing_context

    from zhixin_gateway.airflow.factory import START_DAG, DagOptions, dataset_dag, start_dag
    from zhixin_gateway.airflow.plans import find_homes, read_plans

    only = get_parsing_context().dag_id
    options = DagOptions.from_environment()
    if only == START_DAG:
        return {START_DAG: start_dag(options)}
    plans = read_plans(find_homes(homes), only)
    built = {plan.dag_id: dataset_dag(plan, options) for plan in plans}
    return built if only else {START_DAG: start_dag(options), **built}
