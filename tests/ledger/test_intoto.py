"""The frame of every statement."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_ledger.encoding import jcs
from zhixin_ledger.intoto import STATEMENT_TYPE, Statement, format_statement, parse_statement

GOOD = Statement("urn:zhixin:contract:v1", "a.b/c@1.0.0", bytes(32), {"dataset": "a.b/c"})
PAYLOAD = format_statement(GOOD)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


def changed(**parts: object) -> bytes:
    return jcs({**json.loads(PAYLOAD), **parts})


def test_writes_the_form_of_in_toto():
    assert PAYLOAD == (
        b'{"_type":"https://in-toto.io/Statement/v1","predicate":{"dataset":"a.b/c"},'
        b'"predicateType":"urn:zhixin:contract:v1","subject":[{"digest":{"sha256":"'
        + b"0" * 64
        + b'"},"name":"a.b/c@1.0.0"}]}'
    )


@given(texts, texts, st.binary(min_size=32, max_size=32), st.dictionaries(texts, texts))
def test_statements_round_trip(kind, name, digest, predicate):
    statement = Statement(kind, name, digest, predicate)
    payload = format_statement(statement)
    assert parse_statement(payload) == statement
    assert json.loads(payload)["_type"] == STATEMENT_TYPE


@given(st.binary(max_size=40), st.integers(0, len(PAYLOAD)), st.integers(0, 6))
def test_raises_nothing_but_its_own_error_and_reads_one_form(patch, place, cut):
    for data in (patch, PAYLOAD[:place] + patch[:3] + PAYLOAD[place + cut :]):
        try:
            statement = parse_statement(data)
        except FormatError:
            continue
        assert format_statement(statement) == data


SUBJECT = json.loads(PAYLOAD)["subject"][0]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (changed(_type="https://in-toto.io/Statement/v0.1"), "_type must be"),
        (changed(surplus="x"), "unknown members"),
        (changed(subject=[]), "has 0 subjects"),
        (changed(subject=[SUBJECT, SUBJECT]), "has 2 subjects"),
        (changed(subject=SUBJECT), "must be a JSON array"),
        (changed(subject=[{**SUBJECT, "uri": "x"}]), "unknown members"),
        (changed(subject=[{**SUBJECT, "name": None}]), "subject name must be a JSON string"),
        (changed(subject=[{**SUBJECT, "digest": {"sha512": "0" * 128}}]), "lacks sha256"),
        (changed(subject=[{**SUBJECT, "digest": {"sha256": "A" * 64}}]), "lowercase hex"),
        (
            changed(subject=[{**SUBJECT, "digest": {"sha256": "0" * 64, "sm3": "0" * 64}}]),
            "unknown members",
        ),
        (changed(predicate=[]), "predicate must be a JSON object"),
        (changed(predicateType=None), "predicateType must be a JSON string"),
        (PAYLOAD + b"\n", "not canonical"),
        (b"null", "must be a JSON object"),
    ],
)
def test_refuses_other_frames(payload, says):
    with pytest.raises(FormatError, match=says):
        parse_statement(payload)
