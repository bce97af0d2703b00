"""A store on any URL that pyarrow.fs opens, such as ``s3://bucket/prefix?region=…``.

::

    bucket/prefix/bts.gov.example/flights/3/part-00000.parquet …   first, while they are written
                                            contract.yaml  manifest.json  statement.json
                                            receipt.tlog-proof                last of all

Without its receipt a number is no version: nothing lists it, nothing reads it, and whoever holds
the dataset's lock next throws it away. What is not a part yet stays in the home until it is signed
and proved; so a run that was killed after that goes on where it was.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from zhixin_errors import ConfigError
from zhixin_ledger.names import check_dataset, split_dataset

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.gate.files import read_file
from zhixin_gateway.gate.objectfiles import ObjectDirectory
from zhixin_gateway.stores.objects import Objects
from zhixin_gateway.stores.objectsink import STAGING, ObjectSink, changed, settle

if TYPE_CHECKING:
    from zhixin_gateway.datasets.manifest import Manifest

__all__ = ["ObjectStore"]

_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_RECEIPT = directory.RECEIPT_FILE
_BEFORE_RECEIPT = (directory.CONTRACT_FILE, directory.MANIFEST_FILE, directory.STATEMENT_FILE)


class ObjectStore:
    """Versions as objects below an address.

    Args:
        url: the address; no credentials stand in it.
        environ: where they stand.

    Raises:
        ConfigError: the address can't be used.
    """

    folder: Path | None = None

    def __init__(self, url: str, environ: Mapping[str, str] = os.environ) -> None:
        self._url = url
        self._objects = Objects.at(url, environ)

    @property
    def name(self) -> str:
        """The address without its parameters."""
        return self._objects.name

    @property
    def objects(self) -> Objects:
        """What lies at the address, for who looks after it."""
        return self._objects

    @property
    def is_in_clear(self) -> bool:
        """Whether what is sent and read can be seen on the network."""
        asked = dict(parse_qsl(self._url.partition("?")[2]))
        host = asked.get("endpoint_override", "").rpartition(":")[0]
        return asked.get("scheme") == "http" and host not in ("127.0.0.1", "localhost", "[::1]")

    def datasets(self) -> list[str]:
        """The datasets of which at least one version is there, by name."""
        found = []
        for member in self._objects.listed():
            names = (
                self._objects.below(member.name).listed() if directory.is_name(member.name) else []
            )
            for each in names:
                dataset = f"{member.name}/{each.name}"
                if directory.is_name(member.name, each.name) and self.versions(dataset):
                    found.append(dataset)
        return sorted(found)

    def versions(self, dataset: str) -> list[int]:
        """The versions of a dataset whose receipts are there, rising."""
        names, versions = self._numbers(dataset), self._versions(dataset)
        there = versions.there([f"{name}/{_RECEIPT}" for name in names])
        return sorted(int(name) for name, found in zip(names, there, strict=True) if found)

    def is_there(self, dataset: str, version: int) -> bool:
        """Whether a version's receipt is there."""
        return self._version(dataset, version).size(_RECEIPT) is not None

    def is_erased(self, dataset: str, version: int) -> bool:
        """Whether a version was erased here."""
        return bool(self._erased(dataset, version).listed(1))

    def place(self, dataset: str, version: int) -> str:
        """A version's address, with the parameters that open it."""
        head, mark, parameters = self._url.partition("?")
        check_dataset(dataset)
        return f"{head.rstrip('/')}/{dataset}/{version}{mark}{parameters}"

    def files(self, dataset: str, version: int) -> ObjectDirectory:
        """A version's files, for the gate."""
        return ObjectDirectory(self._version(dataset, version))

    def read(self, dataset: str, version: int, name: str) -> bytes:
        """One of a version's small files, within its limit."""
        return read_file(self.files(dataset, version), name, directory.FILE_LIMITS[name])

    def sizes(self, dataset: str, version: int) -> dict[str, int]:
        """The bytes of each object that lies under a version's number."""
        return self._version(dataset, version).sizes()

    def new_staging(self, dataset: str, aside: Path) -> Path:
        """A fresh folder of this home; those that fetches that died have left go."""
        head = f"fetch-{dataset.replace('/', '+')}-"
        aside.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in aside.glob(f"{head}*"):
            shutil.rmtree(left, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=head, dir=aside))

    def staged(self, dataset: str, aside: Path) -> Path:  # noqa: ARG002 - as others need
        """A folder in the run's own."""
        return aside / "version"

    def sink(self, staged: Path, dataset: str, version: int, before: int | None) -> ObjectSink:
        """The version's place itself; parts are carried by copies within the store.

        Raises:
            ConfigError: a version of that number lies there.
        """
        self._refuse_another(staged, dataset, version)
        return ObjectSink(self._versions(dataset), version, before, staged)

    def settle(self, staged: Path, manifest: Manifest) -> None:
        """Copy the carried parts, and hold all parts to the manifest."""
        self._refuse_another(staged, manifest.dataset, manifest.version)
        if not self.is_there(manifest.dataset, manifest.version):
            settle(self._versions(manifest.dataset), staged, manifest)

    def publish(self, staged: Path, dataset: str, version: int) -> None:
        """Put what is not in place yet, the receipt last."""
        objects = self._version(dataset, version)
        self._refuse_another(staged, dataset, version)
        if not self.is_there(dataset, version):
            manifest = parse_manifest((staged / directory.MANIFEST_FILE).read_bytes())
            self._put_parts(objects, staged, manifest)
            for name in _BEFORE_RECEIPT:
                objects.put(name, (staged / name).read_bytes())
            listed = {*_BEFORE_RECEIPT, *(part.path for part in manifest.parts)}
            for each in objects.listed():
                if each.name not in listed:
                    objects.delete(each.name)
            objects.put(_RECEIPT, (staged / _RECEIPT).read_bytes())
        # Gone at once, as by the rename in a folder: half of it would look like work to be done.
        shutil.rmtree(staged.rename(staged.with_name(f"{staged.name}.published")))

    def drop(self, staged: Path, dataset: str) -> None:
        """Remove the staged folder, and the objects that no receipt makes a version of."""
        shutil.rmtree(staged, ignore_errors=True)
        versions = self._versions(dataset)
        for each in versions.listed():
            if each.name.startswith(STAGING):
                versions.below(each.name).delete_all()
        for number in sorted(map(int, self._numbers(dataset)), reverse=True):
            if self.is_there(dataset, number):
                break  # versions are consecutive: what a run has left is after the newest
            self._version(dataset, number).delete_all()

    def erase(self, dataset: str, version: int, kept: Sequence[str]) -> None:
        """Destroy a version, but for copies of small files that tell that it was there.

        Args:
            dataset: ``member/name``.
            version: its number.
            kept: the files that stay, under ``N.erased``.
        """
        objects, erased = self._version(dataset, version), self._erased(dataset, version)
        for name in kept:
            try:
                erased.copy(objects, name, name)
            except FileNotFoundError:
                continue  # an erasure that was begun before has kept it, or there was none
        objects.delete(_RECEIPT)  # from here on it is no version
        objects.delete_all()

    def keeps_old(self, dataset: str, version: int) -> bool:
        """Whether the bucket keeps a version's objects though they are deleted, if it says so."""
        objects = self._version(dataset, version)
        return any(objects.is_versioned(name) for name in sorted(objects.sizes())[:1])

    def put_erased(self, dataset: str, version: int, name: str, data: bytes) -> None:
        """Put a file to what stays of an erased version."""
        self._erased(dataset, version).put(name, data)

    def _put_parts(self, objects: Objects, staged: Path, manifest: Manifest) -> None:
        found = objects.sizes()
        for part in manifest.parts:
            if (staged / part.path).is_file():
                objects.put_file(part.path, staged / part.path)
            elif found.get(part.path) != part.size_bytes:
                raise changed(objects.name, part.path)

    def _refuse_another(self, staged: Path, dataset: str, version: int) -> None:
        """Refuse to touch a version that is not the staged one."""
        if not self.is_there(dataset, version):
            return
        name = directory.STATEMENT_FILE
        own = staged / name
        if not own.is_file() or self.read(dataset, version, name) != own.read_bytes():
            raise ConfigError(
                f"{self._version(dataset, version).name} is there already: a version is never "
                "replaced",
                code="store-taken",
                hint="has this home been put back, or was the ledger not reached? run again once "
                "`zhixin ls` shows that version",
            )

    def _versions(self, dataset: str) -> Objects:
        member, name = split_dataset(dataset)
        return self._objects.below(f"{member}/{name}")

    def _version(self, dataset: str, version: int) -> Objects:
        return self._versions(dataset).below(str(version))

    def _erased(self, dataset: str, version: int) -> Objects:
        return self._versions(dataset).below(f"{version}.erased")

    def _numbers(self, dataset: str) -> list[str]:
        listed = self._versions(dataset).listed()
        return [each.name for each in listed if _NUMBER.fullmatch(each.name)]
