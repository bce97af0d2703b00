"""Fetching other members' versions: copy, verify, and only then let it appear.

A version is copied from where ``[stores]`` says its owner's versions lie (a folder, or an object
store) into a folder of this home; the gate judges the copy; one rename puts it in its place, or on
an object store its receipt, which is put there last. What the gate refuses is removed again. No
other member's home is opened, only its store. Beside a version's folder come standing files, of its
dataset and of those that it was made from, out of this home's own copy of the ledger: so it
verifies where there is no network.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from zhixin_errors import (
    ConfigError,
    FormatError,
    LedgerError,
    TransientSourceError,
    VerificationError,
)

from zhixin_gateway.datasets import directory
from zhixin_gateway.gate.files import LocalDirectory, VersionFiles, read_file
from zhixin_gateway.gate.verdict import Verdict
from zhixin_gateway.stores import LocalStore, Place, open_store

if TYPE_CHECKING:
    from zhixin_ledger.state import State

    from zhixin_gateway.home import Home
    from zhixin_gateway.opening import Judging
    from zhixin_gateway.progress import Progress

__all__ = ["Fetched", "fetch", "newest_standing", "parse_name", "wanted_version"]

_CHUNK = 1024 * 1024
_MOST_FILES = 100_004


@dataclass(frozen=True)
class Fetched:
    """A version that lies verified in a store.

    Args:
        path: its directory.
        verdict: what the gate said of it.
        new: it was copied now, and not there before.
        standings: the standing files beside it: the version's own, then its inputs'.
        notes: sentences for people.
    """

    path: Place
    verdict: Verdict
    new: bool
    standings: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def index(self) -> int | None:
        """The statement's index in the ledger."""
        return self.verdict.index


def parse_name(text: str) -> tuple[str, int | None]:
    """Read ``MEMBER/DATASET[@N]``.

    Returns:
        The dataset and the version, None where it is not said.

    Raises:
        FormatError: it is no dataset's name, or N no version.
    """
    from zhixin_ledger.names import check_dataset, parse_version

    name, at, number = text.partition("@")
    check_dataset(name, "the dataset's name")
    return name, parse_version(number, "the version") if at else None


def newest_standing(state: State, dataset: str) -> int | None:
    """The newest version of a dataset that is not withdrawn, as the ledger has it; or None."""
    fact = state.dataset(dataset)
    if fact is None:
        return None
    withdrawn = set(fact.withdrawn)
    return next((n for n in range(fact.version, 0, -1) if n not in withdrawn), None)


def wanted_version(state: State, dataset: str, version: int | None = None) -> int:
    """The version that was asked for; where none was, the newest that stands.

    Raises:
        ConfigError: ``no-version``: the ledger has none that stands.
    """
    found = version or newest_standing(state, dataset)
    if found is None:
        raise ConfigError(
            f"{dataset} has no version that stands",
            code="no-version",
            hint="its owner publishes it first; `zhixin ls` shows what there is",
        )
    return found


