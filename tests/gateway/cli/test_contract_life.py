"""A contract's life at the command line: infer, lint, against, for an editor."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import sys
from contextlib import closing

import pytest

KINDS = ("餐饮", "零售", "NO")


def taken(text):
    """Take every suggestion: remove the ``# `` of lines that begin with it and a key."""
    return re.sub(
        r"^( {0}| {4}| {8}| {10})# (?=(  )?(- \{|[a-zA-Z]+:))", r"\1", text, flags=re.MULTILINE
    )


def identity_number(chance):
    digits = f"110105{chance.randint(1950, 2005)}{chance.randint(1, 12):02}"
    digits += f"{chance.randint(1, 28):02}{chance.randint(0, 999):03}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    at = sum(int(d) * w for d, w in zip(digits, weights, strict=True)) % 11
    return digits + "10X98765432"[at]


@pytest.fixture
def permits(tmp_path):
    """A file as an office keeps it: GB18030, semicolons, names in Chinese, one with a blank."""
    chance = random.Random(3)
    lines = ["许可证号;身份证号;手机;姓名;类型;座位 数;费用;开业日期;更新时间;备注"]
    for number in range(300):
        day = f"{chance.randint(1987, 2024)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        seen = f"2024-11-{chance.randint(1, 25):02}T10:00:00+08:00"
        lines.append(
            f"A-{number:06};{identity_number(chance)};1{chance.randint(3 * 10**9, 10**10 - 1)};"
            f"张三{number};{chance.choice(KINDS)};{chance.randint(7, 431)};"
            f"{chance.randint(0, 90_000) / 100:.2f};{day};{seen};{chance.choice(['', '好', '差'])}"
        )
    file = tmp_path / "许可.csv"
    file.write_text("\n".join(lines) + "\n", encoding="gb18030")
    return file


def infer(zhixin, *arguments):
    told = zhixin("source", "infer", *arguments, "--dataset", "city.gov.example/permits")
    assert told.code == 0, told.err
    return told.out


READ = ("--option", "encoding=gb18030", "--option", "zhixin.delimiter=;")


def test_an_inferred_contract_and_all_its_suggestions_hold_for_the_records(
    zhixin, permits, tmp_path
):
    refused = zhixin("source", "infer", permits, "许可.csv", "--dataset", "a.gov.example/x")
    assert (refused.code, "gb18030" in refused.err) == (2, True)
    text = infer(zhixin, permits, "许可.csv", *READ)
    assert "{property: zhixin.encoding, value: gb18030}" in text
    contract = tmp_path / "permits.odcs.yaml"
    for version in (text, taken(text)):
        contract.write_text(version, "utf-8")
        told = zhixin("contract", "lint", contract, "--against", permits, "--json")
        assert told.code == 0, told.out
        tried = told.json["against"]
        assert (tried["records"], tried["rejected"], tried["drift"]) == (300, 0, [])
    for promised in (
        'pattern: "^[0-9]{17}[0-9X]$"', "maximum: 500", 'minimum: "1987-01-01"', "value: 零售",
        "classification: restricted", "{pseudonym: person}", "field: 更新时间", "locale: zh",
        "unique: true",
    ):  # fmt: skip
        assert promised in taken(text), promised
    assert "张三" not in text
    assert "110105" not in text


def test_no_values_at_all_are_told_where_none_are_to_be(zhixin, permits):
    text = infer(zhixin, permits, "许可.csv", *READ, "--no-values")
    assert not any(word in text for word in ("零售", "minimum", "1987", "maximum"))
    assert 'pattern: "^[0-9]{17}[0-9X]$"' in text


def test_options_are_held_to_what_is_known(zhixin, permits):
    for option, says in (("encodin=x", "unknown source option"), ("encoding", "has no value")):
        told = zhixin("source", "infer", permits, "x", "--dataset", "a.b/x", "--option", option)
        assert (told.code, says in told.err) == (2, True), told.err


def test_every_table_of_a_database_is_inferred_with_suggestions_that_hold(zhixin, tmp_path):
    chance = random.Random(5)
    with closing(sqlite3.connect(tmp_path / "office.db")) as database:
        for number in range(4):
            kinds = [
                chance.choice(["INTEGER", "REAL", "TEXT", "BOOLEAN", "DATE", "DECIMAL(9,2)"])
                for _ in range(6)
            ]
            columns = ", ".join(f'"列 {at}" {kind}' for at, kind in enumerate(kinds))
            database.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, {columns})")
            for row in range(chance.choice([0, 5, 120])):
                values = [_value(kind, chance) for kind in kinds]
                database.execute(f"INSERT INTO t{number} VALUES ({row}{', ?' * 6})", values)
        database.commit()
    for number in range(4):
        text = infer(zhixin, "sqlite:///office.db", f"t{number}")
        contract = tmp_path / "t.odcs.yaml"
        contract.write_text(taken(text).replace("mustBeGreaterThan: 0", "mustBeLessThan: 999"))
        told = zhixin("contract", "lint", contract, "--against", "sqlite:///office.db", "--json")
        assert (told.code, told.json["against"]["rejected"]) == (0, 0), told.out


def _value(kind, chance):
    if chance.random() < 0.1:
        return None
    return {
        "INTEGER": chance.randint(-40, 4000),
        "REAL": chance.uniform(-1, 1e6),
        "TEXT": chance.choice(["a", "b", "NO", "x, y", "#"]),
        "BOOLEAN": chance.choice([0, 1]),
        "DATE": f"{chance.randint(1900, 2024)}-0{chance.randint(1, 9)}-11",
        "DECIMAL(9,2)": f"{chance.randint(0, 10**6) / 100:.2f}",
    }[kind]


