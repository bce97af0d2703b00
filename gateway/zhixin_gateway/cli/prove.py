"""``zhixin prove``: what a record's holder shows to somebody who has no access to the dataset."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from zhixin_gateway.cli.gate_options import GateOptions, gate_options
from zhixin_gateway.cli.options import Context, VersionPlace, examples, home_option, say

__all__ = ["command"]


@click.command(
    "prove",
    epilog=examples(
        "zhixin prove /media/disk/permits-2 --key 2 --out proof.json",
        "zhixin prove /media/disk/permits-2 --where 'id = 2' --out proof.json",
    ),
)
@click.argument("path", type=VersionPlace())
@click.option(
    "--key",
    metavar="VALUE",
    multiple=True,
    help="The record's primary key; repeated for each field of it, in the contract's order.",
)
@click.option("--where", metavar="SQL", help="A condition that picks one record.")
@click.option("--expect", metavar="NAME[@N]", help="The version that it must be.")
@gate_options()
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write it there.")
@home_option
@click.pass_obj
def command(
    context: Context,
    path: Path | str,
    *,
    key: tuple[str, ...],
    where: str | None,
    expect: str | None,
    judged: GateOptions,
    out: Path | None,
) -> None:
    """Prove one record of the version in PATH; nothing of the others shows.

    By --key only the part that holds the record is read; by --where all of them are.
    """
    from zhixin_gateway.datasets.directory import write_file
    from zhixin_gateway.gate.prove import prove_record

    if (where is None) == (not key):
        raise click.UsageError("say which record: by --key or by --where, and not by both")
    home = context.find_home()
    trust = judged.trust(home)
    judging = judged.judging(home, trust, path)
    proof = prove_record(path, trust, where=where, key=key or None, expect=expect, **judging)
    if out is None:
        sys.stdout.write(proof.decode() + "\n" if sys.stdout.isatty() else proof.decode())
    else:
        write_file(out, proof)
        say(f"wrote {out}: check it with `zhixin verify-record {out} --trust DIR`")
