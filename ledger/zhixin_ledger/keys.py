"""Keys: verifier keys as text, and strict signature checks.

docs/formats.md 2.4 and 2.5; C2SP signed-note and tlog-cosignature. A verifier key is one line::

    ledger.gov.example/2026+1f8b271f+AVpPIKu3ZwmzlDAvag0SI6kyuXgGzfDS0oL6OHfsd8/1
    <name>                 +<key ID>+<base64 of type ‖ public key>

    key ID = the first 4 bytes of SHA-256(name ‖ 0x0a ‖ type ‖ public key)
    types: 0x01 Ed25519 (a log), 0x04 Ed25519 cosignature, 0x06 ML-DSA-44 cosignature

An Ed25519 public key is the canonical encoding of a point, not of low order; a signature verifies
with S < L and, without cofactor, encode(SB − kA) = R. The library's check is of this kind but takes
keys that are not, so keys are checked here, with twenty lines of curve arithmetic.

It does not sign (`signers` does), nor say who owns a key or since when: that is the state's and
the trust's business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from zhixin_errors import ConfigError, FormatError

from zhixin_ledger.encoding import Json, as_text, b64, parse_hex, unb64

__all__ = [
    "COSIGNATURE_V1",
    "ED25519",
    "ED25519_SIGNATURE_BYTES",
    "MLDSA44",
    "MLDSA44_SIGNATURE_BYTES",
    "VerifierKey",
    "check_key_name",
    "check_public_key",
    "parse_public_key",
    "verify_ed25519",
    "verify_mldsa44",
]

ED25519 = 1
COSIGNATURE_V1 = 4
MLDSA44 = 6

ED25519_SIGNATURE_BYTES = 64
MLDSA44_SIGNATURE_BYTES = 2420

_KEY_BYTES = {ED25519: 32, COSIGNATURE_V1: 32, MLDSA44: 1312}
_MAX_NAME_BYTES = 255


# --- the curve ------------------------------------------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)


def _recover_x(y: int, sign: int) -> int | None:
    """The x of the point with this y and sign (RFC 8032, 5.1.3), or None."""
    numerator = (y * y - 1) % _P
    denominator = (_D * y * y + 1) % _P
    square = numerator * pow(denominator, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _SQRT_MINUS_1 % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    return _P - x if x & 1 != sign else x


def _double(x: int, y: int) -> tuple[int, int]:
    product = _D * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, _P) % _P,
        (y * y + x * x) * pow(1 - product, -1, _P) % _P,
    )


@lru_cache(maxsize=4096)
def _fault_of(public_key: bytes) -> str | None:
    if len(public_key) != 32:
        return f"has {len(public_key)} bytes, want 32"
    encoded = int.from_bytes(public_key, "little")
    y, sign = encoded & (2**255 - 1), encoded >> 255
    if y >= _P:
        return "is not the canonical encoding of a point"
    x = _recover_x(y, sign)
    if x is None:
        return "is no point of the curve"
    for _ in range(3):
        x, y = _double(x, y)
    return "is a point of low order" if (x, y) == (0, 1) else None


def check_public_key(public_key: bytes, what: str = "Ed25519 public key") -> bytes:
    """The key, if it may be used.

    Args:
        public_key: raw bytes.
        what: how a message names it.

    Returns:
        The same 32 bytes.

    Raises:
        FormatError: not 32 bytes, not the canonical encoding of a point, or of low order.
    """
    fault = _fault_of(public_key)
    if fault:
        raise FormatError(f"{what} {fault}")
    return public_key


def parse_public_key(text: Json, what: str = "Ed25519 public key") -> bytes:
    """Read a raw Ed25519 public key in base64; FormatError if it may not be used."""
    return check_public_key(unb64(text, what, 32), what)


# --- verifying ------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _loaded(public_key: bytes) -> Ed25519PublicKey | None:
    """The library's key, or None where ours may not be used."""
    return None if _fault_of(public_key) else Ed25519PublicKey.from_public_bytes(public_key)


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature verifies, by the one rule that every member applies.

    Args:
        public_key: 32 raw bytes; a key that `check_public_key` refuses verifies nothing.
        message: what was signed.
        signature: R ‖ S; other than 64 bytes never verifies.

    Returns:
        True if S < L and encode(SB − kA) = R, without cofactor.
    """
    if len(signature) != ED25519_SIGNATURE_BYTES:
        return False
    if int.from_bytes(signature[32:], "little") >= _L:
        return False
    key = _loaded(bytes(public_key))
    if key is None:
        return False
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def verify_mldsa44(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an ML-DSA-44 signature verifies (FIPS 204, pure, empty context).

    Args:
        public_key: 1,312 bytes.
        message: what was signed.
        signature: other than 2,420 bytes never verifies.

    Returns:
        True if it verifies.

    Raises:
        ConfigError: the installed ``cryptography`` or its OpenSSL has no ML-DSA.
    """
    if len(public_key) != _KEY_BYTES[MLDSA44] or len(signature) != MLDSA44_SIGNATURE_BYTES:
        return False
    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

        key = MLDSA44PublicKey.from_public_bytes(public_key)
    except (ImportError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "this machine can't verify ML-DSA-44 signatures: its cryptography package lacks them",
            hint="install a cryptography wheel with OpenSSL 3.5 or later",
        ) from error
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