@pytest.fixture
def broken(agency, tmp_path):
    """The contract of things, with a rule that some records break, and a column more."""
    rows = "1,2024-01-01,secret-a,5.25,x\n2,never,secret-b,1.00,x\n3,2024-03-01,,7.00,x\n"
    (tmp_path / "things.csv").write_text(f"id,day,name,amount,extra\n{rows}")
    contract = agency / "contracts" / "things.odcs.yaml"
    text = contract.read_text()
    rule = "logicalTypeOptions: {pattern: '^[a-c]$'}\n"
    contract.write_text(
        re.sub(r"(name: name\n\s+logicalType: string\n)(\s+)", rf"\1\2{rule}\2", text)
    )
    return contract


def test_a_trial_tells_counts_and_positions_and_no_values(zhixin, agency, broken):
    told = zhixin("contract", "lint", broken, "--against", "things", "--json", home=agency)
    tried = told.json["against"]
    assert (tried["records"], tried["rejected"], tried["examples"]) == (3, 2, [])
    rows = {rule["rule"]: rule["rows"] for rule in tried["rules"] if rule["failed"]}
    assert rows == {"name.pattern": [0, 1], "day.type": [1]}
    assert [each["column"] for each in tried["drift"]] == ["extra"]
    shown = zhixin("contract", "lint", broken, "--against", "things", home=agency)
    for text in (told.out, shown.out, shown.err):
        assert "secret" not in text
        assert "never" not in text.replace("never leaves", "")
    assert "extra is not in the contract" in shown.err


def test_values_are_shown_on_a_terminal_or_to_a_program_that_asks(
    zhixin, agency, broken, monkeypatch
):
    lint = ("contract", "lint", broken)
    asked = (*lint, "--against", "things", "--examples", "1")
    told = zhixin(*asked, "--json", home=agency).json["against"]["examples"]
    assert {(e["rule"], e["row"], e["field"], e["value"]) for e in told} == {
        ("name.pattern", 0, "name", "secret-a"),
        ("day.type", 1, "day", "never"),
    }
    refused = zhixin(*asked, home=agency)
    assert (refused.code, "no terminal" in refused.err, "secret" in refused.out) == (2, True, False)
    assert zhixin(*lint, "--examples", "1", home=agency).code == 2
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    shown = zhixin(*asked, home=agency)
    assert ("secret-a" in shown.out, "for your eyes only" in shown.err) == (True, True)


def test_a_relationship_is_tried_where_its_dataset_is_there(zhixin, published, tmp_path):
    text = (published / "contracts" / "things.odcs.yaml").read_text()
    to = "agency.example/things.yaml#/schema/things/properties/id"
    text = text.replace("id: agency.example/things\n", "id: agency.example/parts\n")
    relation = f"relationships: [{{to: {to}}}]\n"
    text = re.sub(r"(- name: id\n(\s+)logicalType: integer\n)", rf"\1\2{relation}", text)
    contract = tmp_path / "parts.odcs.yaml"
    contract.write_text(text)
    (tmp_path / "things.csv").write_text("id,day,name,amount\n1,,a,1.00\n9,,b,1.00\n")
    tried = zhixin("contract", "lint", contract, "--against", "things.csv", "--json")
    (left,) = tried.json["against"]["left_out"]
    assert (left["rule"], "a home" in left["reason"]) == ("id.reference", True)
    tried = zhixin(
        "contract", "lint", contract, "--against", "things.csv", "--json", home=published
    ).json["against"]
    assert (tried["left_out"], tried["rejected"]) == ([], 1)
    contract.write_text(text.replace(to, to.replace("things.yaml", "none.yaml")))
    tried = zhixin(
        "contract", "lint", contract, "--against", "things.csv", "--json", home=published
    ).json["against"]
    assert "agency.example/none" in tried["left_out"][0]["reason"]


def test_problems_are_told_as_editors_open_them(zhixin, agency):
    contract = agency / "contracts" / "things.odcs.yaml"
    contract.write_text(contract.read_text().replace("required: true", "requried: true", 1))
    told = zhixin("contract", "lint", contract, home=agency)
    found = re.match(r"(.+):(\d+):(\d+): schema\[0\]\.properties\[0\]\.requried: ", told.out)
    line = contract.read_text().splitlines()[int(found[2]) - 1]
    assert line[int(found[3]) - 1 :].startswith("requried")
    (problem,) = zhixin("contract", "lint", contract, "--json", home=agency).json["problems"]
    assert (str(problem["line"]), str(problem["column"])) == (found[2], found[3])


def test_a_source_that_the_home_does_not_know_is_told(zhixin, agency):
    contract = agency / "contracts" / "things.odcs.yaml"
    assert "sources" not in zhixin("contract", "lint", contract, home=agency).err
    contract.write_text(contract.read_text().replace("- server: things", "- server: thing"))
    told = zhixin("contract", "lint", contract, home=agency)
    assert (told.code, "has no [sources.thing]" in told.err) == (0, True)


def test_the_schema_for_editors_is_json(zhixin):
    told = zhixin("contract", "schema")
    assert json.loads(told.out)["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "yaml-language-server" in zhixin("contract", "schema", "--help").out
