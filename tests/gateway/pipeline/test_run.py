import datetime

import pyarrow.parquet as pq
import pytest
import zhixin_gateway
from zhixin_errors import (
    ConfigError,
    ContractError,
    ValidationRefused,
    VerificationError,
)
from zhixin_gateway import pipeline
from zhixin_gateway.auditing import audit_home
from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.gate import verify
from zhixin_gateway.withdrawing import withdraw

SOUND = [
    ("2024-01-02", "B", 10, "JFK"),
    ("2024-01-02", "A", 0, None),
    ("2023-12-31", "Z", 500, "LGA"),
]


def _verify(home, dataset, version, **options):
    path = directory.version_path(home.store, dataset, version)
    options = {"deep": True, "ledger_copy": home.ledger_view(), **options}
    return verify(path, home.trust(), **options)


def _manifest(home, dataset, version):
    path = directory.version_path(home.store, dataset, version)
    return parse_manifest((path / "manifest.json").read_bytes())


def test_a_run_publishes_what_the_table_holds_in_the_order_of_its_key(world):
    world.fill("stops", SOUND)
    result = pipeline.run(world.owner, world.stops())
    assert (result.version, result.records, result.quarantined, result.warned) == (1, 3, 0, 0)
    opened = zhixin_gateway.open("bts.gov.example/stops", home=world.owner)
    assert [
        (str(row["day"]), row["line"], row["seats"]) for row in opened.to_arrow().to_pylist()
    ] == [
        ("2023-12-31", "Z", 500),
        ("2024-01-02", "A", 0),
        ("2024-01-02", "B", 10),
    ]
    assert _verify(world.owner, "bts.gov.example/stops", 1).ok
    assert opened.contract == world.stops().read_bytes()


def test_a_second_run_over_the_same_records_publishes_nothing(world):
    world.fill("stops", SOUND)
    pipeline.run(world.owner, world.stops())
    world.fill("stops", SOUND[::-1])
    again = pipeline.run(world.owner, world.stops())
    assert again.version is None
    assert again.standing == 1
    assert not again.pending
    assert directory.list_versions(world.owner.store, "bts.gov.example/stops") == [1]
    assert not list(world.owner.staging.glob("*/*"))


def test_a_changed_record_makes_the_next_version(world):
    world.fill("stops", SOUND)
    pipeline.run(world.owner, world.stops())
    world.fill("stops", [*SOUND[:2], ("2023-12-31", "Z", 499, "LGA")])
    second = pipeline.run(world.owner, world.stops())
    assert second.version == 2
    assert _verify(world.owner, "bts.gov.example/stops", 2).ok
    assert _verify(world.owner, "bts.gov.example/stops", 1).ok


def test_force_publishes_the_same_again_and_carries_its_parts(world):
    world.fill("stops", SOUND)
    pipeline.run(world.owner, world.stops())
    assert pipeline.run(world.owner, world.stops(), force=True).version == 2
    first, second = (_manifest(world.owner, "bts.gov.example/stops", n) for n in (1, 2))
    assert first.parts == second.parts
    assert _verify(world.owner, "bts.gov.example/stops", 2).ok


def test_rejects_stand_in_quarantine_with_every_reason_and_their_raw_texts(world):
    world.fill(
        "stops",
        [
            *SOUND,
            ("2024-02-30", "C", 501, "x"),
            (None, "D", 5, "x"),
            ("2024-03-01", "E", "many", None),
            ("2024-03-02", "F", -1, "x"),
        ],
    )
    result = pipeline.run(world.owner, world.stops())
    assert (result.records, result.quarantined) == (3, 4)
    rows = pq.read_table(world.owner.quarantine / "bts.gov.example/stops/1.parquet").to_pylist()
    told = [
        (row["_row"], row["day"], row["seats"], {why["rule"] for why in row["_reasons"]})
        for row in rows
    ]
    assert told == [  # positions are those of the order by key, which is asked of the source
        (0, None, "5", {"day.required"}),
        (4, "2024-02-30", "501", {"day.type", "seats.range"}),
        (5, "2024-03-01", "many", {"seats.type"}),
        (6, "2024-03-02", "-1", {"seats.range"}),
    ]
    assert all(why["message"] and why["field"] for row in rows for why in row["_reasons"])
    manifest = _manifest(world.owner, "bts.gov.example/stops", 1)
    quality = {item.rule: (item.checked, item.failed) for item in manifest.quality}
    assert manifest.quarantined == 4
    assert quality["seats.range"] == (7, 2)
    assert quality["seats.type"] == (7, 1)
    assert quality["day.required"] == (7, 1)
    assert not list((world.owner.store / "bts.gov.example/stops").glob("**/*quarantine*"))


