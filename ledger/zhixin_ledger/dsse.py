"""DSSE envelopes: a payload, and signatures over its type and its bytes.

docs/formats.md 2.4. An entry of the ledger is an envelope's exact bytes, in JCS::

    {"payload":"<base64>","payloadType":"application/vnd.in-toto+json",
     "signatures":[{"keyid":"<hex SHA-256 of the raw public key>","sig":"<base64>"}]}

(on one line). What is signed: ``DSSEv1 <length> <type> <length> <payload>``, by Ed25519. Signatures
stand sorted by keyid, no key twice. Two readers: `parse_envelope` takes only this; admission to the
ledger takes more and makes this of it (`normalise_envelope`, docs/formats.md 2.8).

It does not know whose keys these are: the ledger's rules and the trust do.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from zhixin_errors import FormatError

from zhixin_ledger.encoding import (
    Json,
    as_array,
    as_text,
    b64,
    check_hex,
    jcs,
    members,
    parse_jcs,
    parse_json_object_lenient,
    sha256_hex,
    unb64,
)
from zhixin_ledger.keys import ED25519_SIGNATURE_BYTES, verify_ed25519

if TYPE_CHECKING:
    from zhixin_ledger.signers import Signer

__all__ = [
    "MAX_ADMISSION_BYTES",
    "MAX_ENTRY_BYTES",
    "PAYLOAD_TYPE",
    "Envelope",
    "format_envelope",
    "keyid",
    "normalise_envelope",
    "pae",
    "parse_envelope",
    "read_submitted",
    "sign_envelope",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_ENTRY_BYTES = 65_535
MAX_ADMISSION_BYTES = 256 * 1024

_Reader = Callable[[Json, str], bytes]

_OF_ONE_SIGNER = re.compile(
    rb'\{"payload":"([A-Za-z0-9+/]+={0,2})","payloadType":"%b",'
    rb'"signatures":\[\{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/]{86}==)"\}\]\}'
    % re.escape(PAYLOAD_TYPE.encode())
)


def keyid(public_key: bytes) -> str:
    """A key's name in an envelope: hex SHA-256 of the raw public key."""
    return sha256_hex(public_key)


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope in good form; nothing is verified.

    Attributes:
        payload_type: always ``PAYLOAD_TYPE``.
        payload: the signed bytes, never to be re-made from what they say.
        signatures: (keyid, signature of 64 bytes), sorted by keyid, no key twice, at least one.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def signed(self) -> bytes:
        """The bytes that each signature signs."""
        return pae(self.payload_type, self.payload)

    def verifies(self, public_key: bytes) -> bool:
        """Whether a signature under this key's keyid is there and verifies with it."""
        signature = dict(self.signatures).get(keyid(public_key))
        return signature is not None and verify_ed25519(public_key, self.signed, signature)


def format_envelope(envelope: Envelope) -> bytes:
    """Write an envelope: an entry's bytes."""
    return jcs(
        {
            "payload": b64(envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": [
                {"keyid": key, "sig": b64(signature)} for key, signature in envelope.signatures
            ],
        }
    )


