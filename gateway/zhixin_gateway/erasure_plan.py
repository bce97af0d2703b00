"""What an erasure would destroy, whom it concerns, and what it may not leave behind.

An unchanged part is carried from version to version under one salt key, so an erasure covers every
version that carries a part of those that it names, or it is refused. Nothing is changed here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, FormatError, ValidationRefused

from zhixin_gateway.datasets import directory
from zhixin_gateway.lineage import no_version
from zhixin_gateway.pipeline.notarising import known_state
from zhixin_gateway.pipeline.staging import SIGNED, Work
from zhixin_gateway.quarantine import ATTEMPT, files_of
from zhixin_gateway.stores import LocalStore, Place

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.state import State

    from zhixin_gateway.home import Home

__all__ = [
    "ASIDE",
    "FOLDER",
    "Derived",
    "Erasure",
    "derived_from",
    "marked",
    "marker_path",
    "plan",
    "refuse_links",
]

FOLDER = "erasing"
"""In a home: a file for each dataset of which versions are being erased."""

ASIDE = ".erasing-"
"""How a version's directory is called while it is being destroyed, before its number."""


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
        files: what is destroyed of this home, files, folders and addresses in its object store.
        others: the dataset's other versions that were not erased; they may hold the same records.
        derived: versions that were made from these.
        linked: files that bear another name somewhere on this disk, which stays.
        keeper: the object store that keeps what is deleted from it; empty: none does.
    """

    dataset: str
    versions: tuple[int, ...]
    files: tuple[Place, ...] = ()
    others: tuple[int, ...] = ()
    derived: tuple[Derived, ...] = ()
    linked: tuple[Path, ...] = field(default=())
    keeper: str = ""

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
            "others": list(self.others),
            "derived": [item.to_json() for item in self.derived],
            "linked": [str(path) for path in self.linked],
            "keeper": self.keeper or None,
        }


def plan(home: Home, dataset: str, versions: Sequence[int]) -> Erasure:
    """Say what an erasure would destroy; nothing is changed.

    Args:
        home: the owner's.
        dataset: ``member/name``, one of its own.
        versions: which.

    Raises:
        ConfigError: another member's dataset, the ledger has no such version, or it is a link.
        ValidationRefused: ``erase-shared``: other versions carry the same parts;
            ``proof-pending``: a version that may carry them waits for its proof.
    """
    if dataset.partition("/")[0] != home.member:
        raise ConfigError(
            f"{dataset} is not this home's: its owner erases it, and what you fetched of it you "
            f"delete from {home.open_store().name}",
        )
    client = home.ledger_client()
    state = known_state(client)
    named = tuple(sorted(set(versions)))
    for version in named:
        if state.stated(dataset, version) is None:
            raise no_version(dataset, version)
    if Work(home, dataset).step == SIGNED:
        raise ValidationRefused(
            f"a signed version of {dataset} waits for its proof and may carry the same parts",
            code="proof-pending",
            hint="finish it first: `zhixin status --resume`",
        )
    refuse_links(home, dataset, named)
    _refuse_shared(home, state, dataset, named)
    fact = state.dataset(dataset)
    files = tuple(_files(home, dataset, named))
    store = home.open_store()
    others = tuple(
        version
        for version in range(1, (fact.version if fact else 0) + 1)
        if version not in named and not store.is_erased(dataset, version)
    )
    return Erasure(
        dataset,
        named,
        files,
        others,
        derived_from(client, dataset, named),
        tuple(_named_elsewhere(_parts_of(files))),
        _keeper(home, dataset, named),
    )


def _keeper(home: Home, dataset: str, versions: Sequence[int]) -> str:
    """The object store's name, if it keeps old versions of what is deleted from it."""
    store = home.open_store()
    if isinstance(store, LocalStore):
        return ""
    return store.name if any(store.keeps_old(dataset, number) for number in versions) else ""


