"""``zhixin standing``: the offline proof of which versions of a dataset stand."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.options import Context, dataset_name, examples, home_option, say

__all__ = ["command"]


@click.command(
    "standing",
    epilog=examples(
        "zhixin standing city.gov.example/permits /media/disk/permits.standing.json",
        "zhixin verify /media/disk/permits-2 --trust trust --standing permits.standing.json",
    ),
)
@click.argument("name", metavar="MEMBER/DATASET")
@click.argument("out", metavar="[OUT]", required=False, type=click.Path(path_type=Path))
@home_option
@click.pass_obj
def command(context: Context, name: str, out: Path | None) -> None:
    """Prove to anyone, offline, which version of a dataset is the latest and which are withdrawn.

    As of the ledger's newest checkpoint; to OUT, or to standard output.
    """
    from zhixin_gateway.datasets.directory import write_file
    from zhixin_gateway.standing_file import make_standing

    dataset, version = dataset_name(name)
    if version is not None:
        raise ConfigError(f"a standing is of all versions of a dataset: write {dataset}")
    client = context.open_home().ledger_client()
    context.newest_state(client)
    data = make_standing(client, dataset)
    if out is None:
        sys.stdout.write(data.decode())
        return
    write_file(out, data)
    say(f"wrote {out}: check a version with `zhixin verify PATH --trust DIR --standing {out}`")
