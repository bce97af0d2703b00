"""Making a log or a member's copy anew from a ledger's tiles alone.

Any mirror's tiles are enough: every entry is fetched, hashed and put through the rules, the root
and the signatures are held to the checkpoint and to the pinned trust, and only what held is used.
It is staged in `<folder>/.rebuild`, then takes the place of what was there, which is kept in
`<folder>/aside-<time>`::

    1. `restored` is written: from now on nothing is signed before others were asked
    2. tiles and checkpoint are put aside and the staged ones take their place
    3. the database is exchanged in one transaction

Dying between these leaves a folder that signs nothing and that the same command finishes. What a
log acknowledged and no mirror has is lost: `left_over` gives the statements of its old database
that the new history lacks, to be submitted again.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from zhixin_errors import (
    FormatError,
    LedgerRefused,
    LedgerUnavailable,
    VerificationError,
    ZhixinError,
)

from zhixin_ledger import (
    checkpoint,
    cosignature,
    dsse,
    embedded,
    log_database,
    merkle,
    mirror,
    standing_check,
)
from zhixin_ledger import tiles as tiling
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.database import Database, fault_code, read_only, unavailable
from zhixin_ledger.encoding import sha256
from zhixin_ledger.files import sync_folder, writable, write_file
from zhixin_ledger.locks import PUBLISH_LOCK, WriterLock, exclusive
from zhixin_ledger.merkle import CompactRange
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note
from zhixin_ledger.seal import is_seal
from zhixin_ledger.state import State
from zhixin_ledger.store import SqliteStore
from zhixin_ledger.tiles import CHECKPOINT, TileSource
from zhixin_ledger.trust import Trust

__all__ = ["Rebuilt", "notes_of", "rebuild_copy", "rebuild_log", "rewrite_files"]

STAGED = ".rebuild"
_WAIT_S = 10.0
_MIRROR_TABLES = ("cosigned", "cosigned_note", "followed")


@dataclass(frozen=True)
class Rebuilt:
    """What was made anew.

    Args:
        size: how many entries it holds now.
        aside: where what was there before is kept.
        left_over: statements of the old log's database that the new history lacks, in their order.
        beyond: the size of the largest signed checkpoint whose entries could not be had, or 0.
    """

    size: int
    aside: Path
    left_over: list[bytes] = field(default_factory=list)
    beyond: int = 0


def notes_of(source: TileSource, more: Sequence[bytes | None] = ()) -> list[Note]:
    """Give the checkpoints that a source and others show, the smallest first; bad ones are left.

    Args:
        source: a ledger's files.
        more: further notes, such as what a witness cosigned last.
    """
    found: dict[bytes, tuple[int, Note]] = {}
    with suppress(ZhixinError):
        more = [source.read(CHECKPOINT), *more]
    for data in more:
        if data is None:
            continue
        with suppress(ZhixinError):
            note = Note.parse(data, "a checkpoint")
            found[data] = (checkpoint.parse(note.text).size, note)
    return [note for _, note in sorted(found.values(), key=lambda item: item[0])]


def rebuild_copy(
    directory: Path, source: TileSource, notes: Sequence[Note], trust: Trust, now: datetime
) -> Rebuilt:
    """Make a member's copy anew.

    Args:
        directory: `<home>/ledger`; it may be missing.
        source: any mirror's or the log's files.
        notes: checkpoints to reach, the smallest first.
        trust: what the home pinned.
        now: for the name of the folder that keeps what was there.

    Returns:
        What was made.

    Raises:
        LedgerRefused: the source breaks a rule or contradicts the trust; nothing was changed.
        LedgerUnavailable: it can't be read, or another process holds the copy.
    """
    with _alone(directory), _staged(directory) as folder:
        copy, beyond = _followed(folder, source, notes, trust)
        try:
            sure = _carry_cosigned(directory / mirror.DATABASE, copy)
            size = copy.state().size
        finally:
            copy.close()
        if not sure:
            standing_check.mark_restored(directory, own=True)
        return Rebuilt(size, _put(directory, folder, mirror.DATABASE, now), beyond=beyond)


def rebuild_log(
    directory: Path,
    source: TileSource,
    notes: Sequence[Note],
    trust: Trust,
    now: datetime,
    *,
    own: bool = True,
) -> Rebuilt:
    """Make a log anew; it signs on once its witnesses confirm it.

    Args:
        directory: `<home>/log`; it may be missing.
        source: any mirror's files.
        notes: checkpoints to reach, the smallest first.
        trust: what the home pinned.
        now: for the name of the folder that keeps what was there.
        own: whether this home's own mirror may confirm it.

    Returns:
        What was made, and what must be submitted again.

    Raises:
        LedgerRefused: the source breaks a rule or contradicts the trust; nothing was changed.
        LedgerUnavailable: it can't be read, or another process holds the log.
    """
    with _alone(directory), _staged(directory) as folder:
        copy, beyond = _followed(folder, source, notes, trust)
        size = copy.state().size
        copy.close()
        (folder / mirror.DATABASE).rename(folder / embedded.DATABASE)
        _fill_log(folder, size)
        left = _left_over(directory / embedded.DATABASE, folder / embedded.DATABASE)
        standing_check.mark_restored(directory, own=own)
        aside = _put(directory, folder, embedded.DATABASE, now)
        return Rebuilt(size, aside, left, beyond)


def rewrite_files(
    directory: Path, notes: Sequence[Note], trust: Trust | None, now: datetime
) -> Rebuilt:
    """Write a log's published files anew from its own database, which must hold by the rules.

    Args:
        directory: `<home>/log`.
        notes: checkpoints that may be published, the smallest first; the largest with its quorum
            that is of this database is. Without one the next publication makes it.
        trust: what the home pinned.
        now: for the name of the folder that keeps what was there.

    Returns:
        What was made; `size` is the published one.
    """
    with _alone(directory), _staged(directory) as folder:
        database = Database(directory / embedded.DATABASE)
        try:
            with database.reading() as connection:
                state = State(SqliteStore(connection))
                size = 0
                for note in reversed(notes):
                    made = checkpoint.parse(note.text)
                    root = log_database.root_at(connection, made.size)
                    if root == made.root and _has_quorum(note, state, trust):
                        size = made.size
                        write_file(folder / CHECKPOINT, note.format())
                        break
                entries = log_database.entries_from
                tiling.write_tiles(folder, 0, size, lambda start: entries(connection, start))
        finally:
            database.close()
        return Rebuilt(size, _put(directory, folder, None, now))


# Staging.


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold a folder against every server and writer."""
    with writable(directory):
        directory.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(directory, hold=True, timeout_s=_WAIT_S)
    try:
        with exclusive(directory / PUBLISH_LOCK, _WAIT_S):
            yield
    finally:
        lock.close()


