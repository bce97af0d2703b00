"""``zhixin get``: fetch a version from its owner's store, then verify it."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.options import (
    Context,
    answer,
    dataset_name,
    examples,
    home_option,
    json_option,
    say,
)

__all__ = ["command"]


@click.command(
    "get",
    epilog=examples(
        "zhixin get city.gov.example/permits", "zhixin get city.gov.example/permits@2 /media/disk"
    ),
)
@click.argument("name", metavar="MEMBER/DATASET[@N]")
@click.argument("destination", metavar="[DEST]", required=False, type=click.Path(path_type=Path))
@json_option
@home_option
@click.pass_obj
def command(context: Context, name: str, destination: Path | None, *, as_json: bool) -> None:
    """Fetch a version into this home's store, or under DEST as DEST/MEMBER/DATASET/N.

    Without @N the newest version that stands is fetched. What the gate refuses is not kept.
    """
    from zhixin_gateway.fetching import fetch, newest_standing
    from zhixin_gateway.pipeline.notarising import known_state

    home = context.open_home()
    dataset, version = dataset_name(name)
    progress = context.open_progress()
    state = known_state(home.ledger_client(), progress)
    progress.close()
    version = version or newest_standing(state, dataset)
    if version is None:
        raise ConfigError(
            f"{dataset} has no version that stands",
            code="no-version",
            hint="`zhixin ls` shows what can be had",
        )
    fetched = fetch(home, dataset, version, destination)
    for warning in fetched.verdict.warnings:
        say(f"warning: {warning}")
    say(f"VERIFIED {dataset}@{version}" + ("" if fetched.new else ", which was here already"))
    if as_json:
        answer({"path": str(fetched.path), "new": fetched.new, **fetched.verdict.to_json()})
    else:
        sys.stdout.write(f"{fetched.path}\n")
