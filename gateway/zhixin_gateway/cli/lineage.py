"""``zhixin lineage``: what a version was made from, out of the ledger."""

from __future__ import annotations

import sys

import click

from zhixin_gateway.cli.options import (
    Context,
    answer,
    dataset_name,
    examples,
    home_option,
    json_option,
)

__all__ = ["command"]


@click.command(
    "lineage",
    epilog=examples(
        "zhixin lineage city.gov.example/permits",
        "zhixin lineage city.gov.example/permits@2 --svg > permits.svg",
    ),
)
@click.argument("name", metavar="MEMBER/DATASET[@N]")
@click.option("--svg", "as_svg", is_flag=True, help="Draw it, as SVG to standard output.")
@json_option
@home_option
@click.pass_obj
def command(context: Context, name: str, *, as_svg: bool, as_json: bool) -> None:
    """Show every version that a version stands on, as far back as the ledger goes."""
    from zhixin_gateway.fetching import wanted_version
    from zhixin_gateway.lineage import lineage, lineage_svg, lineage_text

    dataset, version = dataset_name(name)
    client = context.open_home().ledger_client()
    version = wanted_version(context.newest_state(client), dataset, version)
    graph = lineage(client, dataset, version)
    if as_json:
        answer(graph.to_json())
    else:
        sys.stdout.write(lineage_svg(graph) if as_svg else lineage_text(graph) + "\n")
