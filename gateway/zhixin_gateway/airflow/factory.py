"""From neutral plans to Airflow's DAGs.

::

    zhixin.start ─▶ extract_and_validate ─▶ write ─▶ notarise ─▶ (asset event: a new version)
                         │                              ▲  └ skipped ─▶ tell_unchanged ─▶ (event)
                         └─────▶ second_opinion ────────┘         (then ended, by which Airflow
                                                                   judges the run)

Where a contract divides its source among workers, four tasks stand in the place of the first, one
of them mapped over the spans; only where a span lies travels, and any executor will do::

    plan_spans ─▶ extract_span [0 … n] ─▶ join_spans ─▶ …
        └───────▶ hold_snapshot (beside them)  └─▶ let_go (whatever happened: the holder may end)

A dataset's run ends in exactly one of two events: ``notarise`` tells of a new version (extra:
dataset, version, root, index), ``tell_unchanged`` of a run that found nothing new. Where nothing
changed ``notarise`` is skipped, because a task that succeeds emits its outlet's event whether it
fills it or not. A derived dataset starts when each dataset that it waits for has told one of the
two. So a round in which one dataset of five changed starts it, and it starts once, not five times.

Airflow only wires here: what a task does stands in :mod:`zhixin_gateway.airflow.steps`.
"""
# ruff: noqa: TID253 - this module is Airflow's side; dags/ and the tests import it, nobody else

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    Asset,
    AssetAll,
    AssetAny,
    AssetWatcher,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    chain,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException
from zhixin_errors import (
    ConfigError,
    ContractError,
    LedgerUnavailable,
    TransientSourceError,
    ZhixinError,
)

from zhixin_gateway.airflow import steps
from zhixin_gateway.airflow.connections import connection_source
from zhixin_gateway.airflow.plans import DatasetPlan

if TYPE_CHECKING:
    from airflow.sdk import XComArg

__all__ = [
    "START_DAG",
    "DagOptions",
    "dataset_asset",
    "dataset_dag",
    "start_dag",
    "unchanged_asset",
]

START_DAG = "zhixin.start"
_A_DAY_S = 24 * 3600
_FIRST = 1_000
"""Weight of the task that the workers wait for: it comes before them where places are few."""
_RUN = "{{ dag.dag_id }}/{{ run_id }}"


@dataclass(frozen=True)
class DagOptions:
    """What an operator may set for all DAGs, by the environment.

    Args:
        schedule: cron of the start DAG (``ZHIXIN_SCHEDULE``); by hand where it is not set.
        retries: how often a task is tried again (``ZHIXIN_RETRIES``).
        retry_delay: before the second try, doubling after (``ZHIXIN_RETRY_DELAY_S``).
        watch_s: seconds between two looks at the ledger (``ZHIXIN_WATCH_S``).
    """

    schedule: str | None = None
    retries: int = 5
    retry_delay: timedelta = timedelta(seconds=60)
    watch_s: float = 60.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> DagOptions:
        """Read what is set.

        Raises:
            ConfigError: a number is none.
        """
        return cls(
            schedule=environ.get("ZHIXIN_SCHEDULE") or None,
            retries=int(_number(environ, "ZHIXIN_RETRIES", 5)),
            retry_delay=timedelta(seconds=_number(environ, "ZHIXIN_RETRY_DELAY_S", 60)),
            watch_s=_number(environ, "ZHIXIN_WATCH_S", 60),
        )


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ConfigError(f"{name} is a number of 0 or more, not {text!r}")
    return float(text)


def _started() -> Asset:
    return Asset(name="zhixin start", uri="zhixin://start")


def dataset_asset(dataset: str) -> Asset:
    """Give the asset whose events tell of new versions: named as the dataset is."""
    return Asset(name=dataset, uri=f"zhixin://{dataset}", group="zhixin")


def unchanged_asset(dataset: str) -> Asset:
    """Give the asset whose events tell that a run found nothing new."""
    return Asset(
        name=f"{dataset} unchanged", uri=f"zhixin://{dataset}/unchanged", group="zhixin-unchanged"
    )


