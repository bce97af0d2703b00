"""Parts that go straight to an object store while they are written.

Each is an object of its own, at its place under the version's number, where no reader looks before
the receipt is there. A part that is carried from the version before is held to its digest when it
is taken over, and copied within the store just before the version is signed: a run that finds
nothing new copies nothing. Until then a file beside the staged ones stands for it::

    part-00003.parquet.carried      {"version": 2, "path": "part-00002.parquet", "tag": …}
"""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from zhixin_errors import ConfigError

from zhixin_gateway.datasets.directory import write_file
from zhixin_gateway.datasets.sinks import is_stated

if TYPE_CHECKING:
    from zhixin_gateway.datasets.manifest import Manifest, PartEntry
    from zhixin_gateway.stores.objects import Objects, Writing

__all__ = ["STAGING", "ObjectSink", "changed", "settle"]

STAGING = ".staging-"
"""How the folder is called, before the version's number, of what is no part of it yet."""

_CARRIED = ".carried"
_AT_ONCE = 8


class ObjectSink:
    """Where the parts of one version are written.

    Args:
        versions: the objects of the dataset.
        number: of the version that is written.
        before: of the one whose parts may be carried; None: of none.
        staged: a folder of this machine, for what stands for carried parts.
        inside: the folder of files that are no part of the version yet; empty: the version itself.
    """

    def __init__(
        self, versions: Objects, number: int, before: int | None, staged: Path, inside: str = ""
    ) -> None:
        self._versions = versions
        self._number = number
        self._before = before
        self._staged = staged
        self._inside = inside

    def create(self, name: str) -> Writing:
        """Begin an object; one of that name is replaced once it is closed."""
        self._marker(name).unlink(missing_ok=True)
        return self._objects(name).create(_leaf(name))

    def carry(self, entry: PartEntry, name: str) -> bool:
        """Let a part of the version before stand here, if its bytes are those stated."""
        if self._before is None:
            return False
        before = self._versions.below(str(self._before))
        try:
            tag = before.tag(entry.path)
            with before.open(entry.path) as read:
                if not is_stated(cast("BinaryIO", read), entry):
                    return False
        except FileNotFoundError:
            return False
        told = {"version": self._before, "path": entry.path, "tag": tag}
        write_file(self._marker(name), json.dumps(told).encode())
        return True

    def open(self, name: str) -> BinaryIO:
        """Open what was written, or what stands for it, to read it back."""
        marker, objects, path = self._marker(name), self._objects(name), _leaf(name)
        if marker.is_file():
            told = _told(marker)
            objects, path = self._versions.below(str(told["version"])), str(told["path"])
        try:
            return cast("BinaryIO", objects.open_anywhere(path))
        except FileNotFoundError:
            raise changed(objects.name, path) from None

    def remove(self, name: str) -> None:
        """Delete an object, if it is there."""
        self._marker(name).unlink(missing_ok=True)
        self._objects(name).delete(_leaf(name))

    def rename(self, old: str, new: str) -> None:
        """Give an object another name: a copy within the store, and the old one goes."""
        if self._marker(old).is_file():
            self._marker(old).replace(self._marker(new))
            return
        self._marker(new).unlink(missing_ok=True)
        source, target = self._objects(old), self._objects(new)
        size = source.size(_leaf(old))
        try:
            target.copy(source, _leaf(old), _leaf(new))
        except FileNotFoundError:
            raise changed(source.name, _leaf(old)) from None
        if target.size(_leaf(new)) != size:
            raise changed(target.name, _leaf(new))
        source.delete(_leaf(old))

    def sync(self) -> None:
        """Nothing is left to be done: an object that was closed is durable."""

    def below(self, folder: str) -> ObjectSink:
        """A sink of its own beside the version's place, where nothing lies in it by mistake."""
        path = self._staged / self._inside / folder
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"can't write {path}: {error.strerror}") from error
        return ObjectSink(
            self._versions, self._number, self._before, self._staged, self._joined(folder)
        )

    def clear(self, folder: str) -> None:
        """Delete what lies in a folder that `below` made."""
        shutil.rmtree(self._staged / self._inside / folder, ignore_errors=True)
        self._objects(f"{folder}/").delete_all()

    def _objects(self, name: str) -> Objects:
        """Where the object of that name lies: in the version, or beside it."""
        inside = self._joined(name.rpartition("/")[0])
        place = f"{STAGING}{self._number}/{inside}" if inside else str(self._number)
        return self._versions.below(place)

    def _joined(self, folder: str) -> str:
        return "/".join(filter(None, (self._inside, folder)))

    def _marker(self, name: str) -> Path:
        return self._staged / self._inside / f"{name}{_CARRIED}"


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def settle(versions: Objects, staged: Path, manifest: Manifest) -> None:
    """Copy the carried parts to their places, and hold all of them to the manifest.

    Args:
        versions: the objects of the dataset.
        staged: where the files lie that stand for carried parts.
        manifest: the version's, with its number.

    Raises:
        ConfigError: ``staging``: an object is gone, or not what was written.
    """
    parts = versions.below(str(manifest.version))
    markers = [staged / f"{part.path}{_CARRIED}" for part in manifest.parts]
    carried = [marker for marker in markers if marker.is_file()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(partial(_bring, versions, parts), carried))
    wanted = {part.path: part.size_bytes for part in manifest.parts}
    found = parts.sizes()
    for name, size in wanted.items():
        if found.get(name) != size:
            raise changed(parts.name, name)
    for name in sorted(found.keys() - wanted.keys()):
        parts.delete(name)
    versions.below(f"{STAGING}{manifest.version}").delete_all()


def _bring(versions: Objects, parts: Objects, marker: Path) -> None:
    told = _told(marker)
    before, path = versions.below(str(told["version"])), str(told["path"])
    name = marker.name.removesuffix(_CARRIED)
    try:
        parts.copy(before, path, name)
        same = before.tag(path) == told["tag"]
    except FileNotFoundError:
        same = False
    if not same:
        raise changed(before.name, path)
    marker.unlink()


def changed(place: str, name: str) -> ConfigError:
    """The error of an object that is not there any more as it was written."""
    return ConfigError(
        f"{name} in {place} is gone, or not what was written",
        code="staging",
        hint="does another program write there? run again: nothing was published",
    )


def _told(marker: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(marker.read_bytes())
    return told
