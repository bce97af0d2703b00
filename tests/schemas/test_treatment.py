"""What a contract may say of a field that is not to be written as it is, and where it is wrong."""

import pytest
from zhixin_schemas.loader import read_contract

HEAD = """apiVersion: v3.2.0
kind: DataContract
id: city.gov.example/people
version: 1.0.0
status: active
name: People
servers: [{server: silo, type: custom}]
schema:
  - name: people
    physicalName: people
    properties:
      - {name: town, logicalType: string}
      - name: x
        %s
"""


def read(*lines, treatment=None):
    said = list(lines)
    if treatment is not None:
        said.append(f"customProperties: [{{property: zhixin.treatment, value: {treatment}}}]")
    return read_contract((HEAD % "\n        ".join(said)).encode())


@pytest.mark.parametrize(
    ("kind", "treatment", "says", "written"),
    [
        ("string", "{pseudonym: citizen}", "pseudonym with the key citizen", "string"),
        ("integer", "{pseudonym: citizen-2}", "pseudonym with the key citizen-2", "string"),
        ("date", "{generalise: {to: month}}", "generalised to the month", "date"),
        ("timestamp", "{generalise: {to: year}}", "generalised to the year", "timestamp"),
        ("integer", "{generalise: {step: 5}}", "generalised to the step of 5", "integer"),
        ("integer", "{generalise: {step: 5.0}}", "generalised to the step of 5", "integer"),
        ("number\n        physicalType: decimal(8,2)", "{generalise: {step: 0.25}}",
         "generalised to the step of 0.25", "decimal(8,2)"),
        ("string", "{generalise: {prefix: 6}}", "generalised to the first 6 characters", "string"),
    ],
)  # fmt: skip
def test_a_treatment_is_read_and_says_what_the_dataset_holds(kind, treatment, says, written):
    got = read(f"logicalType: {kind}", treatment=treatment)
    assert got.problems == ()
    assert {name: str(item) for name, item in got.contract.treated.items()} == {"x": says}
    assert got.contract.fields[1].written_type == written


@pytest.mark.parametrize(
    ("lines", "treatment", "says", "at"),
    [
        (["logicalType: string"], "none", "a treatment is {pseudonym: KEY}", 15),
        (["logicalType: string"], "{pseudonym: a, generalise: {prefix: 1}}", "a treatment is", 15),
        (["logicalType: string"], "{hash: x}", "a treatment is", 15),
        (["logicalType: string"], "{pseudonym: Citizen}", "lowercase letters, digits", 15),
        (["logicalType: string"], "{pseudonym: ''}", "lowercase letters, digits", 15),
        (["logicalType: boolean"], "{pseudonym: a}", "hides neither", 15),
        (["logicalType: string"], "{generalise: {}}", "exactly one of to, step and prefix", 15),
        (["logicalType: string"], "{generalise: {to: month}}", "a string has no month", 15),
        (["logicalType: time"], "{generalise: {to: month}}", "a time has no month", 15),
        (["logicalType: date"], "{generalise: {to: week}}", "to is month or year", 15),
        (["logicalType: date"], "{generalise: {step: 5}}", "a date has no steps", 15),
        (["logicalType: number"], "{generalise: {step: 5}}", "not exact in a float", 15),
        (["logicalType: integer"], "{generalise: {step: 0}}", "above 0", 15),
        (["logicalType: integer"], "{generalise: {step: -5}}", "above 0", 15),
        (["logicalType: integer"], "{generalise: {step: five}}", "above 0", 15),
        (["logicalType: integer"], "{generalise: {step: true}}", "above 0", 15),
        (["logicalType: integer"], "{generalise: {step: 0.5}}", "at most 0 decimals", 15),
        (["logicalType: integer"], "{generalise: {step: 9223372036854775808}}", "below 2^63", 15),
        (["logicalType: integer"], "{generalise: {step: 1e40}}", "below 2^63", 15),
        (["logicalType: integer"], "{generalise: {prefix: 2}}", "no first characters", 15),
        (["logicalType: string"], "{generalise: {prefix: 0}}", "characters from 1", 15),
        (["logicalType: array", "items: {logicalType: string}"], "{pseudonym: a}",
         "an array or object has no treatment", 16),
        (["logicalType: date", "unique: true"], "{generalise: {to: year}}", "tells none apart", 15),
        (["logicalType: date", "primaryKey: true"], "{generalise: {to: year}}",
         "tells none apart", 15),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_problem_with_its_line(lines, treatment, says, at):
    (problem,) = read(*lines, treatment=treatment).problems
    assert says in problem.message
    assert problem.line == at


def test_a_restricted_field_is_treated_or_said_to_be_clear():
    clear = "customProperties: [{property: zhixin.clear, value: true}]"
    (problem,) = read("logicalType: string", "classification: Restricted").problems
    assert "restricted and written as it is" in problem.message
    assert (problem.line, problem.path) == (15, "schema[0].properties[1].classification")
    assert read("logicalType: string", "classification: restricted", clear).problems == ()
    assert read("logicalType: string", "classification: internal").problems == ()
    assert read(
        "logicalType: string", "classification: restricted", treatment="{pseudonym: a}"
    ).problems == ()  # fmt: skip


@pytest.mark.parametrize("value", ["false", "yes", "1"])
def test_clear_is_true_or_nothing(value):
    line = f"customProperties: [{{property: zhixin.clear, value: {value}}}]"
    (problem,) = read("logicalType: string", line).problems
    assert "zhixin.clear is true, or is left out" in problem.message


def test_clear_and_a_treatment_contradict_each_other():
    both = (
        "customProperties: [{property: zhixin.clear, value: true}, "
        "{property: zhixin.treatment, value: {pseudonym: a}}]"
    )
    (problem,) = read("logicalType: string", both).problems
    assert "contradict each other" in problem.message


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ("classification: restricted", "restricted and written as it is"),
        ("customProperties: [{property: zhixin.treatment, value: {pseudonym: a}}]", "no treatment"),
    ],
)
def test_inside_an_array_or_object_nothing_is_treated(inside, says):
    (array,) = read("logicalType: array", f"items: {{logicalType: string, {inside}}}").problems
    assert says in array.message
    member = f"properties: [{{name: a, logicalType: string, {inside}}}]"
    (one,) = read("logicalType: object", member).problems
    assert says in one.message


def test_a_rule_may_not_take_the_name_of_the_treatments_line():
    rule = "quality: [{name: x.pseudonym, type: library, metric: nullValues, mustBe: 0}]"
    (problem,) = read("logicalType: string", rule, treatment="{pseudonym: a}").problems
    assert "name the rule otherwise" in problem.message


def test_the_properties_have_no_meaning_elsewhere():
    text = (HEAD % "logicalType: string").replace(
        "type: custom}",
        "type: custom, customProperties: [{property: zhixin.treatment, value: {pseudonym: a}}]}",
    )
    problems = read_contract(text.encode()).problems
    assert any("no meaning here" in problem.message for problem in problems)
