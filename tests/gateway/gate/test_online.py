"""Standing asked of a ledger over the network: what a server may and may not show."""

import shutil
from contextlib import ExitStack
from copy import copy
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from zhixin_errors import ConfigError, LedgerUnavailable, VerificationError
from zhixin_gateway import pipeline
from zhixin_gateway.datasets import directory
from zhixin_gateway.gate import verify
from zhixin_gateway.gate.online import OnlineLedger
from zhixin_gateway.home import Home
from zhixin_gateway.online import Seen, ask, seen_folder
from zhixin_gateway.withdrawing import withdraw
from zhixin_ledger import checkpoint, tiles
from zhixin_ledger.equivocation import Report
from zhixin_ledger.http.answers import tell_problems
from zhixin_ledger.http.serving import running
from zhixin_ledger.http.standing_routes import standing_routes
from zhixin_ledger.http.tile_routes import tile_routes
from zhixin_ledger.note import Note
from zhixin_ledger.tiles import DirectorySource

from tests.gateway.conftest import World as Homes

STOPS = "bts.gov.example/stops"
ROWS = [("2024-01-02", "B", 10, "JFK"), ("2024-01-02", "A", 0, None)]


class Consumer:
    """Somebody without a home: a trust, a version's directory, and what was seen."""

    def __init__(self, homes, folder):
        self.trust = homes.owner.trust()
        self.origin = self.trust.origin
        self.folder = folder
        self.version = folder / STOPS / "1"
        shutil.copytree(directory.version_path(homes.owner.store, STOPS, 1), self.version)
        self.seen = Seen(folder / "seen")

    def verify(self, source, **options):
        ledger = OnlineLedger("the server", source, self.seen)
        options = {"require_standing": True, **options}
        return verify(self.version, self.trust, ledger=ledger, **options)

    @property
    def seen_size(self):
        return checkpoint.parse(self.seen.last(self.origin).text).size


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """Two members' homes and stops@1; every test has its own copy."""
    homes = Homes(tmp_path_factory.mktemp("founded") / "homes")
    homes.fill("stops", ROWS)
    pipeline.run(homes.owner, homes.stops())
    return homes


@pytest.fixture
def homes(founded, tmp_path):
    homes = copy(founded)
    homes.folder = shutil.copytree(founded.folder, tmp_path / "homes")
    homes.owner = Home.open(homes.folder / founded.owner.member)
    return homes


@pytest.fixture
def consumer(homes, tmp_path):
    return Consumer(homes, tmp_path / "consumer")


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Serve a log's folder over HTTP; gives the source that asks it."""
    from zhixin_ledger.http.client import HttpSource

    with ExitStack() as stack:

        def start(folder, *, standings=True):
            app = FastAPI()
            tell_problems(app)
            app.include_router(tile_routes(folder))
            if standings:
                app.include_router(standing_routes(folder))
            source = HttpSource(stack.enter_context(running(app)))
            stack.callback(source.close)
            return source

        yield start


def log_of(homes):
    return homes.owner.path / "log"


def copied(homes, tmp_path, name="fork"):
    """The whole world once more, with all its keys: it can go another way from here."""
    shutil.copytree(homes.folder, tmp_path / name)
    return Home.open(tmp_path / name / homes.owner.member)


def test_a_consumer_without_a_home_learns_that_a_version_stands(homes, consumer, serve):
    verdict = consumer.verify(serve(log_of(homes)), max_age=timedelta(hours=1))
    assert verdict.ok, verdict.message
    assert verdict.status("standing") == "passed"
    assert consumer.seen_size == verdict.size


def test_a_withdrawal_is_learned_the_moment_it_is_published(homes, consumer, serve):
    source = serve(log_of(homes))
    assert consumer.verify(source).ok
    withdraw(homes.owner, STOPS, 1, "error")
    assert consumer.verify(source).code == "withdrawn"


def test_a_server_without_standings_has_its_entries_replayed(homes, consumer, serve):
    source = serve(log_of(homes), standings=False)
    assert consumer.verify(source).ok
    withdraw(homes.owner, STOPS, 1, "error")
    assert consumer.verify(source).code == "withdrawn"
    assert not list(consumer.folder.glob("**/*.sqlite"))


