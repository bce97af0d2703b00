"""Signed notes: a text and the lines of those who signed it (C2SP signed-note).

::

    ledger.gov.example/2026                       the text: UTF-8, no control but the newline
    16
    xbyCA9ijf396vZrFcM4Fui5mKbcYu/SaBikWLuJNeJ0=
                                                  the last empty line of the note
    — ledger.gov.example/2026 H4snH1tHTLjf…Y9mQk=  dash, name, base64 of key ID ‖ signature

A line whose name and key ID are no known key's is ignored; a known key's line must verify, or the
whole note is refused. This module reads and writes; who is known, and what a line signs, is said in
`checkpoint` (logs) and `cosignature` (members).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zhixin_errors import ConfigError, FormatError

from zhixin_ledger.encoding import b64, unb64
from zhixin_ledger.keys import VerifierKey

__all__ = [
    "MAX_NOTE_BYTES",
    "MAX_SIGNATURES",
    "Note",
    "SignatureLine",
    "known_lines",
    "parse_signature_lines",
]

MAX_SIGNATURES = 100
MAX_NOTE_BYTES = 256 * 1024

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH = "— "
_KEY_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One signature line.

    Attributes:
        name: of the key that is said to have signed.
        key_id: 4 bytes.
        signature: what follows the key ID; its length is the key type's business.
    """

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line as it stands in a note, with its newline."""
        return f"{_DASH}{self.name} {b64(self.key_id + self.signature)}\n"

    @classmethod
    def parse(cls, line: str, what: str = "signature line") -> SignatureLine:
        """Read a line, without its newline.

        Args:
            line: the text.
            what: how a message names it.

        Returns:
            The line; nothing is verified.

        Raises:
            FormatError: another dash, a name that is empty or holds a space or ``+``, base64 that
                is not strict, or too short for a key ID and a signature.
        """
        if not line.startswith(_DASH):
            raise FormatError(f"{what} does not begin with an em dash and a space")
        name, _, encoded = line[len(_DASH) :].partition(" ")
        if not name or "+" in name or any(map(str.isspace, name)):
            raise FormatError(f"{what} must name a key, without spaces or +")
        payload = unb64(encoded, f"the base64 of {what}")
        if len(payload) <= _KEY_ID_BYTES:
            raise FormatError(f"{what} is too short for a key ID and a signature")
        return cls(name, payload[:_KEY_ID_BYTES], payload[_KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signature lines.

    Attributes:
        text: what is signed, with its last newline.
        signatures: 1 to ``MAX_SIGNATURES`` lines, in their order.
    """

    text: bytes
    signatures: tuple[SignatureLine, ...]

    @classmethod
    def parse(cls, data: bytes, what: str = "note") -> Note:
        """Read a note.

        Args:
            data: the whole note, at most ``MAX_NOTE_BYTES``.
            what: how a message names it.

        Returns:
            The note; nothing is verified.

        Raises:
            FormatError: whatever is not in the form above, with the line's number.
        """
        if len(data) > MAX_NOTE_BYTES:
            raise FormatError(f"{what} is longer than {MAX_NOTE_BYTES} bytes")
        _check_text(data, what)
        blank = data.rfind(b"\n\n")
        if blank < 0:
            raise FormatError(f"{what} has no empty line between text and signatures")
        return cls(data[: blank + 1], parse_signature_lines(data[blank + 2 :], what))

    def format(self) -> bytes:
        """Write the note; FormatError where its text or number of lines can't be a note's."""
        _check_text(self.text, "note")
        if not self.text.endswith(b"\n"):
            raise FormatError("note's text does not end with a newline")
        if not 0 < len(self.signatures) <= MAX_SIGNATURES:
            raise FormatError(f"note has {len(self.signatures)} signature lines, want 1 to 100")
        return self.text + b"\n" + "".join(line.line for line in self.signatures).encode()

    def with_signatures(self, lines: Iterable[SignatureLine]) -> Note:
        """The note with more lines at its end; a line that is there already is not repeated."""
        return Note(self.text, tuple(dict.fromkeys((*self.signatures, *lines))))


def _check_text(data: bytes, what: str) -> None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} is not UTF-8 at byte {error.start}") from error
    control = _CONTROL.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise FormatError(f"{what} holds a control character in line {line}")


def parse_signature_lines(data: bytes, what: str = "note") -> tuple[SignatureLine, ...]:
    """Read signature lines alone: the end of a note, or a witness's answer.

    Args:
        data: one line or more, each with its newline.
        what: how a message names it.

    Returns:
        The lines, in their order.

    Raises:
        FormatError: none, more than ``MAX_SIGNATURES``, or one that is not in the form.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} is not UTF-8 in its signature lines") from error
    if not text:
        raise FormatError(f"{what} has no signature lines")
    *lines, rest = text.split("\n")
    if rest:
        raise FormatError(f"{what} does not end with a newline")
    if len(lines) > MAX_SIGNATURES:
        raise FormatError(f"{what} has {len(lines)} signature lines, at most {MAX_SIGNATURES}")
    return tuple(
        SignatureLine.parse(line, f"signature line {number} of {what}")
        for number, line in enumerate(lines, 1)
    )


def known_lines(
    note: Note, keys: Iterable[VerifierKey]
) -> Iterator[tuple[int, SignatureLine, VerifierKey]]:
    """The lines whose name and key ID are a known key's.

    Args:
        note: the note.
        keys: all keys that are known; the same key twice does no harm.

    Yields:
        The line's number from 1, the line, the key. Who calls must verify each of them.

    Raises:
        ConfigError: two different keys share name and key ID, so that a line could be either's.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in keys:
        if known.setdefault((key.name, key.key_id), key) != key:
            raise ConfigError(f"two keys are named {key.name}+{key.key_id.hex()}")
    for number, line in enumerate(note.signatures, 1):
        owner = known.get((line.name, line.key_id))
        if owner is not None:
            yield number, line, owner