def fetch(
    home: Home,
    dataset: str,
    version: int,
    store: Path | None = None,
    *,
    judging: Judging | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Fetch one version and verify it; what is there already is verified where it lies.

    Args:
        home: who fetches.
        dataset: ``member/name``.
        version: its number.
        store: the root under which it is put; the home's own store by default.
        judging: by what the gate judges standing; by default by the home's copy of the ledger.
        progress: told what is verified.

    Raises:
        VerificationError: the gate refused it; nothing is left of it.
        TransientSourceError: the owner's store can't be reached.
        ConfigError: ``[stores]`` does not say where it lies, or it does not lie there.
    """
    here = home.open_store() if store is None else LocalStore(store)
    target = here.place(dataset, version)
    with home.lock(f"get {dataset}", wait=True):
        if here.is_there(dataset, version):
            try:
                verdict = _kept(home, target, f"{dataset}@{version}", judging, progress)
            except VerificationError as error:
                if error.code == "withdrawn":  # what lies beside it shall say so too
                    _put_standings(home, target, dataset)
                raise
            return _with_standings(home, Fetched(target, verdict, new=False), dataset)
        staging = here.new_staging(dataset, home.staging)
        try:
            _copy(home, dataset, version, staging)
            verdict = _verified(home, staging, f"{dataset}@{version}", judging, progress)
            here.publish(staging, dataset, version)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return _with_standings(home, Fetched(target, verdict, new=True), dataset)


def _with_standings(home: Home, fetched: Fetched, dataset: str) -> Fetched:
    """Put newer standing files beside a version; without them it is verified all the same."""
    found, notes = _put_standings(home, fetched.path, dataset)
    return replace(fetched, standings=tuple(found), notes=tuple(notes))


def _put_standings(home: Home, path: Place, dataset: str) -> tuple[list[Path], list[str]]:
    """Write what can be written; the files, and why there are none."""
    from zhixin_gateway.standing_file import put_beside

    client = home.ledger_view()
    if client is None or not isinstance(path, Path):
        return [], []  # beside an object store's versions nothing lies: it is no disk to be mailed
    try:
        return put_beside(client, path, [dataset, *_input_datasets(path)]), []
    except (ConfigError, LedgerError) as error:
        return [], [f"no new standing file lies beside {path}: {error.message}"]


def _input_datasets(path: Path) -> list[str]:
    from zhixin_ledger.dsse import parse_envelope
    from zhixin_ledger.intoto import parse_statement
    from zhixin_ledger.kinds.dataset import DATASET

    name = directory.STATEMENT_FILE
    data = read_file(LocalDirectory(path), name, directory.FILE_LIMITS[name])
    return [
        item.dataset for item in DATASET.read(parse_statement(parse_envelope(data).payload)).inputs
    ]


def _kept(
    home: Home, target: Place, name: str, judging: Judging | None, progress: Progress | None
) -> Verdict:
    """Verify what is here already; what was fetched whole and is not whole now can be had again."""
    try:
        return _verified(home, target, name, judging, progress)
    except VerificationError as error:
        if error.code not in {"withdrawn", "stale", "forked"}:
            error.hint = f"it was changed in {target}: move that away and fetch it again"
        raise


def _verified(
    home: Home, path: Place, name: str, judging: Judging | None, progress: Progress | None
) -> Verdict:
    from zhixin_gateway.gate import verify

    if judging is None:
        verdict = verify(
            path, home.trust(), expect=name, ledger_copy=home.ledger_view(), progress=progress
        )
    else:
        verdict = verify(path, home.trust(), expect=name, progress=progress, **judging)
    if not verdict.ok:
        raise VerificationError(
            f"{name} is refused: {verdict.message}",
            code=verdict.code,
            details={"verdict": verdict.to_json()},
        )
    return verdict


def _copy(home: Home, dataset: str, version: int, staging: Path) -> None:
    name = f"{dataset}@{version}"
    there = open_store(home.store_of(dataset.partition("/")[0]), home.environ)
    try:
        if isinstance(there, LocalStore):
            _copy_folder(there.place(dataset, version), staging)
        elif there.is_there(dataset, version):
            _copy_objects(there.files(dataset, version), staging)
        else:
            raise FileNotFoundError(name)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{name} does not lie in its owner's store",
            code="not-there",
            hint="`zhixin ls` shows what can be had",
        ) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TransientSourceError(
            f"the store that has {name} can't be read: {reason}", code="store-unavailable"
        ) from error
    directory.sync_folder(staging)


def _copy_folder(source: Path, staging: Path) -> None:
    """Copy as it lies; links and folders are the gate's to refuse, so they are copied as such."""
    with os.scandir(source) as listing:
        names = [entry.name for entry in islice(listing, _MOST_FILES + 1)]

    def copy(name: str, limit: int) -> None:
        path, target = source / name, staging / name
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.is_file():
            with LocalDirectory(source).open(name) as read:
                _write(read, target, limit)
        else:  # a folder, or a pipe, which is not waited for
            target.mkdir()

    _copy_named(names, copy, staging)


def _copy_objects(source: VersionFiles, staging: Path) -> None:
    """Copy object by object; what looks like a folder there is the gate's to refuse."""
    entries = source.entries()

    def copy(name: str, limit: int) -> None:
        if entries[name] == "file":
            with source.open(name) as read:
                _write(read, staging / name, limit)
        else:
            (staging / name).mkdir()

    _copy_named(list(entries), copy, staging)


def _copy_named(names: list[str], copy: Callable[[str, int], None], staging: Path) -> None:
    """Copy no more than a version can be: a store's owner may be honest and its keeper not.

    Of each file at most one byte too many, so that the gate sees that it is too long; of a file
    that the manifest does not list only its name.
    """
    if len(names) > _MOST_FILES:
        raise VerificationError(
            f"the store has more than {_MOST_FILES} files there, more than any version",
            code="unlisted-file",
        )
    small = [name for name in directory.FILE_LIMITS if name in names]
    for name in small:
        copy(name, directory.FILE_LIMITS[name])
    sizes = _listed(staging)
    for name in sorted(set(names).difference(small)):
        copy(name, sizes.get(name, 0))


def _listed(staging: Path) -> dict[str, int]:
    """The parts that the copied manifest lists, and their bytes; none where it is no manifest."""
    from zhixin_gateway.datasets.manifest import parse_manifest

    name = directory.MANIFEST_FILE
    try:
        data = read_file(LocalDirectory(staging), name, directory.FILE_LIMITS[name])
        return {part.path: part.size_bytes for part in parse_manifest(data).parts}
    except FormatError:
        return {}


def _write(read: BinaryIO, target: Path, limit: int) -> None:
    left = limit + 1
    with target.open("wb") as file:
        while left and (chunk := read.read(min(left, _CHUNK))):
            file.write(chunk)
            left -= len(chunk)
        file.flush()
        os.fsync(file.fileno())
