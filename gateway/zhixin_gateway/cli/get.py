"""``zhixin get``: fetch a version from its owner's store, then verify it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from zhixin_gateway.cli.gate_options import GateOptions, gate_options
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
@gate_options(without=["trust_dir", "standings", "require_standing"])
@json_option
@home_option
@click.pass_obj
def command(
    context: Context, name: str, destination: Path | None, *, judged: GateOptions, as_json: bool
) -> None:
    """Fetch a version into this home's store, or under DEST as DEST/MEMBER/DATASET/N.

    Without @N the newest version that stands is fetched. What the gate refuses is not kept. Beside
    it N.standing.json is put, and N.standing.1.json … for its inputs: what proves without a network
    that it stood. Fetched again, these are made anew.
    """
    from zhixin_gateway.fetching import fetch, wanted_version

    home = context.open_home()
    dataset, version = dataset_name(name)
    version = wanted_version(context.newest_state(home.ledger_client()), dataset, version)
    judging = judged.judging(home, home.trust())
    fetched = fetch(home, dataset, version, destination, judging=judging)
    for warning in (*fetched.verdict.warnings, *fetched.notes):
        say(f"warning: {warning}")
    say(f"VERIFIED {dataset}@{version}" + ("" if fetched.new else ", which was here already"))
    if as_json:
        standings = [str(path) for path in fetched.standings]
        found = {"path": str(fetched.path), "new": fetched.new, "standings": standings}
        answer({**found, **fetched.verdict.to_json()})
    else:
        sys.stdout.write(f"{fetched.path}\n")
