"""Receipts: the proof that an entry is in the ledger (C2SP tlog-proof, without ``extra``).

::

    c2sp.org/tlog-proof@v1
    index 12
    ZKA7oco2WxrDFm3d7GPhCpFiRVAPu0+ru36aPRtK1R8=    the leaf's sibling, and up
    …
                                                   an empty line
    ledger.gov.example/2026                         the checkpoint's note, with cosignatures
    …

The entry itself is not in it: a version's directory holds that as ``statement.json``.
This module reads and writes; the gate verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zhixin_errors import FormatError

from zhixin_ledger import checkpoint as checkpoints
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.encoding import b64, parse_uint, unb64
from zhixin_ledger.merkle import HASH_BYTES, MAX_PATH
from zhixin_ledger.note import Note

__all__ = ["MAX_RECEIPT_BYTES", "Receipt", "format_receipt", "parse_receipt"]

MAX_RECEIPT_BYTES = 256 * 1024
_MAX_LINE_BYTES = 65_535
_HEADER = b"c2sp.org/tlog-proof@v1\n"
_INDEX = "index "


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt whose form is good; nothing is verified.

    Attributes:
        index: the entry's place, 0 ≤ index < 2^63; may lie beyond the checkpoint's size.
        path: at most 63 hashes of 32 bytes, from the leaf's sibling up.
        note: the checkpoint's note, as it stands.
        signed: the same, parsed.
        checkpoint: the note's text, parsed.
    """

    index: int
    path: tuple[bytes, ...]
    note: bytes
    signed: Note = field(init=False, repr=False, compare=False)
    checkpoint: Checkpoint = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Parse the note, so that a Receipt always holds a checkpoint; FormatError else."""
        signed = Note.parse(self.note, "receipt's checkpoint")
        object.__setattr__(self, "signed", signed)
        object.__setattr__(
            self, "checkpoint", checkpoints.parse(signed.text, "receipt's checkpoint")
        )


def parse_receipt(data: bytes, what: str = "receipt") -> Receipt:
    """Read a receipt.

    Args:
        data: the whole file, at most ``MAX_RECEIPT_BYTES``.
        what: how a message names it.

    Returns:
        The receipt, its note and checkpoint in good form too.

    Raises:
        FormatError: whatever is not in the form above, with the line.
    """
    if len(data) > MAX_RECEIPT_BYTES:
        raise FormatError(f"{what} is longer than {MAX_RECEIPT_BYTES} bytes")
    if not data.startswith(_HEADER):
        raise FormatError(f"{what}, line 1: want c2sp.org/tlog-proof@v1")
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line) > _MAX_LINE_BYTES:
            raise FormatError(f"{what}, line {number} is longer than {_MAX_LINE_BYTES} bytes")
    head, blank, note = data[len(_HEADER) :].partition(b"\n\n")
    if not blank:
        raise FormatError(f"{what} has no empty line between path and checkpoint")
    try:
        first, *hashes = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} holds other than ASCII before its checkpoint") from error
    if not first.startswith(_INDEX):
        raise FormatError(f"{what}, line 2: want the index (extra data is not allowed)")
    if len(hashes) > MAX_PATH:
        raise FormatError(f"{what} has {len(hashes)} hashes, at most {MAX_PATH}")
    index = parse_uint(first[len(_INDEX) :], f"{what}, line 2: the index")
    path = tuple(
        unb64(line, f"{what}, line {number}: the hash", HASH_BYTES)
        for number, line in enumerate(hashes, 3)
    )
    return Receipt(index, path, note)


def format_receipt(index: int, path: Sequence[bytes], note: bytes) -> bytes:
    """Write a receipt.

    Args:
        index: the entry's place.
        path: hashes of 32 bytes, from the leaf's sibling up.
        note: the checkpoint's note.

    Returns:
        The file's bytes; `parse_receipt` reads them.

    Raises:
        FormatError: values that can't stand in a receipt.
    """
    lines = "".join(f"{b64(item)}\n" for item in path)
    data = _HEADER + f"{_INDEX}{index}\n{lines}\n".encode() + note
    parse_receipt(data)
    return data