def test_a_folder_is_asked_by_its_url(homes, consumer, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(consumer.folder))
    for folder in (log_of(homes), homes.owner.path):
        ledger = ask(f"file:{folder}")
        assert verify(consumer.version, consumer.trust, ledger=ledger, require_standing=True).ok
    assert (consumer.folder / "zhixin" / "seen").is_dir()
    with pytest.raises(ConfigError, match="there is no ledger in"):
        ask(f"file:{consumer.folder}")


def test_a_later_checkpoint_of_another_tree_is_forked_and_both_are_kept(
    homes, consumer, serve, tmp_path
):
    fork = copied(homes, tmp_path)
    withdraw(homes.owner, STOPS, 1, "error")
    assert consumer.verify(serve(log_of(homes))).code == "withdrawn"
    pipeline.run(fork, homes.stops(version="1.1.0"))  # longer than what was seen, and another
    verdict = consumer.verify(serve(fork.path / "log"))
    assert verdict.code == "forked"
    assert "two ledgers" in verdict.message
    [report] = (consumer.folder / "seen" / "equivocation").glob("*.json")
    finding = Report.parse(report.read_bytes()).verify(consumer.trust)
    assert finding.log
    assert finding.quorums
    assert str(report) in verdict.message
    assert consumer.verify(serve(log_of(homes))).code == "withdrawn"  # the memory did not move


def test_another_tree_of_the_same_size_is_forked(homes, consumer, serve, tmp_path):
    fork = copied(homes, tmp_path)
    withdraw(homes.owner, STOPS, 1, "error")
    withdraw(fork, STOPS, 1, "other")
    consumer.verify(serve(log_of(homes)))
    assert consumer.verify(serve(fork.path / "log")).code == "forked"
    assert len(list((consumer.folder / "seen" / "equivocation").glob("*.json"))) == 1


def test_an_older_state_shown_again_is_stale(homes, consumer, serve, tmp_path):
    old = copied(homes, tmp_path)
    withdraw(homes.owner, STOPS, 1, "error")
    assert consumer.verify(serve(log_of(homes))).code == "withdrawn"
    verdict = consumer.verify(serve(old.path / "log"))
    assert verdict.code == "stale"
    assert "seen last" in verdict.message


def test_a_smaller_tree_than_the_homes_copy_is_held_to_it(homes, consumer, serve, tmp_path):
    fork = copied(homes, tmp_path)
    withdraw(fork, STOPS, 1, "other")
    pipeline.run(homes.owner, homes.stops(version="1.1.0"))
    ledger = ask(f"file:{fork.path / 'log'}", homes.owner, homes.owner.ledger_view())
    verdict = verify(consumer.version, consumer.trust, ledger=ledger)
    assert verdict.code == "forked"
    assert "this home's copy" in verdict.message
    assert seen_folder(homes.owner) == homes.owner.path / "seen"


def test_a_receipt_of_another_ledger_is_forked(homes, consumer, serve, tmp_path):
    fork = copied(homes, tmp_path)
    pipeline.run(homes.owner, homes.stops(version="1.1.0"))
    pipeline.run(fork, homes.stops(version="1.2.0"))
    shutil.rmtree(consumer.version)
    version = directory.version_path(fork.store, STOPS, 2)
    consumer.version = shutil.copytree(version, consumer.folder / STOPS / "2")
    assert consumer.verify(serve(log_of(homes))).code == "forked"


def test_a_checkpoint_without_its_quorum_or_its_logs_signature_counts_for_nothing(
    homes, consumer, serve, tmp_path
):
    folder = shutil.copytree(log_of(homes), tmp_path / "served")
    note = Note.parse((folder / "checkpoint").read_bytes())
    source = serve(folder)
    for lines, code in (
        ([line for line in note.signatures if "/witness" not in line.name], "quorum"),
        ([line for line in note.signatures if "/witness" in line.name], "log-signature"),
    ):
        bare = Note(note.text, ()).with_signatures(lines)
        (folder / "checkpoint").write_bytes(bare.format())
        assert consumer.verify(source).code == code
        # Also where the standing beside it is signed by all.
        mixed = Lying(serve(log_of(homes)), checkpoint=lambda _, bare=bare: bare.format())
        assert consumer.verify(mixed).code == code
    assert consumer.seen.last(consumer.origin) is None


