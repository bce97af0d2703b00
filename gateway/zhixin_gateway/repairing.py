"""Repairing what ``fsck`` found in a home, and catching up after an older copy was put back.

What is sound is left alone. A log's published files are written anew from its database, the
database from the published files or from any member's copy, a member's copy from the log. A source
may be named: a folder (a member's home, its ``ledger`` folder, a log's), or the URL of a witness or
of a log. Everything is replayed and held to the pinned trust before it takes a place.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from zhixin_errors import LedgerUnavailable, ZhixinError

from zhixin_gateway.home import LOG_KEY
from zhixin_gateway.places import is_http, tiles_folder
from zhixin_gateway.witnessing import now, open_source

if TYPE_CHECKING:
    from zhixin_ledger.note import Note
    from zhixin_ledger.rebuild import Rebuilt
    from zhixin_ledger.tiles import TileSource
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.home import Home
    from zhixin_gateway.progress import Progress

__all__ = ["Repair", "nothing_newer", "rebuild"]


@dataclass(frozen=True)
class Repair:
    """What became of one part of a home.

    Args:
        what: `log` or `own copy`.
        done: what was made, in words; empty where nothing had to be.
        entries: how many entries it holds now.
        aside: the folder that keeps what was there; empty where nothing was made.
        submitted: statements that the old log held alone and that are in again.
        lost: what could not be brought back, a sentence each.
    """

    what: str
    done: str = ""
    entries: int = 0
    aside: str = ""
    submitted: int = 0
    lost: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Source:
    """A ledger's files somewhere, and the checkpoints that are known there."""

    name: str
    files: TileSource
    notes: list[Note]

    @property
    def size(self) -> int:
        from zhixin_ledger import checkpoint

        return checkpoint.parse(self.notes[-1].text).size if self.notes else 0


def rebuild(home: Home, given: str | None = None, progress: Progress | None = None) -> list[Repair]:
    """Make anew what is damaged or behind in a home's log and copy.

    Args:
        home: the home.
        given: where from: a folder or a URL; by default what lies in the home, then the log.
        progress: told what happens.

    Returns:
        One for the log, where the home has one, and one for the member's own copy.

    Raises:
        LedgerRefused: the source breaks a rule or contradicts the trust; nothing was changed.
        LedgerUnavailable: no source can be used, or a server holds what should be rebuilt.
    """
    from zhixin_ledger.signers import key_files
    from zhixin_ledger.transport import LOG_FOLDER

    trust = home.pinned_trust()
    source = None if given is None else _given(given, trust)
    repairs = []
    if (home.path / LOG_FOLDER).is_dir() or key_files(home.keys_dir / LOG_KEY):
        repairs.append(_repair_log(home, home.path / LOG_FOLDER, source, trust, progress))
    repairs.append(_repair_copy(home, source, trust, progress))
    return repairs


def nothing_newer(home: Home) -> list[str]:
    """Take a person's word that nothing was signed after what was put back; gives the parts.

    Args:
        home: the home.
    """
    from zhixin_ledger import standing_check
    from zhixin_ledger.transport import LOG_FOLDER

    confirmed = []
    for what, folder in (("log", home.path / LOG_FOLDER), ("own copy", home.ledger_dir)):
        if standing_check.is_restored(folder):
            standing_check.clear_restored(folder)
            confirmed.append(what)
    return confirmed


# The log.


def _repair_log(
    home: Home, folder: Path, given: _Source | None, trust: Trust, progress: Progress | None
) -> Repair:
    from zhixin_ledger import rebuild as making
    from zhixin_ledger import standing_check
    from zhixin_ledger.fsck import check_log

    _step(progress, "rebuild", "log")
    files, database = check_log(folder, trust)
    own = _Source("its published files", _files(folder), making.notes_of(_files(folder)))
    copy = _copy_of(home.ledger_dir, "this home's own copy")
    if database.ok and not (given is not None and _is_ahead(folder, given)):
        if files.ok:
            return Repair("log", entries=database.entries)
        notes = [*own.notes, *copy.notes, *(given.notes if given else ())]
        notes.sort(key=_size)
        made = making.rewrite_files(folder, notes, trust, now())
        return Repair("log", "published files, from its database", made.size, str(made.aside))
    candidates = [given] if given else sorted([own, copy], key=lambda each: -each.size)
    own_counts = not standing_check.is_restored(home.ledger_dir)
    faults = []
    for candidate in candidates:
        try:
            made = making.rebuild_log(
                folder, candidate.files, candidate.notes, trust, now(), own=own_counts
            )
        except ZhixinError as fault:
            faults.append(f"{candidate.name}: {fault.message}")
            if given is not None:
                raise
            continue
        return _submitted(home, candidate, made)
    raise LedgerUnavailable(
        f"nothing in this home can serve to rebuild the log: {'; '.join(faults)}",
        code="ledger-damaged",
        hint="name a member's copy: `zhixin ledger rebuild --from DIR|URL`",
    )