@contextmanager
def _staged(directory: Path) -> Iterator[Path]:
    folder = directory / STAGED
    shutil.rmtree(folder, ignore_errors=True)  # of one that died
    with writable(folder):
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _followed(
    folder: Path, source: TileSource, notes: Sequence[Note], trust: Trust
) -> tuple[Mirror, int]:
    """Replay a source into a fresh copy, and hold it to the trust."""
    copy = Mirror(folder, origin=trust.origin)
    beyond = 0
    try:
        for note in notes:
            try:
                copy.follow(note, source)
            except LedgerUnavailable:
                beyond = checkpoint.parse(note.text).size
                continue
            with suppress(LedgerRefused):  # its quorum is not there yet: only the log signed it
                copy.keep(note)
        _check_trust(copy, trust, beyond)
    except BaseException:
        copy.close()
        raise
    return copy, max(0, beyond - copy.state().size) and beyond


def _check_trust(copy: Mirror, trust: Trust, beyond: int) -> None:
    note, made = copy.note(), copy.checkpoint()
    if note is None or made is None:
        raise LedgerUnavailable(
            "no checkpoint with its quorum can be had there"
            + (f", nor the entries of one of {beyond}" if beyond else ""),
            code="ledger-empty",
            hint="name the copy of a member that is up to date: its folder `ledger`, or its URL",
        )
    if made.size < trust.size:
        raise LedgerRefused(
            f"that copy ends at {made.size} entries, before the {trust.size} of the pinned trust",
            code="stale",
        )
    if copy.tree().root(trust.size) != trust.root:
        raise LedgerRefused(
            f"that copy is of another ledger than the pinned trust: its first {trust.size} entries "
            "have another root",
            code="forked",
        )


def _has_quorum(note: Note, state: State, trust: Trust | None) -> bool:
    made = checkpoint.parse(note.text)
    try:
        checkpoint.verify_log(note, state.origin or "", state.log_keys(made.size))
        cosigned = cosignature.counted(note, state.cosigner_keys(made.size))
    except VerificationError:
        return False
    return len(cosigned) >= state.quorum_at(made.size) and (
        trust is None or made.size >= trust.size
    )


def _fill_log(folder: Path, size: int) -> None:
    """Make a log's database of a fresh copy's: the same state, and its entries and roots."""
    database = Database(folder / embedded.DATABASE)
    tree, blocks = CompactRange(), []

    def rows() -> Iterator[tuple[int, bytes]]:
        source = tiling.DirectorySource(folder)
        for index, entry in enumerate(tiling.Tiles(source, size).entries()):
            tree.append(merkle.leaf_hash(entry))
            if is_seal(entry):
                blocks.append((tree.size, tree.root()))
            yield index, entry

    try:
        with database.writing() as connection:
            database.run(log_database.SCHEMA)
            connection.executemany("INSERT INTO entries VALUES (?, ?)", rows())
            connection.executemany("INSERT INTO blocks VALUES (?, ?)", blocks)
            for table in _MIRROR_TABLES:
                connection.execute(f"DROP TABLE IF EXISTS {table}")
    finally:
        database.close()


