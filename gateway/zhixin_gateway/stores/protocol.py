"""What is asked of the place where versions lie, whatever it is.

A version is there or not: nothing that lists or reads one ever sees a part of it. How that is kept
differs. In a folder a version is staged beside its place and appears by one rename. On an object
store nothing can be renamed: parts go to their place at once, and ``receipt.tlog-proof``, written
last, makes a version of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from zhixin_gateway.datasets.manifest import Manifest
    from zhixin_gateway.datasets.sinks import PartSink
    from zhixin_gateway.gate.files import VersionFiles

__all__ = ["Place", "Store"]

Place = Path | str
"""Where a version lies, as ``zhixin verify`` takes it: a path, or an object store's address."""


class Store(Protocol):
    """The versions that a member has, its own and fetched ones.

    Every method raises `ConfigError` where what is asked can't be done, and `TransientSourceError`
    (``store-unavailable``) where the store does not answer.
    """

    @property
    def name(self) -> str:
        """What messages call it: a path, or an address without its parameters."""
        ...

    @property
    def folder(self) -> Path | None:
        """The folder of this machine that it is, if it is one."""
        ...

    def datasets(self) -> list[str]:
        """The datasets of which at least one version is there, by name."""
        ...

    def versions(self, dataset: str) -> list[int]:
        """The versions of a dataset that are there, rising."""
        ...

    def is_there(self, dataset: str, version: int) -> bool:
        """Whether a version lies here, sound or not: that is the gate's to say."""
        ...

    def is_erased(self, dataset: str, version: int) -> bool:
        """Whether a version was erased here (docs/erasure.md)."""
        ...

    def place(self, dataset: str, version: int) -> Place:
        """Where a version lies."""
        ...

    def files(self, dataset: str, version: int) -> VersionFiles:
        """A version's files, for the gate."""
        ...

    def read(self, dataset: str, version: int, name: str) -> bytes:
        """One of a version's small files, within its limit.

        Raises:
            FormatError: it is not there, not a regular file, or too long.
        """
        ...

    def sizes(self, dataset: str, version: int) -> dict[str, int]:
        """The bytes of each file that lies under a version's name; none where it is not there."""
        ...

    def new_staging(self, dataset: str, aside: Path) -> Path:
        """A fresh, empty folder of this machine in which a fetched version is put together.

        What fetches that died have left goes.

        Args:
            dataset: ``member/name``; the caller holds the lock of its fetches.
            aside: a private folder of this home, for stores that have no folders of their own.
        """
        ...

    def staged(self, dataset: str, aside: Path) -> Path:
        """The folder of this machine in which a run keeps what `publish` will let appear.

        Args:
            dataset: ``member/name``.
            aside: the run's own folder.
        """
        ...

    def sink(self, staged: Path, dataset: str, version: int, before: int | None) -> PartSink:
        """Where a version's parts are written.

        Args:
            staged: see `staged`; it must be there.
            dataset: ``member/name``.
            version: the number that it will bear.
            before: the version whose parts may be carried, if there is one.
        """
        ...

    def settle(self, staged: Path, manifest: Manifest) -> None:
        """Hold what was written to its manifest, just before it is signed.

        Args:
            staged: see `staged`.
            manifest: the version's, with its number.

        Raises:
            ConfigError: ``staging``: something of it is gone, or not what was written.
        """
        ...

    def publish(self, staged: Path, dataset: str, version: int) -> None:
        """Let a version appear: whole, or not at all; safe to repeat.

        Args:
            staged: its small files, the receipt among them, and what else is not in place yet.
            dataset: ``member/name``.
            version: its number.

        Raises:
            ConfigError: the place is taken, or its parts are not what the manifest says.
        """
        ...

    def drop(self, staged: Path, dataset: str) -> None:
        """Remove what a run that will not be published has put here; never a version.

        Args:
            staged: see `staged`.
            dataset: ``member/name``; the caller holds its lock.
        """
        ...

    def put_erased(self, dataset: str, version: int, name: str, data: bytes) -> None:
        """Put a file to what stays of an erased version.

        Args:
            dataset: ``member/name``.
            version: its number.
            name: the file's.
            data: its bytes.
        """
        ...
