"""Erasing versions: withdrawn for privacy first, then destroyed in this home (docs/erasure.md).

::

    planned ── erasing/MEMBER/DATASET.json says what (durable) ── each version withdrawn, cosigned
        ── store/…/N moved aside ── parts, manifest, quarantine, reports, staging unlinked
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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import (
    ConfigError,
    FormatError,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    ValidationRefused,
)

from zhixin_gateway.datasets import directory
from zhixin_gateway.pipeline.staging import SIGNED, Work
from zhixin_gateway.standing_file import find_beside, make_standing

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.state import State
    from zhixin_ledger.steps import Hook

    from zhixin_gateway.home import Home

__all__ = [
    "Derived",
    "Erasure",
    "derived_from",
    "erase",
    "left_behind",
    "plan",
    "resume",
    "unfinished",
]

STANDING_FILE = "standing.json"
_FOLDER = "erasing"
_ASIDE = ".erasing-"
_KEPT = (directory.CONTRACT_FILE, directory.STATEMENT_FILE, directory.RECEIPT_FILE)


@dataclass(frozen=True)
class Derived:
    """A version that was stated as made from what is erased, however far away."""

    dataset: str
    version: int
    withdrawn: bool

    @property
    def owner(self) -> str:
        """Whose it is: who must be written to."""
        return self.dataset.partition("/")[0]

    def to_json(self) -> dict[str, object]:
        """Give the JSON object."""
        name = f"{self.dataset}@{self.version}"
        return {"version": name, "owner": self.owner, "withdrawn": self.withdrawn}


@dataclass(frozen=True)
class Erasure:
    """What an erasure destroys, and what it can't.

    Args:
        dataset: ``member/name``.
        versions: the versions' numbers, rising.
        files: what is destroyed in this home, files and folders.
        standing: other versions of the dataset that stay, which may hold the same records.
        derived: versions that were made from these.
        linked: files that bear another name somewhere on this disk, which stays.
    """

    dataset: str
    versions: tuple[int, ...]
    files: tuple[Path, ...] = ()
    standing: tuple[int, ...] = ()
    derived: tuple[Derived, ...] = ()
    linked: tuple[Path, ...] = field(default=())

    @property
    def names(self) -> list[str]:
        """The versions as people write them."""
        return [f"{self.dataset}@{version}" for version in self.versions]

    def to_json(self) -> dict[str, object]:
        """Give the JSON object."""
        return {
            "dataset": self.dataset,
            "versions": list(self.versions),
            "files": [str(path) for path in self.files],
            "standing": list(self.standing),
            "derived": [item.to_json() for item in self.derived],
            "linked": [str(path) for path in self.linked],
        }


# What it would be.


def plan(home: Home, dataset: str, versions: Sequence[int]) -> Erasure:
    """Say what an erasure would destroy; nothing is changed.

    Args:
        home: the owner's.
        dataset: ``member/name``, one of its own.
        versions: which.

    Raises:
        ConfigError: another member's dataset, or the ledger has no such version.
        ValidationRefused: ``erase-shared``: other versions carry the same parts;
            ``proof-pending``: a version that may carry them waits for its proof.
    """
    if dataset.partition("/")[0] != home.member:
        raise ConfigError(
            f"{dataset} is not this home's: its owner erases it, and what you fetched of it you "
            f"delete from {home.store}",
        )
    client = home.ledger_client()
    state = _known(client)
    named = tuple(sorted(set(versions)))
    for version in named:
        if state.stated(dataset, version) is None:
            raise ConfigError(f"the ledger has no {dataset}@{version}")
    if Work(home, dataset).step == SIGNED:
        raise ValidationRefused(
            f"a signed version of {dataset} waits for its proof and may carry the same parts",
            code="proof-pending",
            hint="finish it first: `zhixin status --resume`",
        )
    _refuse_shared(home, state, dataset, named)
    fact = state.dataset(dataset)
    withdrawn = set(fact.withdrawn if fact else ()) | set(named)
    files = tuple(_files(home, dataset, named))
    return Erasure(
        dataset,
        named,
        files,
        tuple(n for n in range(1, (fact.version if fact else 0) + 1) if n not in withdrawn),
        derived_from(client, dataset, named),
        tuple(path for path in _parts_of(files) if path.stat().st_nlink > 1),
    )


def derived_from(
    client: LedgerClient, dataset: str, versions: Sequence[int]
) -> tuple[Derived, ...]:
    """Every version that the ledger has as made from these, directly or by others.

    Args:
        client: a view of the ledger, brought up to date.
        dataset: ``member/name``.
        versions: numbers of its versions.
    """
    made: dict[tuple[str, int], list[Derived]] = {}
    for item, inputs in _all_stated(client):
        for name in inputs:
            made.setdefault(name, []).append(item)
    found: dict[tuple[str, int], Derived] = {}
    ahead = [(dataset, version) for version in versions]
    while ahead:
        for item in made.get(ahead.pop(), ()):
            name = (item.dataset, item.version)
            if name not in found and not (item.dataset == dataset and item.version in versions):
                found[name] = item
                ahead.append(name)
    return tuple(found[name] for name in sorted(found))


def _all_stated(client: LedgerClient) -> Iterator[tuple[Derived, list[tuple[str, int]]]]:
    from zhixin_ledger.dsse import parse_envelope
    from zhixin_ledger.intoto import parse_statement
    from zhixin_ledger.kinds.dataset import DATASET

    for fact in client.state().datasets():
        for version in range(1, fact.version + 1):
            stated = client.stated(fact.dataset, version)
            if stated is None:
                continue
            payload = parse_envelope(client.entry(stated.index)).payload
            inputs = DATASET.read(parse_statement(payload)).inputs
            item = Derived(fact.dataset, version, version in fact.withdrawn)
            yield item, [(given.dataset, given.version) for given in inputs]


def _known(client: LedgerClient) -> State:
    from zhixin_gateway.pipeline.notarising import known_state
    from zhixin_gateway.progress import NullProgress

    return known_state(client, NullProgress())


def _refuse_shared(home: Home, state: State, dataset: str, named: Sequence[int]) -> None:
    fact = state.dataset(dataset)
    everything = range(1, (fact.version if fact else 0) + 1)
    begun = _told(_marker(home, dataset))
    carried = {
        version: set() if version in begun else _salt_keys(home, state, dataset, version)
        for version in everything
    }
    covered, grown = set(named), True
    while grown:
        also = {
            version
            for version in everything
            if version not in covered and any(_share(carried, version, other) for other in covered)
        }
        covered, grown = covered | also, bool(also)
    missing = sorted(covered - set(named))
    if missing:
        told = ", ".join(f"{dataset}@{version}" for version in missing)
        raise ValidationRefused(
            f"parts of {', '.join(f'{dataset}@{version}' for version in named)} are carried by "
            f"{told} too, or it can't be told whether they are: nothing is erased",
            code="erase-shared",
            hint="name them too: `zhixin erase "
            + " ".join(f"{dataset}@{version}" for version in sorted(covered))
            + "`",
            details={"missing": missing},
        )


def _share(carried: dict[int, set[bytes] | None], one: int, other: int) -> bool:
    """Whether two versions carry a part; what can't be read may carry any."""
    first, second = carried[one], carried[other]
    if first is None or second is None:
        return first != set() and second != set()
    return not first.isdisjoint(second)


