"""Cosignatures by file: for members whose network is cut off.

::

    log/pending/6        a checkpoint that waits for its quorum, with the cosignatures so far

The operator exports the newest checkpoint, which is kept here, and carries it away beside a copy of
`log/tile/`; a member's witness replays from that copy and writes its lines; here they are added, in
any order, and the checkpoint is published once the quorum is there. A checkpoint stays exportable
and publishable while the log goes on; those that a published one covers are forgotten.

Nothing here may write entries, so that a server of the same log may be at work meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zhixin_errors import FormatError, LedgerRefused, VerificationError

from zhixin_ledger import checkpoint, cosignature, gathering, tiles
from zhixin_ledger.embedded import Engine
from zhixin_ledger.files import writable, write_file
from zhixin_ledger.gathering import WitnessTransport
from zhixin_ledger.log_database import root_at
from zhixin_ledger.note import Note, SignatureLine, known_lines, parse_signature_lines
from zhixin_ledger.state import State
from zhixin_ledger.store import SqliteStore

__all__ = ["FOLDER", "Taken", "add", "export"]

FOLDER = "pending"
MAX_KEPT = 20


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of cosignatures that came by file.

    Args:
        size: of the checkpoint that they are of.
        cosigned: how many members have cosigned it now.
        quorum: how many are due.
        published: whether a checkpoint that covers it is published.
    """

    size: int
    cosigned: int
    quorum: int
    published: bool


def export(engine: Engine, witnesses: Sequence[WitnessTransport] = ()) -> Note:
    """Sign the newest checkpoint, have it cosigned by who can be reached, and keep it.

    Args:
        engine: the log's.
        witnesses: who is asked; that some, or all, don't answer is no fault.

    Returns:
        The checkpoint, to be carried to who could not be asked.

    Raises:
        LedgerUnavailable: `ledger-rolled-back`, or another process publishes.
        ConfigError: `log-key`.
    """
    with engine.publishing() as connection:
        state, note = engine.sign_newest(connection, witnesses)
        kept = _kept(engine.directory).get(state.size)
        if kept is not None and kept.text == note.text:
            note = note.with_signatures(kept.signatures)
        gathered = gathering.gather(note, state, witnesses, engine.source, {}, quorum=0)
        note = _with_good(gathered, state, state.size, gathered.signatures)
        _settle(engine, state, state.size, note)
        return note


def add(engine: Engine, data: bytes) -> Taken:
    """Add cosignatures, and publish the checkpoint once its quorum is there.

    Args:
        engine: the log's.
        data: signature lines, or a whole note with them.

    Raises:
        FormatError: neither.
        LedgerRefused: `unknown-checkpoint`: none of them cosigns a checkpoint that was exported
            here and still waits.
    """
    text, lines = _parsed(data)
    with engine.publishing() as connection:
        state = State(SqliteStore(connection))
        for size, note in sorted(_kept(engine.directory).items(), reverse=True):
            if text not in (None, note.text):
                continue
            if root_at(connection, size) != checkpoint.parse(note.text).root:
                continue  # of a log that was here before
            more = _with_good(note, state, size, lines)
            ours = {line for _, line, _ in known_lines(more, state.cosigner_keys(size))}
            if ours & set(lines):
                return _settle(engine, state, size, more)
    raise LedgerRefused(
        "these cosignatures are of no checkpoint that was exported here and still waits",
        code="unknown-checkpoint",
        hint="export one by `zhixin ledger pending`; a member's key must be in force at its size",
    )


def _settle(engine: Engine, state: State, size: int, note: Note) -> Taken:
    """Publish a checkpoint, if its quorum is there; keep it until a published one covers it."""
    published = engine.published()
    newest = 0 if published is None else checkpoint.parse(published.text).size
    cosigned = len(cosignature.counted(note, state.cosigner_keys(size)))
    due = state.quorum_at(size)
    if cosigned >= due and newest < size:
        write_file(engine.directory / tiles.CHECKPOINT, note.format())
        newest = size
    if newest < size:
        write_file(engine.directory / FOLDER / str(size), note.format())
    _prune(engine.directory, newest)
    return Taken(size, cosigned, due, newest >= size)


def _parsed(data: bytes) -> tuple[bytes | None, tuple[SignatureLine, ...]]:
    if b"\n\n" in data:
        note = Note.parse(data, "the cosigned checkpoint")
        return note.text, note.signatures
    return None, parse_signature_lines(data, "the file of cosignatures")


def _with_good(note: Note, state: State, size: int, lines: Sequence[SignatureLine]) -> Note:
    """Give the note with the log's lines, and those of known cosigners that verify."""
    keys = state.cosigner_keys(size)
    log = [line for _, line, _ in known_lines(note, state.log_keys(size))]
    good = []
    offered = Note(note.text, (*note.signatures, *lines))
    for _, line, key in known_lines(offered, keys):
        with suppress(VerificationError, FormatError):
            cosignature.verify(line, key, note.text)
            good.append(line)
    return Note(note.text, ()).with_signatures([*log, *good])


def _kept(directory: Path) -> dict[int, Note]:
    """Give the checkpoints that wait, by size; what is none is passed over."""
    found = {}
    for path in (directory / FOLDER).glob("*"):
        with suppress(FormatError, OSError):
            note = Note.parse(path.read_bytes(), path.name)
            size = checkpoint.parse(note.text).size
            if path.name == str(size):
                found[size] = note
    return found


def _prune(directory: Path, newest: int) -> None:
    """Forget what a published checkpoint covers, and the oldest of too many."""
    sizes = sorted(_kept(directory), reverse=True)
    for at, size in enumerate(sizes):
        if size <= newest or at >= MAX_KEPT:
            with writable(directory):
                (directory / FOLDER / str(size)).unlink(missing_ok=True)
