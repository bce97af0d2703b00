"""``zhixin erase``: withdraw versions for privacy, then destroy what this home has of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.options import (
    Context,
    answer,
    dataset_name,
    examples,
    home_option,
    json_option,
    must_answer,
    say,
)

if TYPE_CHECKING:
    from zhixin_gateway.erasure_plan import Erasure

__all__ = ["command"]


@click.command(
    "erase",
    epilog=examples(
        "zhixin erase city.gov.example/permits@1 --dry-run",
        "zhixin erase city.gov.example/permits@1 city.gov.example/permits@2",
    ),
)
@click.argument("names", metavar="MEMBER/DATASET@N...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Say what would be destroyed, and destroy nothing.")
@click.option("--yes", is_flag=True, help="Don't ask: for programs.")
@json_option
@home_option
@click.pass_obj
def command(
    context: Context, names: Sequence[str], *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Erase versions of one dataset: its parts, manifest, quarantine, reports and staging here.

    They are withdrawn first, with the reason privacy, by a checkpoint with its quorum. Versions
    that carry the same parts are erased together or not at all. What others fetched, and backups,
    are not reached from here: docs/erasure.md says what to do about them.
    """
    from zhixin_gateway.erasing import erase
    from zhixin_gateway.erasure_plan import plan

    dataset, versions = _named(names)
    home = context.open_home()
    erasure = plan(home, dataset, versions)
    _tell(erasure)
    if dry_run:
        if as_json:
            answer({**erasure.to_json(), "erased": False, "indexes": []})
        return
    if not yes:
        _ask(erasure, as_json=as_json)
    indexes = erase(home, erasure)
    if as_json:
        answer({**erasure.to_json(), "erased": True, "indexes": indexes})
    say(f"erased {', '.join(erasure.names)}")
    _tell_derived(erasure)
    say("copies that others fetched and backups are theirs and yours to destroy: docs/erasure.md")


def _named(names: Sequence[str]) -> tuple[str, list[int]]:
    versions: dict[str, list[int]] = {}
    for name in names:
        dataset, version = dataset_name(name)
        if version is None:
            raise ConfigError(f"say which version: {dataset}@N")
        versions.setdefault(dataset, []).append(version)
    if len(versions) > 1:
        raise ConfigError(f"erase one dataset after the other, not {' and '.join(versions)}")
    return next(iter(versions.items()))


def _tell(erasure: Erasure) -> None:
    say(f"to be erased: {', '.join(erasure.names)}")
    for path in erasure.files:
        say(f"  {path}")
    for path in erasure.linked:
        say(f"warning: {path} has another name somewhere on this disk, which stays")
    if erasure.keeper:
        say(
            f"warning: {erasure.keeper} keeps old versions of objects: delete those there too, "
            "docs/stores.md says how"
        )
    if erasure.others:
        told = ", ".join(f"{erasure.dataset}@{version}" for version in erasure.others)
        say(f"warning: not erased by this: {told}; do they hold the same people's records?")
    _tell_derived(erasure)


def _tell_derived(erasure: Erasure) -> None:
    if not erasure.derived:
        say("no version is stated as made from it")
        return
    say("stated as made from it, and not touched by this; write to their owners:")
    for item in erasure.derived:
        withdrawn = ", withdrawn" if item.withdrawn else ""
        say(f"  {item.dataset}@{item.version} of {item.owner}{withdrawn}")


def _ask(erasure: Erasure, *, as_json: bool) -> None:
    must_answer(
        "an erasure can't be taken back",
        "say --yes, or --dry-run to see what would be destroyed",
        as_json=as_json,
    )
    typed = click.prompt(f"this can't be taken back; type {erasure.dataset} to destroy", err=True)
    if str(typed).strip() != erasure.dataset:
        raise ConfigError("another name was typed: nothing is erased", code="unasked")
