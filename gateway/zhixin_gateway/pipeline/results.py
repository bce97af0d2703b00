"""What a run answers (``zhixin run --json``)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zhixin_ledger.encoding import format_time

from zhixin_gateway.datasets import hashing
from zhixin_gateway.datasets.directory import write_whole
from zhixin_gateway.home import Home

__all__ = ["RunResult", "last_run", "remember_run"]


@dataclass(frozen=True)
class RunResult:
    """One run and what came of it.

    Args:
        dataset: ``member/name``.
        version: the version that was published, or waits for its proof; None: nothing changed.
        pending: the version waits for its proof.
        records: accepted records.
        quarantined: rejected records.
        warned: accepted records with at least one warning.
        root: the version's root in hex, None where nothing changed.
        index: of the statement in the ledger, once it is there.
        path: of the version's directory, once it is there.
        rules: {rule, severity, checked, failed} each.
        seconds: how long the run took.
        standing: the newest version, also where nothing changed; None: there is none.
        notes: sentences for people.
        drift: {kind, column, message} each: how the source's columns changed.
        alerts: messages of broken rules about the whole that only warn.
        released: {version, records, of}: of the rejects of the version before so many came in;
            None where there were none, or they can't be compared.
        incremental: {how, why, read, deleted, carried, written}: which rows were read, and what
            became of the parts of the version before (docs/incremental.md); None where the
            contract lets each run read all.
        parts: {carried, written}: how many of the version's parts are those of the version before,
            and how many are new; None where no version came of it.
    """

    dataset: str
    version: int | None
    pending: bool
    records: int
    quarantined: int
    warned: int
    root: str | None
    index: int | None
    path: str | None
    rules: Sequence[Mapping[str, Any]]
    seconds: float
    standing: int | None = None
    notes: tuple[str, ...] = field(default=())
    drift: Sequence[Mapping[str, str]] = ()
    alerts: Sequence[str] = ()
    released: Mapping[str, int] | None = None
    incremental: Mapping[str, Any] | None = None
    parts: Mapping[str, int] | None = None

    @property
    def extracted(self) -> int:
        """The source's own records: a run ends only where these two are all of them."""
        return self.records + self.quarantined

    def to_json(self) -> dict[str, Any]:
        """The answer of ``run --json``."""
        return {
            "dataset": self.dataset,
            "version": self.version,
            "pending": self.pending,
            "extracted": self.extracted,
            "records": self.records,
            "quarantined": self.quarantined,
            "warned": self.warned,
            "root": self.root,
            "index": self.index,
            "path": self.path,
            "rules": [dict(rule) for rule in self.rules],
            "drift": [dict(each) for each in self.drift],
            "alerts": list(self.alerts),
            "released": None if self.released is None else dict(self.released),
            "incremental": None if self.incremental is None else dict(self.incremental),
            "parts": None if self.parts is None else dict(self.parts),
            "kernel": hashing.kernel(),
            "seconds": round(self.seconds, 3),
        }


def remember_run(home: Home, answer: Mapping[str, Any]) -> None:
    """Keep a run's answer for ``status``; it holds no record's contents.

    Args:
        home: the home that ran.
        answer: a result's JSON, or {"dataset", "error"}.
    """
    at = format_time(dt.datetime.now(dt.UTC))
    path = home.path / "runs" / f"{answer['dataset']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"at": at, **answer}, ensure_ascii=False).encode())


def last_run(home: Home, dataset: str) -> dict[str, Any] | None:
    """The last run's answer with its time, or None where there was none."""
    try:
        answer = json.loads((home.path / "runs" / f"{dataset}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
