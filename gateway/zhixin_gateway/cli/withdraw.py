"""``zhixin withdraw``: take an own version back, in the ledger, for everyone to see."""

from __future__ import annotations

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
    "withdraw",
    epilog=examples("zhixin withdraw city.gov.example/permits@1 --reason error --replaced-by 2"),
)
@click.argument("name", metavar="MEMBER/DATASET@N")
@click.option(
    "--reason",
    required=True,
    type=click.Choice(["error", "superseded", "legal", "privacy", "other"]),
    help="Why; it stands in the ledger for ever.",
)
@click.option("--replaced-by", type=click.IntRange(1), help="A later version that stands.")
@json_option
@home_option
@click.pass_obj
def command(
    context: Context, name: str, reason: str, replaced_by: int | None, *, as_json: bool
) -> None:
    """Withdraw a version. It is not deleted: the gate refuses it from now on."""
    from zhixin_gateway.withdrawing import withdraw

    dataset, version = dataset_name(name)
    if version is None:
        raise ConfigError(f"say which version: {dataset}@N")
    index = withdraw(context.open_home(), dataset, version, reason, replaced_by)
    if as_json:
        answer({"dataset": dataset, "version": version, "reason": reason, "index": index})
    say(f"{dataset}@{version} is withdrawn as of entry {index}")
