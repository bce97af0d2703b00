"""The audit of a whole ledger: every byte, every rule, from its files alone.

Used by `zhixin ledger fsck` and for mirrors. Order, and the code of what fails:

1. the checkpoint: `malformed`; with a trust, signed by its log (`log-signature`), cosigned
   (`quorum`), and not shorter than the trust (`stale`);
2. tiles and bundles to the byte: `tile`, with the entry's index where one is at fault;
3. the tree's root: `root`;
4. entry by entry: `seal`, `state`, or `rule` for any statement that is refused, with the index; an
   open block at the end, or a block 0 of more than genesis, is `seal` without index;
5. with a trust, its root at its size: `forked`; without one, the checkpoint's signatures by the
   ledger's own keys.

It reads one bundle and one tile a level at a time, and stops at the first fault.

`audit_cached` takes the signatures for good that the installation checked when the entries came in
(``checked``): only where the root that it computes from the bytes is the one noted then. All else
is judged anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zhixin_errors import FormatError, LedgerRefused, LedgerUnavailable, VerificationError

from zhixin_ledger import admission, checked, checkpoint, cosignature, merkle, seal, tiles
from zhixin_ledger.checked import Checked
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.keys import VerifierKey, verify_ed25519
from zhixin_ledger.merkle import CompactRange
from zhixin_ledger.note import Note
from zhixin_ledger.state import State
from zhixin_ledger.store import Store
from zhixin_ledger.tiles import HASH_BYTES, WIDTH, DirectorySource, Tiles, TileSource
from zhixin_ledger.trust import Trust

__all__ = ["AuditReport", "altered", "audit", "audit_cached", "audit_source"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    Args:
        ok: whether everything held.
        code: the fault's; None when ok.
        index: the entry at fault, where one is.
        message: one sentence.
        entries: the checkpoint's size; 0 where it can't be read.
        state: the state at the end; None unless ok.
        cached: how many signatures were not checked again.
    """

    ok: bool
    code: str | None
    index: int | None
    message: str
    entries: int
    state: State | None = None
    cached: int = 0


