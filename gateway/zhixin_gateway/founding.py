"""Founding a ledger: genesis, its log, and what every founding member needs to go on from it.

Each founder signs the same genesis with its own statement key; one of them, the operator, orders
entries with its log key and keeps the log in its home. Afterwards every founder's home names the
ledger and the cosigning members in its settings, has its own replayed copy, and a pinned trust.

Several homes are opened only here, at the founding of a ledger on one machine: the ceremony at
which the founders sit at one table. Afterwards each works in its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError

from zhixin_gateway.home import COSIGNER_KEY, LOG_KEY, Home
from zhixin_gateway.places import file_url
from zhixin_gateway.settings import WitnessSetting
from zhixin_gateway.witnessing import now

if TYPE_CHECKING:
    from zhixin_ledger.state import State
    from zhixin_ledger.trust import Trust

__all__ = ["export_trust", "found"]


def found(
    operator: Home, homes: Sequence[Home], origin: str, quorum: int | None = None
) -> list[Home]:
    """Found a ledger of the members of these homes.

    Args:
        operator: one of ``homes``; it has a log key, and its home will hold the log.
        homes: every founding member's, in the order of their slots.
        origin: the ledger's name, such as ``ledger.gov.example/2026``.
        quorum: how many members must cosign; the smallest that the rules allow by default.

    Returns:
        The homes with their new settings, in the same order.

    Raises:
        ConfigError: the operator is none of them, or has a ledger already.
        FormatError: the origin is no ledger's name.
    """
    from zhixin_ledger.client import found_ledger, make_genesis
    from zhixin_ledger.names import check_origin
    from zhixin_ledger.transport import LOG_FOLDER
    from zhixin_ledger.trust_history import minimum_quorum

    check_origin(origin, "origin")
    if operator.path not in [home.path for home in homes]:
        raise ConfigError("the operator is one of the founding members")
    genesis = make_genesis(
        origin,
        minimum_quorum(len(homes)) if quorum is None else quorum,
        [_member_object(home, origin, operator) for home in homes],
        [home.signer() for home in homes],
    )
    found_ledger(operator.path / LOG_FOLDER, origin, operator.signer(LOG_KEY), genesis, now).close()
    settled = [_settle(home, operator, homes) for home in homes]
    for home in settled:
        with home.ledger_client() as client:
            export_trust(home, client.refresh() if home is settled[0] else client.sync())
    return settled


def export_trust(home: Home, state: State, directory: Path | None = None) -> Trust:
    """Write a trust from a replayed copy of the ledger.

    Args:
        home: whose copy it is.
        state: of that copy; ends with a seal.
        directory: where it goes; the home's own by default.

    Returns:
        The trust.
    """
    from zhixin_ledger.trust import save_trust, trust_of

    trust = trust_of(state)
    save_trust(trust, directory or home.trust_dir)
    return trust


def _member_object(home: Home, origin: str, operator: Home) -> dict[str, Any]:
    from zhixin_ledger.client import member_object
    from zhixin_ledger.cosignature import key_of
    from zhixin_ledger.keys import ED25519, VerifierKey

    log = None
    if home.path == operator.path:
        log = VerifierKey.make(origin, ED25519, home.signer(LOG_KEY).public_key)
    titles = home.settings.titles
    return member_object(
        home.member,
        (titles.get("en", home.member), titles.get("zh", home.member)),
        statement_key=home.signer().public_key,
        cosigner=key_of(f"{home.member}/witness", home.signer(COSIGNER_KEY)),
        log=log,
    )


def _settle(home: Home, operator: Home, homes: Sequence[Home]) -> Home:
    return home.save(
        replace(
            home.filed_settings(),
            ledger_url=file_url(operator.path, home.path),
            witnesses=tuple(
                WitnessSetting(each.member, file_url(each.path, home.path)) for each in homes
            ),
        )
    )
