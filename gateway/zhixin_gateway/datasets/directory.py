"""The version directory: where a version lies, what it consists of, how it appears.

Section 2.1 of the formats. ``<store>/<member>/<dataset>/<number>/`` holds exactly::

    part-00000.parquet …   contract.yaml   manifest.json   statement.json   receipt.tlog-proof

A version is staged beside its place, in a folder whose name begins with a dot, and appears by one
rename after its receipt is there: who lists versions sees it whole or not at all. This module moves
and names; it does not judge what lies there (that is the gate's).
"""

from __future__ import annotations

import errno
import re
import secrets
import shutil
from pathlib import Path

from zhixin_errors import ConfigError, FormatError
from zhixin_ledger import files
from zhixin_ledger.files import sync_folder
from zhixin_ledger.names import check_dataset, check_member, split_dataset

__all__ = [
    "CONTRACT_FILE",
    "FILE_LIMITS",
    "MANIFEST_FILE",
    "RECEIPT_FILE",
    "STATEMENT_FILE",
    "clear_staging",
    "dataset_path",
    "erased_path",
    "is_name",
    "list_datasets",
    "list_versions",
    "new_staging",
    "publish",
    "run_staging",
    "sync_folder",
    "version_path",
    "write_file",
    "write_whole",
]

CONTRACT_FILE = "contract.yaml"
MANIFEST_FILE = "manifest.json"
STATEMENT_FILE = "statement.json"
RECEIPT_FILE = "receipt.tlog-proof"

FILE_LIMITS = {
    CONTRACT_FILE: 1024 * 1024,
    MANIFEST_FILE: 64 * 1024 * 1024,
    STATEMENT_FILE: 65_535,
    RECEIPT_FILE: 256 * 1024,
}
"""The most bytes of each file beside the parts."""

_STAGING = ".staging-"
_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


def dataset_path(store: Path, dataset: str) -> Path:
    """The folder of a dataset's versions.

    Raises:
        FormatError: it is no dataset's name.
    """
    member, name = split_dataset(dataset)
    return store / member / name


def version_path(store: Path, dataset: str, version: int) -> Path:
    """The directory of one version."""
    return dataset_path(store, dataset) / str(version)


def erased_path(store: Path, dataset: str, version: int) -> Path:
    """Where lies what stays of a version that was erased: ``…/3.erased``; it is no version."""
    return dataset_path(store, dataset) / f"{version}.erased"


def list_versions(store: Path, dataset: str) -> list[int]:
    """The versions of a dataset that are there, rising."""
    folder = dataset_path(store, dataset)
    return sorted(int(name) for name in _names(folder) if _is_version(folder, name))


def list_datasets(store: Path) -> list[str]:
    """The datasets of which at least one version is there, by name."""
    found = []
    for member in _names(store):
        for name in _names(store / member) if is_name(member) else ():
            dataset = f"{member}/{name}"
            if is_name(member, name) and list_versions(store, dataset):
                found.append(dataset)
    return sorted(found)


def new_staging(store: Path, dataset: str) -> Path:
    """Make a fresh, empty folder beside a dataset's versions, on the same file system."""
    folder = dataset_path(store, dataset)
    try:
        staging = folder / f"{_STAGING}{secrets.token_hex(8)}"
        staging.mkdir(parents=True)
    except OSError as error:
        raise _cannot("make a staging folder in", folder, error) from error
    return staging


def run_staging(store: Path, dataset: str) -> Path:
    """The folder in which a run of the dataset puts its version together."""
    return dataset_path(store, dataset) / f"{_STAGING}run"


def clear_staging(store: Path, dataset: str) -> int:
    """Remove what fetches that died have left beside a dataset's versions; how many folders."""
    folder, run = dataset_path(store, dataset), run_staging(store, dataset)
    found = [folder / name for name in _names(folder) if name.startswith(_STAGING)]
    left = [path for path in found if path != run]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole and bring it to the disk, or leave none under that name.

    Raises:
        ConfigError: the file can't be written.
    """
    try:
        write_whole(path, data)
    except OSError as error:
        raise _cannot("write", path, error) from error


def write_whole(path: Path, data: bytes) -> None:
    """As `write_file`; what the system refuses is left as it says it.

    Raises:
        OSError: the file can't be written.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is a folder or a device, not a file", str(path))
    files.write_whole(path, data)
    sync_folder(path.parent)


def publish(staging: Path, target: Path) -> None:
    """Let a staged version appear: one rename, and both folders on the disk.

    Args:
        staging: the folder with all files of the version, each already on the disk.
        target: the version's place, on the same file system.

    Raises:
        ConfigError: the place is taken, or the rename is not possible.
    """
    if target.exists() or target.is_symlink():
        raise ConfigError(f"{target} is there already: a version is never replaced")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sync_folder(staging)
        staging.rename(target)
    except OSError as error:
        raise _cannot("move the version to", target, error) from error
    sync_folder(target.parent)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_version(folder: Path, name: str) -> bool:
    return _NUMBER.fullmatch(name) is not None and (folder / name / RECEIPT_FILE).is_file()


def is_name(member: str, name: str | None = None) -> bool:
    """Whether a folder may be called so: a member, or with ``name`` a dataset of its."""
    try:
        check_member(member) if name is None else check_dataset(f"{member}/{name}")
    except FormatError:
        return False
    return True


def _cannot(what: str, path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"can't {what} {path}: {error.strerror or type(error).__name__}")