def _is_ahead(folder: Path, source: _Source) -> bool:
    """Whether a source has signed checkpoints that a log's database does not know."""
    from zhixin_ledger import checkpoint, embedded, log_database

    with closing(sqlite3.connect(folder / embedded.DATABASE)) as connection:
        for note in source.notes:
            made = checkpoint.parse(note.text)
            if log_database.root_at(connection, made.size) != made.root:
                return True
    return False


def _submitted(home: Home, source: _Source, made: Rebuilt) -> Repair:
    """Have the new log confirmed, and submit again what only the old one held."""
    lost, submitted = [], 0
    if made.beyond:
        lost.append(
            f"a checkpoint of {made.beyond} entries was signed, and their entries are not there: "
            "name another member's copy by --from"
        )
    with home.ledger_client() as client:
        with suppress(ZhixinError):
            client.sync()  # asks the witnesses
        for statement in made.left_over:
            try:
                client.submit(statement)
                submitted += 1
            except ZhixinError as fault:
                lost.append(f"{_subject(statement)}: {fault.message}; its owner submits it again")
    return Repair(
        "log", f"files and database, from {source.name}", made.size, str(made.aside),
        submitted, lost,
    )  # fmt: skip


def _subject(statement: bytes) -> str:
    from zhixin_ledger import dsse, intoto

    try:
        return intoto.parse_statement(dsse.parse_envelope(statement).payload).subject_name
    except (ZhixinError, AttributeError):
        return "a statement"


# The copy.


def _repair_copy(
    home: Home, given: _Source | None, trust: Trust, progress: Progress | None
) -> Repair:
    from zhixin_ledger import rebuild as making
    from zhixin_ledger.fsck import check_mirror

    _step(progress, "rebuild", "own copy")
    folder = home.ledger_dir
    if folder.is_dir() and any(folder.iterdir()):
        parts = check_mirror(folder, trust, member=home.member)
        if all(part.ok for part in parts):
            return Repair("own copy", entries=parts[0].entries)
    own = _copy_of(folder, "its own files")
    sources = [given] if given else [_log_of(home), own]
    faults = []
    for source in sources:
        try:
            made = making.rebuild_copy(folder, source.files, source.notes, trust, now())
        except ZhixinError as fault:
            faults.append(f"{source.name}: {fault.message}")
            if given is not None:
                raise
            continue
        return Repair(
            "own copy", f"files and record, from {source.name}", made.size, str(made.aside)
        )
    raise LedgerUnavailable(
        f"nothing can serve to rebuild this home's copy: {'; '.join(faults)}",
        code="ledger-damaged",
        hint="name another member's copy: `zhixin ledger rebuild --from DIR|URL`",
    )


# Sources.


def _given(text: str, trust: Trust) -> _Source:
    """Open a source that somebody named."""
    from zhixin_ledger import rebuild as making

    if is_http(text):
        from zhixin_ledger.http.client import HttpSource, HttpWitness

        files = HttpSource(text, text)
        latest = None
        with suppress(ZhixinError):  # a log has no such address
            latest = HttpWitness(text, text).latest(trust.origin)
        return _Source(text, files, making.notes_of(files, [latest]))
    folder = tiles_folder(text, Path.cwd())
    return _copy_of(folder, str(folder))


def _copy_of(folder: Path, name: str) -> _Source:
    """A copy in a folder, with the checkpoints that its record keeps besides."""
    from zhixin_ledger import mirror
    from zhixin_ledger import rebuild as making

    more: list[bytes | None] = []
    database = folder / mirror.DATABASE
    if database.is_file():
        for table in ("followed", "cosigned_note"):
            with suppress(sqlite3.Error), closing(_read_only(database)) as connection:
                more += [bytes(row[0]) for row in connection.execute(f"SELECT note FROM {table}")]
    files = _files(folder)
    return _Source(name, files, making.notes_of(files, more))


def _log_of(home: Home) -> _Source:
    from zhixin_ledger import rebuild as making

    files = open_source(home)
    return _Source("the log", files, making.notes_of(files))


def _files(folder: Path) -> TileSource:
    from zhixin_ledger.tiles import DirectorySource

    return DirectorySource(folder)


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def _size(note: Note) -> int:
    from zhixin_ledger import checkpoint

    return checkpoint.parse(note.text).size


def _step(progress: Progress | None, name: str, of: str) -> None:
    if progress is not None:
        progress.step(name, of)