# What the old ones still tell.


def _carry_cosigned(old: Path, copy: Mirror) -> bool:
    """Take over what the witness cosigned last; False where that can't be known for sure."""
    try:
        with read_only(old) as connection:
            for (told,) in connection.execute("PRAGMA integrity_check(1)"):
                if told != "ok":
                    return False
            row = connection.execute("SELECT size, root, time_s FROM cosigned").fetchone()
            if row is None:
                return False
            note = connection.execute("SELECT note FROM cosigned_note").fetchone()
    except (sqlite3.Error, OSError):
        return False
    made = Checkpoint(copy.origin or "", int(row[0]), bytes(row[1]))
    if note is None or made.size > copy.state().size:
        return False
    if copy.tree().root(made.size) != made.root:
        _refuse_fork(bytes(note[0]), copy)
        return False
    copy.take_up_cosigned(made, int(row[2]), Note.parse(bytes(note[0])))
    return not standing_check.is_restored(old.parent)


def _refuse_fork(cosigned: bytes, copy: Mirror) -> None:
    """Refuse a source where the log signed another tree, which this witness cosigned.

    A record that is merely damaged is no such proof.
    """
    try:
        note = Note.parse(cosigned, "the checkpoint cosigned last")
        made = checkpoint.verify_log(
            note, copy.origin or "", copy.state().log_keys(checkpoint.parse(note.text).size)
        )
    except (FormatError, VerificationError):
        return
    if made.size <= copy.state().size and copy.tree().root(made.size) != made.root:
        raise LedgerRefused(
            f"that copy has another tree of {made.size} entries than the log signed and this "
            "home's witness cosigned: somebody shows two ledgers",
            code="forked",
            hint="take another member's copy; keep both as evidence",
        )


def _left_over(old: Path, new: Path) -> list[bytes]:
    """Give the statements of an old database that the new one lacks; none where it can't be read.

    Only entries after the place where both part are looked at.
    """
    left: list[bytes] = []
    try:
        with read_only(old) as before, read_only(new) as now:
            rows = now.execute("SELECT data FROM entries ORDER BY idx")
            same = True
            for (data,) in before.execute("SELECT data FROM entries ORDER BY idx"):
                fresh = next(rows, None) if same else None
                same = same and fresh is not None and fresh[0] == data
                if same or is_seal(bytes(data)):
                    continue
                with suppress(ZhixinError):
                    digest = sha256(dsse.parse_envelope(bytes(data)).payload)
                    if not now.execute(
                        "SELECT 1 FROM payloads WHERE digest = ?", (digest,)
                    ).fetchone():
                        left.append(bytes(data))
    except (sqlite3.Error, OSError, TypeError):
        return left
    return left


# Taking the place.


def _put(directory: Path, staged: Path, database: str | None, now: datetime) -> Path:
    """Let what was staged take its place; what was there is kept aside."""
    aside = directory / f"aside-{now:%Y%m%dT%H%M%S.%f}"
    with writable(directory), ExitStack() as undo:
        aside.mkdir(mode=0o700)
        undo.callback(shutil.rmtree, aside, ignore_errors=True)
        for name in ("tile", CHECKPOINT):
            if (directory / name).exists():
                (directory / name).rename(aside / name)
                undo.callback(_undo, aside / name, directory / name)
            if (staged / name).exists():
                (staged / name).rename(directory / name)
        if database is not None:
            for suffix in ("", "-wal"):
                if (directory / (database + suffix)).is_file():
                    shutil.copy2(directory / (database + suffix), aside / (database + suffix))
            _exchange(staged / database, directory / database)
        undo.pop_all()
        sync_folder(aside)
        sync_folder(directory)
    return aside


def _undo(kept: Path, place: Path) -> None:
    """Put back what was there: the exchange could not be made."""
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    kept.rename(place)


def _exchange(staged: Path, place: Path) -> None:
    """Exchange a database in one transaction, also under processes that have it open."""
    try:
        with closing(sqlite3.connect(staged)) as source, closing(sqlite3.connect(place)) as target:
            source.backup(target)
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if target.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",):
                return
    except sqlite3.Error as fault:
        if fault_code(fault) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise unavailable(place.name, fault) from fault
    # What lies there is no database any more: nobody can have it open.
    for suffix in ("-wal", "-shm", ""):
        place.with_name(place.name + suffix).unlink(missing_ok=True)
    staged.replace(place)
