"""Where features meet: several broken rules, incremental runs over what is treated or checked."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import openpyxl
import pyarrow.parquet as pq
import pytest
from zhixin_errors import ValidationRefused
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.pipeline import run
from zhixin_gateway.pseudonyms import make_key

from tests.gateway.conftest import AT_FAA

RULES = """      - {name: odd, type: custom, engine: zhixin, severity: warning, implementation: seats <> 2}
      - {name: pair, metric: duplicateValues, mustBe: 0, severity: warning, arguments: {properties: [seats, place]}}
      - {name: known, type: custom, engine: zhixin, implementation: place <> 'X'}
"""  # noqa: E501
CRITICAL = "      - {name: never, type: custom, engine: zhixin, severity: critical, implementation: seats <> 7}\n"  # noqa: E501
UP = """    relationships:
      - {id: up, from: stops.place, to: stops.line}
"""
ROWS = [
    ("2024-01-01", "A", 1, "A"),  # sound
    ("2024-01-02", "A", 2, "A"),  # warns: odd
    ("2024-01-03", "A", 600, "X"),  # breaks seats.range, known and up
    ("2024-01-04", "B", 1, "B"),  # shares its key, and its pair
    ("2024-01-04", "B", 1, "B"),
    ("2024-01-05", "A", 1, "B"),  # points to B, whose records are all rejected; shares a pair
    ("2024-01-06", "A", "many", "X"),  # unread: its field is judged by nothing else
    ("2024-01-07", None, 2, None),  # breaks line.required; warns, but is rejected
]


def contract(world, more=""):
    path = world.stops(quality=RULES + more)
    path.write_text(path.read_text().replace("    quality:", UP + "    quality:"))
    return path


def test_every_reason_is_kept_and_every_count_is_exact(world):
    world.fill("stops", ROWS)
    result = run(world.owner, contract(world))
    assert (result.records, result.quarantined, result.warned) == (2, 6, 1)
    kept = pq.read_table(world.owner.quarantine / result.dataset / "1.parquet").to_pylist()
    reasons = {row["_row"]: {each["rule"] for each in row["_reasons"]} for row in kept}
    assert reasons == {
        2: {"seats.range", "known", "up"},
        3: {"primary-key", "pair", "up"},
        4: {"primary-key", "pair", "up"},
        5: {"pair", "up"},
        6: {"seats.type", "known", "up"},
        7: {"line.required", "odd"},
    }
    failed = {rule["rule"]: rule["failed"] for rule in result.rules if rule["failed"]}
    assert failed == {
        "line.required": 1, "seats.range": 1, "primary-key": 2, "known": 2, "odd": 2, "pair": 3,
        "up": 5, "seats.type": 1,
    }  # fmt: skip
    assert {rule["checked"] for rule in result.rules if rule["rule"] != "not-empty"} == {8}
    manifest = parse_manifest((world.owner.store / result.dataset / "1/manifest.json").read_bytes())
    stated = {item.rule: item.failed for item in manifest.quality if item.failed}
    assert (stated, manifest.quarantined, manifest.records) == (failed, 6, 2)


def test_a_critical_rule_stops_the_version_with_all_counts(world, zhixin):
    world.fill("stops", [*ROWS, ("2024-01-08", "A", 7, "A")])
    path = contract(world, CRITICAL)
    with pytest.raises(ValidationRefused, match="never") as caught:
        run(world.owner, path)
    assert caught.value.details["broken"].keys() == {"never"}
    told = {rule["rule"]: rule["failed"] for rule in caught.value.details["rules"]}
    assert (told["never"], told["known"], told["up"], told["odd"]) == (1, 2, 5, 2)
    assert caught.value.details["quarantined"] == 7
    answer = zhixin("run", path, "--json", home=world.owner.path)
    assert answer.code == 1
    assert json.loads(answer.out)["error"]["code"] == "critical-rule"
    assert not (world.owner.store / "bts.gov.example/stops/1").exists()


ANEW = "  - server: silo\n    type: custom\n    customProperties:\n"
ANEW += "".join(f"      - {{property: zhixin.{name}, value: {value}}}\n"
                for name, value in (("watermark", "seats"), ("incremental", "key")))  # fmt: skip
TREATED = "      - name: place\n        customProperties: [{property: zhixin.treatment, value: {pseudonym: p}}]\n"  # noqa: E501


def incremental(path):
    """Let a contract for stops read what is new, told by its seats."""
    text = path.read_text().replace("  - {server: silo, type: custom}\n", ANEW)
    path.write_text(text)
    return path


def put_csv(folder, rows):
    path = folder / "stops.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def put_sheet(folder, rows):
    path = folder / "stops.xlsx"
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def run_of(world, path, file):
    """Run with a file in the source's place."""
    sources = {"silo": str(file)}
    world.owner = world.owner.save(replace(world.owner.filed_settings(), sources=sources))
    return run(world.owner, path)


