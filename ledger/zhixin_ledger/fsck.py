"""The check of a ledger's copies on a disk: files against entries, and database against both.

``audit`` judges a ledger by its files alone. Here is what lies beside them: the log's database
(entries, the roots of its blocks, the state that follows), a mirror's record (the same state, and
what its witness cosigned last), and SQLite's own pages. Each part is recomputed from the entries
and tells its first damage, with its place and the command that repairs it.

========================  =====================================================================
code                      what is damaged
========================  =====================================================================
those of ``audit``        checkpoint, tiles, bundles, root, an entry, a seal, a signature
`database`                pages of SQLite, a missing or surplus row, an entry that is not the tiles'
`state`                   a fact, hash, payload or statement that does not follow from the entries
`cosigned`                what the witness cosigned last is not of the copy's own tree
`ledger-rolled-back`      the database is older than what was published
`witness-rolled-back`     the witness's record is older than its own line on the kept checkpoint
========================  =====================================================================

Nothing is changed here; ``rebuild`` repairs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

from zhixin_errors import FormatError, LedgerUnavailable

from zhixin_ledger import embedded, fsck_marks, log_database, merkle, mirror, standing_check
from zhixin_ledger.audit import AuditReport, audit
from zhixin_ledger.fsck_database import (
    DamageError,
    LogWalk,
    Progress,
    apply,
    check_cosigned,
    check_pages,
    check_state,
    kept_size,
    opened,
)
from zhixin_ledger.state import State
from zhixin_ledger.tiles import (
    CHECKPOINT,
    HASH_BYTES,
    WIDTH,
    DirectorySource,
    Tiles,
    entries_path,
    pack_entries,
    tile_path,
)
from zhixin_ledger.trust import Trust

__all__ = ["Part", "check_log", "check_mirror"]

LOG_FILES = "log"
LOG_DATABASE = "log database"
COPY_FILES = "own copy"
COPY_RECORD = "own record"

Auditor = Callable[..., AuditReport]

_BROKEN_RULE = {"rule", "seal", "state", "forked"}
_NO_REPAIR = (
    "no command repairs this: the entries themselves break the ledger's rules or contradict the "
    "trust. Keep the folder as it is and show it to the other members"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of one copy, and the first damage in it.

    Args:
        what: `log`, `log database`, `own copy` or `own record`.
        ok: whether everything held.
        entries: how many entries it holds, as far as could be read.
        message: one sentence.
        code: the damage's; None when ok.
        index: the entry at fault, where one is.
        place: the file, table or row at fault, where one is.
        repair: what to do, in words; None when ok.
        cached: how many signatures were taken as checked before.
    """

    what: str
    ok: bool
    entries: int
    message: str
    code: str | None = None
    index: int | None = None
    place: str | None = None
    repair: str | None = None
    cached: int = 0


def _nothing(done: int, todo: int) -> None:
    del done, todo


def check_log(
    directory: Path,
    trust: Trust | None = None,
    *,
    auditor: Auditor = audit,
    progress: Progress = _nothing,
) -> list[Part]:
    """Check a log's folder: its published files, and its database.

    Args:
        directory: the folder with `log.sqlite`, `checkpoint` and `tile/`.
        trust: what the caller pinned: its root is compared, and signatures are judged by the keys
            that follow from there by the rules.
        auditor: audits the files: ``audit``, or ``audit_cached``, which takes the signatures that
            were checked when their entries came in for good.
        progress: told entries done and to do, for each part anew.

    Returns:
        Two parts.
    """
    report = AuditReport(True, None, None, "nothing is published yet", 0, None)
    if trust is not None or (directory / CHECKPOINT).exists():
        report = _audited(directory, trust, auditor, progress)
    files = _of_report(LOG_FILES, report)
    database = _check_log_database(directory, report, progress)
    return _with_repairs(files, database)


