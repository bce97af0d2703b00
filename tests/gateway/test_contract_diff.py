import pytest
from zhixin_gateway.contract_diff import contract_changes, next_version
from zhixin_schemas.loader import load_contract

BASE = """apiVersion: v3.2.0
kind: DataContract
id: a.example/b
version: 1.2.3
status: active
name: b
servers:
  - {server: silo, type: custom}
schema:
  - name: b
    physicalName: b
    logicalType: object
    properties:
      - {name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: x, logicalType: integer, logicalTypeOptions: {minimum: 0}}
      - {name: y, logicalType: string}
"""


def _changes(old, new):
    assert old in BASE
    before, after = load_contract(BASE.encode()), load_contract(BASE.replace(old, new).encode())
    return before, contract_changes(before, after)


@pytest.mark.parametrize(
    ("old", "new", "message", "wanted"),
    [
        ("name: y", "name: z", "y is gone", "2.0.0"),
        ("y, logicalType: string", "y, logicalType: date", "y was string and is date", "2.0.0"),
        (", logicalTypeOptions: {minimum: 0}", "", "x.range is no longer checked", "2.0.0"),
        ("minimum: 0", "minimum: 1", "x.range checks something else", "2.0.0"),
        ("Type: string}", "Type: string, required: true}", "y.required is checked too", "1.3.0"),
        ("physicalName: b", "physicalName: c", "the records come from elsewhere", "1.3.0"),
        ("name: b\nservers", "name: B\nservers", "only words changed", "1.2.4"),
        (", primaryKey: true, primaryKeyPosition: 1", "", "the primary key changed", "2.0.0"),
        ("a.example/b", "a.example/c", "a.example/b became a.example/c", "2.0.0"),
    ],
)  # fmt: skip
def test_says_what_changed_and_which_number_that_asks_for(old, new, message, wanted):
    before, changes = _changes(old, new)
    assert message in [change.message for change in changes]
    assert next_version(before, changes) == wanted
    breaking = [change.breaking for change in changes]
    assert breaking == sorted(breaking, reverse=True)


def test_the_same_contract_has_no_changes():
    assert _changes("a.example/b", "a.example/b")[1] == []
