"""``zhixin lineage``: what a version was made from, out of the ledger."""

from __future__ import annotations

import sys

import click
from zhixin_errors import ConfigError

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
    from zhixin_gateway.fetching import newest_standing
    from zhixin_gateway.lineage import lineage, lineage_svg, lineage_text
    from zhixin_gateway.pipeline.notarising import known_state

    dataset, version = dataset_name(name)
    client = context.open_home().ledger_client()
    progress = context.open_progress()
    state = known_state(client, progress)
    progress.close()
    version = version or newest_standing(state, dataset)
    if version is None:
        raise ConfigError(f"the ledger has no version of {dataset} that stands", code="no-version")
    graph = lineage(client, dataset, version)
    if as_json:
        answer(graph.to_json())
    else:
        sys.stdout.write(lineage_svg(graph) if as_svg else lineage_text(graph) + "\n")
