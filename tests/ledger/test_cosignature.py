"""Cosignatures by both kinds of keys, held to the vectors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import FormatError, VerificationError
from zhixin_ledger import cosignature, tlogproof
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, MLDSA44, VerifierKey
from zhixin_ledger.note import Note, SignatureLine, parse_signature_lines
from zhixin_ledger.signers import MemorySigner, MLDSASigner

CASES = sorted((Path(__file__).parents[1] / "vectors" / "cosignature").glob("*.json"))

TEXT = Checkpoint("ledger.gov.example/2026", 7, bytes(32)).text()
NAME = "bts.gov.example/witness"
SIGNER = MemorySigner(b"\3" * 32)
KEY = VerifierKey.make(NAME, COSIGNATURE_V1, SIGNER.public_key)


def test_the_vectors_are_there():
    assert len(CASES) == 25


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_walks_the_vectors(path):
    case = json.loads(path.read_text("utf-8"))
    key, text = VerifierKey.parse(case["vkey"]), case["text"].encode()
    (line,) = parse_signature_lines(case["line"].encode())
    assert line.line == case["line"]
    if not case["valid"]:
        with pytest.raises(VerificationError) as caught:
            cosignature.verify(line, key, text)
        assert caught.value.code == "quorum"
        return
    time_s = cosignature.verify(line, key, text)
    assert str(time_s) == case["time"]
    assert cosignature.message(key.kind, key.name, text, time_s).hex() == case["message"]
    if key.kind == COSIGNATURE_V1:
        signer = MemorySigner(bytes.fromhex(case["seed"]))
        assert cosignature.cosign(text, key.name, signer, time_s) == line


@given(st.integers(0, 2**63 - 1))
def test_cosignatures_round_trip(time_s):
    line = cosignature.cosign(TEXT, NAME, SIGNER, time_s)
    assert cosignature.verify(line, KEY, TEXT) == time_s
    assert len(line.signature) == 72


@given(st.binary(max_size=90) | st.binary(min_size=72, max_size=72))
def test_any_other_bytes_are_a_failing_line(data):
    with pytest.raises(VerificationError) as caught:
        cosignature.verify(SignatureLine(NAME, KEY.key_id, data), KEY, TEXT)
    assert caught.value.code == "quorum"


def test_refuses_the_line_of_another_key():
    line = cosignature.cosign(TEXT, NAME, MemorySigner(b"\4" * 32), 1)
    with pytest.raises(VerificationError, match="is not that key's"):
        cosignature.verify(line, KEY, TEXT)
    good = cosignature.cosign(TEXT, NAME, SIGNER, 1)
    with pytest.raises(VerificationError, match="is not that key's"):
        cosignature.verify(SignatureLine("other/witness", KEY.key_id, good.signature), KEY, TEXT)


def test_refuses_keys_of_a_type_that_does_not_cosign():
    key = VerifierKey.make(NAME, ED25519, SIGNER.public_key)
    line = SignatureLine(NAME, key.key_id, bytes(64))
    with pytest.raises(VerificationError, match="a type that does not cosign"):
        cosignature.verify(line, key, TEXT)
    with pytest.raises(FormatError, match="does not cosign"):
        cosignature.message(ED25519, NAME, TEXT, 1)


@pytest.mark.parametrize("time_s", [-1, 2**63])
def test_refuses_times_out_of_range(time_s):
    with pytest.raises(FormatError, match="time"):
        cosignature.cosign(TEXT, NAME, SIGNER, time_s)


@pytest.mark.parametrize("text", [b"", b"no checkpoint\n", TEXT + b"extension\n", TEXT[:-1]])
def test_cosigns_checkpoints_only(text):
    with pytest.raises(FormatError):
        cosignature.cosign(text, NAME, SIGNER, 1)


def test_the_message_of_ml_dsa_is_the_specification_s():
    message = cosignature.message(MLDSA44, "a/witness", TEXT, 5)
    assert message == (
        b"subtree/v1\n\0\x09a/witness\0\0\0\0\0\0\0\x05\x17ledger.gov.example/2026"
        + bytes(8)
        + b"\0\0\0\0\0\0\0\x07"
        + bytes(32)
    )


def test_counts_a_key_once_with_its_latest_time_and_ignores_strangers():
    stranger = cosignature.cosign(TEXT, "stranger.example/witness", MemorySigner(bytes(32)), 99)
    lines = [cosignature.cosign(TEXT, NAME, SIGNER, time_s) for time_s in (5, 9, 7)]
    note = Note(TEXT, (stranger, *lines))
    assert cosignature.counted(note, [KEY]) == {KEY: 9}
    assert cosignature.counted(note, []) == {}


def test_a_known_key_s_failing_line_refuses_the_note():
    good = cosignature.cosign(TEXT, NAME, SIGNER, 5)
    changed = good.signature[:-1] + bytes([good.signature[-1] ^ 1])
    bad = SignatureLine(NAME, KEY.key_id, changed)
    with pytest.raises(VerificationError, match="signature line 2 of the checkpoint") as caught:
        cosignature.counted(Note(TEXT, (good, bad)), [KEY])
    assert caught.value.code == "quorum"


def test_sixty_four_of_the_longest_ml_dsa_lines_fit_into_a_receipt():
    """As many members as may cosign, each with the longest name, over the deepest tree."""
    lines = []
    for at in range(64):
        name = f"{at:02}{'a' * 61}.{'b' * 63}.{'c' * 63}.{'d' * 55}/witness"
        assert len(name) == 255
        lines.append(SignatureLine(name, b"abcd", bytes(8 + 2420)))
    note = Note(TEXT, (SignatureLine("x" * 255, b"abcd", bytes(64)), *lines)).format()
    receipt = tlogproof.format_receipt(2**62, [bytes(32)] * 63, note)
    assert tlogproof.parse_receipt(receipt).note == note


def test_a_cosigners_key_is_of_the_kind_that_its_signer_has():
    signer = MLDSASigner(b"\5" * 32)
    key = cosignature.key_of(NAME, signer)
    assert key == VerifierKey.make(NAME, MLDSA44, signer.public_key)
    line = cosignature.cosign(TEXT, NAME, signer, 1_770_000_000)
    assert len(line.signature) == 8 + 2420
    assert cosignature.verify(line, key, TEXT) == 1_770_000_000
    assert cosignature.key_of(NAME, SIGNER) == KEY
