"""The second opinion: Great Expectations counts the contract's rules over the staged input.

Its report lies in the home, ``reports/<member>/<dataset>/<time of the extraction>/``: it shows
failing values and is the steward's alone. Where the engines differ, the version stops, unless the
home's setting ``second_opinion`` says ``warn``.
"""

from __future__ import annotations

from typing import Any

from zhixin_errors import ConfigError
from zhixin_schemas.loader import load_contract_file
from zhixin_schemas.second_opinion import second_opinion as ask

from zhixin_gateway.home import Home
from zhixin_gateway.pipeline.staging import Staged, Work
from zhixin_gateway.progress import NullProgress, Progress

__all__ = ["second_opinion"]


def second_opinion(
    home: Home, staged: Staged, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Let the second engine count the same rules over the same records.

    Args:
        home: the owner's home.
        staged: what ``extract`` answered, with ``report=True``.
        progress: told what goes on.

    Returns:
        ``{rows, total, agrees, rules, not_checked, report}``: counts by rule, no record's contents.

    Raises:
        ValidationRefused: the engines differ, and the setting says ``stop``; or GX failed.
        ConfigError: the input was not kept, or Great Expectations is not installed.
    """
    progress = progress or NullProgress()
    work = Work(home, str(staged["dataset"]))
    state = work.expect(staged)
    if not work.input.is_file():
        raise ConfigError(
            f"the records of {work.dataset} were not kept for a second opinion",
            hint="extract with report=True (`zhixin run --report`)",
        )
    progress.step("second opinion", work.dataset)
    contract = load_contract_file(work.folder / "contract.yaml")
    folder = home.reports / work.dataset / str(state["extracted_at"]).replace(":", "")
    opinion = ask(
        contract,
        work.input,
        folder,
        unique_failed={str(rule["rule"]): int(rule["failed"]) for rule in state["rules"]},
    )
    of = f" of {opinion.total:,}" if opinion.sample else ""
    progress.done(f"{opinion.rows:,}{of} records, {len(opinion.counts)} rules; {opinion.report}")
    if home.settings.second_opinion == "warn":
        for differing in opinion.disagreements():
            progress.warn(f"the second opinion differs: {differing}")
    else:
        opinion.require_agreement()
    return opinion.to_json()
