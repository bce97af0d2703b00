"""A home's witness: its keys, its copy of the ledger, and where it fetches what it replays.

::

    keys/cosigner.pem, cosigner-*.pem    whichever the ledger has in force signs
    ledger/                              the copy; held to the trust that this home pinned
    [ledger] url                         the log, whose entries are replayed before signing

Nothing is served or signed here: `zhixin_ledger.witness` and ``zhixin_ledger.http`` do that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError

from zhixin_gateway.home import COSIGNER_KEY, Home
from zhixin_gateway.places import is_http, tiles_folder

if TYPE_CHECKING:
    from zhixin_ledger.gathering import WitnessTransport
    from zhixin_ledger.mirror import Mirror
    from zhixin_ledger.signers import Signer
    from zhixin_ledger.tiles import TileSource

__all__ = ["cosigners", "now", "open_mirror", "open_source", "peers_of", "witnesses_of"]


def now() -> dt.datetime:
    """The clock that cosignatures are dated by."""
    return dt.datetime.now(dt.UTC)


def cosigners(home: Home) -> list[Signer]:
    """Open the cosigner keys of a home, at least one.

    Raises:
        ConfigError: there is none, or one can't be opened.
    """
    from zhixin_ledger.signers import key_files

    files = key_files(home.keys_dir / COSIGNER_KEY)
    if not files:
        raise ConfigError(
            f"{home.keys_dir} has no cosigner key: this member does not cosign",
            hint="`zhixin member propose rotate --cosigner-key ed25519` makes one and proposes it",
        )
    return [home.load_key(file) for file in files]


@contextmanager
def open_mirror(home: Home) -> Iterator[Mirror]:
    """Open the home's copy of the ledger, held to the trust that it pinned, if it pinned one.

    Yields:
        The copy; closed at the end.
    """
    from zhixin_ledger.mirror import Mirror

    trust = home.find_pinned_trust()
    if trust is None:
        mirror = Mirror(home.ledger_dir)
    else:
        mirror = Mirror(home.ledger_dir, origin=trust.origin, pin=(trust.size, trust.root))
    try:
        yield mirror
    finally:
        mirror.close()


def open_source(home: Home, place: str | None = None) -> TileSource:
    """Give where the log's entries are read.

    Args:
        home: whose.
        place: a folder that was brought along, or a URL; the settings' ledger by default.

    Raises:
        ConfigError: no ledger is named, or the place holds none.
    """
    from zhixin_ledger.tiles import DirectorySource
    from zhixin_ledger.transport import Means, open_log

    if place is not None and not is_http(place):
        return DirectorySource(tiles_folder(place, Path.cwd()))
    return open_log(place or home.ledger_url, [], home.path, Means(now, home.load_key)).source


def peers_of(home: Home) -> Sequence[WitnessTransport]:
    """Give other members' witnesses that the settings name: asked where the copy was put back."""
    own = home.member
    return [each for each in _witnesses(home, open_source(home)) if each.name != own]


def witnesses_of(home: Home) -> list[WitnessTransport]:
    """Give the witnesses that a home's settings name, as its log asks them.

    Args:
        home: the operator's.
    """
    from zhixin_ledger.tiles import DirectorySource
    from zhixin_ledger.transport import LOG_FOLDER

    return _witnesses(home, DirectorySource(home.path / LOG_FOLDER))


def _witnesses(home: Home, source: TileSource) -> list[WitnessTransport]:
    from zhixin_ledger.transport import Means, WitnessUrl, open_witness

    means = Means(now, home.load_key)
    return [
        open_witness(WitnessUrl(each.name, home.resolved(each.url)), home.path, source, means)
        for each in home.settings.witnesses
    ]
