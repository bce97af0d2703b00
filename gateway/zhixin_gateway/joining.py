"""A home for a member that is to join a ledger: keys, settings, a pinned trust, an own copy.

The trust comes first and from elsewhere: it says which ledger this is. What the URL serves is then
replayed from its first entry, and kept only if it is that ledger. Nothing of this makes a member:
the proposal that this home signs next has to find a quorum (`zhixin_gateway.governing`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError, VerificationError

from zhixin_gateway.home import SETTINGS_FILE, Home, create_home
from zhixin_gateway.places import file_url, folder_of, is_http
from zhixin_gateway.settings import WitnessSetting, parse_settings

if TYPE_CHECKING:
    from zhixin_ledger.trust import Trust

__all__ = ["Invitation", "join"]


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a new member was told.

    Attributes:
        url: the ledger's: ``http(s):``, ``file:``, or the folder of its operator's home.
        trust: the trust, compared with its fingerprint.
        witnesses: where other members' witnesses answer.
    """

    url: str
    trust: Trust
    witnesses: Sequence[WitnessSetting] = ()


def join(path: Path, member: str, titles: Mapping[str, str], invitation: Invitation) -> Home:
    """Make a home that follows a ledger; safe to repeat after an interruption.

    Args:
        path: the home's folder.
        member: the new member's name.
        titles: by language tag.
        invitation: which ledger it is, and where.

    Returns:
        The home; its copy reaches the ledger's newest checkpoint.

    Raises:
        ConfigError: there is another home already.
        VerificationError: ``other-origin``, ``stale``, ``forked``: the URL serves another ledger
            than the trust's.
        LedgerUnavailable: the ledger can't be reached.
    """
    from zhixin_ledger.trust import save_trust

    home = _begun(path, member) or create_home(path, member, titles)
    save_trust(invitation.trust, home.trust_dir)
    url, found = _reached(home, invitation.url)
    named = {each.name: each for each in (*found, *invitation.witnesses)}
    if url.startswith("file:"):
        named.setdefault(member, WitnessSetting(member, "file:."))
    home = home.save(
        replace(home.filed_settings(), ledger_url=url, witnesses=tuple(named.values()))
    )
    _follow(home, invitation.trust)
    return home


def _begun(path: Path, member: str) -> Home | None:
    """A home whose making was interrupted: its member is this, and it has no ledger of its own."""
    if not (path / SETTINGS_FILE).is_file():
        return None
    home = Home.open(path)
    if home.member != member or (home.path / "log").exists():
        raise ConfigError(f"{path} is a home already", hint="choose another folder by --home")
    return home


def _reached(home: Home, text: str) -> tuple[str, list[WitnessSetting]]:
    """The ledger's URL as this home's settings have it; on one machine its witnesses too."""
    if is_http(text):
        return text.rstrip("/"), []
    operator = folder_of(text, Path.cwd())
    file = operator / SETTINGS_FILE
    if not file.is_file():
        raise ConfigError(
            f"{text} is neither a URL nor the home of a ledger's operator",
            hint="--join wants http://…, or the folder of a home on this machine",
        )
    theirs = Home.open(operator, {})
    told = parse_settings(file.read_text("utf-8"), str(file)).witnesses
    return file_url(operator, home.path), [
        WitnessSetting(each.name, _moved(home, theirs, each.url)) for each in told
    ]


def _moved(home: Home, theirs: Home, url: str) -> str:
    if not url.startswith("file:"):
        return url
    return file_url(folder_of(theirs.resolved(url), theirs.path), home.path)


def _follow(home: Home, trust: Trust) -> None:
    """Replay the ledger, and hold it to the trust; another one's copy does not stay."""
    with home.ledger_client() as client:
        state = client.sync()
        fault = None
        if state.origin != trust.origin:
            fault = f"is {state.origin}, not {trust.origin}", "other-origin"
        elif state.size < trust.size:
            fault = f"has {state.size} entries, the trust was made from {trust.size}", "stale"
        elif client.root_at(trust.size) != trust.root:
            fault = f"has another root of the trust's {trust.size} entries", "forked"
    if fault is not None:
        shutil.rmtree(home.ledger_dir)
        home.ledger_dir.mkdir(mode=0o700)
        said, code = fault
        raise VerificationError(
            f"the ledger at {home.settings.ledger_url} {said}: it is not the one of this trust",
            code=code,
            hint="compare URL and fingerprint with those who gave them to you",
        )
