"""Records that break several rules at once: every reason is kept, and every count is exact."""

import json

import pyarrow.parquet as pq
import pytest
from zhixin_errors import ValidationRefused
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.pipeline import run

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
