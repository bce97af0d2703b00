"""What the tasks do, each a function of plain values; nothing here imports Airflow.

Small dicts travel between tasks; records stay in the home's staging folder. Every step may be run
again after it died at any point: extraction and writing begin anew in their own folder, and
notarising finds what it has stated already. Imports stand in the functions: Airflow's parser
loads this module for every DAG, and needs none of them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from zhixin_errors import ConfigError, LedgerUnavailable, TransientSourceError, ZhixinError

if TYPE_CHECKING:
    from zhixin_gateway.home import Home
    from zhixin_gateway.progress import Progress

__all__ = [
    "Json",
    "absent_datasets",
    "event_hints",
    "extract_and_validate",
    "extract_span",
    "hold_snapshot",
    "join_spans",
    "let_go",
    "naming_the_way_out",
    "notarise",
    "plan_spans",
    "second_opinion",
    "verify_inputs",
    "write",
]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Json = dict[str, Any]
Sources = Mapping[str, tuple[str, Mapping[str, Any]]]
ORCHESTRATOR = "airflow"
_TOLD = ("dataset", "version", "root", "index", "records", "quarantined", "warned")


def naming_the_way_out(step: Callable[P, T]) -> Callable[P, T]:
    """Let a task's log name the way out too: Airflow shows an error's sentence alone.

    Args:
        step: what the task does.
    """

    @wraps(step)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return step(*args, **kwargs)
        except ZhixinError as error:
            if error.hint:
                log.error("%s: %s", error.message, error.hint)  # noqa: TRY400 - Airflow logs the trace
            raise

    return told


def absent_datasets(home: str, datasets: Iterable[str]) -> list[str]:
    """Ask the ledger which of these datasets have no standing version yet.

    Args:
        home: the member's home.
        datasets: ``member/name`` each.

    Raises:
        LedgerUnavailable: the ledger can't be reached now.
    """
    from zhixin_gateway.fetching import newest_standing
    from zhixin_gateway.home import Home

    with Home.open(home).ledger_client() as client:
        state = client.sync()
        return [name for name in datasets if newest_standing(state, name) is None]


def verify_inputs(home: str, inputs: Iterable[str], hints: Mapping[str, int]) -> list[Json]:
    """Fetch and verify the newest standing version of every input, before anything is derived.

    Args:
        home: the member's home.
        inputs: ``member/name`` each.
        hints: the version that an asset event spoke of, by dataset; told in the log where the
            ledger says otherwise, and otherwise without effect.

    Returns:
        ``{dataset, version, index}`` of each, as the gate found them.

    Raises:
        TransientSourceError: an input has no standing version yet.
        VerificationError: the gate refused one.
        LedgerUnavailable: the ledger can't be reached now.
    """
    from zhixin_gateway.fetching import fetch, newest_standing
    from zhixin_gateway.home import Home

    opened = Home.open(home)
    with opened.ledger_client() as client:
        state = client.sync()
        newest = {name: newest_standing(state, name) for name in inputs}
    verified = []
    for dataset, version in newest.items():
        if version is None:
            raise TransientSourceError(f"{dataset} has no version that stands yet")
        if hints.get(dataset, version) != version:
            log.warning(
                "an asset event spoke of %s@%s; the ledger's newest that stands is %s",
                dataset, hints[dataset], version,
            )  # fmt: skip
        fetched = fetch(opened, dataset, version)
        verified.append({"dataset": dataset, "version": version, "index": fetched.index})
    return verified


def event_hints(extra: Mapping[str, Any] | None) -> dict[str, int]:
    """Read the versions that an asset event speaks of; whatever is not in its form says nothing.

    Args:
        extra: ``{dataset, version, …}`` of a run's event, or a watcher's ``{payload: {inputs}}``.

    Returns:
        Version by dataset.
    """
    told = dict(extra or {})
    payload = told.get("payload")
    versions = payload.get("inputs") if isinstance(payload, dict) else None
    pairs = (
        dict(versions) if isinstance(versions, dict) else {told.get("dataset"): told.get("version")}
    )
    return {
        name: number
        for name, number in pairs.items()
        if isinstance(name, str) and type(number) is int
    }


def extract_and_validate(
    home: str, contract: str, run: str, sources: Sources | None = None, *, full: bool = False
) -> Json:
    """Read the source, hold the records to the contract, and stage what was accepted.

    Args:
        home: the owner's home.
        contract: the contract's file.
        run: names this run in the manifest.
        sources: address and options by name, where the scheduler keeps them; the home's own
            otherwise.
        full: read all records, also where the contract lets a run read what is new.

    Returns:
        What the next steps need to find the staged records.
    """
    from zhixin_gateway import pipeline

    opened = _open(home, sources or {})
    earlier = _finish_earlier(opened, Path(contract))
    with _passing_trouble():
        staged = pipeline.extract(
            opened,
            Path(contract),
            report=True,
            full=full,
            orchestrator=ORCHESTRATOR,
            run_id=run,
            progress=_task_log(),
        )
    return {**staged, "earlier": earlier}


def plan_spans(home: str, contract: str, run: str, sources: Sources | None = None) -> list[Json]:
    """Divide the source among workers.

    Args:
        home: the owner's home.
        contract: the contract's file.
        run: names this run in the manifest.
        sources: see :func:`extract_and_validate`.

    Returns:
        What each worker needs to find its span.
    """
    from zhixin_gateway.pipeline.partitions import plan

    opened = _open(home, sources or {})
    earlier = _finish_earlier(opened, Path(contract))
    with _passing_trouble():
        staged = plan(
            opened,
            Path(contract),
            report=True,
            orchestrator=ORCHESTRATOR,
            run_id=run,
            progress=_task_log(),
        )
    place = {"dataset": staged["dataset"], "token": staged["token"], "earlier": earlier}
    return [
        {**place, "index": index, "span": f"{told['low'] or 'first'} to {told['high'] or 'last'}"}
        for index, told in enumerate(staged["spans"])
    ]


def hold_snapshot(home: str, planned: list[Json], sources: Sources | None = None) -> None:
    """Hold one moment of the source open until the spans are joined.

    Args:
        home: the owner's home.
        planned: what :func:`plan_spans` answered.
        sources: see :func:`extract_and_validate`.
    """
    from zhixin_gateway.pipeline.snapshots import hold_snapshot as hold

    hold(_open(home, sources or {}), planned[0], progress=_task_log())


def extract_span(home: str, span: Json, sources: Sources | None = None) -> Json:
    """Read one span, hold its records to the contract, and write its parts.

    Args:
        home: the owner's home.
        span: one of those that :func:`plan_spans` answered.
        sources: see :func:`extract_and_validate`.

    Returns:
        How many records there were, for people.
    """
    from zhixin_gateway.pipeline.partitions import extract_partition

    with _passing_trouble():
        return extract_partition(
            _open(home, sources or {}), span, int(span["index"]), progress=_task_log()
        )


def join_spans(home: str, planned: list[Json], sources: Sources | None = None) -> Json:
    """Make one extraction of all spans.

    Args:
        home: the owner's home.
        planned: what :func:`plan_spans` answered.
        sources: see :func:`extract_and_validate`.

    Returns:
        As :func:`extract_and_validate`.
    """
    from zhixin_gateway.pipeline.joining import join

    with _passing_trouble():
        staged = join(_open(home, sources or {}), planned[0], progress=_task_log())
    return {**staged, "earlier": planned[0]["earlier"]}


def let_go(home: str, planned: list[Json] | None) -> None:
    """Tell the task that holds a snapshot that nobody wants it any more.

    Args:
        home: the owner's home.
        planned: what :func:`plan_spans` answered; None where it came to nothing.
    """
    from zhixin_gateway.pipeline.snapshots import release_snapshot
    from zhixin_gateway.pipeline.staging import Work

    if planned:
        release_snapshot(Work(_open(home, {}), str(planned[0]["dataset"])), planned[0])


def _open(home: str, sources: Sources) -> Home:
    from zhixin_gateway.home import Home

    return Home.open(
        home,
        sources={name: url for name, (url, _) in sources.items()},
        options={name: options for name, (_, options) in sources.items()},
    )


def _finish_earlier(home: Home, contract: Path) -> Json | None:
    """Finish what an earlier run signed and could not prove; extraction would refuse to begin."""
    from zhixin_gateway.pipeline.extraction import read_contract
    from zhixin_gateway.pipeline.running import finish_earlier
    from zhixin_gateway.pipeline.staging import Work

    with _passing_trouble():
        work = Work(home, read_contract(home, contract).dataset)
        result = finish_earlier(home, work, _task_log())
    return None if result is None else _told(result.to_json())


def _task_log() -> Progress:
    """Tell of drift, of readings begun anew and of where rejects are, in the task's own log."""
    from zhixin_gateway.progress import LogProgress

    return LogProgress(sys.stdout)  # Airflow files what comes on standard error as errors


