"""The second opinion: another engine counts the same rules over the same records.

It may run beside ``write``, in a process of its own, and again. What it says stands in
``opinion.json`` of the staging folder; where one was asked for, ``notarise`` publishes nothing
without it. Its report holds records: it stays in the home, for the steward alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zhixin_errors import ConfigError, ValidationRefused
from zhixin_schemas.loader import load_contract
from zhixin_schemas.model import Contract
from zhixin_schemas.second_opinion import SecondOpinion
from zhixin_schemas.second_opinion import second_opinion as ask

from zhixin_gateway.datasets.directory import write_whole
from zhixin_gateway.home import Home
from zhixin_gateway.pipeline.staging import Staged, Work
from zhixin_gateway.progress import NullProgress, Progress
from zhixin_gateway.quarantine import keep_attempt

__all__ = ["heard_opinion", "second_opinion"]

_FILE = "opinion.json"


def second_opinion(
    home: Home,
    staged: Staged,
    *,
    keep: bool = True,
    progress: Progress | None = None,
    own_process: bool = True,
) -> dict[str, Any]:
    """Let Great Expectations count what the rules found of the records that were read, and compare.

    Args:
        home: the owner's.
        staged: what ``extract(report=True)`` answered.
        keep: where it refuses the version, keep the rejects for the steward.
        progress: told what happens.
        own_process: start one for it; False where the caller is one already.

    Returns:
        ``{rows, total, agrees, rules, not_checked, report}``: no record's contents.

    Raises:
        ValidationRefused: the counts differ and the home's setting is ``stop``; or a rule that
            only Great Expectations knows is broken.
        ConfigError: Great Expectations is not installed, or no input was kept for it.
    """
    progress = progress or NullProgress()
    work = Work(home, str(staged["dataset"]))
    state = work.expect(staged)
    if not work.input.is_file():
        raise ConfigError(
            f"no records of {work.dataset} were kept for a second opinion",
            hint="extract with report=True, `zhixin run --report`",
        )
    progress.step("second opinion", work.dataset)
    contract = load_contract((work.folder / "contract.yaml").read_bytes())
    report = _report_folder(home, work.dataset, str(state["extracted_at"]))
    failed = {str(rule["rule"]): int(rule["failed"]) for rule in state["rules"]}
    incremental = state.get("incremental")
    opinion = ask(
        contract,
        work.input,
        report,
        unique_failed=failed,
        delta=incremental is not None and incremental["how"] != "full",
        own_process=own_process,
    )
    answer = opinion.to_json()
    external = _external(contract, opinion)
    try:
        _judge(home, opinion, progress)
        _refuse_broken(work, external, opinion)
    except ValidationRefused as error:
        if keep and (kept := keep_attempt(work, error.code, state["extracted"])):
            progress.say(kept)
        raise
    heard = {"token": state["token"], "external": external, **answer}
    write_whole(work.folder / _FILE, json.dumps(heard).encode())
    progress.done(
        f"{len(opinion.counts)} rules agree, {len(opinion.not_checked)} not second-checked; "
        f"report: {opinion.report}"
    )
    return answer


def heard_opinion(work: Work, state: Staged) -> dict[str, Any] | None:
    """What the second opinion said of this run; None where none was asked for.

    Raises:
        ConfigError: one was asked for, and was not given or did not agree.
    """
    if not state.get("report"):
        return None
    try:
        heard = json.loads((work.folder / _FILE).read_bytes())
    except (OSError, ValueError):
        heard = None
    if not isinstance(heard, dict) or heard.get("token") != state["token"]:
        raise ConfigError(
            f"the second opinion on {work.dataset} was asked for and has not been heard",
            code="second-opinion",
            hint="run that step first; nothing was published",
        )
    return heard


def _judge(home: Home, opinion: SecondOpinion, progress: Progress) -> None:
    if home.settings.second_opinion == "stop":
        opinion.require_agreement()
    for count in opinion.disagreements():
        progress.warn(f"the second opinion differs: {count}")


def _external(contract: Contract, opinion: SecondOpinion) -> list[dict[str, Any]]:
    """What only the second engine found, as it joins the rules."""
    severities = {rule.name: rule.severity for rule in contract.rules}
    return [
        {
            "rule": count.rule,
            "severity": severities[count.rule],
            "checked": count.checked,
            "failed": count.failed,
        }
        for count in opinion.counts
        if count.external
    ]


def _refuse_broken(work: Work, external: list[dict[str, Any]], opinion: SecondOpinion) -> None:
    """A rule that only the second engine knows can't quarantine a record: it stops the version."""
    for rule in external:
        if rule["failed"] and rule["severity"] != "warning":
            raise ValidationRefused(
                f"{work.dataset} is not published: {rule['rule']} is broken, says Great "
                f"Expectations ({rule['failed']} of {rule['checked']} records)",
                code="critical-rule",
                hint=f"see {opinion.report}",
            )


def _report_folder(home: Home, dataset: str, extracted_at: str) -> Path:
    folder = home.reports / dataset / extracted_at.replace(":", "").replace("-", "")[:15]
    home.reports.mkdir(exist_ok=True, mode=0o700)  # for the steward alone, whatever lies below
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
