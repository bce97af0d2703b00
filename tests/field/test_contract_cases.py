"""Trouble that others reported with contracts, at the command line; inputs in files/, unchanged."""

from __future__ import annotations

import json

FORM = "^[0-9]{17}[0-9X]$"


def test_fc_17_identity_numbers_are_texts_and_nothing_is_repaired(agency):
    agency.files("17-id-numbers.csv")
    number = {"type": "string", "logicalTypeOptions": {"pattern": FORM}}
    contract = agency.contract(
        "people", {"序号": "integer", "身份证号": number}, table="17-id-numbers.csv"
    )
    answer = agency.run(contract)
    assert (answer.code, answer.json["records"], answer.json["quarantined"]) == (0, 3, 6)
    assert agency.rows("people") == [
        ["1", "990101194912310028"],
        ["2", "99010119491231001X"],
        ["4", "990101198706050000"],  # lost its last digits, and has the form all the same
    ]
    assert {(row, raw) for row, field, rule, raw in agency.rejects("people")} == {
        (2, "9.90101E+17"),
        (4, "'990101194912310028"),
        (5, "990101194912310028\t"),
        (6, "99010119491231001x"),
        (7, "990101198706050032.0"),
        (8, '="990101200002290011"'),
    }


def test_fc_17_lint_says_that_a_form_is_no_proof(agency):
    number = {"type": "string", "logicalTypeOptions": {"pattern": FORM}}
    contract = agency.contract("people", {"身份证号": number}, table="17-id-numbers.csv")
    told = agency.zhixin("contract", "lint", contract)
    assert (told.code, "wrong check digit" in told.err) == (0, True)


def test_fc_17_inferred_identity_numbers_are_texts(agency):
    """Eighteen digits fit an integer; the next one ends in X, or begins with 0."""
    numbers = [f"11010519491231{at:04}" for at in range(30)]
    agency.file("numbers.csv", "身份证号\n" + "\n".join(numbers) + "\n")
    told = agency.zhixin("source", "infer", "inbox", "numbers.csv")
    assert told.code == 0, told.err
    assert "        logicalType: string\n" in told.out
    assert f'pattern: "{FORM}"' in told.out
    assert not any(number in told.out for number in numbers)


def test_fc_18_full_width_digits_are_no_digits(agency):
    agency.files("18-fullwidth.csv")
    contract = agency.case_contract(
        "18-fullwidth.odcs.yaml", "codes", table="18-fullwidth.csv", source="inbox"
    )
    answer = agency.run(contract)
    assert (answer.code, answer.json["records"], answer.json["quarantined"]) == (0, 1, 7)
    assert agency.rows("codes") == [["1", "12345"]]
    rejects = agency.rejects("codes")
    assert {rule for _, _, rule, _ in rejects} == {"code.pattern"}
    assert [raw for _, _, _, raw in rejects] == [
        "１２３４５", "1234５", "١٢٣٤٥", "12345\n", "1２345", "12345 ", "　12345",
    ]  # fmt: skip


def test_fc_18_a_digit_shorthand_is_refused(agency):
    agency.files("18-fullwidth.csv")
    contract = agency.case_contract(
        "18-fullwidth.odcs.yaml", "codes", table="18-fullwidth.csv", source="inbox"
    )
    contract.write_text(contract.read_text("utf-8").replace("[0-9]{5}", r"\d{5}"), "utf-8")
    told = agency.zhixin("contract", "lint", contract, "--json")
    (problem,) = told.json["problems"]
    assert (told.code, problem["path"]) == (
        1,
        "schema[0].properties[1].logicalTypeOptions.pattern",
    )
    assert "full-width" in problem["message"]
    assert "write [0-9]" in problem["message"]
    assert agency.run(contract).code == 1
    assert agency.versions("codes") == []


def test_fc_30_misspelt_keys_stop_lint_and_run(agency):
    agency.files("30-misspelt-keys.csv")
    contract = agency.case_contract(
        "30-misspelt-keys.odcs.yaml", "people", table="30-misspelt-keys.csv", source="inbox"
    )
    told = agency.zhixin("contract", "lint", contract, "--json")
    places = [problem["path"].rpartition(".")[2] for problem in told.json["problems"]]
    assert told.code == 1
    assert places == ["requried", "isUnique", "maxlength", "validValue"]
    lines = contract.read_text("utf-8").splitlines()
    for problem, place in zip(told.json["problems"], places, strict=True):
        assert lines[problem["line"] - 1][problem["column"] - 1 :].startswith(place)
        assert "did you mean" in problem["message"]
    shown = agency.zhixin("contract", "lint", contract)
    assert shown.out.count(f"{contract}:") == 4
    refused = agency.run(contract)
    assert (refused.code, refused.json["error"]["code"]) == (1, "contract-invalid")
    assert agency.versions("people") == []


def test_fc_30_an_editor_names_the_same_four_keys(agency):
    from jsonschema import Draft7Validator
    from zhixin_schemas.document import read_document

    schema = json.loads(agency.zhixin("contract", "schema").out)
    contract = agency.case_contract(
        "30-misspelt-keys.odcs.yaml", "people", table="30-misspelt-keys.csv", source="inbox"
    )
    content = read_document(contract.read_bytes()).value
    said = " ".join(error.message for error in Draft7Validator(schema).iter_errors(content))
    for key in ("requried", "isUnique", "maxlength", "validValue"):
        assert key in said, key
