"""Moving a pinned trust forward: only along decisions of a quorum, and offline where need be.

::

    a governance chain (a file)     checked against the pinned trust alone
    a folder of tiles, a URL        replayed from the first entry, then compared at the trust's size
    the home's own copy             audited in the same way, every byte

Either way the pinned root must be the ledger's at the pinned size, and every decision since must
bear the signatures of the quorum that was in force before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, VerificationError
from zhixin_ledger import governance, merkle
from zhixin_ledger.audit import audit_source
from zhixin_ledger.note import Note
from zhixin_ledger.tiles import CHECKPOINT, DirectorySource, Tiles, TileSource
from zhixin_ledger.trust import Trust, check_reaches, trust_of

from zhixin_gateway.datasets.directory import write_whole
from zhixin_gateway.home import Home
from zhixin_gateway.places import folder_of, is_http, tiles_folder

if TYPE_CHECKING:
    from zhixin_ledger.state import State
    from zhixin_ledger.trust_history import Held, TrustMember

__all__ = [
    "OWN_COPY",
    "Moved",
    "Replayed",
    "changes",
    "make_chain",
    "move",
    "moved_along",
    "open_source",
    "replayed",
    "verified",
]

OWN_COPY = "the own copy of the ledger"


@dataclass(frozen=True, slots=True)
class Moved:
    """A trust before and after.

    Attributes:
        before: what was pinned.
        after: what follows from it.
        source: what it followed.
    """

    before: Trust
    after: Trust
    source: str

    @property
    def further(self) -> bool:
        """Whether it moved at all."""
        return self.after != self.before


def move(trust: Trust, source: str, home: Home | None) -> Moved:
    """Find what a pinned trust becomes; nothing is written.

    Args:
        trust: as it is pinned.
        source: a chain's file, a folder of tiles, a URL, or empty for the home's own copy.
        home: whose copy that is.

    Raises:
        ConfigError: there is no such source.
        FormatError: a chain in another form.
        VerificationError: ``stale``, ``forked`` and the others: it does not lead forward.
        LedgerUnavailable: a URL can't be reached.
    """
    if not source or is_http(source) or (path := folder_of(source, Path())).is_dir():
        return moved_along(trust, *open_source(source, home))
    try:
        with path.open("rb") as file:
            data = file.read(governance.MAX_CHAIN_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror}",
            hint="want a governance chain, a ledger's folder or its URL",
        ) from error
    return Moved(trust, governance.follow(trust, data, path.name), str(path))


def open_source(text: str, home: Home | None) -> tuple[TileSource, str]:
    """Open a ledger's files, and give what people call them.

    Args:
        text: a folder of tiles, a URL, or empty for the home's own copy.
        home: whose copy that is.

    Raises:
        ConfigError: there is no such ledger.
    """
    if is_http(text):
        from zhixin_ledger.http.client import HttpSource

        return HttpSource(text), text
    if text:
        folder = tiles_folder(text, Path())
        return DirectorySource(folder), str(folder)
    if home is None:
        raise ConfigError(
            "neither a home nor a source is given",
            hint="name a governance chain, a ledger's folder or its URL",
        )
    return DirectorySource(home.ledger_dir), OWN_COPY


def moved_along(trust: Trust, source: TileSource, what: str) -> Moved:
    """Replay a whole ledger and move a trust to its end.

    Args:
        trust: as it is pinned.
        source: the ledger's files.
        what: names them for people.

    Raises:
        VerificationError: as `verified`.
    """
    return Moved(trust, trust_of(verified(trust, source, what).state), what)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A ledger that was replayed from its first entry, up to its published checkpoint.

    Attributes:
        source: its files.
        tree: its tree.
        state: what follows from the entries.
        note: the checkpoint, with its quorum.
    """

    source: TileSource
    tree: Tiles
    state: State
    note: Note


def verified(trust: Trust, source: TileSource, what: str) -> Replayed:
    """Replay a whole ledger and hold it to a pinned trust, older or as old as it.

    Args:
        trust: as it is pinned.
        source: the ledger's files.
        what: names them for people.

    Raises:
        VerificationError: the audit's code where an entry, tile or signature does not hold;
            ``other-origin``, ``stale``, ``forked``.
    """
    found = replayed(source, what)
    state = found.state
    check_reaches(trust, state.origin, state.size, what)
    if not _goes_on_from(trust, found):
        raise VerificationError(
            f"{what} has another root of the first {trust.size} entries than the trust: "
            "somebody shows two ledgers, keep both as evidence",
            code="forked",
            details={"size": trust.size},
        )
    return found


