"""The second opinion: Great Expectations counts the same rules over the same records.

:func:`second_opinion` starts a process of its own (GX takes seconds and hundreds of megabytes to
import), which reads the staged input, runs the suite once, writes GX's Data Docs, and answers with
counts; :meth:`SecondOpinion.disagreements` compares them with the engine's. GX does not raise when
it breaks: an expectation whose ``exception_info`` holds anything is *broken*, never *failed*.

Data Docs print failing values: the report directory is the steward's and never leaves the home.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from zhixin_errors import ConfigError, ValidationRefused

from zhixin_schemas.model import Contract

__all__ = ["Count", "SecondOpinion", "second_opinion"]

_TIMEOUT_S = 3_600


@dataclass(frozen=True)
class Count:
    """What both engines found of one rule.

    Args:
        rule: its name.
        checked: records that GX looked at.
        failed: records that GX found breaking it.
        engine_checked: records that the contract's engine looked at, None where only GX knows.
        engine_failed: records that it found breaking it; None where it knows nothing of the rule.
        broken: what GX says went wrong with it; empty where it worked.
    """

    rule: str
    checked: int
    failed: int
    engine_checked: int | None
    engine_failed: int | None
    broken: str = ""
    external: bool = False

    @property
    def agrees(self) -> bool:
        """Whether both engines say the same; of an external rule, whether it worked."""
        if self.broken:
            return False
        if self.external:
            return True
        return (self.checked, self.failed) == (self.engine_checked, self.engine_failed)

    def __str__(self) -> str:
        """Say who found what."""
        if self.broken:
            return f"{self.rule}: Great Expectations could not check it ({self.broken})"
        if self.engine_failed is None:
            return (
                f"{self.rule}: the engine did not check it, Great Expectations found {self.failed}"
            )
        return (
            f"{self.rule}: the engine found {self.engine_failed} of {self.engine_checked}, "
            f"Great Expectations {self.failed} of {self.checked}"
        )


@dataclass(frozen=True)
class SecondOpinion:
    """What a second engine says of a run.

    Args:
        rows: records that it looked at.
        total: records extracted; more than `rows` where it looked at a sample.
        counts: by rule, in the contract's order.
        not_checked: rules without a built-in expectation, or that a sample can't tell.
        report: the first page of GX's Data Docs.
    """

    rows: int
    total: int
    counts: tuple[Count, ...]
    not_checked: tuple[str, ...]
    report: Path

    @property
    def sample(self) -> bool:
        """Whether it looked at a sample only."""
        return self.rows < self.total

    def disagreements(self) -> list[Count]:
        """Give the rules on which the engines differ, or that GX could not check."""
        return [count for count in self.counts if not count.agrees]

    def require_agreement(self) -> None:
        """Stop a version on which the engines differ.

        Raises:
            ValidationRefused: code ``second-opinion``; ``details`` lists the rules.
        """
        differing = self.disagreements()
        if differing:
            raise ValidationRefused(
                f"the second opinion differs on {len(differing)} rule(s): {differing[0]}",
                code="second-opinion",
                hint=f"compare both in {self.report}",
                details={"disagreements": [str(count) for count in differing]},
            )

    def to_json(self) -> dict[str, object]:
        """Give everything for ``--json`` and between Airflow's tasks; no record's contents."""
        return {
            "rows": self.rows,
            "total": self.total,
            "agrees": not self.disagreements(),
            "rules": [asdict(count) for count in self.counts],
            "not_checked": list(self.not_checked),
            "report": str(self.report),
        }


def second_opinion(
    contract: Contract,
    staged: Path,
    report: Path,
    *,
    unique_failed: Mapping[str, int] | None = None,
    delta: bool = False,
    own_process: bool = True,
) -> SecondOpinion:
    """Let Great Expectations check a run's records, in a process of its own.

    Args:
        contract: whose rules both engines check.
        staged: what :class:`zhixin_schemas.staged.StagedInput` wrote.
        report: directory for GX's Data Docs; made if need be.
        unique_failed: records that break each unique rule, as the run found them.
        delta: they are what an incremental run read, and not the whole version.
        own_process: start one; False where the caller is one already, such as an Airflow task.

    Raises:
        ConfigError: Great Expectations is not installed.
        ValidationRefused: the process failed; code ``second-opinion``.
    """
    with tempfile.TemporaryDirectory(prefix="zhixin-opinion-") as scratch:
        folder = Path(scratch)
        answer = folder / "answer.json"
        (folder / "contract.yaml").write_bytes(contract.bytes)
        request = {
            "contract": str(folder / "contract.yaml"),
            "staged": str(staged.resolve()),
            "report": str(report.resolve()),
            "unique_failed": dict(unique_failed or {}),
            "delta": delta,
            "answer": str(answer),
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        run = _run if own_process else _run_here
        run(folder / "request.json", folder)
        told = json.loads(answer.read_text(encoding="utf-8"))
    return SecondOpinion(
        rows=told["rows"],
        total=told["total"],
        counts=tuple(Count(**count) for count in told["counts"]),
        not_checked=tuple(told["not_checked"]),
        report=Path(told["report"]),
    )


def _run(request: Path, folder: Path) -> None:
    """Run the other process; what it says on standard error may hold records and is not shown."""
    environment = {
        **os.environ,
        "GX_ANALYTICS_ENABLED": "false",
        "TQDM_DISABLE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-P", "-m", "zhixin_schemas.great_expectations_run", str(request)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValidationRefused(
            "the second opinion took more than an hour", code="second-opinion"
        ) from error
    _refuse_missing(done.returncode)
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        kind = last[0].partition(":")[0] if last else "no message"
        raise ValidationRefused(
            f"the second opinion's process ended with {done.returncode} ({kind})",
            code="second-opinion",
        )


def _run_here(request: Path, _folder: Path) -> None:
    """Run it in this process; its errors may hold records too, so only their kind is told."""
    from zhixin_schemas.great_expectations_run import main

    try:
        code = main([str(request)])
    except Exception as error:  # noqa: BLE001 - whatever it says may hold records
        raise ValidationRefused(
            f"the second opinion ended with {type(error).__name__}", code="second-opinion"
        ) from None
    _refuse_missing(code)


def _refuse_missing(code: int) -> None:
    if code == 3:
        raise ConfigError(
            "the second opinion needs Great Expectations",
            hint="pip install 'zhixin-gateway[quality]'",
        )