def parse_envelope(data: bytes, what: str = "envelope") -> Envelope:
    """Read an envelope in the ledger's own form.

    Args:
        data: the whole entry, at most ``MAX_ENTRY_BYTES``.
        what: how a message names it.

    Returns:
        The envelope.

    Raises:
        FormatError: another form, other white space, order or base64, no signature, a key twice.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise FormatError(f"{what} is longer than {MAX_ENTRY_BYTES} bytes")
    envelope = _read_of_one_signer(data) or _read(parse_jcs(data, what), what, unb64)
    if any(a >= b for (a, _), (b, _) in pairwise(envelope.signatures)):
        raise FormatError(f"{what}'s signatures are not sorted by keyid")
    return envelope


def normalise_envelope(data: bytes, what: str = "envelope") -> bytes:
    """Make an entry of an envelope in any layout: for admission to the ledger alone.

    JSON layout becomes JCS, URL-safe base64 standard, signatures are sorted. The payload's own
    bytes are signed and stay.

    Args:
        data: at most ``MAX_ADMISSION_BYTES``.
        what: how a message names it.

    Returns:
        The entry's bytes; `parse_envelope` reads them.

    Raises:
        FormatError: duplicate or unknown members, no padding, two alphabets in one value, a key
            twice, too long even so.
    """
    if len(data) > MAX_ADMISSION_BYTES:
        raise FormatError(f"{what} is longer than {MAX_ADMISSION_BYTES} bytes")
    envelope = _read(parse_json_object_lenient(data, what), what, _unb64_either)
    entry = format_envelope(
        Envelope(envelope.payload_type, envelope.payload, tuple(sorted(envelope.signatures)))
    )
    if len(entry) > MAX_ENTRY_BYTES:
        raise FormatError(f"{what} is longer than {MAX_ENTRY_BYTES} bytes")
    return entry


def read_submitted(data: bytes, what: str = "envelope") -> tuple[bytes, Envelope]:
    """Read an envelope in any layout, once where it is the ledger's own already.

    Args:
        data: at most ``MAX_ADMISSION_BYTES``.
        what: how a message names it.

    Returns:
        The entry's bytes, as `normalise_envelope` makes them, and the envelope.

    Raises:
        FormatError: as `normalise_envelope` does.
    """
    with suppress(FormatError):
        return data, parse_envelope(data, what)
    entry = normalise_envelope(data, what)
    return entry, parse_envelope(entry, what)


def _read_of_one_signer(data: bytes) -> Envelope | None:
    """Read the form that nearly every entry has, at a third of the cost.

    The pattern leaves nothing open but the three values, and these hold no character that JSON
    would escape: what matches is canonical. Anything else is None, for the careful reader to judge.
    """
    found = _OF_ONE_SIGNER.fullmatch(data)
    if found is None:
        return None
    encoded, key, encoded_signature = found.groups()
    try:
        payload, signature = binascii.a2b_base64(encoded), binascii.a2b_base64(encoded_signature)
    except binascii.Error:
        return None
    if (
        binascii.b2a_base64(payload, newline=False) != encoded
        or binascii.b2a_base64(signature, newline=False) != encoded_signature
    ):
        return None
    return Envelope(PAYLOAD_TYPE, payload, ((key.decode("ascii"), signature),))


def _unb64_either(text: Json, what: str) -> bytes:
    """Standard or URL-safe base64, one alphabet a value, padded, canonical."""
    given = as_text(text, what)
    if "-" in given or "_" in given:
        if "+" in given or "/" in given:
            raise FormatError(f"{what} mixes two base64 alphabets")
        given = given.replace("-", "+").replace("_", "/")
    return unb64(given, what)


def _read(value: Json, what: str, reader: _Reader) -> Envelope:
    payload, payload_type, given = members(value, what, ("payload", "payloadType", "signatures"))
    if payload_type != PAYLOAD_TYPE:
        raise FormatError(f"{what}'s payloadType must be {PAYLOAD_TYPE}")
    signatures = []
    for number, item in enumerate(as_array(given, f"{what}'s signatures"), 1):
        place = f"signature {number} of {what}"
        key, encoded = members(item, place, ("keyid", "sig"))
        signature = reader(encoded, f"the sig of {place}")
        if len(signature) != ED25519_SIGNATURE_BYTES:
            raise FormatError(f"{place} has {len(signature)} bytes, want {ED25519_SIGNATURE_BYTES}")
        signatures.append((check_hex(key, f"the keyid of {place}"), signature))
    if not signatures:
        raise FormatError(f"{what} has no signature")
    if len({key for key, _ in signatures}) != len(signatures):
        raise FormatError(f"{what} has two signatures of one key")
    return Envelope(PAYLOAD_TYPE, reader(payload, f"{what}'s payload"), tuple(signatures))


def sign_envelope(payload: bytes, signers: Iterable[Signer]) -> bytes:
    """Sign a payload and write the envelope.

    Args:
        payload: a statement's bytes (`intoto.format_statement`).
        signers: one key or more, none twice.

    Returns:
        The entry's bytes.

    Raises:
        FormatError: no signer, one twice, or an envelope beyond ``MAX_ENTRY_BYTES``.
    """
    signed = pae(PAYLOAD_TYPE, payload)
    signatures = sorted((keyid(signer.public_key), signer.sign(signed)) for signer in signers)
    entry = format_envelope(Envelope(PAYLOAD_TYPE, payload, tuple(signatures)))
    parse_envelope(entry)
    return entry