def test_of_records_that_share_a_key_all_are_rejected_as_the_source_gave_them(world):
    world.fill("stops", [*SOUND, ("2024-01-02", "B", 99, "x"), ("2024-01-02", "B", -7, "x")])
    result = pipeline.run(world.owner, world.stops())
    assert (result.records, result.quarantined) == (2, 3)
    rows = pq.read_table(world.owner.quarantine / "bts.gov.example/stops/1.parquet").to_pylist()
    told = [(row["_row"], row["seats"], [why["rule"] for why in row["_reasons"]]) for row in rows]
    assert [row for row, *_ in told] == [2, 3, 4]  # the source orders by the key alone
    assert sorted(why for _, *why in told) == [
        ["-7", ["seats.range", "primary-key"]],
        ["10", ["primary-key"]],
        ["99", ["primary-key"]],
    ]
    rules = {rule["rule"]: rule["failed"] for rule in result.rules}
    assert rules["primary-key"] == 3


def test_another_unique_field_is_held_too_and_nulls_share_with_none(world):
    world.fill(
        "stops",
        [
            ("2024-01-01", "A", 1, "JFK"),
            ("2024-01-02", "A", 2, "JFK"),
            ("2024-01-03", "A", 3, None),
            ("2024-01-04", "A", 4, None),
        ],
    )
    result = pipeline.run(world.owner, world.stops(place="        unique: true"))
    assert (result.records, result.quarantined) == (2, 2)
    rules = {rule["rule"]: rule["failed"] for rule in result.rules}
    assert rules["place.unique"] == 2


def test_a_broken_critical_rule_stops_the_version_and_says_why(world):
    with pytest.raises(ValidationRefused) as caught:
        pipeline.run(world.owner, world.stops())
    assert caught.value.code == "critical-rule"
    assert "not-empty" in caught.value.message
    assert directory.list_versions(world.owner.store, "bts.gov.example/stops") == []
    assert not list(world.owner.staging.glob("*/*"))


def test_a_dry_run_publishes_and_leaves_nothing(world):
    world.fill("stops", SOUND)
    before = world.owner.ledger_client().sync().size
    result = pipeline.run(world.owner, world.stops(), dry_run=True)
    assert (result.version, result.records) == (None, 3)
    assert world.owner.ledger_client().sync().size == before
    assert not list(world.owner.staging.glob("*/*"))
    assert not (world.owner.store / "bts.gov.example").exists()


def test_a_relationship_is_checked_against_the_verified_version(world, at_faa):
    world.fill("places", [("JFK", "Kennedy")])
    pipeline.run(world.other, world.places())
    world.fill("stops", SOUND)
    result = pipeline.run(world.owner, world.stops(place=at_faa))
    assert (result.records, result.warned) == (3, 1)
    manifest = _manifest(world.owner, "bts.gov.example/stops", 1)
    assert [(item.dataset, item.version) for item in manifest.inputs] == [
        ("faa.gov.example/places", 1)
    ]


def test_a_newer_version_that_is_only_checked_against_is_no_change_by_itself(world, at_faa):
    world.fill("places", [("JFK", "Kennedy")])
    pipeline.run(world.other, world.places())
    world.fill("stops", SOUND)
    pipeline.run(world.owner, world.stops(place=at_faa))
    world.fill("places", [("JFK", "Kennedy"), ("LGA", "La Guardia")])
    pipeline.run(world.other, world.places())
    assert pipeline.run(world.owner, world.stops(place=at_faa)).version is None


def test_a_flipped_byte_in_a_relationships_dataset_stops_the_run(world, at_faa):
    world.fill("places", [("JFK", "Kennedy")])
    pipeline.run(world.other, world.places())
    world.fill("stops", SOUND)
    part = world.other.store / "faa.gov.example/places/1/part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(VerificationError) as caught:
        pipeline.run(world.owner, world.stops(place=at_faa))
    assert caught.value.code == "part-digest"
    assert not (world.owner.store / "faa.gov.example/places/1").exists()
    assert directory.list_versions(world.owner.store, "bts.gov.example/stops") == []


def test_a_relationship_to_a_dataset_without_a_version_says_what_is_missing(world, at_faa):
    world.fill("stops", SOUND)
    with pytest.raises(ConfigError) as caught:
        pipeline.run(world.owner, world.stops(place=at_faa))
    assert caught.value.code == "no-version"


def test_the_contract_of_a_version_cannot_change_without_a_new_number(world):
    world.fill("stops", SOUND)
    pipeline.run(world.owner, world.stops())
    changed = world.stops(quality="      # another word")
    with pytest.raises(ContractError) as caught:
        pipeline.run(world.owner, changed)
    assert caught.value.code == "contract-version"
    assert pipeline.run(world.owner, world.stops(version="1.0.1")).version == 2


