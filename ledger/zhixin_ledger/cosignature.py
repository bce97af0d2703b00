r"""Cosignatures: what members say about a checkpoint, and when (C2SP tlog-cosignature).

A signature line whose payload after the key ID is ``uint64be(POSIX seconds) ‖ signature``. What is
signed, by type of key::

    0x04  Ed25519     "cosignature/v1\ntime 1770097835\n" ‖ the note's whole text
    0x06  ML-DSA-44   "subtree/v1\n\0" ‖ u8 length ‖ cosigner's name ‖ u64 time
                      ‖ u8 length ‖ origin ‖ u64 0 ‖ u64 size ‖ root

A member's cosignature says besides (docs/formats.md 2.5) that it replayed every entry up to this
size and found the last seal's state root its own.

It does not judge times by a clock, nor quorums: the gate does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from zhixin_errors import FormatError, VerificationError

from zhixin_ledger import checkpoint as checkpoints
from zhixin_ledger.encoding import MAX_INT
from zhixin_ledger.keys import (
    COSIGNATURE_V1,
    ED25519,
    ED25519_SIGNATURE_BYTES,
    MLDSA44,
    MLDSA44_SIGNATURE_BYTES,
    VerifierKey,
    verify_ed25519,
    verify_mldsa44,
)
from zhixin_ledger.note import Note, SignatureLine, known_lines

if TYPE_CHECKING:
    from zhixin_ledger.signers import Signer

__all__ = ["TIME_BYTES", "cosign", "counted", "key_of", "message", "verify"]

TIME_BYTES = 8
_SIGNATURE_BYTES = {COSIGNATURE_V1: ED25519_SIGNATURE_BYTES, MLDSA44: MLDSA44_SIGNATURE_BYTES}


def message(kind: int, name: str, note_text: bytes, time_s: int) -> bytes:
    """The bytes that a cosigner signs.

    Args:
        kind: ``COSIGNATURE_V1`` or ``MLDSA44``.
        name: the cosigner's key name.
        note_text: the checkpoint's text.
        time_s: POSIX seconds, 0 ≤ time_s < 2^63.

    Returns:
        The message.

    Raises:
        FormatError: the text is no checkpoint's, the time is out of range, or a type that does not
            cosign.
    """
    checkpoint = checkpoints.parse(note_text)
    if not 0 <= time_s <= MAX_INT:
        raise FormatError("a cosignature's time must lie between 0 and 2^63 − 1 seconds")
    if kind == COSIGNATURE_V1:
        return b"cosignature/v1\ntime %d\n" % time_s + note_text
    if kind != MLDSA44:
        raise FormatError(f"a key of type {kind} does not cosign")
    name_bytes, origin = name.encode(), checkpoint.origin.encode()
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes((len(name_bytes),)),
            name_bytes,
            struct.pack(">Q", time_s),
            bytes((len(origin),)),
            origin,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )


def key_of(name: str, signer: Signer) -> VerifierKey:
    """Give the verifier key of a cosigner.

    Args:
        name: the cosigner's key name, ``<member>/witness``.
        signer: its key.

    Raises:
        FormatError: a name or kind that does not cosign.
    """
    kind = COSIGNATURE_V1 if signer.kind == ED25519 else signer.kind
    return VerifierKey.make(name, kind, signer.public_key)


def cosign(note_text: bytes, name: str, signer: Signer, time_s: int) -> SignatureLine:
    """Cosign a checkpoint, with a line of the type that the key's kind gives.

    Args:
        note_text: the checkpoint's text. The caller has replayed the ledger up to it.
        name: the cosigner's key name, ``<member>/witness``.
        signer: the cosigner's key, used for nothing else.
        time_s: POSIX seconds, 0 ≤ time_s < 2^63.

    Returns:
        The signature line.

    Raises:
        FormatError: the text is no checkpoint's, the time is out of range, or a kind that does not
            cosign.
    """
    key = key_of(name, signer)
    signature = signer.sign(message(key.kind, name, note_text, time_s))
    return SignatureLine(name, key.key_id, struct.pack(">Q", time_s) + signature)


def verify(line: SignatureLine, key: VerifierKey, note_text: bytes) -> int:
    """Hold one line to a cosigner's key.

    Args:
        line: the signature line.
        key: of type ``COSIGNATURE_V1`` or ``MLDSA44``.
        note_text: the checkpoint's text.

    Returns:
        The cosignature's time, POSIX seconds; a time ahead of any clock is no fault here.

    Raises:
        FormatError: the text is no checkpoint's.
        VerificationError: ``quorum``: another key's line, a wrong length, a time of 2^63 or more,
            a signature that fails.
    """
    fault = None
    if (line.name, line.key_id) != (key.name, key.key_id):
        fault = "is not that key's"
    elif key.kind not in _SIGNATURE_BYTES:
        fault = "is of a type that does not cosign"
    elif len(line.signature) != TIME_BYTES + _SIGNATURE_BYTES[key.kind]:
        fault = f"has {len(line.signature)} bytes, want {TIME_BYTES + _SIGNATURE_BYTES[key.kind]}"
    if fault is None:
        time_s = int.from_bytes(line.signature[:TIME_BYTES])
        if time_s > MAX_INT:
            fault = "has a time of 2^63 or more"
        else:
            signed = message(key.kind, key.name, note_text, time_s)
            check = verify_ed25519 if key.kind == COSIGNATURE_V1 else verify_mldsa44
            if check(key.public_key, signed, line.signature[TIME_BYTES:]):
                return time_s
            fault = "does not verify"
    raise VerificationError(
        f"a cosignature by {key.name}+{key.key_id.hex()} {fault}", code="quorum"
    )


def counted(note: Note, keys: Iterable[VerifierKey]) -> dict[VerifierKey, int]:
    """The known cosigners of a checkpoint, each once, with its latest time.

    Args:
        note: the checkpoint's note.
        keys: all cosigner keys that are known at its size.

    Returns:
        Key → POSIX seconds, in the order of the keys' first lines.

    Raises:
        FormatError: the text is no checkpoint's.
        VerificationError: ``quorum``: a known key's line fails, and the whole note with it.
    """
    times: dict[VerifierKey, int] = {}
    for number, line, key in known_lines(note, keys):
        try:
            time_s = verify(line, key, note.text)
        except VerificationError as error:
            raise VerificationError(
                f"signature line {number} of the checkpoint: {error.message}", code="quorum"
            ) from error
        times[key] = max(time_s, times.get(key, 0))
    return times