def _goes_on_from(trust: Trust, found: Replayed) -> bool:
    """Say whether the tree that was replayed begins with the trust's.

    A proof to the replayed root says so: its tiles are read again here, and a server could serve
    others than those that were audited.
    """
    state = found.state
    path = found.tree.consistency_path(trust.size)
    try:
        merkle.verify_consistency(trust.size, state.size, trust.root, state.root, path)
    except VerificationError:
        return False
    return True


class _OneCheckpoint:
    """A ledger's files whose checkpoint is read once: a log goes on, and a server may lie."""

    def __init__(self, source: TileSource) -> None:
        self._source = source
        self._note: bytes | None = None

    def read(self, path: str) -> bytes | None:
        """See TileSource."""
        if path != CHECKPOINT:
            return self._source.read(path)
        if self._note is None:
            self._note = self._source.read(path)
        return self._note


def replayed(source: TileSource, what: str) -> Replayed:
    """Replay a ledger up to its published checkpoint, judged by its own keys and rules.

    Args:
        source: its files.
        what: names them for people.

    Raises:
        VerificationError: the audit's code.
    """
    source = _OneCheckpoint(source)
    report = audit_source(source)
    note = source.read(CHECKPOINT)
    if report.state is None or note is None:
        raise VerificationError(
            f"{what} does not hold: {report.message}",
            code=report.code,
            details={} if report.index is None else {"index": report.index},
        )
    return Replayed(source, Tiles(source, report.entries), report.state, Note.parse(note))


def make_chain(home: Home, sizes: Iterable[int], out: Path) -> governance.Chain:
    """Write the governance chain of the home's copy, for those who follow offline.

    Args:
        home: whose copy.
        sizes: of trusts that shall be able to follow, besides the home's own and the end of every
            block in which something was decided.
        out: the file.

    Returns:
        What was written.

    Raises:
        ConfigError: a size that the copy does not have, or the copy is empty.
        VerificationError: the copy does not hold.
    """
    found = replayed(DirectorySource(home.ledger_dir), OWN_COPY)
    tree, state = found.tree, found.state
    usual = {governance.sealed_size(tree, at) for at, _ in governance.decisions(tree, state)}
    usual.add(home.pinned_trust().size)
    wanted = {*sizes, *(size for size in usual if size <= state.size)}
    beyond = [size for size in wanted if not 0 < size <= state.size]
    if beyond:
        raise ConfigError(
            f"the copy has {state.size} entries: no trust of {beyond[0]} can follow it"
        )
    data = governance.make_chain(tree, state, found.note.format(), wanted)
    write_whole(out, data)
    return governance.parse_chain(data)


# --- what changed ---------------------------------------------------------------------------------


def changes(moved: Moved) -> list[dict[str, Any]]:
    """List what became another: {what: joined, left, rotated, titles, quorum, …}.

    Args:
        moved: before and after.
    """
    before = {member.name: member for member in moved.before.members}
    found: list[dict[str, Any]] = []
    for member in moved.after.members:
        found += _member_changes(before.get(member.name), member)
    was = moved.before.quorum(moved.before.size)
    now = moved.after.quorum(moved.after.size)
    if was != now:
        found.append({"what": "quorum", "before": was, "after": now})
    return found


def _member_changes(before: TrustMember | None, after: TrustMember) -> list[dict[str, Any]]:
    if before is None or (after.active and not before.active):
        return [{"what": "joined", "member": after.name}]
    if before.active and not after.active:
        return [{"what": "left", "member": after.name}]
    found = [
        {"what": "rotated", "member": after.name, "key": name}
        for name, was, now in (
            ("statement", before.statement_keys, after.statement_keys),
            ("cosigner", before.cosigners, after.cosigners),
            ("log", before.logs, after.logs),
            ("validator", before.validators, after.validators),
        )
        if [_key(held) for held in was] != [_key(held) for held in now]
    ]
    if dict(before.titles) != dict(after.titles):
        found.append({"what": "titles", "member": after.name})
    return found


def _key(held: Held[Any]) -> tuple[object, int | None]:
    return held.key, held.end