@pytest.mark.parametrize("put", [put_csv, put_sheet])
@pytest.mark.parametrize("treated", [False, True])
def test_a_record_of_no_form_is_one_reject_however_often_it_is_read(world, put, treated):
    make_key(world.owner, "p")
    path = incremental(world.stops())
    if treated:
        path.write_text(path.read_text().replace("      - name: place\n", TREATED))
    head = [("day", "line", "seats", "place"), ("2024-01-01", "A", 1, "X")]
    odd = [("2024-01-09", "Z", 1, "X", "surplus"), ("2024-01-09", "Y", 400, 9, "X")]
    rows = [("2024-01-02", "B", 2, "X"), ("2024-01-03", "C", 3, "X"), ("2024-01-04", "D", 4, "X")]
    for number in (1, 2, 3):
        file = put(world.folder, head + odd + rows[:number])
        result = run_of(world, path, file)
        assert (result.version, result.records, result.quarantined) == (number, number + 1, 2)
    assert result.incremental["how"] == "key"
    assert run(world.owner, path, full=True).quarantined == 2
    put(world.folder, [*head, *rows, ("2024-01-05", "E", 5, "X")])  # it is gone
    result = run(world.owner, path)
    assert (result.incremental["how"], result.records, result.quarantined) == ("key", 5, 0)


def test_a_reject_of_withheld_texts_that_is_read_again_is_one_reject(world):
    """Neither its key nor its watermark can be read, and of a text nothing is told."""
    path = incremental(world.stops())
    month = TREATED.replace("{pseudonym: p}", "{generalise: {to: month}}")
    text = path.read_text().replace("      - name: place\n", month)
    path.write_text(text.replace("        logicalType: string\n", "        logicalType: date\n"))
    head = [("day", "line", "seats", "place"), ("2024-01-01", "A", 1, "2024-01-01")]
    odd = [("today", "Z", "many", "here"), ("today", "Z", "many", "there")]
    rows = [(f"2024-01-0{n}", "B", n, "2024-01-01") for n in (2, 3, 4)]
    for number in (1, 2, 3):
        file = put_csv(world.folder, head + odd + rows[:number])
        result = run_of(world, path, file)
        assert (result.version, result.records, result.quarantined) == (number, number + 1, 2)
    assert result.incremental["how"] == "key"
    put_csv(world.folder, [*head, odd[0], *odd, *rows])
    assert run(world.owner, path).quarantined == 3


def test_a_new_version_of_what_is_checked_against_that_changes_nothing_is_read_for_once(world):
    world.fill("places", [("JFK", "Kennedy")])
    run(world.other, world.places())
    path = incremental(world.stops(place=AT_FAA.replace("warning", "error")))
    world.fill("stops", [("2024-01-01", "A", 1, "JFK"), ("2024-01-02", "B", 2, "LGA")])
    assert run(world.owner, path).quarantined == 1
    world.fill("places", [("JFK", "Kennedy"), ("SFO", "San Francisco")])
    run(world.other, world.places())
    result = run(world.owner, path)
    assert (result.version, result.incremental["read"]) == (None, 2)
    assert "has a new version" in result.incremental["why"]
    for _ in range(2):
        result = run(world.owner, path)
        assert (result.version, result.incremental["how"]) == (None, "key")
    world.fill("places", [("JFK", "Kennedy"), ("LGA", "La Guardia")])
    run(world.other, world.places())
    result = run(world.owner, path)
    assert "has a new version" in result.incremental["why"]
    assert (result.version, result.records, result.quarantined) == (2, 2, 0)
    assert run(world.owner, path).incremental["how"] == "key"


