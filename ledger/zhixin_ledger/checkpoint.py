"""Checkpoints: a ledger's size and root as a signed note (docs/formats.md 2.5).

C2SP tlog-checkpoint::

    ledger.gov.example/2026                         origin
    16                                              size, from 1 on
    xbyCA9ijf396vZrFcM4Fui5mKbcYu/SaBikWLuJNeJ0=    root, 32 bytes

Exactly these three lines: extension lines are refused, for no monitor could audit them. The log
signs the text with an Ed25519 key (type 0x01) whose name is the origin.

It does not count cosignatures: `cosignature` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zhixin_errors import FormatError, VerificationError

from zhixin_ledger.encoding import MAX_INT, b64, parse_uint, unb64
from zhixin_ledger.keys import ED25519, VerifierKey, verify_ed25519
from zhixin_ledger.merkle import HASH_BYTES
from zhixin_ledger.names import check_origin
from zhixin_ledger.note import Note, SignatureLine, known_lines

if TYPE_CHECKING:
    from zhixin_ledger.signers import Signer

__all__ = ["Checkpoint", "log_line", "parse", "sign", "verify_log"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says about itself at one moment.

    Attributes:
        origin: the ledger's name.
        size: number of entries, 1 ≤ size < 2^63.
        root: of the tree of these entries, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> bytes:
        """The note's text; FormatError where a value can't stand in one."""
        check_origin(self.origin, "checkpoint's origin")
        if not 1 <= self.size <= MAX_INT or len(self.root) != HASH_BYTES:
            raise FormatError("a checkpoint has a size of 1 to 2^63 − 1 and a root of 32 bytes")
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n".encode()


def parse(text: bytes, what: str = "checkpoint") -> Checkpoint:
    """Read a checkpoint's text.

    Args:
        text: the note's text, with its last newline.
        what: how a message names it.

    Returns:
        The checkpoint.

    Raises:
        FormatError: not exactly three lines of the form above, or a size of 0.
    """
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} is not UTF-8 at byte {error.start}") from error
    if len(lines) != 4 or lines[3]:
        raise FormatError(f"{what} must have exactly three lines, it has {len(lines) - 1}")
    origin = check_origin(lines[0], f"{what}, line 1: the origin")
    size = parse_uint(lines[1], f"{what}, line 2: the size")
    if size == 0:
        raise FormatError(f"{what}, line 2: a ledger's size is 1 or more")
    return Checkpoint(origin, size, unb64(lines[2], f"{what}, line 3: the root", HASH_BYTES))


def log_line(text: bytes, origin: str, signer: Signer) -> SignatureLine:
    """The log's signature line under a note's text."""
    key = VerifierKey.make(origin, ED25519, signer.public_key)
    return SignatureLine(key.name, key.key_id, signer.sign(text))


def sign(checkpoint: Checkpoint, signer: Signer) -> Note:
    """Write a checkpoint as a note signed by the log.

    Args:
        checkpoint: consistent with every one that this log signed before; the caller knows.
        signer: the log's key.

    Returns:
        The note, with the log's line alone.
    """
    text = checkpoint.text()
    return Note(text, (log_line(text, checkpoint.origin, signer),))


def verify_log(note: Note, origin: str, log_keys: Iterable[VerifierKey]) -> Checkpoint:
    """Hold a note to be this ledger's checkpoint, signed by its log.

    Args:
        note: any note.
        origin: the ledger that it must be of.
        log_keys: keys of the log in force; one line that verifies is enough.

    Returns:
        The checkpoint.

    Raises:
        FormatError: the text is no checkpoint's.
        VerificationError: ``log-signature``: another origin, no line of a known key, or a known
            key's line that fails.
    """
    checkpoint = parse(note.text)
    if checkpoint.origin != origin:
        raise VerificationError(
            f"the checkpoint is of the ledger {checkpoint.origin}, not of {origin}",
            code="log-signature",
            details={"expected": origin, "got": checkpoint.origin},
        )
    signed = False
    for number, line, key in known_lines(note, log_keys):
        if key.kind != ED25519 or not verify_ed25519(key.public_key, note.text, line.signature):
            raise VerificationError(
                f"signature line {number} of the checkpoint, of the log's key "
                f"{key.name}+{key.key_id.hex()}, does not verify",
                code="log-signature",
            )
        signed = True
    if not signed:
        raise VerificationError(
            f"no key of the log {origin} that is in force signed the checkpoint",
            code="log-signature",
        )
    return checkpoint
