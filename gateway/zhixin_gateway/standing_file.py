"""Standing files as a home makes and keeps them.

::

    store/bts.gov.example/flights/3/                  the version
    store/bts.gov.example/flights/3.standing.json     beside it, never in it

The file beside a version is the proof of its dataset's standing for somebody without a network: it
goes on the same disk. `docs/formats.md` 2.7 fixes its form, ``gate.standing`` judges it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import LedgerUnavailable

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient

__all__ = ["SUFFIX", "beside", "make_standing", "put_beside"]

SUFFIX = ".standing.json"
_TRIES = 3


def beside(version: Path) -> Path:
    """Where the standing file of a version's directory lies: ``…/flights/3.standing.json``."""
    return version.with_name(version.name + SUFFIX)


def make_standing(client: LedgerClient, dataset: str) -> bytes:
    """Make a dataset's standing file, as of the newest checkpoint that the own copy has.

    Args:
        client: a view of the ledger; bring it up to date first.
        dataset: ``member/name``.

    Returns:
        The file's bytes.

    Raises:
        LedgerRefused: ``version-unknown``: the copy has no version of the dataset.
        LedgerUnavailable: the copy has no checkpoint yet.
    """
    for left in reversed(range(_TRIES)):
        try:
            return _made(client, dataset)
        except LedgerUnavailable as error:
            if error.code != "ledger-behind" or not left:
                raise  # else another process of this home moved the copy meanwhile
    raise RuntimeError("no try was left")


def _made(client: LedgerClient, dataset: str) -> bytes:
    from zhixin_ledger import checkpoint, standing
    from zhixin_ledger.note import Note

    source = client.source
    note = Note.parse(client.checkpoint(), "the copy's checkpoint")
    state = client.state()
    if state.size != checkpoint.parse(note.text).size:
        # The copy is ahead: its witness has replayed what has no quorum yet.
        state = standing.Replica().at(note, source)
    return standing.make_standing(state, source, note, dataset)


def put_beside(client: LedgerClient, version: Path, dataset: str) -> Path:
    """Write a dataset's standing file beside one of its versions, in place of an older one.

    Args:
        client: a view of the ledger, brought up to date.
        version: the version's directory.
        dataset: ``member/name``.

    Returns:
        The file.

    Raises:
        ConfigError: it can't be written.
        LedgerError: see `make_standing`.
    """
    from zhixin_gateway.datasets.directory import write_file

    path = beside(version)
    write_file(path, make_standing(client, dataset))
    return path