# --- verifier keys --------------------------------------------------------------------------------


def check_key_name(name: str, what: str = "key name") -> str:
    """The name, if a note's key can have it: not empty, no space, no ``+``, ≤ 255 bytes."""
    if not name or "+" in name or any(map(str.isspace, name)) or not name.isprintable():
        raise FormatError(f"{what} must not be empty and not hold spaces, controls or +")
    if len(name.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES:
        raise FormatError(f"{what} is longer than {_MAX_NAME_BYTES} bytes")
    return name


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """Who may have signed a note: a name and a public key.

    Attributes:
        name: the origin for a log, ``<member>/witness`` for a cosigner.
        key_id: 4 bytes; a hint, no security.
        kind: ``ED25519``, ``COSIGNATURE_V1`` or ``MLDSA44``.
        public_key: 32 raw bytes, or 1,312 for ML-DSA-44.
    """

    name: str
    key_id: bytes
    kind: int
    public_key: bytes

    @classmethod
    def make(cls, name: str, kind: int, public_key: bytes) -> VerifierKey:
        """Put a key together; FormatError for a name, kind or key that can't be used."""
        check_key_name(name)
        if kind not in _KEY_BYTES:
            raise FormatError(f"verifier key of {name} has a type that is not supported: {kind}")
        if len(public_key) != _KEY_BYTES[kind]:
            raise FormatError(
                f"verifier key of {name} has {len(public_key)} bytes, want {_KEY_BYTES[kind]}"
            )
        if kind != MLDSA44:
            check_public_key(public_key, f"verifier key of {name}")
        digest = hashlib.sha256(name.encode() + b"\n" + bytes((kind,)) + public_key).digest()
        return cls(name, digest[:4], kind, public_key)

    @classmethod
    def parse(cls, vkey: Json, what: str = "verifier key") -> VerifierKey:
        """Read a verifier key's text.

        Args:
            vkey: ``name+hex8+base64``; the base64 may hold ``+`` itself.
            what: how a message names it.

        Returns:
            The key.

        Raises:
            FormatError: another form, a key ID that does not follow from name and key, a type or
                key that can't be used.
        """
        parts = as_text(vkey, what).split("+", 2)
        if len(parts) != 3:
            raise FormatError(f"{what} must be name+key ID+base64")
        name, key_id_hex, encoded = parts
        key_id = parse_hex(key_id_hex, f"the key ID of {what}", 4)
        typed = unb64(encoded, f"the base64 of {what}")
        if not typed:
            raise FormatError(f"{what} has no key")
        key = cls.make(name, typed[0], typed[1:])
        if key.key_id != key_id:
            raise FormatError(f"{what} has a key ID that is not its key's: want {key.key_id.hex()}")
        return key

    @property
    def text(self) -> str:
        """The key as one line, without a newline."""
        return f"{self.name}+{self.key_id.hex()}+{b64(bytes((self.kind,)) + self.public_key)}"
