"""Asking a ledger over the network, and remembering what it showed.

::

    <home>/seen/<H of the origin>.checkpoint          the last checkpoint that this home saw
    <home>/seen/equivocation/…                        two that contradict each other
    $XDG_STATE_HOME/zhixin/seen/…                     the same for a consumer without a home

A checkpoint that was seen is never replaced by an older one. Deleting the file forgets, and so
takes away what shows that somebody is being shown another ledger today than yesterday.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError, FormatError, LedgerError, VerificationError
from zhixin_ledger import checkpoint, encoding
from zhixin_ledger.note import MAX_NOTE_BYTES, Note
from zhixin_ledger.tiles import DirectorySource

from zhixin_gateway.gate.online import Known, LedgerFiles, OnlineLedger
from zhixin_gateway.places import is_http, tiles_folder

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.equivocation import Report
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.home import Home

__all__ = ["Seen", "ask", "seen_folder"]


def ask(url: str, home: Home | None = None, view: LedgerClient | None = None) -> OnlineLedger:
    """Give a ledger to be asked by the gate.

    Args:
        url: of a log, or of any mirror or witness that serves its tiles: ``https:``, ``http:``, or
            a folder (`zhixin_gateway.places`).
        home: who asks, if it has a home: what it saw is remembered there.
        view: its own copy of the ledger, which counts as seen.

    Raises:
        ConfigError: the URL can't be reached.
    """
    known = []
    if view is not None:
        note = Note.parse(view.checkpoint(), "the copy's checkpoint")
        made = checkpoint.parse(note.text)
        what = "this home's copy of the ledger"
        known = [Known(what, made.size, made.root, note, seen=True, root_at=view.root_at)]
    return OnlineLedger(f"the ledger at {url}", _files(url), Seen(seen_folder(home)), known)


def seen_folder(home: Home | None, environ: Mapping[str, str] | None = None) -> Path:
    """Where it is remembered which checkpoint was seen last.

    Args:
        home: the consumer's home, if there is one.
        environ: the environment; the process's by default.
    """
    if home is not None:
        return home.path / "seen"
    environ = os.environ if environ is None else environ
    given = environ.get("XDG_STATE_HOME", "")
    if given and Path(given).is_absolute():
        return Path(given) / "zhixin" / "seen"
    if sys.platform == "win32" and environ.get("LOCALAPPDATA"):
        return Path(environ["LOCALAPPDATA"]) / "zhixin" / "seen"
    return Path.home() / ".local" / "state" / "zhixin" / "seen"


def _files(url: str) -> LedgerFiles:
    if is_http(url):
        from zhixin_ledger.http.client import HttpSource

        return HttpSource(url)
    return _Folder(tiles_folder(url, Path.cwd()))


class _Folder(DirectorySource):
    """A ledger's files in a folder: no standing is made there, so entries are replayed."""

    def standing(self, dataset: str) -> bytes | None:  # noqa: ARG002 - LedgerFiles'
        return None

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Seen:
    """The last checkpoint of each ledger that was seen; see `gate.online.Remembered`.

    Args:
        folder: where they lie; it is made when it is needed.
    """

    folder: Path

    def last(self, origin: str) -> Note | None:
        """Give the last checkpoint of a ledger, or None.

        Raises:
            ConfigError: the file can't be read.
        """
        path = self._path(origin)
        try:
            with path.open("rb") as file:
                note = Note.parse(file.read(MAX_NOTE_BYTES + 1), "the checkpoint seen last")
            if checkpoint.parse(note.text).origin != origin:
                raise FormatError("it is another ledger's")
        except FileNotFoundError:
            return None
        except (OSError, FormatError) as error:
            told = error.message if isinstance(error, FormatError) else error.strerror
            raise ConfigError(
                f"{path}, the checkpoint of {origin} seen last, can't be read: {told}",
                code="seen-damaged",
                hint="put it back from a backup; to forget what was seen, delete it",
            ) from error
        return note

    def keep(self, note: Note) -> None:
        """Keep a checkpoint that goes on from the last one, unless a newer one came meanwhile.

        Raises:
            ConfigError: it can't be written.
            VerificationError: ``forked``: another of this size was seen meanwhile.
        """
        made = checkpoint.parse(note.text)
        with _locked(self._made() / ".lock"):
            last = self.last(made.origin)
            before = None if last is None else checkpoint.parse(last.text)
            if before is not None and before.size == made.size and before.root != made.root:
                raise VerificationError(
                    f"two trees of the ledger's first {made.size} entries were seen at once",
                    code="forked",
                )
            if before is None or before.size <= made.size:
                from zhixin_gateway.datasets.directory import write_file

                write_file(self._path(made.origin), note.format())

    def keep_conflict(self, seen: Note, shown: Note, source: LedgerFiles, trust: Trust) -> str:
        """Keep two checkpoints that no one tree has: as a report for others, or as they are."""
        from zhixin_ledger import forks

        report = _report(seen, shown, source, trust)
        kept = None if report is None else forks.keep(self._made(), report)
        if kept is not None:
            return str(kept)
        from zhixin_gateway.datasets.directory import write_file

        digest = encoding.sha256_hex(seen.text + shown.text)[:16]
        for name, note in (("seen", seen), ("shown", shown)):
            write_file(self._made() / f"conflict-{digest}-{name}.checkpoint", note.format())
        return str(self.folder)

    def _path(self, origin: str) -> Path:
        return self.folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint"

    def _made(self) -> Path:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(
                f"{self.folder}, where the ledger's last checkpoint is remembered, can't be made: "
                f"{error.strerror}",
                hint="name another by XDG_STATE_HOME, or work in a home",
            ) from error
        return self.folder


def _report(seen: Note, shown: Note, source: LedgerFiles, trust: Trust) -> Report | None:
    """A report that others can check, where one can be made."""
    from zhixin_ledger.equivocation import Report
    from zhixin_ledger.tiles import Tiles

    first, second = checkpoint.parse(seen.text), checkpoint.parse(shown.text)
    if first.size > second.size:
        return None
    try:
        tree = Tiles(source, second.size)
        same = first.size == second.size
        path = [] if same else tree.consistency_path(first.size)
        root = second.root if same else tree.root(first.size)
        report = Report.make(seen, shown, root, path)
        report.verify(trust)
    except (FormatError, VerificationError, LedgerError):
        return None
    return report


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes out; on a system without such locks each write is whole all the same."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
