"""What tasks do, called as Airflow calls them, on a small world and without Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from zhixin_errors import ConfigError, LedgerUnavailable, TransientSourceError, VerificationError
from zhixin_gateway.airflow import steps
from zhixin_gateway.airflow.watching import input_news

# The tests share one world, in the order of the file.
pytestmark = [pytest.mark.xdist_group("steps")]


@pytest.mark.parametrize(
    ("extra", "hints"),
    [
        ({"dataset": "a.b/c", "version": 3, "root": "00", "index": 9}, {"a.b/c": 3}),
        ({"from_trigger": True, "payload": {"size": 4, "inputs": {"a.b/c": 2}}}, {"a.b/c": 2}),
        ({}, {}),
        (None, {}),
        ({"dataset": "a.b/c", "version": "3"}, {}),
        ({"dataset": "a.b/c", "version": True}, {}),
        ({"payload": {"inputs": [1, 2]}}, {}),
        ({"payload": {"inputs": {"a.b/c": None}}}, {}),
        ({"payload": "inputs"}, {}),
    ],
)
def test_an_events_extra_is_read_without_trust(extra: Any, hints: dict[str, int]) -> None:
    assert steps.event_hints(extra) == hints


@pytest.fixture(scope="module")
def published(world: Any) -> Any:
    """Everything that NTSB needs, and nothing of its own."""
    home = str(world.folder / world.ntsb)
    before = (
        input_news(home, world.derived, world.inputs),
        steps.absent_datasets(home, world.inputs),
    )
    for dataset in sorted(world.five, key=lambda name: "flights" in name):
        world.publish(dataset)
    return before


def test_there_is_no_news_while_an_input_is_missing(world: Any, published: Any) -> None:
    assert published == (None, list(world.inputs))


def test_news_ends_when_the_derived_version_is_made_from_it(world: Any, published: Any) -> None:
    home = str(world.folder / world.ntsb)
    assert steps.absent_datasets(home, world.inputs) == []
    news = input_news(home, world.derived, world.inputs)
    assert news is not None
    assert news["inputs"] == dict.fromkeys(world.inputs, 1)
    world.publish(world.derived)
    assert input_news(home, world.derived, world.inputs) is None
    world.append(f"{world.faa}/planes", "N1,2")
    world.publish(f"{world.faa}/planes")
    news = input_news(home, world.derived, world.inputs)
    assert news is not None
    assert news["inputs"] == dict(zip(world.inputs, (1, 2, 1), strict=True))


def test_a_hint_changes_nothing_but_the_log(
    world: Any, published: Any, caplog: pytest.LogCaptureFixture
) -> None:
    home = str(world.folder / world.ntsb)
    dataset = f"{world.noaa}/weather"
    verified = steps.verify_inputs(home, [dataset], {dataset: 7})
    assert verified == [{"dataset": dataset, "version": 1, "index": world.index(dataset, 1)}]
    assert f"{dataset}@7" in caplog.text


def test_an_input_without_a_version_is_worth_a_retry(world: Any) -> None:
    home = str(world.folder / world.ntsb)
    with pytest.raises(TransientSourceError, match="no version that stands"):
        steps.verify_inputs(home, [f"{world.noaa}/tides"], {})


def test_a_flipped_byte_in_an_input_refuses_it(world: Any, published: Any) -> None:
    home = world.folder / world.ntsb
    steps.verify_inputs(str(home), [f"{world.noaa}/weather"], {})
    part = home / "store" / world.noaa / "weather/1/part-00000.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:9] + bytes([whole[9] ^ 1]) + whole[10:])
    with pytest.raises(VerificationError) as refused:
        steps.verify_inputs(str(home), [f"{world.noaa}/weather"], {})
    part.write_bytes(whole)
    assert refused.value.code == "part-digest"


def test_another_process_at_the_same_dataset_is_worth_a_retry(world: Any) -> None:
    dataset = f"{world.bts}/airlines"
    home = world.home(world.bts)
    with home.lock(dataset), pytest.raises(TransientSourceError) as busy:
        steps.extract_and_validate(str(home.path), str(world.contract(dataset)), "run")
    assert busy.value.code == "busy"


def test_a_staging_of_another_run_is_not_worth_a_retry_and_the_log_says_what_is(
    world: Any, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = f"{world.bts}/airlines"
    home = str(world.folder / world.bts)
    staged = steps.extract_and_validate(home, str(world.contract(dataset)), "run")
    with pytest.raises(ConfigError) as refused:
        steps.naming_the_way_out(steps.write)(home, {**staged, "token": "0" * 32})
    assert refused.value.code == "staging"
    assert "clear its run from extract_and_validate (or plan_spans) on" in caplog.text


@pytest.mark.slow
def test_a_pending_proof_is_worth_a_retry_and_the_next_run_finishes_it(
    world: Any, published: Any
) -> None:
    dataset = f"{world.bts}/airlines"
    home = str(world.folder / world.bts)
    contract = str(world.contract(dataset))
    away = [world.folder / name for name in (world.faa, world.noaa)]
    before = world.versions(dataset)
    world.append(dataset, "B6,JetBlue")
    staged = steps.extract_and_validate(home, contract, "first")
    steps.second_opinion(home, staged)
    written = steps.write(home, staged)
    for path in away:
        path.rename(path.with_suffix(".away"))
    try:
        with pytest.raises(LedgerUnavailable):
            steps.notarise(home, written)
    finally:
        for path in away:
            path.with_suffix(".away").rename(path)
    assert world.versions(dataset) == before
    # The run that comes next begins by finishing what waits, finds nothing new, and tells of it.
    staged = steps.extract_and_validate(home, contract, "second")
    steps.second_opinion(home, staged)
    result = steps.notarise(home, steps.write(home, staged))
    assert world.versions(dataset) == [*before, before[-1] + 1]
    assert result["version"] == before[-1] + 1
    assert world.manifest(dataset, before[-1] + 1).run.id == "first"


@pytest.mark.slow
def test_a_step_asked_twice_answers_the_same(world: Any, published: Any) -> None:
    dataset = f"{world.noaa}/weather"
    home = str(world.folder / world.noaa)
    world.append(dataset, "2013-01-01T13:00:00Z,4.5")
    staged = steps.extract_and_validate(home, str(world.contract(dataset)), "run")
    steps.second_opinion(home, staged)
    written = steps.write(home, staged)
    assert steps.write(home, staged) == written
    result = steps.notarise(home, written)
    assert steps.notarise(home, written) == result
    assert world.versions(dataset) == [1, 2]


def test_an_address_that_the_scheduler_keeps_comes_before_the_homes(
    world: Any, tmp_path: Path
) -> None:
    dataset = f"{world.faa}/airports"
    (tmp_path / "airports.csv").write_text("faa,name\nSYA,Shemya\n")
    home = str(world.folder / world.faa)
    given = {"silo": (f"file:{tmp_path}", {"null": "NA"})}
    staged = steps.extract_and_validate(home, str(world.contract(dataset)), "run", given)
    assert staged["records"] == 1