class Lying:
    """A source that answers something else in one place."""

    def __init__(self, source, **answers):
        self._source = source
        self._answers = answers

    def read(self, path):
        for start, answer in self._answers.items():
            if path.startswith(start):
                return answer(self._source.read(path))
        return self._source.read(path)

    def close(self):
        self._source.close()

    def standing(self, dataset):
        answer = self._answers.get("standing")
        return answer(dataset) if answer else self._source.standing(dataset)


def test_yesterdays_standing_under_todays_checkpoint_says_nothing(homes, consumer, serve):
    source = serve(log_of(homes))
    old = source.standing(STOPS)
    withdraw(homes.owner, STOPS, 1, "error")
    with pytest.raises(LedgerUnavailable) as caught:
        consumer.verify(Lying(source, standing=lambda _: old))
    assert caught.value.code == "ledger-behind"


@pytest.mark.parametrize("answer", [b"", b"{}", b"\xff" * 40])
def test_garbage_is_no_verdict(answer, homes, consumer, serve):
    source = serve(log_of(homes))
    with pytest.raises(LedgerUnavailable):
        consumer.verify(Lying(source, standing=lambda _: answer))
    with pytest.raises(LedgerUnavailable):
        consumer.verify(Lying(source, checkpoint=lambda _: answer))
    withdraw(homes.owner, STOPS, 1, "error")
    with pytest.raises(LedgerUnavailable):
        consumer.verify(Lying(source, tile=lambda _: answer))
    with pytest.raises(LedgerUnavailable):
        consumer.verify(Lying(source, standing=lambda _: None, tile=lambda _: answer))


def test_tiles_that_are_not_the_checkpoints_are_the_servers_fault_not_a_fork(
    homes, consumer, serve
):
    source = serve(log_of(homes))
    assert consumer.verify(source).ok
    withdraw(homes.owner, STOPS, 1, "error")
    with pytest.raises(LedgerUnavailable) as caught:
        consumer.verify(Lying(source, tile=lambda data: data and bytes(len(data))))
    assert caught.value.code == "ledger-damaged"


def test_a_server_that_is_gone_is_no_verdict(consumer, homes, serve):
    from zhixin_ledger.http.client import HttpSource

    with pytest.raises(LedgerUnavailable):
        consumer.verify(HttpSource("http://127.0.0.1:9"))
    assert consumer.seen.last(consumer.origin) is None


def test_what_was_confirmed_too_long_ago_is_stale(homes, consumer, serve):
    late = datetime.now(UTC) + timedelta(hours=2)
    source = serve(log_of(homes))
    verdict = consumer.verify(source, max_age=timedelta(hours=1), now=late)
    assert verdict.code == "stale"
    assert consumer.verify(source, max_age=timedelta(hours=3), now=late).ok


def test_the_memory_never_goes_back(homes, consumer, tmp_path):
    fork = copied(homes, tmp_path)
    source = DirectorySource(log_of(homes))
    small = Note.parse(source.read(tiles.CHECKPOINT))
    withdraw(homes.owner, STOPS, 1, "error")
    large = Note.parse(source.read(tiles.CHECKPOINT))
    withdraw(fork, STOPS, 1, "other")
    other = Note.parse(DirectorySource(fork.path / "log").read(tiles.CHECKPOINT))
    for note in (small, large, small):
        consumer.seen.keep(note)
    assert consumer.seen.last(consumer.origin) == large
    with pytest.raises(VerificationError, match="at once"):
        consumer.seen.keep(other)
    [path] = consumer.seen.folder.glob("*.checkpoint")
    path.write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="seen last"):
        consumer.seen.last(consumer.origin)
