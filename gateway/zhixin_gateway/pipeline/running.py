"""One whole run, as ``zhixin run`` makes it: its steps one after another.

What an earlier run signed and could not prove is finished first. A run that ends without a word, by
whatever cause, is run again: it finds what is complete and does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ZhixinError

from zhixin_gateway.home import Home
from zhixin_gateway.pipeline.extraction import extract, read_contract
from zhixin_gateway.pipeline.notarising import finish, notarise
from zhixin_gateway.pipeline.opinion import second_opinion
from zhixin_gateway.pipeline.results import RunResult, remember_run
from zhixin_gateway.pipeline.staging import SIGNED, Staged, Work
from zhixin_gateway.pipeline.writing import write
from zhixin_gateway.progress import NullProgress, Progress

if TYPE_CHECKING:
    from zhixin_schemas.model import Contract

__all__ = ["finish_earlier", "run"]


def run(
    home: Home,
    contract_path: Path,
    *,
    dry_run: bool = False,
    force: bool = False,
    report: bool = False,
    full: bool = False,
    workers: int = 1,
    orchestrator: str = "",
    run_id: str = "",
    progress: Progress | None = None,
) -> RunResult:
    """Make one version of a dataset, from its source to the ledger.

    Args:
        home: the owner's.
        contract_path: the contract's file.
        dry_run: extract and validate, publish nothing, leave nothing.
        force: publish also where nothing changed.
        report: let a second engine count the rules too, and keep its report.
        full: read all records, also where the contract lets a run read what is new.
        workers: processes that read at once, where the contract divides its source.
        orchestrator: what runs this, for the manifest.
        run_id: its name for the run.
        progress: told what happens.

    Returns:
        What came of it.

    Raises:
        ZhixinError: see ``extract``, ``second_opinion``, ``write`` and ``notarise``.
    """
    progress = progress or NullProgress()
    contract = read_contract(home, contract_path)
    if workers > 1 and contract.partitioning is None:
        progress.warn(
            f"the contract of {contract.dataset} does not divide its source: one reads it"
        )
    work = Work(home, contract.dataset)
    try:
        return _run(
            work,
            dry_run=dry_run,
            force=force,
            progress=progress,
            extracting=partial(
                _extracting(contract, workers, dry_run=dry_run, full=full),
                home,
                contract_path,
                report=report,
                orchestrator=orchestrator,
                run_id=run_id,
                progress=progress,
            ),
        )
    except ZhixinError as error:
        if error.code != "busy" and not dry_run:
            told = {"code": error.code, "message": error.message}
            remember_run(home, {"dataset": contract.dataset, "error": told})
        raise


def _extracting(
    contract: Contract, workers: int, *, dry_run: bool, full: bool
) -> Callable[..., Staged]:
    """The extraction that a contract asks for; a dry run reads everything at once and in one."""
    if dry_run or contract.partitioning is None:
        return partial(extract, publish=not dry_run, full=full)
    from zhixin_gateway.pipeline.workers import extract_divided

    return partial(extract_divided, workers=workers)


def _run(
    work: Work,
    *,
    dry_run: bool,
    force: bool,
    progress: Progress,
    extracting: Callable[[], Staged],
) -> RunResult:
    home, began = work.home, time.time()
    earlier = None if dry_run else finish_earlier(home, work, progress)
    if earlier is not None and earlier.pending:
        return earlier
    if not dry_run:
        home.signer()  # a key that can't be used must not come to light after hours of extracting
    staged = extracting()
    try:
        if staged["report"]:
            second_opinion(home, staged, keep=not dry_run, progress=progress)
        if dry_run:
            return _dry(staged, began)
        written = write(home, staged, progress=progress)
    except BaseException:
        _let_go(work)
        raise
    finally:
        if dry_run:
            _let_go(work)
    result = notarise(home, written, force=force, progress=progress)
    if earlier is not None and result.version is None:
        return earlier
    return result


def finish_earlier(home: Home, work: Work, progress: Progress) -> RunResult | None:
    """Finish what an earlier run signed; a statement that the ledger refuses is let go."""
    if work.step != SIGNED:
        return None
    with home.lock(work.dataset):
        progress.say(f"an earlier run of {work.dataset} is finished first")
        try:
            return finish(work, progress)
        except ZhixinError as error:
            if work.step == SIGNED:
                raise
            progress.warn(f"the earlier run's version was not taken: {error.message}")
            return None


def _let_go(work: Work) -> None:
    if work.step != SIGNED:
        with work.home.lock(work.dataset):
            work.discard()


def _dry(staged: Staged, began: float) -> RunResult:
    return RunResult(
        dataset=str(staged["dataset"]),
        version=None,
        pending=False,
        records=int(staged["records"]),
        quarantined=int(staged["quarantined"]),
        warned=int(staged["warned"]),
        root=None,
        index=None,
        path=None,
        rules=staged["rules"],
        drift=staged["drift"],
        alerts=staged["alerts"],
        incremental=staged.get("incremental"),
        seconds=time.time() - began,
        notes=("a dry run: nothing was published, nothing is left",),
    )
