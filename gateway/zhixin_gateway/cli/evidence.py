"""``zhixin evidence``: what is left to check when Zhixin is gone."""

from __future__ import annotations

import sys
from pathlib import Path
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
    say,
)

if TYPE_CHECKING:
    from zhixin_gateway.evidence.making import Evidence

__all__ = ["command"]

_MAKE = "make"


class DefaultGroup(click.Group):
    """A group whose first argument may be what ``make`` takes: ``zhixin evidence NAME OUT``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``make`` before what names no command."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [_MAKE, *args]
        return super().parse_args(ctx, args)


@click.group(
    "evidence",
    cls=DefaultGroup,
    epilog=examples("zhixin evidence city.gov.example/permits@2 permits-2.zip"),
)
def command() -> None:
    """Evidence of a version, to be checked without Zhixin.

    `zhixin evidence MEMBER/DATASET@N OUT.zip` is short for `zhixin evidence make`.
    """


@command.command(
    _MAKE,
    short_help="Make a version's bundle.",
    epilog=examples("zhixin evidence make city.gov.example/permits@2 permits-2.zip"),
)
@click.argument("name", metavar="MEMBER/DATASET@N")
@click.argument("out", metavar="OUT.zip", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@home_option
@click.pass_obj
def make(context: Context, name: str, out: Path, *, as_json: bool) -> None:
    """Write the evidence of a version to OUT.zip: proofs, trust, formats and a verifier.

    It holds no record and no secret. `python verify.py OUT.zip` checks it, with Python's standard
    library and `cryptography` alone.
    """
    from zhixin_gateway.evidence.making import make_evidence

    dataset, version = dataset_name(name)
    if version is None:
        raise ConfigError(
            f"which version of {dataset}?", hint=f"write {dataset}@N; `zhixin ls` shows them"
        )
    if out.exists():
        raise ConfigError(
            f"{out} is there already", hint=f"`zhixin evidence renew {out}` renews a bundle"
        )
    _give(make_evidence(context.open_home(), dataset, version), out, as_json=as_json)


@command.command(
    "renew",
    short_help="Renew a bundle, before its algorithms age.",
    epilog=examples(
        "zhixin evidence renew permits-2.zip", "zhixin evidence renew permits-2.zip renewed.zip"
    ),
)
@click.argument("bundle", metavar="BUNDLE.zip", type=click.Path(path_type=Path))
@click.argument("out", metavar="[OUT.zip]", required=False, type=click.Path(path_type=Path))
@json_option
@home_option
@click.pass_obj
def renew(context: Context, bundle: Path, out: Path | None, *, as_json: bool) -> None:
    """Add the newest checkpoint to a bundle, in its place or to OUT.zip.

    It is proved to begin with the older ones, and is cosigned by the members of now with the keys
    of now: what an algorithm signed before it broke stays proved. The older proofs stay.
    """
    from zhixin_gateway.evidence.making import renew_evidence

    _give(renew_evidence(context.open_home(), bundle), out or bundle, as_json=as_json)


@command.command(
    "fingerprint",
    short_help="What a verifier compares: the ledger's fingerprint.",
    epilog=examples("zhixin evidence fingerprint"),
)
@json_option
@home_option
@click.pass_obj
def fingerprint(context: Context, *, as_json: bool) -> None:
    """Print the ledger's fingerprint, from this home's own copy.

    It is made from the founders' statement and never changes. Publish it where those who may check
    evidence one day will look: a gazette, a web site.
    """
    from zhixin_gateway.evidence import verify

    client = context.open_home().ledger_client()
    if client.state().size == 0:
        client.sync()
    found = verify.fingerprint(client.entry(0))
    if as_json:
        answer({"ledger": client.origin, "ledger_fingerprint": found})
        return
    sys.stdout.write(f"{found}\n")
    say(f"the fingerprint of {client.origin}")


def _give(made: Evidence, out: Path, *, as_json: bool) -> None:
    from zhixin_gateway.datasets.directory import write_file

    write_file(out, made.data)
    for warning in made.warnings:
        say(f"warning: {warning}")
    found = made.found
    if as_json:
        names = ("dataset", "version", "ledger", "ledger_fingerprint", "trust_fingerprint")
        told = {name: found[name] for name in (*names, "standing")}
        answer({"path": str(out), **told, "proved": made.proved})
        return
    sys.stdout.write(f"{out}\n")
    say(
        f"evidence of {found['dataset']}@{found['version']}: check it with `python verify.py {out}`"
    )
    say(f"tell who checks it, over another way: --fingerprint {found['ledger_fingerprint']}")