def check_mirror(
    directory: Path,
    trust: Trust | None = None,
    *,
    member: str | None = None,
    auditor: Auditor = audit,
    progress: Progress = _nothing,
) -> list[Part]:
    """Check a member's own copy: its files, and the record of its state and its witness.

    Args:
        directory: the folder with `mirror.sqlite`, `checkpoint` and `tile/`.
        trust: what the caller pinned.
        member: whose copy it is: its own line under the checkpoint is held to its record.
        auditor: as for `check_log`.
        progress: told entries done and to do.

    Returns:
        Two parts.
    """
    if (directory / CHECKPOINT).exists():
        report = _audited(directory, trust, auditor, progress)
    else:
        report = AuditReport(True, None, None, "no checkpoint is kept yet", 0, State())
    files, size, fault = _of_report(COPY_FILES, report), 0, None
    # Read before the record's moment: a witness that works on records first, and publishes then.
    shown = DirectorySource(directory).read(CHECKPOINT) if report.ok else None
    try:
        with opened(directory / mirror.DATABASE) as connection:  # one moment of it
            check_pages(connection)
            fsck_marks.check_schema(connection, mirror.SCHEMA)
            size = kept_size(connection)
            if size < report.entries:
                raise DamageError(
                    "ledger-rolled-back",
                    f"the record ends at {size} entries, the copy's own checkpoint at "
                    f"{report.entries}: an older copy was put back",
                    place="head",
                )
            files, state = _check_beyond(files, directory, report.state, size, progress)
            if state is None:
                raise DamageError(
                    files.code or "state",
                    "the record can't be judged before the files hold that it should follow from",
                )
            check_state(connection, state)
            # A witness that is marked asks before it signs: what it forgot is no damage any more.
            if standing_check.is_restored(directory):
                shown = None
            check_cosigned(connection, directory, state, shown, member)
            _check_marks(connection, directory, state, size)
    except DamageError as damage:
        fault = damage
    record = _of_damage(COPY_RECORD, fault, size, f"the record of {size} entries holds")
    return _with_repairs(files, record)


def _check_marks(connection: sqlite3.Connection, directory: Path, state: State, size: int) -> None:
    """Hold the record's marks to the copy's own tree."""
    tree = Tiles(DirectorySource(directory), size)

    def root_at(at: int) -> bytes | None:
        return tree.root(at) if 0 < at <= size else None

    fsck_marks.check_checked(connection, root_at)
    fsck_marks.check_followed(connection, state, root_at)
    fsck_marks.check_time(connection, state)


# The files.


def _audited(
    directory: Path, trust: Trust | None, auditor: Auditor, progress: Progress
) -> AuditReport:
    """Audit a folder by itself, and then hold it to the root that the caller pinned."""
    report = auditor(directory, progress=progress)
    if report.ok:
        report = _check_earlier(directory, report.entries) or report
    if trust is None or not report.ok or report.state is None:
        return report
    size, code, told = report.entries, "", ""
    if report.state.origin != trust.origin:
        code, told = "forked", f"this is the ledger {report.state.origin}, not {trust.origin}"
    elif size < trust.size:
        code = "stale"
        told = f"the ledger has {size} entries, the trust was made from {trust.size}"
    elif Tiles(DirectorySource(directory), size).root(trust.size) != trust.root:
        code, told = "forked", f"the trust has another root of the first {trust.size} entries"
    return AuditReport(False, code, None, told, size) if code else report


def _check_earlier(directory: Path, size: int) -> AuditReport | None:
    """Hold the partial files of earlier sizes, whose readers still ask for them, to the tree."""
    tree, level = Tiles(DirectorySource(directory), size), 0
    while size >> 8 * level:
        index, width = divmod(size >> 8 * level, WIDTH)
        if width:
            hashes = tree.tile(level, index)
            row = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
            report = _check_row(tree, row, partial(tile_path, level, index), (index, 8 * level))
            if report is None and level == 0:
                row = [pack_entries([entry]) for entry in tree.bundle(index)]
                report = _check_row(tree, row, partial(entries_path, index), (index, 0))
            if report is not None:
                return report
        level += 1
    return None


def _check_row(
    tree: Tiles, row: Sequence[bytes], path_of: Callable[[int], str], place: tuple[int, int]
) -> AuditReport | None:
    """Hold every earlier form of one file to what it holds now.

    Args:
        tree: the tree.
        row: the file's items.
        path_of: gives the file's path for a number of items.
        place: the file's index, and by how much an item's is shifted to be an entry's.
    """
    for width in range(1, len(row)):
        data, wanted = tree.source.read(path_of(width)), b"".join(row[:width])
        if data is not None and data != wanted:
            ends = enumerate(accumulate(map(len, row[:width])))
            at = next((at for at, end in ends if data[:end] != wanted[:end]), width - 1)
            told = f"{path_of(width)}, of an earlier size, is not what today's file begins with"
            return AuditReport(False, "tile", (place[0] * WIDTH + at) << place[1], told, tree.size)
    return None


def _of_report(what: str, report: AuditReport) -> Part:
    return Part(
        what,
        report.ok,
        report.entries,
        report.message,
        code=report.code,
        index=report.index,
        place=None if report.ok else "checkpoint" if report.index is None else None,
        cached=report.cached,
    )


