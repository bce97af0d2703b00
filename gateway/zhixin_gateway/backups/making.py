"""Making a backup of a home while pipelines and servers work in it.

What order makes it whole:

1. the log, then the own copy: full tiles (they never change), checkpoint, database by SQLite's own
   backup, then the tiles' edge, under the lock of who writes it. So the database is never behind
   the checkpoint, nor the tiles behind the database;
2. dataset by dataset, under its lock: a signed version that waits for its proof with all that
   finishes it, and the list of the versions that are there. What a run under way has not signed is
   worth nothing and is left out. A version that the ledger copied before knows is thus either
   among the versions or waits for its proof;
3. the versions, which never change; then the rejects, so that none is missing;
4. everything else: settings, contracts, trust, keys, reports.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zhixin_errors import ConfigError

from zhixin_gateway.backups.archive import ArchiveWriter
from zhixin_gateway.datasets import directory

if TYPE_CHECKING:
    from zhixin_gateway.home import Home
    from zhixin_gateway.progress import Progress

__all__ = ["Backup", "make_backup"]

_SQLITE = b"SQLite format 3\0"
_BESIDE_SQLITE = ("-wal", "-shm", "-journal")
_LOCK_S = 120.0
_HANDLED = {"log", "ledger", "staging", "keys"}


@dataclass(frozen=True)
class Backup:
    """What was made.

    Args:
        path: the archive.
        files: how many it holds.
        bytes: of these files.
        entries: of the ledger's copy in it.
        keys: whether the home's keys are in it.
        left_out: what is not in it, ``{path, why}`` each.
    """

    path: Path
    files: int
    bytes: int
    entries: int
    keys: bool
    left_out: list[dict[str, str]]


def make_backup(
    home: Home,
    out: Path,
    *,
    keys: bool = True,
    ledger_only: bool = False,
    progress: Progress | None = None,
) -> Backup:
    """Back a home up, whatever goes on in it.

    Args:
        home: the home.
        out: the archive's path; its folder is there, and it is not.
        keys: whether its keys go in: who has them signs in its name.
        ledger_only: the log and the own copy alone.
        progress: told what happens.

    Returns:
        What was made.

    Raises:
        ConfigError: the archive can't be written, or a file changed while it was read.
        LedgerUnavailable: somebody published all the time.
    """
    out = out.absolute()
    if out.is_relative_to(home.path):
        raise ConfigError(
            f"{out} lies in the home itself", hint="a backup belongs on another disk, or machine"
        )
    with_keys = keys and not ledger_only
    writer = ArchiveWriter(out)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".zhixin-backup-") as scratch:
            work = _Work(home, writer, Path(scratch), progress)
            work.ledgers()
            if not ledger_only:
                work.datasets()
                work.rest(keys=with_keys)
        entries = work.entries
        # Links are not followed: keys that are mounted from elsewhere are not in it.
        linked = any(f"{item['path']}/".startswith("keys/") for item in writer.left_out)
        with_keys = with_keys and not linked
        files, size = writer.finish(
            {
                "member": home.member,
                "made_at": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "zhixin": metadata.version("zhixin-gateway"),
                "entries": entries,
                "ledger_only": ledger_only,
                "keys": with_keys,
            }
        )
    finally:
        writer.abandon()
    return Backup(out, files, size, entries, with_keys, writer.left_out)


class _Work:
    """One backup on its way."""

    def __init__(
        self, home: Home, writer: ArchiveWriter, scratch: Path, progress: Progress | None
    ) -> None:
        self.home = home
        self.writer = writer
        self.entries = 0
        self._scratch = scratch
        self._progress = progress
        self._versions: list[Path] = []
        self._done: set[Path] = set()

    # The ledger.

    def ledgers(self) -> None:
        """Add the log and the own copy, each as of one moment."""
        from zhixin_ledger import embedded, mirror
        from zhixin_ledger.transport import LOG_FOLDER

        for folder, name in (
            (self.home.path / LOG_FOLDER, embedded.DATABASE),
            (self.home.ledger_dir, mirror.DATABASE),
        ):
            if (folder / name).is_file():
                self._step("backup", folder.name)
                self._ledger(folder, name)

    def _ledger(self, folder: Path, database: str) -> None:
        self.writer.add_folder(folder.name, folder)
        self._tiles(folder, edge=False)
        with suppress(FileNotFoundError):
            self.writer.add(f"{folder.name}/checkpoint", folder / "checkpoint")
        self._sqlite(f"{folder.name}/{database}", folder / database)
        with _still(folder, database):
            self._tiles(folder, edge=True)
        for path in sorted(folder.iterdir()):
            if path.name.startswith(("aside-", ".")) or path.name in ("tile", "checkpoint"):
                continue
            if not path.name.startswith(database):
                self._tree(f"{folder.name}/{path.name}", path)

    def _tiles(self, folder: Path, *, edge: bool) -> None:
        """Add tiles: those that are full, or, at the edge, all that are not in yet."""
        for path in sorted(folder.glob("tile/**/*")):
            name = path.relative_to(self.home.path).as_posix()
            partial = path.parent.name.endswith(".p")
            if name in self.writer or not path.is_file() or path.name.startswith("."):
                continue
            if edge or not partial:
                self.writer.add(name, path)

    # The datasets.

    def datasets(self) -> None:
        """Add what waits for its proof, and every version."""
        store = self._store()
        if store is not None:
            self.writer.add_folder("store", store)
        for dataset in self._names(store):
            self._dataset(store, dataset)
        for version in self._versions:
            self._version(version)
        quarantine = self._inside("quarantine", self.home.quarantine)
        if quarantine is not None:
            self._tree(quarantine.relative_to(self.home.path).as_posix(), quarantine)

    def _store(self) -> Path | None:
        """The folder of versions, where it lies in the home."""
        store = self.home.open_store()
        if store.folder is not None:
            return self._inside("store", store.folder)
        self.writer.leave_out(
            store.name, "versions in an object store are not copied: docs/stores.md says what is"
        )
        return None

    def _names(self, store: Path | None) -> list[str]:
        staged = {
            f"{path.parent.name}/{path.name}"
            for path in self.home.staging.glob("*/*") if path.is_dir()
        }  # fmt: skip
        if store is None:
            return sorted(staged)
        erased = {
            f"{path.parent.parent.name}/{path.parent.name}" for path in store.glob("*/*/*.erased")
        }
        return sorted(staged | erased | set(directory.list_datasets(store)))

    def _dataset(self, store: Path | None, dataset: str) -> None:
        from zhixin_gateway.pipeline.staging import SIGNED, Work

        self._step("backup", dataset)
        work = Work(self.home, dataset)
        if dataset.partition("/")[0] == self.home.member:
            with ExitStack() as held:
                try:
                    held.enter_context(self.home.lock(dataset))
                except ConfigError as fault:
                    if fault.code != "busy":
                        raise
                    if work.step != SIGNED:
                        self.writer.leave_out(
                            f"staging/{dataset}", "a run was under way, and had signed nothing yet"
                        )
                        self._list(store, dataset)
                        return
                    held.enter_context(self.home.lock(dataset, wait=True))
                if work.step == SIGNED:
                    self._tree(work.folder.relative_to(self.home.path).as_posix(), work.folder)
                    if store is not None and work.version.is_dir():
                        name = work.version.relative_to(self.home.path).as_posix()
                        self._tree(name, work.version)
                self._list(store, dataset)
        else:
            self._list(store, dataset)

    def _list(self, store: Path | None, dataset: str) -> None:
        if store is None:
            return
        self._versions += [
            directory.version_path(store, dataset, version)
            for version in directory.list_versions(store, dataset)
        ]
        # What stays of erased ones: without it a restored home can't tell that they are gone.
        self._versions += sorted(directory.dataset_path(store, dataset).glob("*.erased"))

    def _version(self, path: Path) -> None:
        name = path.relative_to(self.home.path).as_posix()
        try:
            self._tree(name, path, strict=True)
        except FileNotFoundError:
            self.writer.leave_out(name, "it was erased while the backup was made")

    # The rest.

    def rest(self, *, keys: bool) -> None:
        """Add everything else that lies in the home."""
        self._step("backup", "settings and the rest")
        self._done = {self.home.open_store().folder or self.home.path / "store"}
        self._done.add(self.home.quarantine)
        for path in sorted(self.home.path.iterdir()):
            if path.name not in _HANDLED:
                self._tree(path.name, path)
        if keys:
            self._tree("keys", self.home.keys_dir)
        else:
            self.writer.leave_out("keys", "left out as asked: the home signs nothing without them")
        for folder in ("staging", "keys"):
            if (self.home.path / folder).is_dir():
                self.writer.add_folder(folder, self.home.path / folder)

    def _inside(self, what: str, path: Path) -> Path | None:
        """Give a folder that lies in the home; one elsewhere is left out, and told."""
        if path.is_relative_to(self.home.path):
            return path if path.is_dir() else None
        self.writer.leave_out(str(path), f"the {what} lies outside of the home: back it up there")
        return None

    def _tree(self, name: str, path: Path, *, strict: bool = False) -> None:
        """Add a file, or a folder with all that is in it; links are never followed."""
        if path in self._done:
            return
        try:
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                if path.exists() or path.is_symlink():
                    self.writer.leave_out(name, "neither a file nor a folder")
                elif strict:
                    raise FileNotFoundError(path)
            elif path.is_dir():
                self.writer.add_folder(name, path)
                for each in sorted(path.iterdir()):
                    self._tree(f"{name}/{each.name}", each, strict=strict)
            elif not _is_passing(path):
                self._file(name, path)
        except FileNotFoundError:
            if strict:
                raise

    def _file(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            is_sqlite = file.read(len(_SQLITE)) == _SQLITE
        if is_sqlite:
            self._sqlite(name, path)
        else:
            self.writer.add(name, path)

    def _sqlite(self, name: str, path: Path) -> None:
        """Add a database as of one moment, by SQLite's own backup."""
        copy = self._scratch / "copy.sqlite"
        copy.unlink(missing_ok=True)
        uri = f"file:{quote(str(path))}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True)) as source:
                with closing(sqlite3.connect(copy)) as target:
                    source.backup(target)
                if name.endswith(("log/log.sqlite", "ledger/mirror.sqlite")):
                    self.entries = max(self.entries, _entries(copy))
        except sqlite3.Error as fault:
            raise ConfigError(
                f"{path} can't be backed up: {fault}",
                code="ledger-damaged",
                hint="`zhixin ledger fsck` says what is wrong with a ledger's database",
            ) from fault
        self.writer.add(name, copy, path.stat().st_mode)

    def _step(self, name: str, of: str) -> None:
        if self._progress is not None:
            self._progress.step(name, of)


def _entries(database: Path) -> int:
    import json

    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute("SELECT data FROM head").fetchone()
    head: Any = {} if row is None else json.loads(row[0])
    return int(head.get("size", 0))


def _is_passing(path: Path) -> bool:
    """Whether a file is of the moment: locks, staged files, what lies beside a SQLite database."""
    name = path.name
    if name.endswith(".lock") or (name.startswith(".") and name.endswith(".new")):
        return True
    return any(
        name.endswith(suffix) and path.with_name(name.removesuffix(suffix)).is_file()
        for suffix in _BESIDE_SQLITE
    )


@contextmanager
def _still(folder: Path, database: str) -> Iterator[None]:
    """Keep a log from publishing, or a copy from growing, for the moment of the tiles' edge."""
    from zhixin_ledger import mirror
    from zhixin_ledger.database import Database
    from zhixin_ledger.locks import PUBLISH_LOCK, exclusive

    if database != mirror.DATABASE:
        with exclusive(folder / PUBLISH_LOCK, _LOCK_S):
            yield
        return
    held = Database(folder / database, _LOCK_S)
    try:
        with held.writing():
            yield
    finally:
        held.close()
