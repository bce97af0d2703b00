"""Checkpoints, and the notes that carry them, held to the vectors."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import FormatError, VerificationError
from zhixin_ledger import checkpoint, cosignature
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.keys import COSIGNATURE_V1, VerifierKey
from zhixin_ledger.note import Note, SignatureLine
from zhixin_ledger.signers import MemorySigner

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = sorted((VECTORS / "checkpoint").glob("*.json"))

ORIGIN = "ledger.gov.example/2026"
SIGNER = MemorySigner(b"\7" * 32)
KEY = VerifierKey.make(ORIGIN, 1, SIGNER.public_key)
ROOT = bytes(range(32))


def test_the_vectors_are_there():
    assert len(CASES) == 32


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_walks_the_vectors(path):
    case = json.loads(path.read_text())
    log = VerifierKey.parse(case["log"])
    cosigners = [VerifierKey.parse(vkey) for vkey in case["cosigners"]]
    data = base64.b64decode(case["note"])

    def read() -> tuple[Checkpoint, dict[VerifierKey, int]]:
        note = Note.parse(data)
        return checkpoint.verify_log(note, log.name, [log]), cosignature.counted(note, cosigners)

    if not case["valid"]:
        with pytest.raises((FormatError, VerificationError)) as caught:
            read()
        assert caught.value.code in {"malformed", "log-signature", "quorum"}
        return
    found, times = read()
    assert (found.origin, str(found.size), found.root.hex()) == (
        case["origin"],
        case["size"],
        case["root"],
    )
    assert [{"vkey": key.text, "time": str(time)} for key, time in times.items()] == (
        case["cosigned"]
    )
    assert Note.parse(data).format() == data
    assert found.text() == Note.parse(data).text


@given(st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_checkpoints_round_trip(size, root):
    found = Checkpoint(ORIGIN, size, root)
    assert checkpoint.parse(found.text()) == found
    note = checkpoint.sign(found, SIGNER)
    assert checkpoint.verify_log(Note.parse(note.format()), ORIGIN, [KEY]) == found


@given(st.binary(max_size=40) | st.text("a1\n0=A /é", max_size=50).map(str.encode))
def test_a_text_that_is_read_is_the_one_that_is_written(data):
    for text in (data, b"a\n1\n" + data, data + b"\n1\n" + b"A" * 43 + b"=\n"):
        try:
            found = checkpoint.parse(text)
        except FormatError:
            continue
        assert found.text() == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "exactly three lines, it has 0"),
        (b"a\n1\n", "it has 2"),
        (b"a\n1\n" + b"A" * 43 + b"=", "it has 2"),
        (b"a\n1\n" + b"A" * 43 + b"=\next\n", "it has 4"),
        (b"a\n0\n" + b"A" * 43 + b"=\n", "line 2: a ledger's size is 1 or more"),
        (b"a\n01\n" + b"A" * 43 + b"=\n", "line 2: the size must be an integer"),
        (b"a+\n1\n" + b"A" * 43 + b"=\n", "line 1: the origin"),
        (b"\n1\n" + b"A" * 43 + b"=\n", "line 1: the origin"),
        (b"a\n1\nbananas\n", "line 3: the root"),
        (b"\xff\n1\n" + b"A" * 43 + b"=\n", "not UTF-8 at byte 0"),
    ],
)
def test_says_which_line_is_wrong(text, says):
    with pytest.raises(FormatError, match=says):
        checkpoint.parse(text)


@pytest.mark.parametrize(("size", "root"), [(0, ROOT), (2**63, ROOT), (1, ROOT[:-1])])
def test_refuses_to_write_what_is_no_checkpoint(size, root):
    with pytest.raises(FormatError):
        Checkpoint(ORIGIN, size, root).text()


def test_refuses_another_ledger_whoever_signed():
    note = checkpoint.sign(Checkpoint("other.example/x", 1, ROOT), SIGNER)
    with pytest.raises(VerificationError, match="not of ledger") as caught:
        checkpoint.verify_log(note, ORIGIN, [KEY])
    assert caught.value.code == "log-signature"


def test_without_log_keys_nothing_is_signed():
    note = checkpoint.sign(Checkpoint(ORIGIN, 1, ROOT), SIGNER)
    with pytest.raises(VerificationError, match="in force signed"):
        checkpoint.verify_log(note, ORIGIN, [])


def test_a_cosigner_key_signs_no_checkpoint_as_log():
    found = Checkpoint(ORIGIN, 1, ROOT)
    line = cosignature.cosign(found.text(), ORIGIN, SIGNER, 1)
    key = VerifierKey.make(ORIGIN, COSIGNATURE_V1, SIGNER.public_key)
    plain = SignatureLine(ORIGIN, key.key_id, SIGNER.sign(found.text()))
    for each in (line, plain):
        with pytest.raises(VerificationError, match=r"signature line 1 .* does not verify"):
            checkpoint.verify_log(Note(found.text(), (each,)), ORIGIN, [key])


def test_one_of_two_logs_is_enough():
    other = VerifierKey.make(ORIGIN, 1, MemorySigner(b"\10" * 32).public_key)
    note = checkpoint.sign(Checkpoint(ORIGIN, 1, ROOT), SIGNER)
    assert checkpoint.verify_log(note, ORIGIN, [other, KEY]).size == 1
