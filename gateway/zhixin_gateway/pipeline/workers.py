"""A divided source read by one machine: span after span, or several at once in processes.

The same plan, extraction and join as a scheduler's (``partitions.py``), so that the version has the
same parts whoever makes it. A process takes the next span that none has taken; one that dies costs
the span in its hands, which is read again.
"""

from __future__ import annotations

import multiprocessing as mp
import secrets
import signal
from collections.abc import Sequence
from contextlib import nullcontext
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import TransientSourceError, ZhixinError

from zhixin_gateway.home import Home
from zhixin_gateway.pipeline.joining import join
from zhixin_gateway.pipeline.partitions import extract_partition, plan, result_of
from zhixin_gateway.pipeline.snapshots import holding
from zhixin_gateway.pipeline.staging import Staged, Work
from zhixin_gateway.progress import NullProgress, Progress

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

__all__ = ["extract_divided"]

_ROUNDS = 3
"""How often spans are taken up that were lost with their process."""


def extract_divided(
    home: Home,
    contract_path: Path,
    *,
    workers: int = 1,
    report: bool = False,
    orchestrator: str = "",
    run_id: str = "",
    progress: Progress | None = None,
) -> Staged:
    """Read a divided source, and stage what came of it, as ``extract`` does of others.

    Args:
        home: the owner's.
        contract_path: the contract's file.
        workers: processes that read at once; 1: this one alone.
        report: keep all records for the second opinion too.
        orchestrator: what runs this, for the manifest.
        run_id: its name for the run.
        progress: told what happens.

    Returns:
        What ``write`` and ``second_opinion`` go on from.

    Raises:
        ZhixinError: see ``plan``, ``extract_partition`` and ``join``.
    """
    progress = progress or NullProgress()
    staged = plan(
        home,
        contract_path,
        report=report,
        orchestrator=orchestrator,
        run_id=run_id,
        progress=progress,
    )
    work = Work(home, str(staged["dataset"]))
    try:
        with holding(work, progress) if staged["snapshot"] else nullcontext():
            if workers > 1:
                _read_at_once(home, staged, workers, progress)
            else:
                for index in range(len(staged["spans"])):
                    extract_partition(home, staged, index, progress=progress)
            return join(home, staged, progress=progress)
    except BaseException:
        with home.lock(work.dataset):
            work.discard()
        raise


def _read_at_once(home: Home, staged: Staged, workers: int, progress: Progress) -> None:
    work = Work(home, str(staged["dataset"]))
    indexes, token = range(len(staged["spans"])), str(staged["token"])
    progress.step("extract", f"{work.dataset}, {len(indexes)} spans by {workers} processes")
    for _ in range(_ROUNDS):
        missing = [index for index in indexes if result_of(work, index, token) is None]
        if not missing:
            progress.done(f"{len(indexes)} spans")
            return
        _one_round(home, staged, missing, min(workers, len(missing)), progress)
    raise TransientSourceError(
        f"processes that read spans of {work.dataset} were ended from outside, {_ROUNDS} times",
        code="worker-lost",
        hint="memory may be too small for so many: try fewer --workers",
    )


def _one_round(
    home: Home, staged: Staged, missing: Sequence[int], workers: int, progress: Progress
) -> None:
    """Let processes read spans until all have ended; raises what one of them met with."""
    context = mp.get_context("spawn")
    given = (str(home.path), dict(home.given_sources), dict(home.given_options))
    mark = secrets.token_hex(4)
    running: dict[Any, SpawnProcess] = {}
    try:
        for _ in range(workers):
            heard, told = context.Pipe(duplex=False)
            process = context.Process(
                target=_read, args=(given, staged, list(missing), mark, told), daemon=True
            )
            process.start()
            told.close()  # else its end would not be seen here
            running[heard] = process
        ears = list(running)
        while ears:
            for ready in connection.wait(ears):
                _hear(ready, ears, progress)
    finally:
        for heard, process in running.items():
            heard.close()
            process.kill()
            process.join()


def _hear(heard: Any, ears: list[Any], progress: Progress) -> None:  # noqa: ANN401 - a pipe's end
    try:
        told = heard.recv()
    except EOFError:
        ears.remove(heard)
        return
    if isinstance(told, ZhixinError):
        raise told
    progress.advance(*told)


class _Told(NullProgress):
    """Lets the process that was started tell of each batch to the one that shows it."""

    def __init__(self, pipe: Any) -> None:  # noqa: ANN401 - a pipe's end
        self._pipe = pipe

    def advance(self, records: int, size_bytes: int = 0) -> None:
        """Tell it over."""
        self._pipe.send((records, size_bytes))


def _read(
    given: tuple[str, Any, Any],
    staged: Staged,
    indexes: list[int],
    mark: str,
    told: Any,  # noqa: ANN401 - a pipe's end
) -> None:
    """A process: take spans until none is left, and tell how far it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    try:
        home = Home.open(given[0], sources=given[1], options=given[2])
        work = Work(home, str(staged["dataset"]))
        for index in indexes:
            if _taken(work, f".taken-{mark}-{index:05d}"):
                extract_partition(home, staged, index, progress=_Told(told))
    except ZhixinError as error:
        told.send(error)
    except Exception as error:  # noqa: BLE001 - told where it can be seen, without its words
        told.send(ZhixinError(f"a process that reads a span failed: {type(error).__name__}"))


def _taken(work: Work, name: str) -> bool:
    """Whether this process is the first to take something."""
    try:
        (work.spans / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