def _of_damage(what: str, fault: DamageError | None, size: int, whole: str) -> Part:
    if fault is None:
        return Part(what, ok=True, entries=size, message=whole)
    return Part(what, False, size, fault.message, fault.code, fault.index, fault.place)


def _check_beyond(
    files: Part, directory: Path, state: State | None, size: int, progress: Progress
) -> tuple[Part, State | None]:
    """Check what a copy holds after its checkpoint: a witness replays before the quorum is there.

    Returns:
        The part, and the state at `size`; None where the files do not hold.
    """
    if state is None or state.size == size:
        return files, state
    try:
        _go_on(Tiles(DirectorySource(directory), size), state, progress)
    except DamageError as fault:
        return _of_damage(COPY_FILES, fault, files.entries, ""), None
    return replace(files, entries=size, message=f"{size} entries: every one holds"), state


def _go_on(tree: Tiles, state: State, progress: Progress) -> None:
    """Put the entries after a checkpoint through the rules, and hold their tiles to them."""
    start = state.size
    for index in range(start // WIDTH, -(-tree.size // WIDTH)):
        try:
            entries, hashes = tree.bundle(index), tree.tile(0, index)
        except (FormatError, LedgerUnavailable) as fault:
            raise DamageError("tile", fault.message) from fault
        for at, entry in enumerate(entries):
            place = index * WIDTH + at
            if hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES] != merkle.leaf_hash(entry):
                raise DamageError(
                    "tile", f"entry {place} and its hash in the tile differ", index=place
                )
            if place >= start:
                apply(state, entry, place)
        progress(min((index + 1) * WIDTH, tree.size) - start, tree.size - start)
    if not state.sealed:
        raise DamageError("seal", "the copy does not end with a seal")
    _check_levels(tree, start)


def _check_levels(tree: Tiles, start: int) -> None:
    """Make every tile above level 0 that grew since `start` anew from the level below."""
    level = 1
    while tree.size >> (8 * level):
        count = tree.size >> (8 * level)
        for index in range((start >> (8 * level)) // WIDTH, -(-count // WIDTH)):
            try:
                hashes = tree.tile(level, index)
                below = [
                    _row_root(tree.tile(level - 1, index * WIDTH + at))
                    for at in range(len(hashes) // HASH_BYTES)
                ]
            except (FormatError, LedgerUnavailable) as fault:
                raise DamageError("tile", fault.message) from fault
            if hashes != b"".join(below):
                raise DamageError("tile", f"tile {index} of level {level} is not the entries'")
        level += 1


def _row_root(row: bytes) -> bytes:
    return merkle.root(row[at : at + HASH_BYTES] for at in range(0, len(row), HASH_BYTES))


# The databases.


def _check_log_database(directory: Path, report: AuditReport, progress: Progress) -> Part:
    walk = LogWalk(directory, report.state, report.entries, progress)
    fault = None
    try:
        with opened(directory / embedded.DATABASE) as connection:
            check_pages(connection)
            fsck_marks.check_schema(connection, log_database.SCHEMA)
            walk.entries(connection)
            walk.blocks(connection)
            walk.published()
            check_state(connection, walk.state)
            fsck_marks.check_checked(connection, partial(log_database.root_at, connection))
    except DamageError as damage:
        fault = damage
    return _of_damage(LOG_DATABASE, fault, walk.done, f"{walk.done} entries: every one holds")


# The ways out.


def _with_repairs(files: Part, record: Part) -> list[Part]:
    return [
        part if part.ok else replace(part, repair=_repair(part, other))
        for part, other in ((files, record), (record, files))
    ]


def _repair(part: Part, other: Part) -> str:
    if part.what in (LOG_FILES, COPY_FILES) and part.code in _BROKEN_RULE:
        return _NO_REPAIR
    if part.what == LOG_FILES and other.ok:
        return "`zhixin ledger rebuild` writes the published files anew from the database"
    if part.what == LOG_DATABASE and other.ok and part.code != "ledger-rolled-back":
        return (
            "`zhixin ledger rebuild` makes the database anew from the published files and, with "
            "`--from MIRROR`, from any member's copy that has more; what neither has is lost and "
            "must be submitted again"
        )
    if part.what in (LOG_FILES, LOG_DATABASE):
        return "`zhixin ledger rebuild --from MIRROR`, any member's copy, replays it from there"
    if part.code in ("cosigned", "witness-rolled-back"):
        return (
            "the witness signs nothing before it has asked the log and other members: "
            "`zhixin ledger rebuild` makes it do so"
        )
    return "`zhixin ledger rebuild` makes the copy anew from the log, replaying every entry"