def start_dag(options: DagOptions) -> DAG:
    """Make the DAG whose one asset starts every dataset that reads a source."""
    with DAG(
        START_DAG,
        schedule=options.schedule,
        catchup=False,
        max_active_runs=1,
        description="Starts every dataset that is read from an agency's own source",
        tags=["zhixin"],
    ) as dag:

        @task(outlets=[_started()])
        def start() -> None:
            """Emit the event that the datasets wait for."""

        start()
    return dag


def dataset_dag(plan: DatasetPlan, options: DagOptions) -> DAG:
    """Make the DAG of one dataset.

    Args:
        plan: what its contract says.
        options: what the operator set.
    """
    with DAG(
        plan.dag_id,
        schedule=_schedule(plan, options),
        catchup=False,
        max_active_runs=1,  # one version after another
        description=plan.description or None,
        tags=["zhixin", plan.member, *(["derived"] if plan.derived else [])],
        params=_params(plan),
        default_args={
            "owner": plan.member,
            "retries": options.retries,
            "retry_delay": options.retry_delay,
            "retry_exponential_backoff": 2,
            "max_retry_delay": options.retry_delay * 16,
            "retry_policy": _retry_policy(),
        },
    ) as dag:
        if plan.problem is not None:
            _step(contract_is_refused, plan.problem)
        else:
            _wire(plan)
    return dag


def _params(plan: DatasetPlan) -> dict[str, Param]:
    """What a run is told; who triggers one by hand may say ``full`` of an incremental dataset."""
    # A DAG version follows what is serialised, not what a closure holds: name the contract.
    contract = f"{plan.version} {plan.sha256}"
    params = {"contract": Param(contract, const=contract)}
    if plan.incremental:
        why = "Read all records of the source, not what is new since the last version"
        params["full"] = Param(False, type="boolean", title="full", description=why)
    return params


def _schedule(plan: DatasetPlan, options: DagOptions) -> list[Asset] | AssetAll | None:
    if plan.problem is not None:
        return None
    if plan.watched:
        return [_watched(plan, options)]
    if plan.derived:
        rounds = [AssetAny(dataset_asset(name), unchanged_asset(name)) for name in plan.upstream]
        return AssetAll(*rounds) if rounds else None
    return [_started()]


def _watched(plan: DatasetPlan, options: DagOptions) -> Asset:
    from zhixin_gateway.airflow.trigger import LedgerHeadTrigger

    trigger = LedgerHeadTrigger(str(plan.home), plan.dataset, plan.inputs, options.watch_s)
    return Asset(
        name=f"{plan.dataset} inputs",
        uri=f"zhixin://{plan.dataset}/inputs",
        group="zhixin-ledger",
        watchers=[AssetWatcher(name=f"{plan.dag_id}.ledger", trigger=trigger)],
    )


def _retry_policy() -> ExceptionRetryPolicy:
    """What may pass by itself is tried again; what a person must mend fails at the first try."""
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=[TransientSourceError, LedgerUnavailable],
                action=RetryAction.RETRY,
                reason="a system could not be reached; trying again may help",
            ),
            RetryRule(
                exception=ZhixinError,
                action=RetryAction.FAIL,
                reason="trying again would end the same way",
            ),
        ]
    )


def _step(function: Callable[..., Any], *arguments: object, **options: Any) -> XComArg:  # noqa: ANN401 - the operator's own options
    """Make one task that calls a function of :mod:`zhixin_gateway.airflow.steps`."""
    made: XComArg = task(**options)(steps.naming_the_way_out(function))(*arguments)
    return made


def _wire(plan: DatasetPlan) -> None:
    home = str(plan.home)
    step = plan_spans if plan.divided else extract_and_validate
    first = _step(step, home, str(plan.contract), plan.source, _RUN)
    if plan.derived:
        chain(_step(verify_inputs, home, list(plan.inputs)), first)
    elif plan.references:
        waiting = task.sensor(mode="reschedule", poke_interval=10, timeout=_A_DAY_S)
        sensor = waiting(steps.naming_the_way_out(wait_for_references))
        chain(sensor(home, list(plan.references)), first)
    staged = _joined(plan, first) if plan.divided else first
    written = _step(steps.write, home, staged)
    told = _step(notarise, home, plan.dataset, written, outlets=[dataset_asset(plan.dataset)])
    chain(_step(steps.second_opinion, home, staged), told)
    quiet = {"trigger_rule": "all_skipped", "outlets": [unchanged_asset(plan.dataset)]}
    unchanged = _step(tell_unchanged, **quiet)
    # A run is judged by its last tasks: a skipped one alone would call a failed run a success.
    ended = EmptyOperator(task_id="ended", trigger_rule="none_failed")
    chain(told, [unchanged, ended])
    chain(unchanged, ended)


