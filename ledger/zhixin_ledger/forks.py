"""Forks: what a copy does where a signed checkpoint contradicts it, so that others can see it too.

::

    ledger/equivocation/4-6-1f8b271f03c2a9d4.json    reports, by sizes and digest; never overwritten

A copy knows the tree that it replayed, and keeps the newest checkpoints that it followed, cosigned
and saw with their quorum. Where another signed checkpoint contradicts one of these, and it can be
shown to anybody (`equivocation`), the pair is kept. Nothing is kept on a stranger's word: a report
must verify by the keys that the copy itself knows, and there is room for so many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zhixin_errors import FormatError, LedgerError, LedgerUnavailable, VerificationError

from zhixin_ledger import checkpoint, cosignature, merkle
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.equivocation import MAX_BYTES, Report
from zhixin_ledger.files import write_file
from zhixin_ledger.keys import verify_ed25519
from zhixin_ledger.note import Note, known_lines
from zhixin_ledger.tiles import Tiles, TileSource
from zhixin_ledger.trust import Trust

__all__ = ["FOLDER", "MAX_REPORTS", "Copy", "examine", "keep", "kept"]

FOLDER = "equivocation"
MAX_REPORTS = 100


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy knows.

    Args:
        tree: its own tree, all of it.
        held: signed checkpoints of that tree.
        trust: the keys that it knows.
    """

    tree: Tiles
    held: Sequence[Note]
    trust: Trust


def examine(
    note: Note,
    copy: Copy,
    source: TileSource | None = None,
    proof: tuple[int, Sequence[bytes]] | None = None,
) -> Report | None:
    """Look for proof that a signed checkpoint contradicts what a copy holds.

    Args:
        note: the checkpoint; it may be anybody's.
        copy: what is known.
        source: where the note's own tiles may be had, for a note that is ahead of the copy.
        proof: the size that a consistency proof, which came with the note, leads from; the proof.

    Returns:
        A report that verifies, of those that can be made the one that tells most; None where there
        is no contradiction, or none that others could check.
    """
    note = _stripped(note, copy.trust)
    made = checkpoint.parse(note.text)
    found: list[tuple[tuple[bool, int, bool], Report]] = []
    for other in (_stripped(held, copy.trust) for held in copy.held):
        with suppress(FormatError, VerificationError, LedgerError):
            known = checkpoint.parse(other.text)
            if known.origin != made.origin or known == made:
                continue
            if made.size <= known.size:
                report = _against_own_tree(note, made, other, known, copy.tree)
            else:
                report = _against_theirs(note, made, other, known, source, proof)
            told = report.verify(copy.trust)
            found.append(((told.quorums, len(told.members), told.log), report))
    return max(found, key=lambda weighed: weighed[0])[1] if found else None


def _stripped(note: Note, trust: Trust) -> Note:
    """Leave only good lines of known keys: a bad one beside them would make a report worthless."""
    size = checkpoint.parse(note.text).size
    good = [
        line
        for _, line, key in known_lines(note, trust.log_keys(size))
        if verify_ed25519(key.public_key, note.text, line.signature)
    ]
    for _, line, key in known_lines(note, [each.key for each in trust.cosigners(size)]):
        with suppress(VerificationError):
            cosignature.verify(line, key, note.text)
            good.append(line)
    return Note(note.text, ()).with_signatures(good)


def _against_own_tree(
    note: Note, made: Checkpoint, other: Note, known: Checkpoint, tree: Tiles
) -> Report:
    path = merkle.consistency_path_from(tree.node, made.size, known.size)
    return Report.make(note, other, tree.root(made.size), path)


def _against_theirs(  # noqa: PLR0917 - two checkpoints, each parsed once, and two ways to compare
    note: Note,
    made: Checkpoint,
    other: Note,
    known: Checkpoint,
    source: TileSource | None,
    proof: tuple[int, Sequence[bytes]] | None,
) -> Report:
    """Compare with what lies under the note itself: the proof that came with it, or its tiles."""
    if proof is not None and proof[0] == known.size:
        with suppress(VerificationError):  # unless the proof tells the old root by itself
            root, _ = merkle.roots_from_consistency(known.size, made.size, known.root, proof[1])
            return Report.make(other, note, root, proof[1])
    if source is None:
        raise LedgerUnavailable("the note's own tiles can't be had")
    theirs = Tiles(source, made.size)
    return Report.make(other, note, theirs.root(known.size), theirs.consistency_path(known.size))


def keep(directory: Path, report: Report) -> Path | None:
    """Keep a report, unless one of the same two trees that shows as much is kept already.

    Args:
        directory: the copy's folder.
        report: one that verifies.

    Returns:
        Its file, new or not; None where there is no room.
    """
    first, second = report.checkpoints()
    texts = hashlib.sha256(report.first.text + report.second.text).hexdigest()[:16]
    stem = f"{first.size}-{second.size}-{texts}"
    folder = directory / FOLDER
    known = sorted(folder.glob(f"{stem}*.json"), key=lambda path: (len(path.name), path.name))
    for path in known:
        with suppress(FormatError, OSError):
            if _signatures(Report.parse(path.read_bytes())) >= _signatures(report):
                return path
    if len(list(folder.glob("*.json"))) >= MAX_REPORTS:
        return None
    path = folder / (f"{stem}-{len(known)}.json" if known else f"{stem}.json")
    if path.exists():  # pragma: no cover - a file of that name that somebody else put there
        return None
    write_file(path, report.to_bytes())
    return path


def kept(directory: Path) -> list[Path]:
    """Give the files of the reports that a copy keeps, by name."""
    found = sorted((directory / FOLDER).glob("*.json"))
    return [path for path in found if path.is_file() and path.stat().st_size <= MAX_BYTES]


def _signatures(report: Report) -> set[tuple[bytes, str, bytes]]:
    return {
        (note.text, line.name, line.key_id)
        for note in (report.first, report.second)
        for line in note.signatures
    }
