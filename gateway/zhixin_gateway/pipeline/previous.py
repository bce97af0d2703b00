"""The version before, as this home's own store has it, if it is the one that the ledger knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zhixin_errors import FormatError
from zhixin_ledger.encoding import sha256

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from zhixin_ledger.state import State

__all__ = ["Previous", "previous_version"]


class Previous(NamedTuple):
    """A version, its directory and its manifest, whose bytes are those that were stated."""

    version: int
    folder: Path
    manifest: Manifest


def previous_version(store: Path, known: State, dataset: str) -> Previous | None:
    """Find the newest version of an own dataset.

    Args:
        store: the home's.
        known: the ledger's state.
        dataset: ``member/name``.

    Returns:
        None where there is none, or where what lies in the store is not what was stated, or not
        whole.
    """
    fact = known.dataset(dataset)
    stated = None if fact is None else known.stated(dataset, fact.version)
    if fact is None or stated is None:
        return None
    folder = directory.version_path(store, dataset, fact.version)
    try:
        statement = (folder / directory.STATEMENT_FILE).read_bytes()
        data = (folder / directory.MANIFEST_FILE).read_bytes()
        if sha256(statement) != stated.statement or sha256(data) != stated.manifest:
            return None
        manifest = parse_manifest(data)
        if any((folder / part.path).stat().st_size != part.size_bytes for part in manifest.parts):
            return None
        return Previous(fact.version, folder, manifest)
    except (OSError, FormatError):
        return None
