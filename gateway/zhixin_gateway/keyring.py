"""A home's keys and their rotation: the new key lies beside the old one until it is in force.

::

    keys/statement.pem          the key in force
    keys/statement-new.pem      made by `zhixin member propose rotate`; takes the other's place once
                                the ledger says so under a checkpoint with its quorum

The place is taken by one rename, which destroys the old key; it can be asked for any number of
times, and whatever dies before, in or after it leaves a home that goes on. Until then both are
there, and what the own copy of the ledger has in force signs. The same for `cosigner` and `log`.

A member that lost a key proposes a rotation all the same: the new key is made, others vote, and it
takes the empty place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError

from zhixin_gateway.datasets.directory import sync_folder
from zhixin_gateway.home import COSIGNER_KEY, LOG_KEY, STATEMENT_KEY, Home

if TYPE_CHECKING:
    from zhixin_ledger.facts import MemberFact, Span
    from zhixin_ledger.signers import Signer
    from zhixin_ledger.state import State

__all__ = ["USES", "make_next_key", "next_key_file", "raw_key", "settle_keys", "signer_in_force"]

USES = {"statement": STATEMENT_KEY, "cosigner": COSIGNER_KEY, "log": LOG_KEY}


def next_key_file(home: Home, use: str) -> Path:
    """The file of the key that is to follow.

    Args:
        home: whose.
        use: ``statement``, ``cosigner`` or ``log``.
    """
    return home.keys_dir / USES[use].replace(".pem", "-new.pem")


def make_next_key(home: Home, use: str, kind: int) -> Signer:
    """Make the key that is to follow, or take up the one that waits.

    Args:
        home: whose.
        use: ``statement``, ``cosigner`` or ``log``.
        kind: ``keys.ED25519`` or ``keys.MLDSA44``.

    Raises:
        ConfigError: one of another algorithm waits, or it can't be made.
    """
    from zhixin_ledger.signers import generate_signer

    file = next_key_file(home, use)
    if not file.exists():
        return generate_signer(file, home.password(), kind)
    signer = home.load_key(file)
    if signer.kind != kind:
        raise ConfigError(
            f"{file} waits with a key of another algorithm",
            hint="if no proposal names it any more, remove the file, then propose again",
        )
    return signer


def settle_keys(home: Home) -> list[str]:
    """Let every new key that is in force take the old one's place.

    In force means: in the own copy of the ledger, under a checkpoint with its quorum.

    Args:
        home: whose.

    Returns:
        The uses whose key was exchanged.
    """
    from zhixin_ledger import checkpoint
    from zhixin_ledger.note import Note

    waiting = [use for use in USES if next_key_file(home, use).exists()]
    view = home.ledger_view() if waiting else None
    if view is None:
        return []
    with view:
        member = view.state().members.get(home.member)
        settled = checkpoint.parse(Note.parse(view.checkpoint()).text).size
    if member is None:
        return []
    return [use for use in waiting if _settle(home, use, member, settled)]


def _settle(home: Home, use: str, member: MemberFact, settled: int) -> bool:
    file = next_key_file(home, use)
    public_key = home.load_key(file).public_key
    for span in _spans(member, use):
        if span.until is None and span.start < settled and raw_key(span.key) == public_key:
            file.replace(home.keys_dir / USES[use])
            sync_folder(home.keys_dir)
            return True
    return False


def signer_in_force(home: Home, name: str) -> Signer:
    """Open the key that signs now, of one that is in force and one that is to follow.

    Args:
        home: whose.
        name: the file under ``keys/``.

    Raises:
        ConfigError: `key-pending`: the statement key in force is not here.
    """
    from zhixin_ledger.signers import key_files

    settle_keys(home)
    use = next(use for use, file in USES.items() if file == name)
    signers = [home.load_key(file) for file in key_files(home.keys_dir / name)]
    view = home.ledger_view()
    if view is not None:
        with view:
            held = _in_force(view.state(), home.member, use)
        for signer in signers:
            if signer.public_key in held:
                return signer
    if use != "statement":
        return signers[0]  # log and witness look at what is in force before each signature
    if not (home.keys_dir / name).exists():
        raise ConfigError(
            f"the {use} key of {home.member} is not here, and the new one is not in force yet",
            code="key-pending",
            hint="`zhixin member submit FILE` brings its rotation in, once a quorum has signed",
        )
    return home.load_key(home.keys_dir / name)


def _in_force(state: State, name: str, use: str) -> set[bytes]:
    member = state.members.get(name)
    if member is None:
        return set()
    return {raw_key(span.key) for span in _spans(member, use) if span.until is None}


def _spans(member: MemberFact, use: str) -> Iterator[Span]:
    yield from {
        "statement": member.statement_keys,
        "cosigner": member.cosigners,
        "log": member.logs,
    }[use]


def raw_key(key: str) -> bytes:
    """The public key in a fact's spelling: base64 of a raw key, or a vkey.

    Args:
        key: as a member's fact has it; base64 may hold a plus itself.
    """
    from zhixin_ledger import encoding
    from zhixin_ledger.keys import VerifierKey

    if "+" in key[:-44]:
        return VerifierKey.parse(key).public_key
    return encoding.unb64(key, "key", 32)