@contextmanager
def _passing_trouble() -> Iterator[None]:
    """Let a task be tried again where another process is at the same dataset right now."""
    try:
        yield
    except ConfigError as error:
        if error.code != "busy":
            raise
        raise TransientSourceError(error.message, code=error.code, hint=error.hint) from error


def second_opinion(home: str, staged: Json) -> Json:
    """Let Great Expectations count the same rules over the same records.

    Raises:
        ValidationRefused: the counts differ, and the home's setting says ``stop``.
    """
    from zhixin_gateway import pipeline

    with _passing_trouble():
        # This is a task's process; where the scheduler has imported the engine it is here already.
        preloaded = "great_expectations" in sys.modules
        return pipeline.second_opinion(
            _open(home, {}), staged, progress=_task_log(), own_process=not preloaded
        )


def write(home: str, staged: Json) -> Json:
    """Write parts, contract and manifest beside the version's place."""
    from zhixin_gateway import pipeline

    with _passing_trouble():
        written = pipeline.write(_open(home, {}), staged, progress=_task_log())
    return {**written, "earlier": staged.get("earlier")}


def notarise(home: str, written: Json) -> Json:
    """State the version in the ledger, wait for its receipt, and let the version appear.

    Returns:
        ``{dataset, version, root, index, records, quarantined, warned}``; ``version`` is None
        where nothing changed.

    Raises:
        LedgerUnavailable: the ledger or its quorum can't be reached now; proof is pending.
    """
    from zhixin_gateway import pipeline

    progress = _task_log()
    with _passing_trouble():
        result = pipeline.notarise(_open(home, {}), written, progress=progress)
    for note in result.notes:
        progress.say(note)
    answer = _told(result.to_json())
    if answer["version"] is None and written.get("earlier"):
        # Nothing changed since, but what an earlier run had signed appeared in this one.
        return dict(written["earlier"])
    return answer


def _told(result: Json) -> Json:
    if result["pending"]:
        raise LedgerUnavailable(f"the proof of {result['dataset']}@{result['version']} is pending")
    return {name: result[name] for name in _TOLD}
