"""``zhixin trust``: what a consumer pins once, out of band."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.member_copy import at_work
from zhixin_gateway.cli.options import (
    Context,
    answer,
    examples,
    home_option,
    json_option,
    say,
    table,
)
from zhixin_gateway.cli.trust_update import chain, update

if TYPE_CHECKING:
    from zhixin_ledger.trust import Trust

__all__ = ["check_fingerprint", "command"]


@click.group("trust")
def command() -> None:
    """Export, show, import and move forward a trust."""


command.add_command(update)
command.add_command(chain)


@command.command(
    "export",
    short_help="Write a trust for those who verify.",
    epilog=examples("zhixin trust export /media/disk/trust"),
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@json_option
@home_option
@click.pass_obj
def export(context: Context, directory: Path, *, as_json: bool) -> None:
    """Write a trust from this home's replayed copy of the ledger to DIR."""
    from zhixin_gateway.founding import export_trust

    with at_work(context) as (home, _, state):
        trust = export_trust(home, state, directory)
    _tell(trust, directory, as_json=as_json)
    say("whoever pins it compares the fingerprint with you, over another way than the files'")


@command.command("show", epilog=examples("zhixin trust show /media/disk/trust"))
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@json_option
@home_option
@click.pass_obj
def show(context: Context, directory: Path | None, *, as_json: bool) -> None:
    """Show a trust: DIR's, or the home's."""
    from zhixin_ledger.trust import load_trust

    trust = load_trust(directory) if directory else context.open_home().trust()
    _tell(trust, directory, as_json=as_json)
    if as_json:
        return
    cosigners = {cosigner.member for cosigner in trust.cosigners(trust.size)}
    table(
        ["member", "standing", "cosigns", "title"],
        [
            [
                member.name,
                "active" if member.active else "left",
                "yes" if member.name in cosigners else "no",
                str(dict(member.titles).get("en", "")),
            ]
            for member in trust.members
        ],
    )


@command.command(
    "import",
    short_help="Pin a trust for this home.",
    epilog=examples("zhixin trust import /media/disk/trust --fingerprint b7np-wmc6-…"),
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--fingerprint",
    required=True,
    metavar="F",
    help="As its exporter read it to you; not from the files themselves.",
)
@json_option
@home_option
@click.pass_obj
def import_(context: Context, directory: Path, fingerprint: str, *, as_json: bool) -> None:
    """Pin the trust in DIR for this home, if it has the fingerprint F."""
    from zhixin_ledger.trust import load_trust, save_trust

    home = context.open_home()
    trust = load_trust(directory)
    check_fingerprint(trust, fingerprint, directory)
    save_trust(trust, home.trust_dir)
    _tell(trust, home.trust_dir, as_json=as_json)
    view = home.ledger_view()
    if view is not None and view.origin != trust.origin:
        say(f"this home's own copy is of {view.origin} and tells nothing of {trust.origin}")
        say("  `zhixin init MEMBER --join` makes a home that follows it and hears of withdrawals")


def check_fingerprint(trust: Trust, fingerprint: str, directory: Path) -> None:
    """Hold a trust to the fingerprint that its exporter read to somebody.

    Raises:
        ConfigError: `fingerprint`: it has another.
    """
    if not trust.matches(fingerprint):
        raise ConfigError(
            f"the trust in {directory} has another fingerprint: {trust.fingerprint}",
            code="fingerprint",
            hint="somebody gave you another trust than its exporter has; do not use it",
        )


def _tell(trust: Trust, directory: Path | None, *, as_json: bool) -> None:
    if as_json:
        answer(
            {
                "origin": trust.origin,
                "size": trust.size,
                "root": trust.root.hex(),
                "quorum": trust.quorum(trust.size),
                "members": [member.name for member in trust.members],
                "fingerprint": trust.fingerprint,
                "path": None if directory is None else str(directory),
            }
        )
        return
    say(f"{trust.origin} up to {trust.size} entries, quorum {trust.quorum(trust.size)}")
    say(f"fingerprint {trust.fingerprint}")
