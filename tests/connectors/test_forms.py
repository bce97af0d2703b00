"""The form of a column's texts: a pattern that all have, and none of what they say."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_connectors.forms import form_of

CASES = [
    (["11010519491231002X", "440524188001010014"], "^[0-9]{17}[0-9X]$"),
    (["13812345678", "19900001111"], "^1[3-9][0-9]{9}$"),
    (["91350100M000100Y43", "911101080000000000"],
     "^[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}$"),
    (["AB-0012", "XY-9304"], "^[A-Z]{2}-[0-9]{4}$"),
    (["a1.x", "B7.y"], r"^[A-Za-z][0-9]\.[a-z]$"),
    (["1-2", "1]2", "1^2"], r"^[0-9][\-\]\^][0-9]$"),
    (["ab", "abc"], ""),
    (["a", "b"], ""),
    (["--", "++"], ""),
    (["号12", "号34"], ""),
    (["x" * 41, "y" * 41], ""),
]  # fmt: skip


@pytest.mark.parametrize(("values", "form"), CASES)
def test_gives_the_form_of_equally_long_texts(values, form):
    assert form_of(pa.array(values * 10)) == form
    assert form_of(pa.array(values[:1] * 19)) == ""


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(
            st.text(st.characters(max_codepoint=0x17F, exclude_categories=("Cs",)), min_size=n,
                    max_size=n), min_size=1, max_size=4,
        )
    )
)  # fmt: skip
def test_every_text_has_the_form_that_is_given(values):
    form = form_of(pa.array(values * 20))
    assert not form or all(re.fullmatch(form[1:-1], value) for value in values)
