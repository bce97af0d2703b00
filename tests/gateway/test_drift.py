"""A source that changed overnight: what is told, and what is refused before the first record."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from zhixin_connectors.protocol import SeenColumn
from zhixin_errors import PermanentSourceError
from zhixin_gateway.drift import find_drift, last_columns
from zhixin_gateway.pipeline import run
from zhixin_schemas.loader import load_contract_file

ROWS = [("2024-01-01", "L1", 1, "JFK")]
BEFORE = [
    SeenColumn("day", "DATE", False),
    SeenColumn("line", "TEXT", False),
    SeenColumn("seats", "INTEGER", True),
    SeenColumn("place", "TEXT", True),
    SeenColumn("note", "TEXT", True),
]


@pytest.fixture
def contract(world):
    return load_contract_file(world.stops())


def without(name, *more):
    return [column for column in BEFORE if column.name != name] + list(more)


def as_now(name, **changed):
    return [c._replace(**changed) if c.name == name else c for c in BEFORE]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (BEFORE, []),
        (without("seats"), [("missing", "seats is missing")]),
        (without("seats", SeenColumn("Seat", "X")),
         [("missing", "seats is missing; was it renamed to Seat?"), ("new", "Seat is new")]),
        (without("seats", SeenColumn("q", "INTEGER")),
         [("missing", "seats is missing; was it renamed to q?"), ("new", "q is new")]),
        ([*BEFORE, SeenColumn("q", "TEXT")],
         [("new", "q is new; q is not in the contract: it never leaves the source")]),
        (without("note"), [("gone", "note, which the contract does not name, is gone")]),
        (as_now("seats", source_type="TEXT"), [("type", "seats was INTEGER and is TEXT")]),
        (as_now("line", nullable=True), [("nullable", "line may be null now")]),
        (as_now("seats", nullable=False), [("nullable", "seats is never null any more")]),
        (BEFORE[::-1], [("order", "the columns stand in another order")]),
        (without("day", SeenColumn("Day", "DATE", False)),
         [("missing", "renamed to Day?"), ("new", "Day is new")]),
    ],
)  # fmt: skip
def test_tells_how_the_columns_changed(contract, now, told):
    found = find_drift(contract, now, BEFORE)
    assert [each.kind for each in found] == [kind for kind, _ in told]
    assert all(words in each.message for each, (_, words) in zip(found, told, strict=True))


def test_a_first_run_tells_what_the_contract_leaves_out(contract):
    (found,) = find_drift(contract, BEFORE, None)
    assert (found.kind, found.column) == ("new", "note")
    assert "is new" not in found.message


def alter(world, *statements):
    with closing(sqlite3.connect(world.database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_run_remembers_the_columns_and_tells_what_changed(world):
    world.fill("stops", ROWS)
    assert not run(world.owner, world.stops()).drift
    kept = last_columns(world.owner, "bts.gov.example/stops")
    assert [column.name for column in kept] == ["day", "line", "seats", "place"]
    alter(world, "ALTER TABLE stops ADD COLUMN note TEXT")
    again = run(world.owner, world.stops())
    assert again.version is None
    assert again.to_json()["drift"] == [
        {"kind": "new", "column": "note",
         "message": "note is new; note is not in the contract: it never leaves the source"},
    ]  # fmt: skip
    assert run(world.owner, world.stops()).to_json()["drift"] == []


def test_missing_columns_are_refused_by_every_name_before_the_first_record(world, zhixin):
    world.fill("stops", ROWS)
    contract = world.stops()
    run(world.owner, contract)
    alter(
        world,
        "ALTER TABLE stops RENAME COLUMN seats TO seats_no",
        "ALTER TABLE stops DROP COLUMN place",
    )
    with pytest.raises(PermanentSourceError) as caught:
        run(world.owner, contract)
    assert caught.value.code == "column-missing"
    assert "no column seats, place" in caught.value.message
    assert "was seats (now seats_no?), place renamed?" in caught.value.hint
    assert last_columns(world.owner, "bts.gov.example/stops")[2].name == "seats"
    told = zhixin("source", "drift", contract, home=world.owner.path)
    assert told.code == 1
    assert "seats is missing; was it renamed to seats_no?" in told.out
    assert "place is missing" in told.out
    told = zhixin("source", "drift", contract, "--json", home=world.owner.path)
    kinds = [each["kind"] for each in told.json["drift"]]
    assert kinds == ["missing", "missing", "new"]


def test_members_that_may_be_absent_are_not_missing(contract):
    sparse = replace(contract, options={"optional": ["place"]})
    assert [each.column for each in find_drift(sparse, without("place"), BEFORE)] == []


def test_a_first_line_that_is_a_record_is_not_told(contract):
    record = [SeenColumn("110105194912310022"), SeenColumn("张三"), SeenColumn("Day")]
    assert [each.column for each in find_drift(contract, record, None)] == [
        "day", "line", "seats", "place", "Day",
    ]  # fmt: skip
