"""``zhixin prove``: what a record's holder shows to somebody who has no access to the dataset."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from zhixin_gateway.cli.gate_options import GateOptions, gate_options
from zhixin_gateway.cli.options import Context, examples, home_option, say

__all__ = ["command"]


@click.command(
    "prove",
    epilog=examples("zhixin prove /media/disk/permits-2 --where 'id = 2' --out proof.json"),
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--where", required=True, metavar="SQL", help="A condition that picks one record.")
@click.option("--expect", metavar="NAME[@N]", help="The version that it must be.")
@gate_options()
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write it there.")
@home_option
@click.pass_obj
def command(
    context: Context,
    path: Path,
    *,
    where: str,
    expect: str | None,
    judged: GateOptions,
    out: Path | None,
) -> None:
    """Prove the one record of the version in PATH that SQL picks; nothing of the others shows."""
    from zhixin_gateway.datasets.directory import write_file
    from zhixin_gateway.gate.prove import prove_record

    home = context.find_home()
    trust = judged.trust(home)
    judging = judged.judging(home, trust, path)
    proof = prove_record(path, trust, where=where, expect=expect, **judging)
    if out is None:
        sys.stdout.write(proof.decode() + "\n" if sys.stdout.isatty() else proof.decode())
    else:
        write_file(out, proof)
        say(f"wrote {out}: check it with `zhixin verify-record {out} --trust DIR`")