def _joined(plan: DatasetPlan, planned: XComArg) -> XComArg:
    """Make the tasks of a divided source: a mapped one reads, one beside it holds the moment."""
    place = {"home": str(plan.home), "source": plan.source}
    mapped = task(map_index_template="{{ span }}")(steps.naming_the_way_out(extract_span))
    extracted = mapped.partial(**place).expand(span=planned)
    staged = _step(join_spans, *place.values(), planned)
    chain(extracted, staged)
    if plan.held:
        first = {"priority_weight": _FIRST, "weight_rule": "absolute"}
        _step(hold_snapshot, *place.values(), planned, **first)
        chain(staged, _step(steps.let_go, str(plan.home), planned, trigger_rule="all_done"))
    return staged


def contract_is_refused(problem: str) -> None:
    """Say what is wrong with the contract.

    Raises:
        ContractError: always.
    """
    raise ContractError(
        problem,
        hint="mend the file and trigger this DAG once it shows its other tasks; "
        "`zhixin contract lint` names what is wrong within a contract",
    )


def wait_for_references(home: str, datasets: list[str]) -> bool:
    """Wait until what the relationships are checked against has been published once."""
    return not steps.absent_datasets(home, datasets)


def verify_inputs(home: str, inputs: list[str]) -> list[steps.Json]:
    """Fetch and verify the newest standing version of every input, whatever an event says."""
    return steps.verify_inputs(home, inputs, _hints())


def extract_and_validate(home: str, contract: str, source: str, run: str) -> steps.Json:
    """Read the source and hold its records to the contract."""
    full = bool(get_current_context()["params"].get("full"))
    return steps.extract_and_validate(home, contract, run, _kept_here(source), full=full)


def plan_spans(home: str, contract: str, source: str, run: str) -> list[steps.Json]:
    """Divide the source into spans; the mapped task has one instance for each."""
    return steps.plan_spans(home, contract, run, _kept_here(source))


def hold_snapshot(home: str, source: str, planned: list[steps.Json]) -> None:
    """Hold one moment of the source open, which all spans are read at, until they are joined."""
    steps.hold_snapshot(home, planned, _kept_here(source))


def extract_span(home: str, source: str, span: steps.Json) -> steps.Json:
    """Read one span and hold its records to the contract; may be lost and run again."""
    get_current_context()["span"] = span["span"]  # type: ignore[typeddict-unknown-key]
    return steps.extract_span(home, span, _kept_here(source))


def join_spans(home: str, source: str, planned: list[steps.Json]) -> steps.Json:
    """Decide what only all spans together tell, and put their parts in order."""
    return steps.join_spans(home, planned, _kept_here(source))


def _kept_here(source: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The address that Airflow keeps under a source's name, if it does."""
    found = connection_source(source) if source else None
    return {source: found} if found else {}


def notarise(home: str, dataset: str, written: steps.Json) -> steps.Json:
    """State the version in the ledger, let it appear, and tell of it by the asset's event.

    Raises:
        AirflowSkipException: nothing changed, so there is no version to tell of.
    """
    result = steps.notarise(home, written)
    if result["version"] is None:
        raise AirflowSkipException(f"nothing changed, so no version of {dataset} is published")
    told = {name: result[name] for name in ("dataset", "version", "root", "index")}
    get_current_context()["outlet_events"][dataset_asset(dataset)].extra = told
    return result


def tell_unchanged() -> None:
    """Tell that this run found nothing new."""


def _hints() -> dict[str, int]:
    """Read which versions the triggering asset events spoke of: hints, never evidence."""
    hints: dict[str, int] = {}
    for events in get_current_context()["triggering_asset_events"].values():
        for event in events:
            hints |= steps.event_hints(event.extra)
    return hints
