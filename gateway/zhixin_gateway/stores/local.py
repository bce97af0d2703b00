"""A store in a folder of this machine (docs/formats.md 2.1)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_gateway.datasets import directory

if TYPE_CHECKING:
    from zhixin_gateway.datasets.manifest import Manifest
    from zhixin_gateway.datasets.sinks import PartSink
    from zhixin_gateway.gate.files import LocalDirectory

__all__ = ["LocalStore"]


class LocalStore:
    """A folder; a version appears in it by one rename.

    Args:
        folder: which need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Path = folder

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def datasets(self) -> list[str]:
        """The datasets of which at least one version is there, by name."""
        return directory.list_datasets(self.folder)

    def versions(self, dataset: str) -> list[int]:
        """The versions of a dataset that are there, rising."""
        return directory.list_versions(self.folder, dataset)

    def is_there(self, dataset: str, version: int) -> bool:
        """Whether something bears a version's name."""
        return self.place(dataset, version).exists()

    def is_erased(self, dataset: str, version: int) -> bool:
        """Whether a version was erased here."""
        return directory.erased_path(self.folder, dataset, version).is_dir()

    def place(self, dataset: str, version: int) -> Path:
        """The version's directory."""
        return directory.version_path(self.folder, dataset, version)

    def files(self, dataset: str, version: int) -> LocalDirectory:
        """A version's files, for the gate."""
        from zhixin_gateway.gate.files import LocalDirectory

        return LocalDirectory(self.place(dataset, version))

    def read(self, dataset: str, version: int, name: str) -> bytes:
        """One of a version's small files, within its limit."""
        from zhixin_gateway.gate.files import read_file

        return read_file(self.files(dataset, version), name, directory.FILE_LIMITS[name])

    def sizes(self, dataset: str, version: int) -> dict[str, int]:
        """The bytes of each file that lies in a version's directory."""
        try:
            entries = list(self.place(dataset, version).iterdir())
            return {path.name: path.stat().st_size for path in entries if path.is_file()}
        except OSError:
            return {}

    def new_staging(self, dataset: str, aside: Path) -> Path:  # noqa: ARG002 - as others need
        """A fresh folder beside the versions, on their file system."""
        directory.clear_staging(self.folder, dataset)
        return directory.new_staging(self.folder, dataset)

    def staged(self, dataset: str, aside: Path) -> Path:  # noqa: ARG002 - as others need
        """Beside the versions, so that the run's appears by one rename."""
        return directory.run_staging(self.folder, dataset)

    def sink(
        self,
        staged: Path,
        dataset: str,
        version: int,  # noqa: ARG002 - as others need
        before: int | None,
    ) -> PartSink:
        """The staged folder; parts are carried from the version before by hard links."""
        from zhixin_gateway.datasets.sinks import LocalSink

        return LocalSink(staged, None if before is None else self.place(dataset, before))

    def settle(self, staged: Path, manifest: Manifest) -> None:
        """Nothing is left to be done: parts were synced as they were written."""

    def publish(self, staged: Path, dataset: str, version: int) -> None:
        """One rename; what a process that was killed has left among the files goes before it."""
        _tidy(staged)
        directory.publish(staged, self.place(dataset, version))

    def put_erased(self, dataset: str, version: int, name: str, data: bytes) -> None:
        """Put a file to what stays of an erased version."""
        kept = directory.erased_path(self.folder, dataset, version)
        directory.write_file(kept / name, data)

    def drop(self, staged: Path, dataset: str) -> None:  # noqa: ARG002 - as others need
        """Remove the staged folder."""
        shutil.rmtree(staged, ignore_errors=True)


def _tidy(staged: Path) -> None:
    """Remove what the manifest does not list, such as a file that was about to get its name.

    The gate would refuse the version for it, for good: it is stated by then.
    """
    from zhixin_gateway.datasets.manifest import parse_manifest

    manifest = parse_manifest((staged / directory.MANIFEST_FILE).read_bytes())
    listed = {*directory.FILE_LIMITS, *(part.path for part in manifest.parts)}
    for path in staged.iterdir():
        if path.name not in listed:
            path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
