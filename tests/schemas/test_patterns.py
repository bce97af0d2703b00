"""Patterns that mean the same in RE2 and Python, and the refusal of all others."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_schemas.patterns import pattern_problem, python_pattern

ACCEPTED = [
    "^[0-9]{5}$",
    "^N[1-9][0-9]{0,4}[A-Z]{0,2}$",
    "^(?:a|b)c+?$",
    "^(a|b|)$",
    r"^a\.b\$c\^d\\$",
    "^[^-x]*$",
    "^[]a-]+$",
    "^.$",
    "^[一-龥]{2,4}$",
    "^$",
    "^a$",
    r"^[\[\]]$",
    "^[a[b]$",
    "^a{2}b{2,}c{2,3}$",
]
REFUSED = [
    (r"^\d{5}$", r"\d means other characters"),
    (r"^\w+$", r"\w means"),
    (r"^a\s$", r"\s means"),
    (r"^\D\W\S$", r"\D means"),
    (r"^[\d]$", r"\d means"),
    ("[0-9]", "anchored"),
    ("^[0-9]", "anchored"),
    ("[0-9]$", "anchored"),
    (r"^a\$", "anchored"),
    ("^a|b$", "a choice between anchors"),
    ("^a$b$", "anchor or word boundary inside"),
    ("^(^a)$", "anchor or word boundary inside"),
    (r"^a\b$", "anchor or word boundary inside"),
    (r"^\Aa$", "anchor or word boundary inside"),
    (r"^a\Z$", "anchor or word boundary inside"),
    (r"^(a)\1$", "back-reference"),
    ("^(?=a)a$", "look-ahead"),
    ("^(?<!a)a$", "look-ahead"),
    ("^(?i)a$", "does not parse"),
    ("^(?i:a)$", "flags such as"),
    ("^(?s:.)$", "flags such as"),
    ("^a++$", "possessive"),
    ("^(?>a)$", "atomic"),
    ("^a{,5}$", "write {0,n}"),
    ("^[[:alpha:]]$", "mean other things"),
    ("^[a--b]$", "mean other things"),
    ("^(a$", "does not parse"),
    ("^a{3,2}$", "does not parse"),
    (r"^\p{L}$", "does not parse"),
    (r"^\u4e00$", "RE2"),
    ("^a{1001}$", "RE2"),
    ("^\ta$", "control character"),
    (r"^\t$", "control character"),
    (r"^[\n]$", "control character"),
    (r"^[^\n]$", "control character"),
    ("^" + "a" * 1000 + "$", "more than 1000"),
    ("^" + "(" * 400 + "a" + ")" * 400 + "$", ""),
    ("", "anchored"),
]


@pytest.mark.parametrize("pattern", ACCEPTED)
def test_takes_a_pattern_that_all_read_alike(pattern):
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(("pattern", "says"), REFUSED)
def test_refuses_a_pattern(pattern, says):
    problem = pattern_problem(pattern)
    if says:
        assert problem is not None
        assert says in problem


_PIECES = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "[a-c]", "(?:a|b)", "(b|)", "a*", "b+?", ".?", "a{2}", "b{1,2}",
     r"\.", "[é一]", "x{0,3}"]
)  # fmt: skip
_TEXTS = st.text(st.sampled_from("abcx.é一\n１\r\u2028 "), max_size=6)


@settings(deadline=None)
@given(st.lists(_PIECES, max_size=5).map("".join), st.lists(_TEXTS, min_size=1, max_size=20))
def test_both_engines_agree_on_every_text(body, texts):
    pattern = f"^{body}$"
    assert pattern_problem(pattern) is None
    arrow = pc.match_substring_regex(pa.array(texts), pattern).to_pylist()
    ours = [bool(re.search(python_pattern(pattern), text)) for text in texts]
    assert arrow == ours


@settings(deadline=None)
@given(st.text(st.sampled_from(r"ab[]^$(){}|*+?.\dwps,-1:=!<>i&~#" + "\n"), max_size=12))
def test_what_is_taken_is_read_alike_whatever_it_is(body):
    pattern = f"^{body}$"
    if pattern_problem(pattern) is not None:
        return
    texts = ["", "a", "b", "ab", "1", "d", "-", "\n", "a\n", "１", "[", "]", "{,1}", "i:", body]
    arrow = pc.match_substring_regex(pa.array(texts), pattern).to_pylist()
    assert arrow == [bool(re.search(python_pattern(pattern), text)) for text in texts]