def refuse_links(home: Home, dataset: str, versions: Sequence[int]) -> None:
    """Refuse where a version, or something of it, lies elsewhere behind a link.

    Args:
        home: the owner's.
        dataset: ``member/name``.
        versions: numbers of its versions.

    Raises:
        ConfigError: only the link would be destroyed.
    """
    for path in _versions_files(home, dataset, versions):
        for each in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())):
            if each.is_symlink():
                raise ConfigError(
                    f"{each} is a link: what it leads to would stay, so nothing is erased",
                    hint="move what it leads to into its place, then erase it",
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


def _refuse_shared(home: Home, state: State, dataset: str, named: Sequence[int]) -> None:
    fact = state.dataset(dataset)
    everything = range(1, (fact.version if fact else 0) + 1)
    begun = marked(marker_path(home, dataset))
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
        unread = sorted(version for version in covered if carried[version] is None)
        raise ValidationRefused(
            f"parts of {_names(dataset, named)} are carried by {_names(dataset, missing)} too"
            + (
                f", or may be: {_names(dataset, unread)} can't be read here, which may carry any"
                if unread
                else ""
            )
            + ": nothing is erased",
            code="erase-shared",
            hint=f"name them too: `zhixin erase {_names(dataset, sorted(covered), ' ')}`"
            + ("; or put back first what can't be read, from a backup" if unread else ""),
            details={"missing": missing, "unread": unread},
        )


def _names(dataset: str, versions: Iterable[int], between: str = ", ") -> str:
    return between.join(f"{dataset}@{version}" for version in versions)


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

    store = home.open_store()
    if not store.is_there(dataset, version) and store.is_erased(dataset, version):
        return set()
    stated = state.stated(dataset, version)
    try:
        data = store.read(dataset, version, directory.MANIFEST_FILE)
        if stated is None or sha256(data) != stated.manifest:
            return None
        return {part.salt_key for part in parse_manifest(data).parts}
    except (ConfigError, FormatError):
        return None


def _files(home: Home, dataset: str, versions: Sequence[int]) -> Iterator[Place]:
    """What this home has of these versions, and of runs that have not ended."""
    store = home.open_store()
    yield from (path for path in _versions_files(home, dataset, versions) if path.exists())
    if store.folder is None:
        yield from (store.place(dataset, n) for n in versions if store.sizes(dataset, n))
    left = (*files_of(home, dataset, ATTEMPT), home.reports / dataset, Work(home, dataset).folder)
    for path in left:
        if path.exists():
            yield path
    if store.folder is not None:
        yield from sorted(directory.dataset_path(store.folder, dataset).glob(".staging-*"))


def _versions_files(home: Home, dataset: str, versions: Sequence[int]) -> Iterator[Path]:
    """Where these versions lie; not each is there."""
    store = home.open_store()
    for version in versions:
        if store.folder is not None:
            folder = directory.dataset_path(store.folder, dataset)
            yield folder / str(version)
            yield folder / f"{ASIDE}{version}"
        yield from files_of(home, dataset, version)


def _parts_of(files: Sequence[Place]) -> Iterator[Path]:
    for path in files:
        if isinstance(path, str):
            continue  # an object has one name
        if path.is_dir():
            yield from (inner for inner in sorted(path.rglob("*")) if inner.is_file())
        else:
            yield path


def _named_elsewhere(files: Iterable[Path]) -> Iterator[Path]:
    """Those that bear more names than go: a part that is carried over has one in each version."""
    found = {path: path.stat() for path in files}
    going = Counter((told.st_dev, told.st_ino) for told in found.values())
    for path, told in found.items():
        if told.st_nlink > going[told.st_dev, told.st_ino]:
            yield path


def marker_path(home: Home, dataset: str) -> Path:
    """Where it stands which versions of a dataset are being erased."""
    return home.path / FOLDER / f"{dataset}.json"


def marked(marker: Path) -> tuple[int, ...]:
    """The versions that a marker names; none where there is no marker.

    Raises:
        ConfigError: it can't be read.
    """
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
