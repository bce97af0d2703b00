"""Contracts in the forms that ODCS and its tools write: each loads, or is refused with the reason.

Files ``*.refused.yaml`` say at each line that has a problem, after ``#!``, what is said of it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from zhixin_schemas.lint import advice, lint
from zhixin_schemas.loader import load_contract

EXAMPLES = Path(__file__).parent / "examples"
TAKEN = sorted(EXAMPLES.glob("*.odcs.yaml"))
REFUSED = sorted(EXAMPLES.glob("*.refused.yaml"))
assert len(TAKEN) > 3
assert len(REFUSED) > 3


@pytest.mark.parametrize("path", TAKEN, ids=lambda path: path.name)
def test_an_example_loads(path):
    data = path.read_bytes()
    assert [str(problem) for problem in lint(data)] == []
    assert load_contract(data).fields


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.name)
def test_an_example_is_refused_for_what_it_says_and_nothing_else(path):
    data = path.read_bytes()
    wanted = {
        number: line.partition("#! ")[2]
        for number, line in enumerate(data.decode().splitlines(), 1)
        if "#! " in line
    }
    problems = lint(data)
    for line, says in wanted.items():
        found = [problem.message for problem in problems if problem.line == line]
        assert any(says in message for message in found), (line, says, found)
    assert {problem.line for problem in problems} == set(wanted)


def test_no_sentence_speaks_the_validators_language():
    jargon = re.compile(
        r"is not of type|additionalProp|unevaluated|is not valid under|oneOf|anyOf|schema\.json"
        r"|required property|\$ref|does not match '|instance"
    )
    for path in REFUSED:
        for problem in lint(path.read_bytes()):
            assert not jargon.search(problem.message), problem


def test_what_is_kept_as_words_is_told():
    said = [str(item) for item in advice((EXAMPLES / "terms.odcs.yaml").read_bytes())]
    for words in ("servers[1]", "retention"):
        assert any(words in item and "kept as words" in item for item in said), said


def test_a_key_of_two_fields_has_the_order_of_the_file():
    contract = load_contract((EXAMPLES / "quality.odcs.yaml").read_bytes())
    assert contract.primary_key == ("shop", "round")
    assert "text" not in {rule.kind for rule in contract.rules}
    assert len(contract.rules) == 14