def _salt_keys(home: Home, state: State, dataset: str, version: int) -> set[bytes] | None:
    """What tells a version's parts; empty where it was erased, None where it can't be read."""
    from zhixin_ledger.encoding import sha256

    from zhixin_gateway.datasets.manifest import parse_manifest

    path = directory.version_path(home.store, dataset, version)
    if not path.exists() and directory.erased_path(home.store, dataset, version).is_dir():
        return set()
    stated = state.stated(dataset, version)
    try:
        data = (path / directory.MANIFEST_FILE).read_bytes()
        if stated is None or sha256(data) != stated.manifest:
            return None
        return {part.salt_key for part in parse_manifest(data).parts}
    except (OSError, FormatError):
        return None


def _files(home: Home, dataset: str, versions: Sequence[int]) -> Iterator[Path]:
    """What lies in this home of these versions, and of runs that have not ended."""
    folder = directory.dataset_path(home.store, dataset)
    for version in versions:
        for path in (
            folder / str(version),
            folder / f"{_ASIDE}{version}",
            home.quarantine / dataset / f"{version}.parquet",
        ):
            if path.exists():
                yield path
    for path in (home.reports / dataset, Work(home, dataset).folder):
        if path.exists():
            yield path
    if folder.is_dir():
        yield from sorted(folder.glob(".staging-*"))


def _parts_of(files: Sequence[Path]) -> Iterator[Path]:
    for path in files:
        if path.is_dir():
            yield from (inner for inner in sorted(path.rglob("*")) if inner.is_file())
        else:
            yield path


# Doing it.


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
        ConfigError: a run of this dataset is under way, or the disk refuses.
    """
    from zhixin_gateway.home import write_whole

    step = hook or (lambda _name: None)
    with home.lock(erasure.dataset):
        marker = _marker(home, erasure.dataset)
        also = _told(marker)
        versions = sorted({*erasure.versions, *also})
        marker.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        began = datetime.now(UTC).isoformat(timespec="seconds")
        told = {"dataset": erasure.dataset, "versions": versions, "began": began}
        write_whole(marker, json.dumps(told).encode())
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
    for path in sorted((home.path / _FOLDER).glob("*/*.json")):
        versions = _told(path)
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
    there = {
        f"{fact.dataset}@{version}"
        for fact in client.state().datasets()
        for version in fact.withdrawn
        if directory.version_path(home.store, fact.dataset, version).exists()
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
        fact = _known(client).dataset(dataset)
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
    path = directory.version_path(home.store, dataset, version)
    aside = path.with_name(f"{_ASIDE}{version}")
    kept = directory.erased_path(home.store, dataset, version)
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
    step(f"quarantine {version}")
    _remove(home.quarantine / dataset / f"{version}.parquet")
    step(f"standing {version}")
    try:
        data = make_standing(home.ledger_client(), dataset)
        directory.write_file(kept / STANDING_FILE, data)
    except LedgerError:
        pass  # a convenience for auditors: the ledger has the withdrawal
    directory.sync_folder(kept.parent)


def _destroy_staging(home: Home, dataset: str) -> None:
    Work(home, dataset).discard()
    folder = directory.dataset_path(home.store, dataset)
    for path in (home.reports / dataset, *sorted(folder.glob(".staging-*"))):
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


def _marker(home: Home, dataset: str) -> Path:
    return home.path / _FOLDER / f"{dataset}.json"


def _told(marker: Path) -> tuple[int, ...]:
    """The versions that a marker names."""
    try:
        told: Any = json.loads(marker.read_bytes())
        return tuple(int(version) for version in told["versions"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{marker} does not say which versions are being erased",
            code="erase-unfinished",
            hint="move it away and erase them again",
        ) from error
