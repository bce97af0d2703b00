"""Standing files as a home makes and keeps them.

::

    store/bts.gov.example/flights/3/                    the version
    store/bts.gov.example/flights/3.standing.json       beside it, never in it: of bts…/flights
    store/bts.gov.example/flights/3.standing.1.json …   of the datasets that it was made from

They prove the standing of a version and of its inputs to somebody without a network: they go on the
same disk. `docs/formats.md` 2.7 fixes their form, ``gate.standing`` judges them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import LedgerUnavailable

from zhixin_gateway.stores import is_url

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient

__all__ = ["beside", "find_beside", "make_standing", "put_beside"]

_TRIES = 3
_MOST = 10_000


def beside(version: Path, number: int = 0) -> Path:
    """Where a version's standing files lie.

    Args:
        version: the version's directory, ``…/flights/3``.
        number: 0: the version's own, ``…/flights/3.standing.json``; from 1: of an input's dataset.
    """
    return version.with_name(f"{version.name}.standing{f'.{number}' if number else ''}.json")


def find_beside(version: Path | str) -> list[Path]:
    """The standing files that lie beside a version's directory; none beside an address."""
    if is_url(version):
        return []
    version = Path(os.path.abspath(version))  # noqa: PTH100 - links must not be followed
    found = []
    for number in range(_MOST):
        path = beside(version, number)
        if not path.is_file():
            break
        found.append(path)
    return found


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
        replica = standing.Replica(client.directory / standing.REPLICA)
        state = replica.at(note, source)
    return standing.make_standing(state, source, note, dataset)


def put_beside(client: LedgerClient, version: Path, datasets: Sequence[str]) -> list[Path]:
    """Write standing files beside a version, in place of older ones.

    Args:
        client: a view of the ledger, brought up to date.
        version: the version's directory.
        datasets: the version's own first, then those of its inputs.

    Returns:
        The files.

    Raises:
        ConfigError: one can't be written.
        LedgerError: see `make_standing`.
    """
    from zhixin_gateway.datasets.directory import write_file

    written = []
    for number, dataset in enumerate(dict.fromkeys(datasets)):
        written.append(beside(version, number))
        write_file(written[-1], make_standing(client, dataset))
    return written