def test_another_members_contract_is_refused(world):
    with pytest.raises(ConfigError, match="but this home is"):
        pipeline.run(world.owner, world.places())


def test_a_withdrawn_version_is_refused_and_opened_no_more(world):
    world.fill("stops", SOUND)
    pipeline.run(world.owner, world.stops())
    world.fill("stops", SOUND[:2])
    pipeline.run(world.owner, world.stops())
    withdraw(world.owner, "bts.gov.example/stops", 1, "error", 2)
    verdict = _verify(world.owner, "bts.gov.example/stops", 1)
    assert (verdict.ok, verdict.code) == (False, "withdrawn")
    with pytest.raises(VerificationError) as caught:
        zhixin_gateway.open("bts.gov.example/stops@1", home=world.owner)
    assert caught.value.code == "withdrawn"
    assert zhixin_gateway.open("bts.gov.example/stops", home=world.owner).version == 2


def test_two_runs_of_one_dataset_keep_out_of_each_others_way(world):
    world.fill("stops", SOUND)
    contract = world.stops()
    with world.owner.lock("bts.gov.example/stops"), pytest.raises(ConfigError) as caught:
        pipeline.run(world.owner, contract)
    assert caught.value.code == "busy"
    assert pipeline.run(world.owner, contract).version == 1


def test_steps_may_be_repeated_and_give_the_same(world):
    world.fill("stops", SOUND)
    contract = world.stops()
    pipeline.extract(world.owner, contract)
    staged = pipeline.extract(world.owner, contract, orchestrator="airflow", run_id="r1")
    written = pipeline.write(world.owner, staged)
    assert pipeline.write(world.owner, staged) == written
    result = pipeline.notarise(world.owner, written)
    again = pipeline.notarise(world.owner, written)
    assert (result.version, result.index, result.root, result.path) == (
        again.version,
        again.index,
        again.root,
        again.path,
    )
    assert _manifest(world.owner, "bts.gov.example/stops", 1).run.id == "r1"
    assert [report["ok"] for report in audit_home(world.owner)] == [True] * 4


def test_the_last_step_asked_again_where_nothing_changed_says_so_again(world):
    world.fill("stops", SOUND)
    contract = world.stops()
    pipeline.run(world.owner, contract)
    written = pipeline.write(world.owner, pipeline.extract(world.owner, contract))
    first = pipeline.notarise(world.owner, written)
    again = pipeline.notarise(world.owner, written)
    assert (first.version, first.standing) == (again.version, again.standing) == (None, 1)
    assert again.to_json()["rules"] == first.to_json()["rules"]


def test_a_step_of_an_extraction_that_was_begun_anew_is_refused(world):
    world.fill("stops", SOUND)
    contract = world.stops()
    staged = pipeline.extract(world.owner, contract)
    pipeline.extract(world.owner, contract)
    with pytest.raises(ConfigError) as caught:
        pipeline.write(world.owner, staged)
    assert caught.value.code == "staging"


def test_what_travels_between_steps_is_small_and_holds_no_record(world):
    import json

    world.fill("stops", [("2024-01-01", "SECRET", 9, "SECRET"), ("2024-01-01", "SECRET", 8, None)])
    world.fill("stops", [*SOUND, ("2024-01-01", "SECRET", 9999, "SECRET")])
    staged = pipeline.extract(world.owner, world.stops())
    text = json.dumps(pipeline.write(world.owner, staged))
    assert "SECRET" not in text
    assert len(text) < 4_000


def test_nothing_is_published_while_a_second_opinion_that_was_asked_for_is_unheard(world):
    world.fill("stops", SOUND)
    staged = pipeline.extract(world.owner, world.stops(), report=True)
    written = pipeline.write(world.owner, staged)
    with pytest.raises(ConfigError) as caught:
        pipeline.notarise(world.owner, written)
    assert caught.value.code == "second-opinion"


def test_freshness_and_share_of_rejects_stop_a_version(world):
    world.fill("stops", [*SOUND, ("2024-03-02", "F", -1, "x")])
    share = """      - {type: custom, engine: zhixin, name: few-rejects, severity: critical,
         implementation: {metric: rejectedRows, mustBeLessThan: 20, unit: percent}}"""
    with pytest.raises(ValidationRefused, match="few-rejects"):
        pipeline.run(world.owner, world.stops(quality=share))


def test_the_manifest_names_the_source_without_its_address(world):
    world.fill("stops", SOUND)
    pipeline.run(world.owner, world.stops())
    source = _manifest(world.owner, "bts.gov.example/stops", 1).source
    assert (source.system, source.object) == ("silo", "stops")
    assert abs(datetime.datetime.now(datetime.UTC) - source.extracted_at).seconds < 600
