"""Relationships over all records: of several fields, within a dataset, and with too many keys."""

import sqlite3
from contextlib import closing
from functools import partial
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zhixin_errors import ConfigError, ContractError, ValidationRefused
from zhixin_gateway.pipeline import inputs, references, run, sorting
from zhixin_gateway.pipeline.references import ReferencePile, rejected_by_references
from zhixin_gateway.withdrawing import withdraw
from zhixin_schemas.loader import load_contract

TREE = """apiVersion: v3.2.0
kind: DataContract
id: bts.gov.example/units
version: 1.0.0
servers: [{{server: silo, type: custom}}]
schema:
  - name: units
    physicalName: units
    properties:
      - {{name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}}
      - {{name: parent, logicalType: integer{bounds}}}
    relationships:
      - {{id: tree, from: units.parent, to: units.id{severity}}}
"""
BOUNDS = ", logicalTypeOptions: {maximum: 900}"
WARNS = ", customProperties: [{property: zhixin.severity, value: warning}]"


def tree(world, rows, bounds="", severity=""):
    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS units")
        connection.execute("CREATE TABLE units (id, parent)")
        connection.executemany("INSERT INTO units VALUES (?, ?)", rows)
    path = world.owner.path / "contracts" / "units.odcs.yaml"
    path.write_text(TREE.format(bounds=bounds, severity=severity))
    return path


def reasons(home, dataset, version):
    import pyarrow.parquet as pq

    table = pq.read_table(home.quarantine / dataset / f"{version}.parquet").to_pylist()
    return {row["_row"]: sorted(each["rule"] for each in row["_reasons"]) for row in table}


def test_a_parent_may_come_after_its_child(world):
    result = run(world.owner, tree(world, [(1, 2), (2, 3), (3, None), (4, 4)]))
    assert (result.records, result.quarantined) == (4, 0)


def test_who_points_to_nothing_or_to_a_reject_is_rejected(world):
    rows = [(1, 99), (2, 1), (3, 2), (4, None), (5, 4), (6, 901)]
    result = run(world.owner, tree(world, rows, BOUNDS))
    assert (result.records, result.quarantined) == (2, 4)
    counted = {rule["rule"]: (rule["checked"], rule["failed"]) for rule in result.rules}
    assert counted["tree"] == (6, 4)
    assert reasons(world.owner, result.dataset, 1) == {
        0: ["tree"], 1: ["tree"], 2: ["tree"], 5: ["parent.range", "tree"],
    }  # fmt: skip


def test_a_relationship_that_warns_keeps_the_record(world):
    result = run(world.owner, tree(world, [(1, 99), (2, 1)], severity=WARNS))
    assert (result.records, result.quarantined, result.warned) == (2, 0, 1)


def test_a_chain_of_rejects_that_is_too_long_stops_the_version(world, monkeypatch):
    monkeypatch.setattr(references, "MOST_ROUNDS", 5)
    with pytest.raises(ValidationRefused, match="chain of more than 5") as caught:
        run(world.owner, tree(world, [(at, at + 1) for at in range(20)]))
    assert caught.value.code == "relationship-depth"


PAIR = """    relationships:
      - id: pair-known
        from: [stops.place, stops.line]
        to:
          - faa.gov.example/places.yaml#/schema/places/properties/code
          - faa.gov.example/places.yaml#/schema/places/properties/name
"""


def test_several_fields_must_stand_together_and_a_null_passes(world):
    world.fill("places", [("JFK", "L1"), ("LGA", "L2"), ("EWR", None)])
    run(world.other, world.places())
    rows = [
        ("2024-01-01", "L1", 1, "JFK"),
        ("2024-01-02", "L2", 1, "JFK"),
        ("2024-01-03", "L3", 1, None),
        ("2024-01-04", "L2", 1, "LGA"),
        ("2024-01-05", "L9", 1, "EWR"),
    ]
    world.fill("stops", rows)
    contract = world.stops()
    contract.write_text(contract.read_text().replace("    quality:", PAIR + "    quality:"))
    result = run(world.owner, contract)
    assert reasons(world.owner, result.dataset, 1) == {1: ["pair-known"], 4: ["pair-known"]}
    assert [rule["failed"] for rule in result.rules if rule["rule"] == "pair-known"] == [2]


