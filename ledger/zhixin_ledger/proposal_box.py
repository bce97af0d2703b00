"""The box beside a log in which proposals wait for their signatures.

::

    log/proposals/<SHA-256 of the payload in hex>.json     the envelope with its signatures so far

Whoever reaches the log can look into it; it takes in only what could still enter the ledger, keeps
only signatures of active members and of the key that a proposal names, and drops a proposal once
it is in the ledger or can't enter any more. It decides nothing: admission checks all again.
It is bounded, and strangers (who ask to join) have a small share of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from zhixin_errors import FormatError, LedgerRefused, LedgerUnavailable

from zhixin_ledger.database import TIMEOUT_S, Database
from zhixin_ledger.embedded import DATABASE
from zhixin_ledger.files import writable, write_file
from zhixin_ledger.locks import exclusive
from zhixin_ledger.proposals import Proposal, Weighed, add_signature, merge, parse_proposal, weigh
from zhixin_ledger.state import State
from zhixin_ledger.store import SqliteStore
from zhixin_ledger.transport import LOG_FOLDER, file_path, is_http

__all__ = [
    "MAX_PROPOSALS",
    "MAX_STRANGERS",
    "PROPOSALS_FOLDER",
    "FolderBox",
    "ProposalBox",
    "log_box",
    "open_box",
]

PROPOSALS_FOLDER = "proposals"
MAX_PROPOSALS = 64
MAX_STRANGERS = 16
"""Proposals that no active member has signed: whoever asks to join."""

Reading = Callable[[], AbstractContextManager[State]]


class ProposalBox(Protocol):
    """Where proposals wait: a folder, or a log over HTTP."""

    def offer(self, proposal: Proposal) -> bool:
        """Put a proposal in: True; or add its signatures to the one that is there: False.

        Raises:
            LedgerRefused: it can't enter the ledger as things stand; the rule's name as code.
            LedgerUnavailable: `overloaded`: the box is full; or it can't be reached.
        """

    def get(self, digest_hex: str) -> Proposal:
        """Give a proposal by its digest.

        Raises:
            LedgerRefused: `not-found`.
        """

    def waiting(self) -> list[Proposal]:
        """Give all that wait, by their digests."""

    def sign(self, digest_hex: str, keyid_hex: str, signature: bytes) -> Proposal:
        """Add one signature; gives the proposal with it.

        Raises:
            LedgerRefused: `not-found`, `unknown-signer`, `signature`.
        """


def open_box(url: str, base: Path) -> ProposalBox:
    """Give the box of the log that a URL names.

    Args:
        url: the log's.
        base: the folder that a relative `file:` URL starts from: the member's home.

    Raises:
        ConfigError: a URL that can't be reached.
        LedgerUnavailable: `ledger-missing`.
    """
    if is_http(url):
        from zhixin_ledger.http.client import HttpProposals

        return HttpProposals(url)
    return log_box(file_path(url, base) / LOG_FOLDER)


def log_box(directory: Path) -> FolderBox:
    """Give the box of a log on this machine.

    Args:
        directory: the log's folder.

    Raises:
        LedgerUnavailable: `ledger-missing`.
    """
    if not (directory / DATABASE).is_file():
        raise LedgerUnavailable(f"there is no ledger in {directory}", code="ledger-missing")
    return FolderBox(directory, lambda: _reading(directory / DATABASE))


@contextmanager
def _reading(path: Path) -> Iterator[State]:
    """Open a log's state, as it is durable now, for a moment."""
    opened = Database(path)
    try:
        with opened.reading() as connection:
            yield State(SqliteStore(connection))
    finally:
        opened.close()


class FolderBox:
    """The box in a log's folder.

    Args:
        directory: the log's folder.
        reading: opens the ledger's state.
    """

    def __init__(self, directory: Path, reading: Reading) -> None:
        self._folder = directory / PROPOSALS_FOLDER
        self._reading = reading

    def offer(self, proposal: Proposal) -> bool:
        """See ProposalBox."""
        with self._held() as (state, kept):
            weighed = weigh(state, proposal)
            before = kept.get(proposal.digest_hex)
            if before is None:
                _check_room(weighed, kept)
                self._write(weighed.proposal)
            else:
                self._write(merge([before.proposal, weighed.proposal]))
            return before is None

    def get(self, digest_hex: str) -> Proposal:
        """See ProposalBox."""
        with self._held() as (_, kept):
            return _found(kept, digest_hex).proposal

    def waiting(self) -> list[Proposal]:
        """See ProposalBox."""
        with self._held() as (_, kept):
            return [kept[name].proposal for name in sorted(kept)]

    def sign(self, digest_hex: str, keyid_hex: str, signature: bytes) -> Proposal:
        """See ProposalBox."""
        with self._held() as (state, kept):
            before = _found(kept, digest_hex).proposal
            if state.signer(keyid_hex) is None and keyid_hex not in before.own_keys:
                raise LedgerRefused("the key is in force for no member", code="unknown-signer")
            after = weigh(state, add_signature(before, keyid_hex, signature)).proposal
            if (keyid_hex, signature) not in after.envelope.signatures:
                raise LedgerRefused("the signature does not verify", code="signature")
            self._write(after)
            return after

    @contextmanager
    def _held(self) -> Iterator[tuple[State, dict[str, Weighed]]]:
        """Hold the box alone, with what still can enter the ledger; the rest is thrown away."""
        with writable(self._folder):
            self._folder.mkdir(exist_ok=True)
        with exclusive(self._folder / "lock", TIMEOUT_S), self._reading() as state:
            kept: dict[str, Weighed] = {}
            for path in sorted(self._folder.glob("*.json")):
                try:
                    weighed = weigh(state, parse_proposal(path.read_bytes()))
                except (FormatError, LedgerRefused):
                    path.unlink()
                    continue
                kept[path.stem] = weighed
            yield state, kept

    def _write(self, proposal: Proposal) -> None:
        write_file(self._folder / f"{proposal.digest_hex}.json", proposal.to_bytes())


def _found(kept: dict[str, Weighed], digest_hex: str) -> Weighed:
    found = kept.get(digest_hex)
    if found is None:
        raise LedgerRefused(
            "no such proposal waits here: it is in the ledger, or can't enter it any more",
            code="not-found",
        )
    return found


def _check_room(weighed: Weighed, kept: dict[str, Weighed]) -> None:
    def stranger(each: Weighed) -> bool:
        return not each.votes and not each.others

    strangers = sum(stranger(each) for each in kept.values())
    room = MAX_STRANGERS - strangers if stranger(weighed) else MAX_PROPOSALS + strangers - len(kept)
    if room <= 0:
        raise LedgerUnavailable(
            "too many proposals wait here already",
            code="overloaded",
            hint="send the proposal's file to the members another way",
        )
