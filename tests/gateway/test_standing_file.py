"""Standing files: made by a home, judged by somebody who has nothing but them, and kept beside."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest
import zhixin_gateway
from zhixin_errors import ConfigError, LedgerRefused, LedgerUnavailable, VerificationError
from zhixin_gateway import pipeline
from zhixin_gateway.datasets import directory
from zhixin_gateway.fetching import fetch
from zhixin_gateway.gate import verify
from zhixin_gateway.gate.standing import parse_standing
from zhixin_gateway.standing_file import find_beside, make_standing
from zhixin_gateway.withdrawing import withdraw
from zhixin_ledger import checkpoint, standing
from zhixin_ledger.client import LedgerClient, WitnessUrl
from zhixin_ledger.note import Note
from zhixin_ledger.standing import Replica, published

from tests.gateway.conftest import AT_FAA

STOPS = "bts.gov.example/stops"
ROWS = [("2024-01-02", "B", 10, "JFK"), ("2024-01-02", "A", 0, None)]


@pytest.fixture
def stops(world):
    """A world with stops@1, and the version's directory."""
    world.fill("stops", ROWS)
    pipeline.run(world.owner, world.stops())
    return world


def path_of(world, version=1):
    return directory.version_path(world.owner.store, STOPS, version)


def judged(world, data, **options):
    return verify(path_of(world), world.owner.trust(), standings=[data], **options)


def test_a_standing_file_proves_standing_to_somebody_without_the_ledger(stops):
    data = make_standing(stops.owner.ledger_client(), STOPS)
    verdict = judged(stops, data, require_standing=True, max_age=timedelta(hours=1))
    assert verdict.ok, verdict.message
    assert verdict.status("standing") == "passed"
    late = datetime.now(UTC) + timedelta(hours=2)
    assert judged(stops, data, max_age=timedelta(hours=1), now=late).code == "stale"


def test_the_next_standing_file_tells_of_a_withdrawal_and_a_later_version(stops):
    client = stops.owner.ledger_client()
    before = make_standing(client, STOPS)
    pipeline.run(stops.owner, stops.stops(), force=True)
    withdraw(stops.owner, STOPS, 1, "error")
    client.sync()
    after = make_standing(client, STOPS)
    assert judged(stops, before).ok
    assert judged(stops, after).code == "withdrawn"
    fact = parse_standing(after).fact
    assert (fact.version, fact.withdrawn) == (2, (1,))


def test_a_copy_ahead_of_its_checkpoint_proves_what_has_a_quorum(stops):
    """A witness replays what is not published yet: the file is made for what is."""
    home = stops.owner
    client = home.ledger_client()
    small = make_standing(client, STOPS)
    own = LedgerClient.open(
        home.ledger_dir,
        home.resolved(home.settings.ledger_url),
        [WitnessUrl(w.name, home.resolved(w.url)) for w in home.settings.witnesses][:1],
    )
    with pytest.raises(LedgerUnavailable, match="cosign"):
        withdraw(replace_client(home, own), STOPS, 1, "error")
    size = checkpoint.parse(Note.parse(client.checkpoint()).text).size
    assert client.state().size > size
    assert 1 in client.dataset(STOPS).withdrawn
    assert make_standing(client, STOPS) == small
    assert judged(stops, small).ok


def replace_client(home, client):
    """A home whose view of the ledger has only so many witnesses."""

    class Few:
        signer = staticmethod(home.signer)
        ledger_client = staticmethod(lambda: client)

    return Few


def test_a_dataset_that_the_ledger_does_not_know_has_none(stops):
    with pytest.raises(LedgerRefused) as caught:
        make_standing(stops.owner.ledger_client(), "bts.gov.example/nothing")
    assert caught.value.code == "version-unknown"


def test_a_replica_goes_on_where_it_was_and_begins_anew_where_it_must(stops, tmp_path, monkeypatch):
    monkeypatch.setattr(standing, "_CHUNK", 1)
    client = stops.owner.ledger_client()
    first = published(client.source)
    replica = Replica(tmp_path / "replica.sqlite")
    assert replica.at(first, client.source).size == checkpoint.parse(first.text).size
    replica.close()
    withdraw(stops.owner, STOPS, 1, "error")
    client.sync()
    second = published(client.source)
    again = Replica(tmp_path / "replica.sqlite")
    assert again.size == checkpoint.parse(first.text).size
    with pytest.raises(LedgerUnavailable, match="not at hand yet"):
        again.at(second, client.source, limit_s=-1)
    assert again.at(second, client.source).dataset(STOPS).withdrawn == (1,)
    assert again.at(first, client.source).dataset(STOPS).withdrawn == ()
    again.close()


def test_a_mailed_disk_is_verified_with_its_inputs_and_no_network(world, tmp_path):
    world.fill("places", [("JFK", "Kennedy")])
    pipeline.run(world.other, world.places())
    world.fill("stops", ROWS)
    pipeline.run(world.owner, world.stops(place=AT_FAA))
    consumer = world.other
    consumer.ledger_client().sync()
    fetched = fetch(consumer, STOPS, 1, tmp_path / "disk")
    assert [path.name for path in fetched.standings] == ["1.standing.json", "1.standing.1.json"]
    assert list(fetched.standings) == find_beside(fetched.path)
    options = {"strict_inputs": True, "require_standing": True, "beside": True}
    for folder in (tmp_path / "disk", tmp_path / "elsewhere"):
        if not folder.exists():
            shutil.move(tmp_path / "disk", folder)
        path = folder / STOPS / "1"
        found = find_beside(path)
        verdict = verify(path, consumer.pinned_trust(), standings=found, **options)
        assert verdict.ok, verdict.message
        assert "1.standing.json beside it" in verdict.warnings[-1]
    alone = verify(path, consumer.pinned_trust(), standings=found[:1], **options)
    assert alone.code == "stale"
    shutil.move(tmp_path / "elsewhere", tmp_path / "disk")
    withdraw(consumer, "faa.gov.example/places", 1, "error")
    assert not fetch(consumer, STOPS, 1, tmp_path / "disk").new
    path = tmp_path / "disk" / STOPS / "1"
    verdict = verify(path, consumer.pinned_trust(), standings=find_beside(path), **options)
    assert verdict.code == "withdrawn"


def test_python_reads_a_mailed_disk_only_where_it_is_said_how_old_it_may_be(
    stops, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = fetch(stops.owner, STOPS, 1, tmp_path / "disk").path
    trust = stops.owner.trust_dir
    with pytest.raises(VerificationError) as caught:
        zhixin_gateway.open(path, trust=trust)
    assert caught.value.code == "stale"
    assert "1.standing.json lies beside it" in caught.value.hint
    opened = zhixin_gateway.open(path, trust=trust, max_age=timedelta(hours=1))
    assert opened.records == 2
    assert any("beside it, as of" in warning for warning in opened.warnings)
    url = f"file:{stops.owner.path}"
    assert zhixin_gateway.open(path, trust=trust, ledger=url).records == 2
    withdraw(stops.owner, STOPS, 1, "error")
    with pytest.raises(VerificationError) as caught:
        zhixin_gateway.open(path, trust=trust, ledger=url)
    assert caught.value.code == "withdrawn"


def test_a_fetch_that_can_write_no_standing_file_says_so(stops, tmp_path, monkeypatch):
    def full(*_):
        raise ConfigError("can't write 1.standing.json: No space left on device")

    monkeypatch.setattr("zhixin_gateway.datasets.directory.write_file", full)
    fetched = fetch(stops.owner, STOPS, 1)
    assert fetched.standings == ()
    assert "No space left" in fetched.notes[0]