def test_keys_beyond_the_bound_are_compared_outside_memory(world, at_faa, monkeypatch):
    world.fill("places", [(f"P{at}", "") for at in range(3_000)])
    run(world.other, world.places())
    rows = [("2024-01-01", f"L{at}", 1, f"P{at * 7}") for at in range(500)]
    world.fill("stops", rows)
    contract = world.stops(place=at_faa.replace("warning", "error"))
    within = run(world.owner, contract)
    monkeypatch.setattr(inputs, "KEY_BYTES", 1_000)
    spy = {"autospec": True, "side_effect": ReferencePile.missing}
    with patch.object(ReferencePile, "missing", **spy) as asked:
        outside = run(world.owner, contract, force=True)
    assert asked.call_count == 1
    assert within.rules == outside.rules
    assert (within.quarantined, outside.quarantined) == (71, 71)
    both = [reasons(world.owner, within.dataset, number) for number in (1, 2)]
    assert both[0] == both[1]


def test_the_newest_version_that_stands_is_used_or_the_run_is_refused(world, at_faa):
    world.fill("stops", [("2024-01-01", "L1", 1, "JFK")])
    contract = world.stops(place=at_faa)
    with pytest.raises(ConfigError, match=r"places has no version that stands") as caught:
        run(world.owner, contract)
    assert "its owner publishes it first" in caught.value.hint
    world.fill("places", [("JFK", "")])
    run(world.other, world.places())
    world.fill("places", [("LGA", "")])
    run(world.other, world.places())
    assert run(world.owner, contract).warned == 1
    withdraw(world.other, "faa.gov.example/places", 2, "error")
    assert run(world.owner, contract, force=True).warned == 0


def test_a_target_of_another_type_or_that_is_gone_is_refused(world, at_faa):
    world.fill("places", [("JFK", "")])
    run(world.other, world.places())
    world.fill("stops", [("2024-01-01", "L1", 1, "JFK")])
    contract = world.stops(place=at_faa.replace("properties/code", "properties/kode"))
    with pytest.raises(ContractError, match="places@1 has no field kode") as caught:
        run(world.owner, contract)
    assert caught.value.hint == "it has code, name"
    contract = world.stops(version="2.0.0")
    text = contract.read_text().replace("    quality:", PAIR + "    quality:")
    contract.write_text(text.replace("[stops.place, stops.line]", "[stops.day, stops.line]"))
    with pytest.raises(ContractError, match=r"compares day .* with code .* same type"):
        run(world.owner, contract)


def obvious(rows, gone):
    """Who points to nothing, slowly."""
    gone = set(gone)
    while True:
        ids = {number for at, (number, _) in enumerate(rows) if at not in gone}
        broken = {at for at, (_, to) in enumerate(rows) if to is not None and to not in ids}
        if broken <= gone:
            return broken
        gone |= broken


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9) | st.none()), max_size=30),
    st.sets(st.integers(0, 29), max_size=3),
    st.integers(1, 9),
)
def test_finds_what_a_slow_search_finds(tmp_path_factory, rows, gone, size):
    contract = load_contract(TREE.format(bounds="", severity="").encode())
    rule = contract.rules[-1]
    schema = pa.schema([("id", pa.int64()), ("parent", pa.int64())])
    pile = ReferencePile(tmp_path_factory.mktemp("pile"), schema, rule, own=True)
    table = pa.Table.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema
    )
    for start in range(0, len(rows), size):
        pile.add(table.slice(start, size).combine_chunks().to_batches()[0], start)
    in_small_batches = partial(sorting.merged, rows=size)
    with patch.object(sorting, "merged", in_small_batches):
        broken, _ = rejected_by_references([pile], np.array(sorted(gone), dtype=np.int64))
    assert set(broken["tree"].tolist()) == obvious(rows, gone)
