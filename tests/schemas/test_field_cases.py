"""Trouble that others reported with contracts; inputs in tests/field/files, unchanged.

They leave out what Zhixin asks besides ODCS (a dataset's name, a source), which is added here.
"""

from __future__ import annotations

import datetime as dt
import re

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.lint import lint
from zhixin_schemas.loader import load_contract
from zhixin_schemas.quality import Tally, stopping


def completed(data):
    """Add id, server and table: the three things that a contract of Zhixin needs besides."""
    text = data.decode()
    name = re.search(r"- name: (\w+)", text)[1]
    text = re.sub(r"id: field-\d+", f"id: test.gov.example/{name}", text)
    text = text.replace("schema:\n", "servers: [{server: files, type: custom}]\nschema:\n", 1)
    return text.replace(f"- name: {name}\n", f"- name: {name}\n    physicalName: {name}\n").encode()


def read(contract, path):
    options = pacsv.ConvertOptions(column_types=contract.schema, strings_can_be_null=True)
    parse = pacsv.ParseOptions(newlines_in_values=True)
    table = pacsv.read_csv(path, convert_options=options, parse_options=parse)
    return pa.Table.from_batches(table.to_batches(), contract.schema)


def test_fc_09_no_records_are_a_version_unless_the_contract_wants_some(field_files):
    for name, stops in (("allowed", []), ("refused", ["not-empty"])):
        data = (field_files / f"09-empty-{name}.odcs.yaml").read_bytes()
        rules = compile_rules(load_contract(completed(data)))
        outcomes = Tally(rules).outcomes(rejected=0, now=dt.datetime.now(dt.UTC))
        assert [o.rule for o in stopping(outcomes)] == stops
        assert all(o.checked == 0 for o in outcomes if o.rule != "not-empty")


def test_fc_29_an_optional_column_is_still_promised(field_files):
    contract = load_contract(completed((field_files / "29-missing-column.odcs.yaml").read_bytes()))
    assert contract.schema.names == ["id", "name", "note"]
    assert not contract.fields[2].required


@pytest.mark.parametrize("complete", [completed, bytes])
def test_fc_30_misspelt_keys_are_named_with_their_places(field_files, complete):
    problems = lint(complete((field_files / "30-misspelt-keys.odcs.yaml").read_bytes()))
    named = [problem.path.rpartition(".")[2] for problem in problems]
    expected = ["requried", "isUnique", "maxlength", "validValue"]
    assert [name for name in named if name in expected] == expected
    assert len(problems) == (4 if complete is completed else 6)
