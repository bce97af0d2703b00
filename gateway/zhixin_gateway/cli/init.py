"""``zhixin init``: a member's home with keys and settings, and a new ledger of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

if TYPE_CHECKING:
    from zhixin_gateway.home import Home
    from zhixin_gateway.joining import Invitation
    from zhixin_gateway.settings import WitnessSetting

__all__ = ["command"]


@click.command(
    "init",
    epilog=examples(
        "zhixin init city.gov.example --title 'City Office' --title-zh 市政厅",
        "zhixin init new.gov.example --join http://ledger.example:8701 --trust DIR --fingerprint F",
    ),
)
@click.argument("member")
@click.option("--title", help="The member's name for people, in English.")
@click.option("--title-zh", help="The member's name for people, in Chinese.")
@click.option("--origin", help="The new ledger's name; ledger.MEMBER/YEAR by default.")
@click.option(
    "--join",
    metavar="DIR|URL",
    help="Follow this ledger instead of founding one: its URL, or its operator's home here.",
)
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --join: the trust that a member exported for you.",
)
@click.option(
    "--fingerprint",
    metavar="F",
    help="With --join: the trust's, as a member read it to you; not from the files themselves.",
)
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    metavar="NAME=URL",
    help="With --join: where a member's witness answers; may be repeated.",
)
@json_option
@home_option
@click.pass_obj
def command(
    context: Context,
    /,
    member: str,
    title: str | None,
    title_zh: str | None,
    origin: str | None,
    *,
    join: str | None,
    trust: Path | None,
    fingerprint: str | None,
    witnesses: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a home for MEMBER: folders, settings, keys, and a ledger of one.

    The home is --home or ZHIXIN_HOME, else a folder named after the member. With --join it follows
    a ledger that is there already; `zhixin member propose join` then asks its members.
    """
    import datetime as dt
    import os

    from zhixin_gateway.founding import found
    from zhixin_gateway.home import create_home

    path = Path(context.home or os.environ.get("ZHIXIN_HOME") or member)
    _check(member)
    titles = {"en": title or member, "zh": title_zh or title or member}
    if join is not None:
        if origin is not None:
            raise click.UsageError("--origin names a new ledger, --join one that is there")
        invitation = _invitation(join, trust, fingerprint, witnesses)
        _join(path, member, titles, invitation, as_json=as_json)
        return
    if trust is not None or fingerprint is not None or witnesses:
        raise click.UsageError("--trust, --fingerprint and --witness go with --join")
    origin = origin or f"ledger.{member}/{dt.datetime.now(dt.UTC).year}"
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


def _invitation(
    url: str, trust: Path | None, fingerprint: str | None, witnesses: tuple[str, ...]
) -> Invitation:
    from zhixin_ledger.trust import load_trust

    from zhixin_gateway.cli.trust import check_fingerprint
    from zhixin_gateway.joining import Invitation

    if trust is None or fingerprint is None:
        raise click.UsageError(
            "--join wants --trust DIR, which a member exported by `zhixin trust export`, and "
            "--fingerprint F, which it read to you"
        )
    pinned = load_trust(trust)
    check_fingerprint(pinned, fingerprint, trust)
    return Invitation(url, pinned, [_witness(each) for each in witnesses])


def _witness(text: str) -> WitnessSetting:
    from zhixin_gateway.settings import WitnessSetting

    name, equals, url = text.partition("=")
    if not equals or not url:
        raise click.UsageError(f"--witness wants NAME=URL, not {text!r}")
    _check(name)
    return WitnessSetting(name, url)


def _join(
    path: Path, member: str, titles: dict[str, str], invitation: Invitation, *, as_json: bool
) -> None:
    from zhixin_gateway.joining import join

    home = join(path, member, titles, invitation)
    trust = invitation.trust
    if as_json:
        answer(
            {
                "member": member,
                "home": str(home.path),
                "origin": trust.origin,
                "fingerprint": trust.fingerprint,
            }
        )
    say(f"made {home.path}; it follows {trust.origin} and has replayed all of it")
    say(f"next: zhixin --home {path} member propose join")


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
