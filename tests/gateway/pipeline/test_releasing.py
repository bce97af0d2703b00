"""What came of rejects stays true where a run is killed; and how a record is known again."""

import signal

import pytest
from zhixin_gateway.pipeline import releasing, run
from zhixin_gateway.quarantine import all_rejects, release_of

DATASET = "bts.gov.example/stops"
NOTARISING = "zhixin_gateway.pipeline.notarising"
GOOD = ("2024-01-01", "A", 5, None)
BAD = ("2024-01-02", "B", -1, None)


def kept(home):
    return {str(rejects.version): rejects for rejects in all_rejects(home)}


@pytest.mark.parametrize(
    "step",
    [
        ["zhixin_gateway.pipeline.extraction", "", "came_of", "after", 1],
        [NOTARISING, "", "_tell_release", "before", 1],
        [NOTARISING, "", "_tell_release", "after", 1],
        [NOTARISING, "", "drop_attempt", "before", 1],
        ["zhixin_gateway.datasets.directory", "", "publish", "after", 1],
    ],
    ids=lambda step: " ".join(map(str, step[2:4])),
)
def test_killed_and_run_again_each_reject_has_one_outcome(world, runner, step):
    home, contract = world.owner, world.stops()
    world.fill("stops", [GOOD, BAD])
    assert runner(home, contract) == 0
    world.fill("stops", [GOOD, (*BAD[:2], 9, None), ("2024-01-03", "C", 999, None)])
    assert runner(home, contract, step) == -signal.SIGKILL
    assert runner(home, contract) == 0
    there = kept(home)
    assert list(there) == ["1", "2"]
    told = release_of(there["1"])
    assert (told["by"], told["counts"]["accepted"], told["rows"]["accepted"]) == (2, 1, [1])
    assert release_of(there["2"]) is None


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_nothing_changed_its_rejects_are_there_after_the_next_run(world, runner, when):
    home, contract = world.owner, world.stops()
    world.fill("stops", [GOOD])
    assert runner(home, contract) == 0
    world.fill("stops", [GOOD, BAD])
    assert runner(home, contract, [NOTARISING, "", "keep_attempt", when, 1]) == -signal.SIGKILL
    assert runner(home, contract) == 0
    there = kept(home)
    assert list(there) == ["1", "attempt"]
    assert there["attempt"].count == 1


def test_a_step_that_is_asked_again_keeps_what_it_kept(world, monkeypatch):
    from zhixin_gateway import pipeline
    from zhixin_gateway.pipeline import notarising

    home, contract = world.owner, world.stops()
    world.fill("stops", [GOOD])
    pipeline.run(home, contract)
    world.fill("stops", [GOOD, BAD])
    written = pipeline.write(home, pipeline.extract(home, contract))
    with monkeypatch.context() as patched:
        patched.setattr(notarising, "remember_run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pipeline.notarise(home, written)
    assert pipeline.notarise(home, written).version is None
    assert kept(home)["attempt"].count == 1


def test_killed_after_a_critical_rule_its_rejects_are_there(world, runner):
    home, contract = world.owner, world.stops()
    world.fill("stops", [])
    extraction = "zhixin_gateway.pipeline.extraction"
    assert runner(home, contract) != 0  # no record at all: nothing to keep
    assert kept(home) == {}
    text = contract.read_text().replace("mustBeGreaterThan: 0", "mustBeGreaterThan: 5")
    contract.write_text(text.replace("version: 1.0.0", "version: 2.0.0"))
    world.fill("stops", [GOOD, BAD])
    killed = runner(home, contract, [extraction, "", "keep_attempt", "after", 1])
    assert killed == -signal.SIGKILL
    assert kept(home)["attempt"].count == 1
    world.fill("stops", [GOOD])
    assert runner(home, contract) != 0
    assert kept(home) == {}  # read anew, and nothing was rejected


def test_many_rejects_and_records_are_compared_in_bounded_steps(world, some_stops):
    from zhixin_gateway import pipeline

    home, contract = world.owner, world.stops()
    bad = [(day, line, -1, place) for day, line, _, place in some_stops[:1_500]]
    world.fill("stops", [*bad, *some_stops[1_500:]])
    assert pipeline.run(home, contract).quarantined == 1_500
    world.fill("stops", some_stops)
    result = pipeline.run(home, contract)
    assert result.released == {"version": 1, "records": 1_500, "of": 1_500}


def test_another_key_is_said_and_not_guessed(world):
    from zhixin_gateway import pipeline

    home, contract = world.owner, world.stops()
    world.fill("stops", [GOOD, BAD])
    pipeline.run(home, contract)
    text = contract.read_text().replace("version: 1.0.0", "version: 2.0.0")
    named = text.replace("name: line,", "name: route,")
    contract.write_text(named)
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute("ALTER TABLE stops RENAME COLUMN line TO route")
    result = pipeline.run(home, contract)
    assert (result.version, result.released) == (2, None)
    assert release_of(kept(home)["1"]) | {"at": ""} == {
        "version": 1, "key": ["day", "route"], "why": "key", "by": 2, "at": "",
    }  # fmt: skip


def test_too_many_to_be_looked_for_are_not_said_to_have_another_key(world, zhixin, monkeypatch):
    from zhixin_gateway import pipeline
    from zhixin_gateway.pipeline import releasing

    home, contract = world.owner, world.stops()
    world.fill("stops", [GOOD, BAD])
    pipeline.run(home, contract)
    monkeypatch.setattr(releasing, "_MAX_KEY_BYTES", 0)
    world.fill("stops", [GOOD])
    assert pipeline.run(home, contract, force=True).released is None
    told = zhixin("quarantine", "release", f"{DATASET}@1", home=home.path)
    assert told.code == 0
    assert "not known: they are too many to be looked for in memory" in told.err


@pytest.mark.parametrize(("lot", "lookups"), [(releasing._AT_ONCE_BYTES, 2), (1, None)])
def test_many_rejects_are_looked_up_in_lots(world, monkeypatch, lot, lookups):
    """Each look-up hashes all rejects: one for each batch of 1,024 took minutes for a million."""
    contract, asked = world.stops(), []
    places = releasing.Before._places
    monkeypatch.setattr(releasing, "_AT_ONCE_BYTES", lot)
    monkeypatch.setattr(
        releasing.Before, "_places", lambda self, keys: asked.append(0) or places(self, keys)
    )
    rows = [("2024-01-01", f"L{at}", 999, None) for at in range(5_000)]
    world.fill("stops", [GOOD, *rows])
    run(world.owner, contract)
    mended = [(*row[:2], 1, None) for row in rows[:1_000]]
    world.fill("stops", [*mended, ("2024-01-01", "L1000", -1, None), *rows[1_001:4_500]])
    assert run(world.owner, contract).released == {"version": 1, "records": 1_000, "of": 5_000}
    told = release_of(kept(world.owner)["1"])["counts"]
    assert told == {"accepted": 1_000, "rejected": 3_500, "otherwise": 0, "gone": 500, "unknown": 0}
    assert lookups is None or len(asked) == lookups
