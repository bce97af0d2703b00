"""One moment of a database, held open for as long as several workers read (PostgreSQL).

::

    hold_snapshot ─ pg_export_snapshot ─▶ spans/snapshot.json {"generation": 1, "name": "…"}
    a worker      ─ SET TRANSACTION SNAPSHOT '…' ─▶ reads what the holder sees

The session that exported must stay open until the last worker has begun to read. If it dies, who
began goes on, and who comes later fails in a way that may pass: a holder that is started again
holds another moment, a later generation, and the join reads anew what was read at an earlier one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from zhixin_errors import ConfigError, TransientSourceError
from zhixin_schemas.loader import load_contract

from zhixin_gateway.datasets.directory import write_whole
from zhixin_gateway.pipeline.staging import PLANNED, Staged, Work
from zhixin_gateway.progress import NullProgress, Progress

if TYPE_CHECKING:
    from zhixin_gateway.home import Home

__all__ = ["Held", "held_snapshot", "hold_snapshot", "holding", "release_snapshot"]

_FILE = "snapshot.json"
_RELEASED = "released"
_LOOK_S = 15.0
"""So often the holder sees whether the database still has its snapshot."""


class Held(NamedTuple):
    """A moment: its number, from 1, and the database's name for it; 0 and empty for none."""

    generation: int
    name: str


def hold_snapshot(
    home: Home,
    staged: Staged,
    *,
    most_s: float = 86_400.0,
    every_s: float = 0.5,
    progress: Progress | None = None,
) -> None:
    """Hold one moment of the source open until the join has ended, or nobody wants it any more.

    Args:
        home: the owner's.
        staged: what ``plan`` answered.
        most_s: give up after so long.
        every_s: between two looks whether it is still wanted.
        progress: told what happens.

    Raises:
        TransientSourceError: the database can't be reached, or it was wanted for too long.
        SourceError: the database can't be read.
    """
    work = Work(home, str(staged["dataset"]))
    if not _is_wanted(work, staged):
        return
    with holding(work, progress or NullProgress()) as still_there:
        looked = time.monotonic()
        until = looked + most_s
        while _is_wanted(work, staged):
            if time.monotonic() - looked > _LOOK_S:
                still_there()
                looked = time.monotonic()
            if time.monotonic() > until:
                raise TransientSourceError(
                    f"the snapshot of {work.dataset} was held for {most_s:.0f} s, and its readers "
                    "have not ended",
                    code="snapshot",
                )
            time.sleep(every_s)


@contextmanager
def holding(work: Work, progress: Progress) -> Iterator[Callable[[], None]]:
    """Hold a moment open in this process, by a name that workers find.

    Args:
        work: a planned one.
        progress: told what happens.

    Yields:
        What sees that it can still be had, and raises TransientSourceError where it can't.
    """
    from zhixin_connectors.spans import exported_snapshot, try_snapshot

    contract = load_contract((work.folder / "contract.yaml").read_bytes())
    connector = work.home.open_source(contract.server, contract.options)
    file = work.spans / _FILE
    with exported_snapshot(connector) as name:
        held = Held(_known(work).generation + 1, name)
        write_whole(file, json.dumps(held._asdict()).encode())
        progress.say(f"{work.dataset}: one moment of {connector.name} is held for all spans")
        try:
            yield partial(try_snapshot, connector, name)
        finally:
            with suppress(OSError):  # the folder is gone where the run has ended
                write_whole(file, json.dumps(held._replace(name="")._asdict()).encode())


def release_snapshot(work: Work, staged: Staged) -> None:
    """Tell the holder that nobody wants its moment any more; safe where there is none.

    Args:
        work: of the dataset.
        staged: what ``plan`` answered; where another run has begun since, its holder goes on.
    """
    with suppress(OSError, ConfigError):
        work.expect(staged)
        (work.spans / _RELEASED).touch()


def held_snapshot(work: Work, state: Staged, *, wait_s: float = 60.0, every_s: float = 0.2) -> Held:
    """The moment that is held now.

    Args:
        work: the run's.
        state: its state.
        wait_s: how long a holder is waited for.
        every_s: between two looks.

    Raises:
        TransientSourceError: none is held.
        ConfigError: none will be held again, for the run had ended.
    """
    if not state["snapshot"]:
        return Held(0, "")
    until = time.monotonic() + wait_s
    while not (held := _known(work)).name:
        if (work.spans / _RELEASED).exists():
            raise ConfigError(
                f"the moment at which {work.dataset} was read was let go when its run ended, and "
                "spans that were not read then can't be read at it",
                code="staging",
                hint="begin with a new one: run the dataset again; under Airflow trigger it, or "
                "clear its run from plan_spans on, downstream too",
            )
        if time.monotonic() > until:
            raise TransientSourceError(
                f"no snapshot of {work.dataset}'s source is held for its workers",
                code="snapshot",
                hint="the task hold_snapshot runs beside them: the scheduler needs a place for it",
            )
        time.sleep(every_s)
    return held


def _known(work: Work) -> Held:
    try:
        return Held(**json.loads((work.spans / _FILE).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return Held(0, "")


def _is_wanted(work: Work, staged: Staged) -> bool:
    state = work.load() or {}
    return (
        state.get("token") == staged.get("token")
        and state.get("step") == PLANNED
        and bool(state.get("snapshot"))
        and not (work.spans / _RELEASED).exists()
    )
