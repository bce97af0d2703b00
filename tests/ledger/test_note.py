"""Signed notes: read, written, and refused where they are in another form."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import ConfigError, FormatError
from zhixin_ledger import keys
from zhixin_ledger.note import (
    MAX_NOTE_BYTES,
    Note,
    SignatureLine,
    known_lines,
    parse_signature_lines,
)
from zhixin_ledger.signers import MemorySigner

# From the documentation of Go's sumdb/note.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)
LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb"
    "6KE6RyyBwJnAM=\n"
)
NOTE = TEXT + b"\n" + LINE.encode()

SIMPLE = "— a.example AAAAAQI=\n"


def test_writes_and_reads_the_note_of_go_byte_for_byte():
    key = keys.VerifierKey.parse(VKEY)
    line = SignatureLine(key.name, key.key_id, MemorySigner(SEED).sign(TEXT))
    assert line.line == LINE
    assert Note(TEXT, (line,)).format() == NOTE
    assert Note.parse(NOTE) == Note(TEXT, (line,))
    assert keys.verify_ed25519(key.public_key, TEXT, Note.parse(NOTE).signatures[0].signature)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(
    lambda text: "".join(c for c in text if c >= " " or c == "\n") + "\n"
)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9).filter(
    lambda name: "+" not in name and not any(map(str.isspace, name))
)
lines = st.builds(
    SignatureLine, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80)
)


@given(texts, st.lists(lines, min_size=1, max_size=4))
def test_notes_round_trip(text, signatures):
    note = Note(text.encode(), tuple(signatures))
    assert Note.parse(note.format()) == note


@given(st.binary(max_size=60) | st.text("—\n +AQ=a\u2003\x1f", max_size=40).map(str.encode))
def test_a_note_that_is_read_is_the_one_that_is_written(data):
    for tail in (b"", SIMPLE.encode(), b"\n" + SIMPLE.encode()):
        try:
            note = Note.parse(data + tail)
        except FormatError:
            continue
        assert note.format() == data + tail


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_a_changed_byte_changes_text_or_lines_or_is_refused(place, flip):
    changed = bytearray(NOTE)
    changed[place] ^= flip
    try:
        note = Note.parse(bytes(changed))
    except FormatError:
        return
    assert note != Note.parse(NOTE)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no empty line"),
        (b"text\n", "no empty line"),
        (b"text\n\n", "no signature lines"),
        (b"text\n" + SIMPLE.encode(), "no empty line"),
        (b"text\r\n\r\n" + SIMPLE.encode(), "control character in line 1"),
        (b"te\xffxt\n\n" + SIMPLE.encode(), "not UTF-8 at byte 2"),
        (b"text\n\n" + SIMPLE.encode()[:-1], "does not end with a newline"),
        (b"text\n\n" + SIMPLE.encode() + b"\n", "no signature lines"),
        (b"text\n\n" + SIMPLE.encode() + b"more\n", "signature line 2 of note does not begin"),
        (b"text\n\n- a.example AAAAAQI=\n", "em dash"),
        ("text\n\n—  AAAAAQI=\n".encode(), "must name a key"),
        ("text\n\n— a+b AAAAAQI=\n".encode(), "without spaces or +"),
        ("text\n\n— a\u2003b AAAAAQI=\n".encode(), "without spaces"),
        ("text\n\n— a\u0085b AAAAAQI=\n".encode(), "without spaces"),
        ("text\n\n— a\n".encode(), "too short"),
        ("text\n\n— a AAAAAA==\n".encode(), "too short"),
        ("text\n\n— a AAAAAQI\n".encode(), "not standard base64"),
        ("text\n\n— a AAAAAQJ=\n".encode(), "not canonical base64"),
        ("text\n\n— a AAAAAQI= \n".encode(), "not standard base64"),
        ("text\n\n— a AAAA_QI=\n".encode(), "not standard base64"),
        (b"x" * MAX_NOTE_BYTES + b"\n", "longer than"),
    ],
)
def test_refuses_notes_in_another_form(data, says):
    with pytest.raises(FormatError, match=says.replace("+", r"\+")):
        Note.parse(data)


def test_separates_at_the_last_empty_line():
    note = Note.parse(b"a\n\nb\n\n" + SIMPLE.encode())
    assert note.text == b"a\n\nb\n"


def test_line_separators_of_unicode_end_no_line():
    note = Note.parse("a\u2028b\u0085\n\n".encode() + SIMPLE.encode())
    assert note.text == "a\u2028b\u0085\n".encode()


def test_takes_a_hundred_signature_lines_and_no_more():
    data = b"text\n\n" + SIMPLE.encode() * 100
    assert len(Note.parse(data).signatures) == 100
    with pytest.raises(FormatError, match="101 signature lines"):
        Note.parse(data + SIMPLE.encode())


def test_refuses_to_write_what_is_no_note():
    line = SignatureLine.parse(SIMPLE[:-1])
    for text, signatures in (
        (b"text", (line,)),
        (b"te\0xt\n", (line,)),
        (b"\xff\n", (line,)),
        (b"text\n", ()),
        (b"text\n", (line,) * 101),
    ):
        with pytest.raises(FormatError):
            Note(text, signatures).format()


def test_reads_the_lines_of_a_witness_alone():
    assert len(parse_signature_lines(SIMPLE.encode() * 2)) == 2
    with pytest.raises(FormatError, match="not UTF-8"):
        parse_signature_lines(b"\xff\n")


def test_adds_lines_once():
    note = Note.parse(NOTE)
    more = SignatureLine.parse(SIMPLE[:-1])
    assert note.with_signatures([more, note.signatures[0], more]).signatures == (
        note.signatures[0],
        more,
    )


def test_a_line_is_known_by_name_and_key_id_both():
    key = keys.VerifierKey.parse(VKEY)
    same_name = keys.VerifierKey(key.name, b"abcd", key.kind, key.public_key)
    same_id = keys.VerifierKey("other", key.key_id, key.kind, key.public_key)
    note = Note.parse(NOTE)
    assert not list(known_lines(note, [same_name, same_id]))
    assert list(known_lines(note, [key, same_id, key])) == [(1, note.signatures[0], key)]


def test_two_keys_of_one_name_and_id_are_ambiguous():
    key = keys.VerifierKey.parse(VKEY)
    twin = keys.VerifierKey(key.name, key.key_id, key.kind, bytes(32))
    with pytest.raises(ConfigError, match=r"two keys are named PeterNeumann\+c74f20a3"):
        list(known_lines(Note.parse(NOTE), [key, twin]))
