"""Signers: the private halves of keys, held in memory or kept in a file.

::

    Ed25519      statements, a log's checkpoints, cosignatures of type 0x04
    ML-DSA-44    cosignatures of type 0x06; signs nothing else (FIPS 204, pure, empty context)

A key file is PKCS#8 in PEM, open to its owner alone, encrypted where a password is given. It is
made once and never overwritten. Whatever else can sign, an HSM or a KMS, has the form of `Signer`.

It does not say what may be signed: `dsse`, `checkpoint` and `cosignature` do.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from zhixin_errors import ConfigError

from zhixin_ledger.encoding import b64
from zhixin_ledger.files import sync_folder
from zhixin_ledger.keys import ED25519, MLDSA44

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

__all__ = [
    "MLDSASigner",
    "MemorySigner",
    "Signer",
    "generate_signer",
    "in_force",
    "key_files",
    "load_signer",
]

_SEED_BYTES = 32


@runtime_checkable
class Signer(Protocol):
    """Whatever can sign with a key: a file's, an HSM's, a KMS's."""

    @property
    def kind(self) -> int:
        """`keys.ED25519` or `keys.MLDSA44`."""
        ...

    @property
    def public_key(self) -> bytes:
        """32 raw bytes, or 1,312 for ML-DSA-44."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The signature: 64 bytes, or 2,420 for ML-DSA-44."""
        ...


class MemorySigner:
    """An Ed25519 key held in memory."""

    __slots__ = ("_key", "_public")
    kind = ED25519

    def __init__(self, seed: bytes) -> None:
        """Take a seed of 32 bytes, the private key of RFC 8032."""
        if len(seed) != _SEED_BYTES:
            raise ConfigError(f"an Ed25519 seed has 32 bytes, not {len(seed)}")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """32 raw bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        """Never show the seed."""
        return f"MemorySigner(public_key={b64(self._public)!r})"


class MLDSASigner:
    """An ML-DSA-44 key held in memory: it cosigns checkpoints."""

    __slots__ = ("_key", "_public")
    kind = MLDSA44

    def __init__(self, seed: bytes) -> None:
        """Take a seed of 32 bytes, the private key of FIPS 204 in its short form."""
        if len(seed) != _SEED_BYTES:
            raise ConfigError(f"an ML-DSA-44 seed has 32 bytes, not {len(seed)}")
        self._key = _mldsa(seed)
        self._public = self._key.public_key().public_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """1,312 raw bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """The 2,420 bytes of the signature; another each time, for it is randomised."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        """Never show the seed."""
        return f"MLDSASigner(public_key={b64(self._public[:12])!r}…)"


def _mldsa(seed: bytes | None) -> MLDSA44PrivateKey:
    """Give the key of a seed, or a new one; ConfigError where the machine has no ML-DSA."""
    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

        if seed is None:
            return MLDSA44PrivateKey.generate()
        return MLDSA44PrivateKey.from_seed_bytes(seed)
    except (ImportError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "this machine can't sign with ML-DSA-44: its cryptography package lacks it",
            hint="install a cryptography wheel with OpenSSL 3.5 or later",
        ) from error


def generate_signer(path: Path, password: bytes | None = None, kind: int = ED25519) -> Signer:
    """Make a new key and keep it in a file.

    Args:
        path: the file to make; its folder exists.
        password: encrypts the file, where given.
        kind: `keys.ED25519` or `keys.MLDSA44`.

    Returns:
        The signer.

    Raises:
        ConfigError: the file is there already (a key is never overwritten) or can't be made; no
            such kind of key, or the machine lacks it.
    """
    if kind not in (ED25519, MLDSA44):
        raise ConfigError(f"no key of type {kind} can be made")
    key = Ed25519PrivateKey.generate() if kind == ED25519 else _mldsa(None)
    protection = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )
    try:
        _write_once(path, pem)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} is there already", hint="a key is never overwritten; move it away first"
        ) from error
    except OSError as error:
        raise ConfigError(f"key file {path} can't be made: {error.strerror}") from error
    seed = key.private_bytes_raw()
    return MemorySigner(seed) if kind == ED25519 else MLDSASigner(seed)


def _write_once(path: Path, data: bytes) -> None:
    """Let a file appear whole, for its owner's eyes alone; half a key would stop its home."""
    if path.exists() or path.is_symlink():
        raise FileExistsError
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(staged, path)  # never over another
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):  # pragma: no cover - there are no hard links
            staged.rename(path)
    finally:
        staged.unlink(missing_ok=True)
    sync_folder(path.parent)


def load_signer(path: Path, password: bytes | None = None) -> Signer:
    """Load a key that `generate_signer` made: PKCS#8 in PEM, for its owner's eyes alone.

    Args:
        path: the key file.
        password: where the file is encrypted.

    Returns:
        The signer, of whichever kind the file holds.

    Raises:
        ConfigError: no such file, readable by others, wrong password, a key of another kind.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(65_536)
    except OSError as error:
        raise ConfigError(f"key file {path} can't be read: {error.strerror}") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"key file {path} is open to others (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {path}",
        )
    key: object = None
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = serialization.load_pem_private_key(pem, password)
    if isinstance(key, Ed25519PrivateKey):
        return MemorySigner(key.private_bytes_raw())
    with contextlib.suppress(ImportError):
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

        if isinstance(key, MLDSA44PrivateKey):
            return MLDSASigner(key.private_bytes_raw())
    raise ConfigError(
        f"key file {path} is no Ed25519 or ML-DSA-44 key in PKCS#8, or its password is wrong or "
        "missing"
    )


def key_files(path: Path) -> list[Path]:
    """Give a key's file, and those of keys that are to follow it: `cosigner.pem`, `cosigner-*.pem`.

    While a rotation is on its way a home holds both; which one signs is said by the ledger.

    Args:
        path: the key's file; it need not be there.
    """
    later = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
    return [file for file in (path, *later) if file.is_file()]


def in_force(signers: Iterable[Signer], public_keys: Collection[bytes]) -> Signer | None:
    """Give the first of the signers whose key is among these; None where none is."""
    return next((signer for signer in signers if signer.public_key in public_keys), None)
