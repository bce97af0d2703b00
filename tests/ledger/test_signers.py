"""Signers: how key files are kept, and which kinds there are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from zhixin_errors import ConfigError
from zhixin_ledger import signers
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, MLDSA44, verify_ed25519, verify_mldsa44
from zhixin_ledger.signers import (
    MemorySigner,
    MLDSASigner,
    Signer,
    generate_signer,
    key_files,
)


@pytest.mark.parametrize("kind", [ED25519, MLDSA44])
@pytest.mark.parametrize("password", [None, b"open sesame"])
def test_a_key_file_is_for_its_owner_alone_and_loads_again(tmp_path, password, kind):
    path = tmp_path / "statement.pem"
    made = signers.generate_signer(path, password, kind)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = signers.load_signer(path, password)
    assert isinstance(loaded, Signer)
    assert (loaded.kind, loaded.public_key) == (kind, made.public_key)
    verifies = verify_ed25519 if kind == ED25519 else verify_mldsa44
    assert verifies(made.public_key, b"m", loaded.sign(b"m"))
    assert not verifies(made.public_key, b"n", loaded.sign(b"m"))
    assert (b"ENCRYPTED" in path.read_bytes()) == (password is not None)


def test_never_overwrites_a_key(tmp_path):
    path = tmp_path / "statement.pem"
    signers.generate_signer(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        signers.generate_signer(path)
    assert path.read_bytes() == before


def test_says_where_a_key_can_not_be_made_or_read(tmp_path):
    with pytest.raises(ConfigError, match="can't be made"):
        signers.generate_signer(tmp_path / "nowhere" / "key.pem")
    with pytest.raises(ConfigError, match="can't be read"):
        signers.load_signer(tmp_path / "key.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_refuses_a_key_file_that_is_open_to_others(tmp_path, mode):
    path = tmp_path / "statement.pem"
    signers.generate_signer(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="is open to others") as caught:
        signers.load_signer(path)
    assert caught.value.hint == f"chmod 600 {path}"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def test_refuses_other_key_files_and_other_passwords(tmp_path):
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    plain, locked = tmp_path / "plain.pem", tmp_path / "locked.pem"
    signers.generate_signer(plain)
    signers.generate_signer(locked, b"right")
    cases = [
        (write(tmp_path / "empty.pem", b""), None),
        (write(tmp_path / "other.pem", other), None),
        (plain, b"not needed"),
        (locked, None),
        (locked, b"wrong"),
    ]
    for path, password in cases:
        with pytest.raises(ConfigError, match="key in PKCS#8, or its password"):
            signers.load_signer(path, password)


def test_says_so_where_a_kind_can_not_be_made(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no key of type 4 can be made"):
        signers.generate_signer(tmp_path / "key.pem", kind=COSIGNATURE_V1)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mldsa", None)
    with pytest.raises(ConfigError, match="can't sign with ML-DSA-44") as caught:
        signers.generate_signer(tmp_path / "key.pem", kind=MLDSA44)
    assert "OpenSSL 3.5" in caught.value.hint
    assert not (tmp_path / "key.pem").exists()


def test_says_that_a_file_holds_no_key_it_knows_where_the_machine_has_no_ml_dsa(
    tmp_path, monkeypatch
):
    signers.generate_signer(tmp_path / "key.pem", kind=MLDSA44)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mldsa", None)
    with pytest.raises(ConfigError, match="no Ed25519 or ML-DSA-44 key"):
        signers.load_signer(tmp_path / "key.pem")


def test_shows_no_seed():
    assert "AQEB" not in repr(MLDSASigner(b"\1" * 32))
    with pytest.raises(ConfigError, match="32 bytes, not 33"):
        MLDSASigner(bytes(33))
    assert "AQEB" not in repr(MemorySigner(b"\1" * 32))
    with pytest.raises(ConfigError, match="32 bytes, not 31"):
        MemorySigner(bytes(31))


def test_a_death_while_a_key_is_written_leaves_none(tmp_path, monkeypatch):
    """Half a key beside the one in force would keep a witness from beginning."""

    def dies(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(KeyboardInterrupt):
        generate_signer(tmp_path / "cosigner-new.pem")
    assert key_files(tmp_path / "cosigner.pem") == []
    monkeypatch.undo()
    generate_signer(tmp_path / "cosigner-new.pem")
    assert [path.name for path in tmp_path.iterdir()] == ["cosigner-new.pem"]
    assert (tmp_path / "cosigner-new.pem").stat().st_mode & 0o777 == 0o600
