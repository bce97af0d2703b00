"""Strict YAML: what a word means, and where everything stands."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_schemas.document import path_text, read_document


def value(text):
    document = read_document(text.encode())
    assert not document.problems
    return document.value


def problem(text):
    data = text if isinstance(text, bytes) else text.encode()
    found = read_document(data).problems
    assert found, text
    return str(found[0])


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("NO", "NO"),
        ("off", "off"),
        ("Yes", "Yes"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ('"null"', "null"),
        ("010", 10),
        ("0o17", 15),
        ("0xfF", 255),
        ("-12", -12),
        ("12:30", "12:30"),
        ("2013-01-01", "2013-01-01"),
        ("1.50", Decimal("1.50")),
        ("1e3", Decimal("1e3")),
        (".5", Decimal("0.5")),
        ("1_000", "1_000"),
        ("0.1", Decimal("0.1")),
        ("9007199254740993", 9007199254740993),
        ("1.0.0", "1.0.0"),
        ("+", "+"),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_reads_a_word_as_yaml_1_2_does(word, meaning):
    found = value(f"a: {word}\n")["a"]
    assert found == meaning
    assert type(found) is type(meaning)


def test_keeps_line_and_column_of_every_place():
    document = read_document(b"a: 1\nb:\n  - x: 1\n  - {y: 2,\n     z: 3}\n")
    assert document.value == {"a": 1, "b": [{"x": 1}, {"y": 2, "z": 3}]}
    assert document.mark(("b", 1, "z")) == (5, 6)
    assert document.mark(("b", 0)) == (3, 5)
    assert document.mark(("b", 0, "not there")) == (3, 5)
    assert path_text(("b", 1, "z")) == "b[1].z"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: a: the key stands twice: first in line 1"),
        ("x:\n  a: {b: 1, b: 2}\n", "2:13: x.a.b: the key stands twice"),
        ("1: x\n", "1:1: contract: a key that is no text"),
        ("true: x\n", "a key that is no text"),
        ("null: x\n", "a key that is no text"),
        ("[a]: x\n", "a key that is no text"),
        ("a: &x 1\n", "1:4: a: an anchor"),
        ("a: &x 1\nb: *x\n", "an anchor"),
        ("a: !!str 1\n", "1:4: a: a YAML tag"),
        ("a: !!python/object:os.system x\n", "a YAML tag"),
        ("a: 1\n---\nb: 2\n", "a second YAML document"),
        ("a: .inf\n", "1:4: a: an infinity or NaN"),
        ("a: .NaN\n", "an infinity or NaN"),
        ("a: [1\n", "2:1: contract: this is no YAML: a bracket or brace is not closed"),
        ("a: 'x\n", "this is no YAML: a quote that is not closed"),
        (
            'a: "\\q"\n',
            "1:5: contract: this is no YAML: a quote that is not closed, or a backslash",
        ),
        ("a: x: y\n", "1:5: contract: this is no YAML: a colon and a blank within a text"),
        ("a:\n\tb: 1\n", "2:1: contract: this is no YAML: a tab; lines are indented by blanks"),
        ("a:\n  b: 1\n c: 2\n", "3:2: contract: this is no YAML: this line is not indented as"),
        ("a: - b\n", "1:4: contract: this is no YAML: a list begins on a line of its own"),
        ("名: [1]\n名: 2\n", "2:1: 名: the key stands twice"),
        ("名: {a: 1, a: 2}\n", "1:11: 名.a: the key stands twice"),
        ("a: \x07\n", "this is no YAML"),
        ("", "the file is empty"),
        (b"a: \xff\n", "1:4: contract: the file is not UTF-8"),
        (b"a: 1\nb: \xff\n", "2:4: contract: the file is not UTF-8"),
        (b"\xef\xbb\xbfa: 1\n", "byte order mark"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 40 deep"),
        ("[" * 100_000, "nest"),
    ],
)
def test_refuses_what_readers_differ_about(text, says):
    assert says in problem(text)


def test_goes_on_after_a_doubled_key():
    document = read_document(b"a: 1\na: {x: [1, 2]}\nb: 2\n")
    assert document.value == {"a": 1, "b": 2}


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(
        st.characters(
            blacklist_categories=("Cs", "Cc", "Zl", "Zp"), blacklist_characters="\ufeff\ufffe\uffff"
        )
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_JSON)
def test_reads_json_as_json_does(content):
    import json

    document = read_document(json.dumps(content, ensure_ascii=False).encode())
    assert not document.problems
    assert document.value == content


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_never_raises(data):
    read_document(data)
