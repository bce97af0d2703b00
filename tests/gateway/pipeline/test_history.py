"""Rules that look back at the versions before: those that stand, in the own store."""

import pytest
from zhixin_errors import ValidationRefused
from zhixin_gateway.pipeline import run
from zhixin_gateway.pipeline.previous import past_quality
from zhixin_gateway.withdrawing import withdraw
from zhixin_schemas.loader import load_contract_file

GROWS = """      - name: grows-slowly
        type: custom
        engine: zhixin
        implementation: {metric: rowCountChange, mustBeBetween: [-10, 50], unit: percent}
"""
JUMPS = """      - name: rejects-jump
        type: custom
        engine: zhixin
        severity: warning
        implementation: {metric: rejectRate, mustNotJumpBy: 5, versions: 5}
      - name: places-jump
        type: custom
        engine: zhixin
        severity: warning
        implementation: {metric: failureRate, rule: place-known, mustNotJumpBy: 5, versions: 5}
      - name: place-known
        type: custom
        engine: zhixin
        severity: warning
        implementation: place IS NOT NULL
"""


def stops(count, bad=0, unplaced=0):
    """Sound rows, of which some have too many seats and some no place."""
    return [
        (f"2024-01-{1 + at % 28:02}", f"L{at}", 999 if at < bad else 1,
         None if at >= count - unplaced else "JFK")
        for at in range(count)
    ]  # fmt: skip


def test_a_version_that_shrank_too_much_is_not_published(world):
    contract = world.stops(quality=GROWS)
    world.fill("stops", stops(20))
    assert run(world.owner, contract).version == 1
    world.fill("stops", stops(10))
    with pytest.raises(ValidationRefused, match=r"grows-slowly: .*10 records now, 20 in version 1"):
        run(world.owner, contract)
    world.fill("stops", stops(30))
    assert run(world.owner, contract).version == 2


def test_a_withdrawn_version_is_nothing_to_compare_with(world):
    contract = world.stops(quality=GROWS)
    world.fill("stops", stops(20))
    run(world.owner, contract)
    world.fill("stops", stops(30))
    run(world.owner, contract)
    withdraw(world.owner, "bts.gov.example/stops", 2, "error")
    world.fill("stops", stops(31))
    with pytest.raises(ValidationRefused, match="31 records now, 20 in version 1"):
        run(world.owner, contract)


def test_rates_that_jump_are_told_and_counted(world):
    contract = world.stops(quality=JUMPS)
    world.fill("stops", stops(100, bad=1))
    first = run(world.owner, contract)
    assert (first.version, first.alerts) == (1, [])
    world.fill("stops", stops(100, bad=2, unplaced=3))
    assert not run(world.owner, contract).alerts
    world.fill("stops", stops(100, bad=20, unplaced=30))
    third = run(world.owner, contract)
    assert third.version == 3
    assert [text.partition(":")[0] for text in third.to_json()["alerts"]] == [
        "rejects-jump", "places-jump",
    ]  # fmt: skip
    assert "20 % now, 1.5 % in version 1, 2" in third.alerts[0]
    assert "30 % now, 1.5 % in version 1, 2" in third.alerts[1]
    counted = {rule["rule"]: rule["failed"] for rule in third.rules}
    assert (counted["rejects-jump"], counted["places-jump"], counted["place-known"]) == (1, 1, 30)


def test_of_another_contract_only_rules_that_check_the_same_count(world):
    world.fill("stops", stops(100, bad=1, unplaced=1))
    run(world.owner, world.stops(quality=JUMPS))
    other = world.stops(
        version="1.1.0",
        quality=JUMPS.replace("place IS NOT NULL", "place IS NOT NULL AND seats > 0"),
    )
    state = world.owner.ledger_client().sync()
    (past,) = past_quality(world.owner.open_store(), state, load_contract_file(other))
    assert (past.version, past.extracted, past.rejected) == (1, 100, 1)
    assert "place-known" not in past.failed
    assert past.failed["seats.range"] == 1
    same = load_contract_file(world.stops(version="1.0.1", quality=JUMPS))
    (past,) = past_quality(world.owner.open_store(), state, same)
    assert past.failed["place-known"] == 1


def test_a_rejected_record_makes_nothing_fresh(world):
    fresh = "      - {type: custom, engine: zhixin, name: fresh, implementation: "
    contract = world.stops(quality=fresh + "{metric: freshness, field: day, hours: 48}}\n")
    world.fill("stops", [("2024-01-01", "L1", 1, "JFK"), ("2999-01-01", "L2", 999, "JFK")])
    with pytest.raises(ValidationRefused, match=r"fresh: .* hours old"):
        run(world.owner, contract)
    world.fill("stops", [("2024-01-01", "L1", 999, "JFK"), ("2999-01-01", "L2", 1, "JFK")])
    assert run(world.owner, contract).version == 1