class _FaultError(Exception):
    """The first fault: its code, its sentence, and the entry's index where there is one."""

    def __init__(self, code: str, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.index = index


@dataclass(frozen=True, slots=True)
class _Keys:
    """Who may sign a checkpoint of some size, and how many must."""

    logs: Sequence[VerifierKey]
    cosigners: Sequence[VerifierKey]
    quorum: int


def audit(
    tiles_dir: Path, trust: Trust | None = None, *, progress: Progress = lambda _a, _b: None
) -> AuditReport:
    """Audit a ledger in a folder.

    Args:
        tiles_dir: the folder with `checkpoint` and `tile/`.
        trust: what the caller pinned; without one the ledger is judged by itself.
        progress: told entries done and to do; each is read twice.
    """
    return audit_source(DirectorySource(tiles_dir), trust, progress=progress)


def audit_cached(
    tiles_dir: Path, trust: Trust | None = None, *, progress: Progress = lambda _a, _b: None
) -> AuditReport:
    """As `audit`, but signatures that were checked before, as the database beside says, are not.

    Args:
        tiles_dir: the folder with `checkpoint`, `tile/` and a log's or a mirror's database.
        trust: what the caller pinned.
        progress: told entries done and to do.
    """
    marks = [checked.of_file(path) for path in sorted(tiles_dir.glob("*.sqlite"))]
    known = max((mark for mark in marks if mark), key=lambda mark: mark.size, default=None)
    return audit_source(DirectorySource(tiles_dir), trust, known=known, progress=progress)


def audit_source(
    source: TileSource,
    trust: Trust | None = None,
    *,
    store: Store | None = None,
    known: Checked | None = None,
    progress: Progress = lambda _a, _b: None,
) -> AuditReport:
    """Audit a ledger wherever its files are.

    Args:
        source: its files.
        trust: what the caller pinned.
        store: where the state is kept meanwhile; default: memory.
        known: up to where this installation checked every signature before.
        progress: told entries done and to do.
    """
    size = 0
    taken = _Taken()
    try:
        note, made = _checkpoint(source)
        size = made.size
        if trust is not None:
            _check_trusted(note, made, trust)
        tree = Tiles(source, size)
        _check_tree(tree, made, progress)
        taken.until = _still_known(tree, made, known)
        state = _replay(tree, State(store), taken, progress)
        if state.root != made.root:
            raise _FaultError("root", "the entries changed while they were read")
        if trust is not None and tree.root(trust.size) != trust.root:
            raise _FaultError(
                "forked", f"the trust has another root of the first {trust.size} entries"
            )
        if trust is None:
            keys = _Keys(state.log_keys(size), state.cosigner_keys(size), state.quorum_at(size))
            _check_signed(note, state.origin or "", keys)
    except _FaultError as fault:
        return AuditReport(False, fault.code, fault.index, fault.message, size)
    return AuditReport(
        True,
        None,
        None,
        f"{size} entries of {made.origin}: every one holds",
        size,
        state,
        cached=taken.count,
    )


def _checkpoint(source: TileSource) -> tuple[Note, Checkpoint]:
    data = source.read(tiles.CHECKPOINT)
    if data is None:
        raise _FaultError("malformed", "there is no checkpoint")
    try:
        note = Note.parse(data, "the checkpoint")
        return note, checkpoint.parse(note.text)
    except FormatError as fault:
        raise _FaultError("malformed", fault.message) from fault


def _check_trusted(note: Note, made: Checkpoint, trust: Trust) -> None:
    cosigners = [cosigner.key for cosigner in trust.cosigners(made.size)]
    keys = _Keys(trust.log_keys(made.size), cosigners, trust.quorum(made.size))
    _check_signed(note, trust.origin, keys)
    if made.size < trust.size:
        raise _FaultError(
            "stale", f"the ledger has {made.size} entries, the trust was made from {trust.size}"
        )


def _check_signed(note: Note, origin: str, keys: _Keys) -> None:
    try:
        checkpoint.verify_log(note, origin, keys.logs)
        cosigned = cosignature.counted(note, keys.cosigners)
    except VerificationError as fault:
        raise _FaultError(fault.code, fault.message) from fault
    if len(cosigned) < keys.quorum:
        raise _FaultError("quorum", f"{len(cosigned)} members cosigned, want {keys.quorum}")


def _check_tree(tree: Tiles, made: Checkpoint, progress: Progress) -> None:
    """Hold every tile to the entries, and the root to the checkpoint's."""
    edge = CompactRange()
    rows = _Rows(tree)
    for index in range(-(-tree.size // WIDTH)):
        for leaf in _check_bundle(tree, index):
            edge.append(leaf)
            rows.add(leaf)
        progress(min((index + 1) * WIDTH, tree.size), 2 * tree.size)
    rows.finish()
    if edge.root() != made.root:
        raise _FaultError("root", "the checkpoint's root is not the tree's")


def _check_bundle(tree: Tiles, index: int) -> list[bytes]:
    """Hold a bundle's entries to their level-0 tile; gives the leaf hashes."""
    try:
        entries, hashes = tree.bundle(index), tree.tile(0, index)
    except (FormatError, LedgerUnavailable) as fault:
        raise _FaultError("tile", fault.message) from fault
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    for at, leaf in enumerate(leaves):
        if hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES] != leaf:
            place = index * WIDTH + at
            raise _FaultError("tile", f"entry {place} and its hash in the tile differ", place)
    return leaves


def altered(tree: Tiles, root: bytes, start: int) -> AuditReport | None:
    """Look for files that are not their own checkpoint's, in what is served from an entry on.

    Such files were damaged, or altered by who serves them: the log itself signed others.

    Args:
        tree: what is served.
        root: the checkpoint's.
        start: the first entry that is looked at.

    Returns:
        The first fault, `tile` or `root`; None where the files are the checkpoint's, or can't be
        had now.
    """
    try:
        for index in range(start // WIDTH, -(-tree.size // WIDTH)):
            leaves = _check_bundle(tree, index)
            if len(leaves) == WIDTH and merkle.root(leaves) != tree.node(8, index):
                raise _FaultError("tile", f"tile {index} and its hash in the tile above differ")
        if tree.root() != root:
            raise _FaultError("root", "the checkpoint's root is not the tree's")
    except _FaultError as fault:
        return AuditReport(False, fault.code, fault.index, fault.message, tree.size)
    except (FormatError, LedgerUnavailable):
        return None
    return None


class _Rows:
    """The tiles above level 0, made anew while the leaves pass by: one row a level."""

    def __init__(self, tree: Tiles) -> None:
        self._tree = tree
        self._rows: list[list[bytes]] = [[]]
        self._done = [0]

    def add(self, node: bytes, level: int = 0) -> None:
        """Take the next hash of a level; a full row makes one of the level above."""
        if level == len(self._rows):
            self._rows.append([])
            self._done.append(0)
        row = self._rows[level]
        row.append(node)
        if len(row) == WIDTH:
            self._compare(level)
            self._rows[level] = []
            self._done[level] += 1
            self.add(merkle.root(row), level + 1)

    def finish(self) -> None:
        """Compare the rows that are not full."""
        for level, row in enumerate(self._rows):
            if row:
                self._compare(level)

    def _compare(self, level: int) -> None:
        if level == 0:
            return  # compared with the entries already
        index = self._done[level]
        try:
            hashes = self._tree.tile(level, index)
        except (FormatError, LedgerUnavailable) as fault:
            raise _FaultError("tile", fault.message) from fault
        if hashes != b"".join(self._rows[level]):
            raise _FaultError("tile", f"tile {index} of level {level} is not that of the entries")


@dataclass(slots=True)
class _Taken:
    """Signatures that are taken as checked: those of the first `until` entries; counts them."""

    until: int = 0
    count: int = 0

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Take one for good."""
        del public_key, message, signature
        self.count += 1
        return True


def _still_known(tree: Tiles, made: Checkpoint, known: Checked | None) -> int:
    """Say of how many entries the signatures need no check: the tree must be the one noted.

    The tiles were held to the entries and to the checkpoint before. Where the note is of a larger
    tree than the checkpoint's, a consistency proof ties both.
    """
    if known is None or known.size < 1 or tree.size < 1:
        return 0
    try:
        if known.size <= tree.size:
            return known.size if tree.root(known.size) == known.root else 0
        path = Tiles(tree.source, known.size).consistency_path(tree.size)
        merkle.verify_consistency(tree.size, known.size, made.root, known.root, path)
    except (FormatError, LedgerUnavailable, VerificationError):
        return 0
    return tree.size


def _replay(tree: Tiles, state: State, taken: _Taken, progress: Progress) -> State:
    """Put every entry through the rules."""
    for index, entry in enumerate(tree.entries()):
        verify = taken.verify if index < taken.until else verify_ed25519
        try:
            admission.apply(state, entry, verify)
        except LedgerRefused as fault:
            raise _judged(entry, index, fault) from fault
        if state.sealed:
            progress(tree.size + index + 1, 2 * tree.size)
    if not state.sealed:
        raise _FaultError("seal", "the ledger does not end with a seal")
    return state


def _judged(entry: bytes, index: int, fault: LedgerRefused) -> _FaultError:
    if seal.is_seal(entry):
        return _FaultError(fault.code, f"entry {index}: {fault.message}", index)
    if fault.code == "seal":  # the block is at fault, not the statement
        return _FaultError("seal", fault.message)
    return _FaultError("rule", f"entry {index}: {fault.message}", index)
