"""The ledger can't be reached: extraction goes on, the proof is pending, and is finished later."""

import pytest
from zhixin_errors import ConfigError, LedgerRefused
from zhixin_gateway import pipeline
from zhixin_gateway.datasets import directory
from zhixin_gateway.gate import verify
from zhixin_gateway.pipeline.staging import Work, unfinished

PLACES = "faa.gov.example/places"


@pytest.fixture
def cut_off(world):
    """A member whose ledger, in another member's home, can't be reached; call it to mend that."""
    log = world.owner.path / "log"
    away = log.with_name("away")
    log.rename(away)
    world.fill("places", [("JFK", "Kennedy"), ("LGA", "La Guardia")])
    return lambda: away.rename(log)


def _published(world):
    return directory.list_versions(world.other.store, PLACES)


def test_a_version_waits_for_its_proof_and_is_finished_by_resume(world, cut_off):
    result = pipeline.run(world.other, world.places())
    assert (result.pending, result.version, result.index, result.path) == (True, 1, None, None)
    assert _published(world) == []
    assert [work.dataset for work in unfinished(world.other)] == [PLACES]
    assert [each.pending for each in pipeline.resume(world.other)] == [True]
    cut_off()
    (finished,) = pipeline.resume(world.other)
    assert (finished.pending, finished.version) == (False, 1)
    assert _published(world) == [1]
    path = directory.version_path(world.other.store, PLACES, 1)
    assert verify(path, world.other.trust(), ledger_copy=world.other.ledger_view()).ok
    assert pipeline.resume(world.other) == []


def test_the_next_run_finishes_first_what_waits(world, cut_off):
    pipeline.run(world.other, world.places())
    world.fill("places", [("JFK", "Kennedy")])
    still = pipeline.run(world.other, world.places())
    assert (still.pending, still.version) == (True, 1)
    cut_off()
    assert pipeline.run(world.other, world.places()).version == 2
    assert _published(world) == [1, 2]


def test_the_run_that_finishes_an_earlier_one_and_finds_nothing_new_tells_of_that_one(
    world, cut_off
):
    pipeline.run(world.other, world.places())
    cut_off()
    result = pipeline.run(world.other, world.places())
    assert (result.version, result.pending, result.records) == (1, False, 2)
    assert _published(world) == [1]


def test_a_waiting_version_is_never_thrown_away_by_a_new_extraction(world, cut_off):
    pipeline.run(world.other, world.places())
    with pytest.raises(ConfigError) as caught:
        pipeline.extract(world.other, world.places())
    assert caught.value.code == "proof-pending"


def test_a_version_that_the_ledger_refuses_is_let_go_and_made_anew(world, cut_off, monkeypatch):
    pipeline.run(world.other, world.places())
    cut_off()
    from zhixin_ledger.client import LedgerClient

    genuine = LedgerClient.submit

    def refusing(self, envelope):
        if refusals:
            raise refusals.pop()
        return genuine(self, envelope)

    refusals = [LedgerRefused("the rules changed meanwhile", code="input-withdrawn")]
    monkeypatch.setattr(LedgerClient, "submit", refusing)
    result = pipeline.run(world.other, world.places())
    assert (result.version, result.pending) == (1, False)
    assert Work(world.other, PLACES).load() is None


def test_a_quorum_that_is_missing_leaves_the_index_known_and_the_proof_pending(world):
    world.fill("places", [("JFK", "Kennedy")])
    key = world.owner.path / "keys" / "cosigner.pem"
    away = key.with_name("away.pem")
    key.rename(away)
    result = pipeline.run(world.other, world.places())
    assert result.pending
    assert _published(world) == []
    away.rename(key)
    (finished,) = pipeline.resume(world.other)
    assert (finished.version, finished.pending) == (1, False)
    assert world.other.ledger_client().sync().dataset(PLACES).version == 1
