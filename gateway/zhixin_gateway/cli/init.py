"""``zhixin init``: a member's home with keys and settings, and a new ledger of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

if TYPE_CHECKING:
    from zhixin_gateway.home import Home

__all__ = ["command"]


@click.command(
    "init", epilog=examples("zhixin init city.gov.example --title 'City Office' --title-zh 市政厅")
)
@click.argument("member")
@click.option("--title", help="The member's name for people, in English.")
@click.option("--title-zh", help="The member's name for people, in Chinese.")
@click.option("--origin", help="The new ledger's name; ledger.MEMBER/YEAR by default.")
@json_option
@home_option
@click.pass_obj
def command(
    context: Context,
    member: str,
    title: str | None,
    title_zh: str | None,
    origin: str | None,
    *,
    as_json: bool,
) -> None:
    """Make a home for MEMBER: folders, settings, keys, and a ledger of one.

    The home is --home or ZHIXIN_HOME, else a folder named after the member.
    """
    import datetime as dt
    import os

    from zhixin_gateway.founding import found
    from zhixin_gateway.home import create_home

    path = Path(context.home or os.environ.get("ZHIXIN_HOME") or member)
    _check(member)
    origin = origin or f"ledger.{member}/{dt.datetime.now(dt.UTC).year}"
    titles = {"en": title or member, "zh": title_zh or title or member}
    made = _begun(path, member) or create_home(path, member, titles, operator=True)
    home = found(made, [made], origin)[0]
    fingerprint = home.trust().fingerprint
    if as_json:
        answer(
            {
                "member": member,
                "home": str(home.path),
                "origin": origin,
                "fingerprint": fingerprint,
            }
        )
    say(f"made {home.path} and founded {origin}")
    say(f"its trust, for those who will use your data: {home.trust_dir}")
    say(f"fingerprint, to read to them over the telephone: {fingerprint}")
    say(f"next: zhixin --home {path} source infer URL TABLE > {path}/contracts/NAME.odcs.yaml")


def _check(member: str) -> None:
    from zhixin_errors import ConfigError, FormatError
    from zhixin_ledger.names import check_member

    try:
        check_member(member, "MEMBER")
    except FormatError as error:
        raise ConfigError(error.message) from error


def _begun(path: Path, member: str) -> Home | None:
    """A home whose making was interrupted before its ledger stood; go on with it."""
    import shutil

    from zhixin_gateway.home import SETTINGS_FILE, Home

    if not (path / SETTINGS_FILE).is_file():
        return None
    home = Home.open(path)
    if home.member != member or home.settings.ledger_url:
        return None
    shutil.rmtree(home.path / "log", ignore_errors=True)  # nobody knows of it yet
    return home