def test_the_same_rejects_numbered_otherwise_by_a_run_over_all_leave_no_attempt(world):
    path = incremental(world.stops())
    rows = [("2024-01-01", "A", 1, "X"), ("2024-01-02", "B", 600, "X")]
    for version, more in enumerate(([], [("C", 601), ("D", None)], [("E", 602), ("F", None)]), 1):
        rows += [(f"2024-01-0{version + 2}", line, seats, "X") for line, seats in more]
        world.fill("stops", rows)
        result = run(world.owner, path)
        assert (result.version, result.quarantined) == (version, version)
    result = run(world.owner, path, full=True)
    assert (result.version, result.quarantined) == (None, 3)
    assert not (world.owner.quarantine / result.dataset / "attempt.parquet").exists()


def test_the_same_reasons_in_another_order_leave_no_attempt(world):
    """A run numbers reasons as it meets them; one over all meets those of earlier rejects first."""
    path = incremental(world.stops())
    text = path.read_text().replace("        logicalType: string\n", "        logicalType: date\n")
    path.write_text(text)
    rows = [("2024-01-01", "A", 1, "odd"), ("2024-01-02", "B", 2, None)]
    world.fill("stops", rows)
    run(world.owner, path)
    world.fill("stops", [*rows, ("someday", "C", 3, "odd"), ("2024-01-04", "D", 3, None)])
    result = run(world.owner, path)
    assert (result.incremental["how"], result.quarantined) == ("key", 2)
    result = run(world.owner, path, full=True)
    assert (result.version, result.quarantined) == (None, 2)
    assert not (world.owner.quarantine / result.dataset / "attempt.parquet").exists()


def test_a_contract_is_tried_without_the_rows_that_are_marked_as_deleted(world, zhixin):
    path = incremental(world.stops())
    text = path.read_text().replace(
        "key}\n", "key}\n      - {property: zhixin.deleted, value: gone}\n"
    )
    gone = "      - {name: gone, logicalType: boolean}\n"
    path.write_text(text.replace("    quality:\n", gone + "    quality:\n"))
    with closing(sqlite3.connect(world.database)) as db, db:
        db.execute("DROP TABLE stops")
        db.execute("CREATE TABLE stops (day, line, seats, place, gone)")
        rows = [("2024-01-01", "A", 1, "X", 0), ("2024-01-01", "A", 9, "X", 1),
                ("2024-01-02", "B", 600, "X", 1), ("2024-01-03", "C", 601, "X", 0)]  # fmt: skip
        db.executemany("INSERT INTO stops VALUES (?, ?, ?, ?, ?)", rows)
    tried = zhixin("contract", "lint", path, "--against", "silo", "--json", home=world.owner.path)
    told = tried.json["against"]
    result = run(world.owner, path)
    assert (result.extracted, result.quarantined) == (2, 1)
    assert (told["records"], told["rejected"]) == (2, 1)
    assert [rule["rows"] for rule in told["rules"] if rule["failed"]] == [[1]]


def test_a_rejected_watermark_hides_nothing_from_the_runs_after_it(world):
    path = incremental(world.stops())
    first, new = ("2024-01-01", "A", 1, "X"), ("2024-01-03", "C", 3, "X")
    world.fill("stops", [first])
    run(world.owner, path)
    world.fill("stops", [first, ("2024-01-02", "B", 9999, "X")])  # at most 500, says the contract
    assert run(world.owner, path).quarantined == 1
    for rows, want in (
        ([first, ("2024-01-02", "B", 9999, "X"), new], (2, 1)),
        ([first, ("2024-01-02", "B", 9999, "X"), (*new[:2], 9998, "X")], (1, 2)),
        ([first, ("2024-01-02", "B", 9, "X"), (*new[:2], 8, "X")], (3, 0)),
    ):
        world.fill("stops", rows)
        result = run(world.owner, path)
        assert result.incremental["how"] == "key"
        assert (result.records, result.quarantined) == want
