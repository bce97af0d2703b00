"""Erasing versions: withdrawn for privacy first, then destroyed in this home (docs/erasure.md).

::

    planned ── erasing/MEMBER/DATASET.json says what (durable) ── each version withdrawn, cosigned
        ── store/…/N moved aside ── parts, manifest, quarantine, reports, staging unlinked
                                    (on an object store: the receipt deleted first, then the rest)
        ── store/…/N.erased/ holds contract, statement, receipt and standing ── the marker goes

A salted hash tells nothing once its salt is gone: with the parts and every manifest that carries
them the records can't be confirmed any more, not by somebody who knows what they said either. So an
erasure covers all versions that carry the same part, or is refused. Every step may die and be run
again; nothing is destroyed before the withdrawal has its quorum.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError, LedgerError, LedgerRefused, LedgerUnavailable

from zhixin_gateway.datasets import directory
from zhixin_gateway.erasure_plan import (
    ASIDE,
    FOLDER,
    Erasure,
    marked,
    marker_path,
    refuse_links,
)
from zhixin_gateway.pipeline.notarising import known_state
from zhixin_gateway.pipeline.staging import Work
from zhixin_gateway.quarantine import ATTEMPT, files_of
from zhixin_gateway.standing_file import find_beside, make_standing
from zhixin_gateway.stores import LocalStore

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.steps import Hook

    from zhixin_gateway.home import Home

__all__ = ["erase", "left_behind", "resume", "unfinished"]

STANDING_FILE = "standing.json"
_KEPT = (directory.CONTRACT_FILE, directory.STATEMENT_FILE, directory.RECEIPT_FILE)


def erase(home: Home, erasure: Erasure, hook: Hook | None = None) -> list[int]:
    """Withdraw the versions and destroy them; safe to repeat.

    Args:
        home: the owner's.
        erasure: what `plan` said.
        hook: called with the name of each step just before it.

    Returns:
        The index of each withdrawal that was made now.

    Raises:
        LedgerRefused: the rules refuse the withdrawal; nothing is destroyed.
        LedgerUnavailable: the ledger or its quorum can't be reached; nothing is destroyed yet.
        ConfigError: a run of this dataset is under way, a version is a link, or the disk refuses.
    """
    step = hook or (lambda _name: None)
    with home.lock(erasure.dataset):
        marker = marker_path(home, erasure.dataset)
        also = marked(marker)
        versions = sorted({*erasure.versions, *also})
        refuse_links(home, erasure.dataset, versions)
        marker.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        began = datetime.now(UTC).isoformat(timespec="seconds")
        told = {"dataset": erasure.dataset, "versions": versions, "began": began}
        directory.write_whole(marker, json.dumps(told).encode())
        step("withdraw")
        try:
            indexes = _withdraw(home, erasure.dataset, versions)
        except LedgerRefused:
            marker.unlink()  # it will be refused again, and nothing was destroyed
            raise
        for version in versions:
            _destroy(home, erasure.dataset, version, step)
        step("staging")
        _destroy_staging(home, erasure.dataset)
        step("done")
        marker.unlink(missing_ok=True)
        directory.sync_folder(marker.parent)
    return indexes


def unfinished(home: Home) -> list[Erasure]:
    """Every erasure of a home that has begun and not ended."""
    found = []
    for path in sorted((home.path / FOLDER).glob("*/*.json")):
        versions = marked(path)
        if versions:
            found.append(Erasure(f"{path.parent.name}/{path.stem}", versions))
    return found


def resume(home: Home) -> list[Erasure]:
    """Finish every erasure that has begun.

    Returns:
        What was finished.

    Raises:
        LedgerError: see `erase`.
    """
    begun = unfinished(home)
    for erasure in begun:
        erase(home, erasure)
    return begun


def left_behind(home: Home, client: LedgerClient) -> list[str]:
    """Versions that were withdrawn for privacy and yet lie whole in this home.

    A backup that was put back brings them again; so does an erasure that another copy of the home
    made, or a withdrawal that was no erasure.

    Args:
        home: the home.
        client: its view of the ledger.
    """
    store = home.open_store()
    there = {
        f"{fact.dataset}@{version}"
        for fact in client.state().datasets()
        for version in fact.withdrawn
        if store.is_there(fact.dataset, version)
    }
    return sorted(there.intersection(_withdrawn_for_privacy(client))) if there else []


def _withdrawn_for_privacy(client: LedgerClient) -> Iterator[str]:
    from zhixin_ledger.dsse import parse_envelope
    from zhixin_ledger.intoto import parse_statement
    from zhixin_ledger.kinds.withdrawal import WITHDRAWAL
    from zhixin_ledger.seal import is_seal

    for _, entry in client.entries():
        if is_seal(entry):
            continue
        statement = parse_statement(parse_envelope(entry).payload)
        if statement.predicate_type == WITHDRAWAL.predicate_type:
            says = WITHDRAWAL.read(statement)
            if says.reason == "privacy":
                yield f"{says.dataset}@{says.version}"


def _withdraw(home: Home, dataset: str, versions: Sequence[int]) -> list[int]:
    """Have every version withdrawn in a checkpoint with its quorum."""
    from zhixin_ledger import checkpoint
    from zhixin_ledger.note import Note

    from zhixin_gateway.withdrawing import withdraw

    client = home.ledger_client()
    try:
        fact = known_state(client).dataset(dataset)
        done = set(fact.withdrawn if fact else ())
        indexes = [
            withdraw(home, dataset, version, "privacy")
            for version in versions
            if version not in done
        ]
        size = client.state().size
        if checkpoint.parse(Note.parse(client.checkpoint()).text).size < size:
            client.receipt(size - 1)  # this copy knows of a withdrawal that has no quorum yet
    except LedgerUnavailable as error:
        raise LedgerUnavailable(
            f"nothing is destroyed yet: {error.message}",
            code=error.code,
            hint="`zhixin status --resume` goes on once the ledger and its quorum answer",
            details={**error.details, "pending": True},
        ) from error
    return indexes


def _destroy(home: Home, dataset: str, version: int, step: Hook) -> None:
    store = home.open_store()
    if isinstance(store, LocalStore):
        _destroy_folder(store, dataset, version, step)
    else:
        step(f"objects {version}")
        store.erase(dataset, version, _KEPT)
    step(f"quarantine {version}")
    for rejects in files_of(home, dataset, version):
        _remove(rejects)
    step(f"standing {version}")
    try:
        data = make_standing(home.ledger_client(), dataset)
    except LedgerError:
        return  # a convenience for auditors: the ledger has the withdrawal
    store.put_erased(dataset, version, STANDING_FILE, data)


def _destroy_folder(store: LocalStore, dataset: str, version: int, step: Hook) -> None:
    path = store.place(dataset, version)
    aside = path.with_name(f"{ASIDE}{version}")
    kept = directory.erased_path(store.folder, dataset, version)
    for beside in reversed(find_beside(path)):
        beside.unlink(missing_ok=True)
    step(f"aside {version}")
    if path.exists():
        path.rename(aside)
        directory.sync_folder(path.parent)
    kept.mkdir(parents=True, exist_ok=True)
    for name in _KEPT:
        step(f"keep {version} {name}")
        if (aside / name).is_file() and not (aside / name).is_symlink():
            (aside / name).replace(kept / name)
    directory.sync_folder(kept)
    step(f"unlink {version}")
    _remove(aside)
    directory.sync_folder(kept.parent)


def _destroy_staging(home: Home, dataset: str) -> None:
    work = Work(home, dataset)
    work.discard()
    store = home.open_store()
    left = [*files_of(home, dataset, ATTEMPT), home.reports / dataset, work.ends]
    left += sorted(work.ends.parent.glob(f".{work.ends.name}.[0-9]*.new"))  # a killed run's
    if store.folder is not None:
        left += sorted(directory.dataset_path(store.folder, dataset).glob(".staging-*"))
    for path in left:
        _remove(path)


def _remove(path: Path) -> None:
    """Unlink a file, or a folder with all that lies in it; its name is gone from the disk."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            os.unlink(path)  # noqa: PTH108 - a link is removed, not followed
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(
            f"{path} can't be destroyed: {error.strerror}",
            code="erase-unfinished",
            hint="`zhixin status --resume` goes on once it can",
        ) from error
    directory.sync_folder(path.parent)
