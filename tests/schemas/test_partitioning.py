"""What a contract may say of how its source is divided, and where it is wrong."""

import pytest
from zhixin_schemas.loader import read_contract
from zhixin_schemas.partitioning import Partitioning

HEAD = """apiVersion: v3.2.0
kind: DataContract
id: city.gov.example/people
version: 1.0.0
status: active
name: People
servers:
  - server: silo
    type: custom
    customProperties:
{}
schema:
  - name: people
    physicalName: people
    properties:
"""
KEY = ["{name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}"]
TYPES = {
    "i": "integer",
    "u": "integer, logicalTypeOptions: {format: u64}",
    "n": "number, physicalType: 'decimal(8,2)'",
    "d": "date",
    "t": "timestamp",
    "z": "timestamp, logicalTypeOptions: {timezone: true}",
    "s": "string",
    "f": "number",
    "b": "boolean",
    "p": "integer, customProperties: [{property: zhixin.treatment, value: {pseudonym: k}}]",
}


def read(*, keyed=False, **options):
    lines = [f"      - {{property: zhixin.{name}, value: {v}}}" for name, v in options.items()]
    fields = [f"{{name: {name}, logicalType: {kind}}}" for name, kind in TYPES.items()]
    text = HEAD.format("\n".join(lines))
    text += "".join(f"      - {field}\n" for field in (KEY if keyed else []) + fields)
    return read_contract(text.encode())


def test_a_contract_without_the_options_is_read_by_one_worker():
    assert read(null="[NA]").contract.partitioning is None


@pytest.mark.parametrize("field", ["i", "u", "n", "d", "t", "z"])
def test_numbers_and_times_are_divided_into_a_number_of_spans(field):
    got = read(partition=field, partitions=8)
    assert got.problems == ()
    assert got.contract.partitioning == Partitioning(field, 8)


@pytest.mark.parametrize(
    ("field", "bounds"),
    [
        ("i", "[-5, 10]"),
        ("n", "['1.50', '20.00']"),
        ("d", "['2024-01-01', '2025-01-01']"),
        ("t", "['2024-01-01T00:00:00', '2025-01-01T00:00:00.000001']"),
        ("z", "['2024-01-01T00:00:00Z', '2025-01-01T00:00:00.500000Z']"),
        ("s", "[G, N]"),
    ],
)
def test_spans_may_begin_at_values_that_are_given(field, bounds):
    got = read(partition=field, partitions=bounds, immutable="true")
    assert got.problems == ()
    found = got.contract.partitioning
    assert (found.count, len(found.bounds), found.immutable) == (3, 2, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"partition": "i"}, "both are needed"),
        ({"partitions": "3"}, "both are needed"),
        ({"immutable": "true"}, "both are needed"),
        ({"partition": "q", "partitions": "3"}, "no field q"),
        ({"partition": "f", "partitions": "3"}, "no type that divides"),
        ({"partition": "b", "partitions": "3"}, "no type that divides"),
        ({"partition": "p", "partitions": "3"}, "treated"),
        ({"partition": "s", "partitions": "3"}, "texts have no middle"),
        ({"partition": "i", "partitions": "1"}, "a number from 2 to 1,000"),
        ({"partition": "i", "partitions": "1001"}, "a number from 2 to 1,000"),
        ({"partition": "i", "partitions": "'4'"}, "a number from 2 to 1,000"),
        ({"partition": "i", "partitions": "[]"}, "a number from 2 to 1,000"),
        ({"partition": "i", "partitions": "[1.5]"}, "a number from 2 to 1,000"),
        ({"partition": "i", "partitions": "[10, 5]"}, "the bounds rise"),
        ({"partition": "i", "partitions": "[5, 5]"}, "the bounds rise"),
        ({"partition": "i", "partitions": "['05']"}, "a bound is no integer"),
        ({"partition": "d", "partitions": "['20240101']"}, "a bound is no date"),
        ({"partition": "t", "partitions": "['2024-01-01T00:00:00Z']"}, "a bound is no timestamp"),
        ({"partition": "z", "partitions": "['2024-01-01T00:00:00']"}, "no timestamptz"),
        ({"partition": "n", "partitions": "[x]"}, "a bound is no decimal"),
        ({"partition": "i", "partitions": "3", "immutable": "'yes'"}, "true or false"),
        (
            {"partition": "i", "partitions": "3", "incremental": "append", "watermark": "i"},
            "read whole each time",
        ),
    ],
)
def test_refuses_what_can_not_be_divided(options, says):
    got = read(**options)
    assert got.contract is None
    assert any(says in problem.message for problem in got.problems), got.problems


def test_the_first_field_of_the_primary_key_divides():
    assert read(keyed=True, partition="id", partitions="3").problems == ()
    [problem] = read(keyed=True, partition="i", partitions="3").problems
    assert "its first field divides them: id" in problem.message
