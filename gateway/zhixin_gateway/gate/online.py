"""Standing asked of a ledger now (docs/formats.md 4): its newest checkpoint, and what it says.

What a server says counts for nothing by itself. In this order:

1. its checkpoint is signed by the log and has its quorum, by the trust;
2. it goes on from everything this consumer has seen of the ledger: the checkpoint that it
   remembers, its home's own copy, the trust, the version's receipt. Another tree is ``forked``, and
   both notes are kept; an older one than was seen is ``stale``: a withdrawal can't be hidden by
   showing yesterday's ledger again;
3. it is remembered;
4. each dataset's fact comes with its proof, for this checkpoint or a later one. Where a server has
   no such proofs (a folder, a mirror of another make), every entry is fetched and put through the
   rules.

What a server can still do is to show nothing newer than what was seen: ``--max-age`` bounds that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zhixin_errors import (
    FormatError,
    LedgerRefused,
    LedgerUnavailable,
    VerificationError,
)
from zhixin_ledger import checkpoint, merkle, tiles
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note
from zhixin_ledger.tiles import Tiles

from zhixin_gateway.gate import receipts, standing

if TYPE_CHECKING:
    from datetime import datetime

    from zhixin_ledger.checkpoint import Checkpoint
    from zhixin_ledger.facts import DatasetFact
    from zhixin_ledger.state import State
    from zhixin_ledger.store import Stated
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.gate.standing import Claim, Subject

__all__ = ["Known", "LedgerFiles", "OnlineLedger", "Remembered"]


class LedgerFiles(Protocol):
    """What a ledger serves under a URL."""

    def read(self, path: str) -> bytes | None:
        """Give `checkpoint` or `tile/…`, or None where there is none."""
        ...

    def standing(self, dataset: str) -> bytes | None:
        """Give a dataset's standing file; None where none is served."""
        ...

    def close(self) -> None:
        """Let go of connections; the next question makes new ones."""
        ...


class Remembered(Protocol):
    """The last checkpoint of each ledger that this consumer saw."""

    def last(self, origin: str) -> Note | None:
        """Give it, or None."""
        ...

    def keep(self, note: Note) -> None:
        """Keep one that goes on from it."""
        ...

    def keep_conflict(self, seen: Note, shown: Note, source: LedgerFiles, trust: Trust) -> str:
        """Keep two that contradict each other; says where."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """A tree of the ledger that this consumer holds for true.

    Attributes:
        what: how a message names where it is from.
        size: its entries, at least 1.
        root: 32 bytes.
        note: the checkpoint, where there is one.
        seen: the ledger may not end before it.
        root_at: gives the root at a smaller size, where that can be told.
    """

    what: str
    size: int
    root: bytes
    note: Note | None = None
    seen: bool = False
    root_at: Callable[[int], bytes] | None = None


@dataclass(frozen=True, slots=True)
class _Shown:
    """A checkpoint that held."""

    note: Note
    made: Checkpoint
    time: datetime


@dataclass(frozen=True)
class OnlineLedger:
    """A ledger that is asked now; a `ClaimSource`.

    Attributes:
        what: how messages name it, such as ``the ledger at https://…``.
        source: what it serves.
        remembered: what was seen before.
        known: what else is held for true, such as the home's own copy.
    """

    what: str
    source: LedgerFiles
    remembered: Remembered
    known: Sequence[Known] = ()

    def claims(self, subject: Subject, trust: Trust, clock: receipts.Clock) -> list[Claim]:
        """See `ClaimSource`."""
        try:
            return self._claims(subject, trust, clock)
        finally:
            self.source.close()

    def _claims(self, subject: Subject, trust: Trust, clock: receipts.Clock) -> list[Claim]:
        with self._readable():
            newest = self._newest(trust, clock)
            self._hold(newest, self._known(subject, trust), trust)
        files = self._standings(subject)
        if files is None:
            self.remembered.keep(newest.note)
            return self._replayed(newest, subject, trust, clock)
        claims = []
        for parsed in files:
            claims.append(standing.claim_of_file(parsed, subject, trust, clock, self.what))
            made = parsed.receipt.checkpoint
            later = _Shown(parsed.receipt.signed, made, claims[-1].time)
            if made.size < newest.made.size:
                raise self._behind(made, newest.made)
            with self._readable():
                shown = Known("its own checkpoint", newest.made.size, newest.made.root, newest.note)
                self._hold(later, [shown], trust)
            newest = later
        self.remembered.keep(newest.note)
        return claims

    def _newest(self, trust: Trust, clock: receipts.Clock) -> _Shown:
        data = self.source.read(tiles.CHECKPOINT)
        if data is None:
            raise LedgerUnavailable(f"{self.what} has published no checkpoint", code="ledger-empty")
        note = Note.parse(data, f"the checkpoint of {self.what}")
        receipts.check_log(note, trust)
        time = receipts.check_cosigned(note, trust, clock, self.what)
        return _Shown(note, checkpoint.parse(note.text), time)

    def _known(self, subject: Subject, trust: Trust) -> list[Known]:
        known = [
            *self.known,
            Known("the trust", trust.size, trust.root, seen=True),
            Known("the receipt", subject.size, subject.root),
        ]
        last = self.remembered.last(trust.origin)
        if last is not None:
            made = checkpoint.parse(last.text)
            known.insert(0, Known("the one seen last", made.size, made.root, last, seen=True))
        return known

    def _hold(self, shown: _Shown, known: Sequence[Known], trust: Trust) -> None:
        """Hold a checkpoint to all that is known; other trees first, then older ones."""
        for item in known:
            if not self._of_one_tree(shown.made, item):
                raise self._forked(shown, item, trust)
        for item in known:
            if item.seen and item.size > shown.made.size:
                raise VerificationError(
                    f"{self.what} ends at {shown.made.size} entries, {item.what} has {item.size}: "
                    "it is behind, or shows an old state again; ask another that serves it",
                    code="stale",
                )

    def _of_one_tree(self, made: Checkpoint, known: Known) -> bool:
        if made.size < known.size:
            return known.root_at is None or known.root_at(made.size) == made.root
        if made.size == known.size:
            return made.root == known.root
        tree = Tiles(self.source, made.size)
        path = tree.consistency_path(known.size)
        try:
            merkle.verify_consistency(known.size, made.size, known.root, made.root, path)
        except VerificationError as error:
            if tree.root() != made.root or tree.root(known.size) == known.root:
                raise LedgerUnavailable(
                    f"{self.what} serves tiles that are not its checkpoint's",
                    code="ledger-damaged",
                ) from error
            return False
        return True

    def _forked(self, shown: _Shown, known: Known, trust: Trust) -> VerificationError:
        told = (
            f"{self.what} and {known.what} have two trees of the ledger's first "
            f"{min(known.size, shown.made.size)} entries: somebody shows two ledgers"
        )
        if known.note is None:
            return VerificationError(told, code="forked")
        place = self.remembered.keep_conflict(known.note, shown.note, self.source, trust)
        return VerificationError(f"{told}; both checkpoints are kept in {place}", code="forked")

    def _standings(self, subject: Subject) -> list[standing.Standing] | None:
        """The standing files of the version's dataset and of its inputs'; None: it serves none."""
        datasets = dict.fromkeys((subject.dataset, *(dataset for dataset, _, _ in subject.inputs)))
        found = []
        for dataset in datasets:
            data = self._standing(dataset)
            if data is None:
                return None
            with self._readable():
                parsed = standing.parse_standing(data, f"the standing from {self.what}")
            if parsed.fact.dataset != dataset:
                raise LedgerUnavailable(
                    f"{self.what} answers with the standing of another dataset than was asked for",
                    code="ledger-damaged",
                )
            found.append(parsed)
        return found

    def _standing(self, dataset: str) -> bytes | None:
        try:
            return self.source.standing(dataset)
        except LedgerUnavailable as error:
            if error.code == "ledger-behind":  # behind itself; its entries are there all the same
                return None
            raise

    def _replayed(
        self, newest: _Shown, subject: Subject, trust: Trust, clock: receipts.Clock
    ) -> list[Claim]:
        """Put every entry through the rules, in a copy that is thrown away."""
        with tempfile.TemporaryDirectory(prefix="zhixin-ledger-") as folder:
            mirror = Mirror(Path(folder), origin=trust.origin)
            try:
                mirror.follow(newest.note, self.source)
                view = _Replayed(mirror, newest.note, subject)
                return [
                    standing.Claim(
                        self.what,
                        claim.dataset,
                        claim.fact,
                        claim.size,
                        claim.root,
                        claim.time,
                        view.stated,
                    )
                    for claim in standing.claims_of_ledger(view, subject, trust, clock)
                ]
            except LedgerRefused as error:
                raise LedgerUnavailable(
                    f"{self.what} serves other entries than its checkpoint's, or such as break "
                    f"the rules: {error.message}",
                    code="ledger-damaged",
                ) from error
            finally:
                mirror.close()

    def _behind(self, made: Checkpoint, newest: Checkpoint) -> LedgerUnavailable:
        return LedgerUnavailable(
            f"{self.what} tells the standing as of {made.size} entries and has {newest.size}",
            code="ledger-behind",
            hint="try again",
        )

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """What can't be read says nothing about the data: the ledger could not be asked."""
        try:
            yield
        except FormatError as error:
            raise LedgerUnavailable(
                f"{self.what} serves what can't be read: {error.message}", code="ledger-damaged"
            ) from error


class _Replayed:
    """A copy that was just made, as a `LedgerView`; answers about one version outlive it."""

    def __init__(self, mirror: Mirror, note: Note, subject: Subject) -> None:
        self._mirror = mirror
        self._note = note
        state = mirror.state()
        pairs = [(subject.dataset, subject.version), *((name, n) for name, n, _ in subject.inputs)]
        self._places = {pair: state.stated(*pair) for pair in pairs}

    def state(self) -> State:
        return self._mirror.state()

    def checkpoint(self) -> bytes:
        return self._note.format()

    def root_at(self, size: int) -> bytes:
        return self._mirror.tree().root(size)

    def dataset(self, name: str) -> DatasetFact | None:
        return self._mirror.state().dataset(name)

    def stated(self, dataset: str, version: int) -> Stated | None:
        return self._places.get((dataset, version))
