"""Whatever ends a run while its threads are at work: nothing half-done stays, and no thread."""

import threading

import pytest
from zhixin_errors import ConfigError, PermanentSourceError
from zhixin_gateway import pipeline
from zhixin_gateway.datasets import directory, sinks, writer
from zhixin_gateway.home import Home
from zhixin_gateway.pipeline import intake, streaming

DATASET = "bts.gov.example/stops"


@pytest.fixture
def filled(world, some_stops, monkeypatch):
    """A world with a source that comes in many batches."""
    world.fill("stops", sorted(some_stops))
    opened = Home.open_source

    def in_small_batches(home, *arguments):
        connector = opened(home, *arguments)
        read = connector.read

        def some(request):
            for extracted in read(request):
                for start in range(0, extracted.batch.num_rows, 100):
                    yield type(extracted)(
                        extracted.batch.slice(start, 100), [], start, extracted.raw_source
                    )

        connector.read = some
        return connector

    monkeypatch.setattr(Home, "open_source", in_small_batches)
    return world


def nothing_is_left(world):
    assert [t.name for t in threading.enumerate() if t.name.startswith("zhixin-")] == []
    home = world.owner
    assert [p for p in home.staging.rglob("*") if p.is_file() and p.suffix != ".lock"] == []
    assert directory.list_versions(home.store, DATASET) == []
    assert list((home.store / DATASET).rglob("*")) == []


def fails_once(monkeypatch, owner, name, nth, error):
    """Let the nth call of a method raise."""
    original, count = getattr(owner, name), []

    def failing(*arguments, **options):
        count.append(1)
        if len(count) == nth:
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, failing)


PLACES = {
    "while it is judged": (intake.Intake, "take", 7),
    "while it is cut and hashed": (streaming.Parts, "_write", 5),
    "while it is encoded": (writer._Encoder, "append", 5),
    "at the end": (writer.VersionWriter, "finish", 1),
}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()], ids=["Ctrl-C", "memory"])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_an_error_in_any_thread_ends_the_run(filled, monkeypatch, place, error):
    with monkeypatch.context() as patch:
        fails_once(patch, *place, error)
        with pytest.raises(type(error)):
            pipeline.run(filled.owner, filled.stops())
    nothing_is_left(filled)
    result = pipeline.run(filled.owner, filled.stops())
    assert (result.version, result.records) == (1, 3_000)


def test_a_full_disk_is_told_and_leaves_nothing(filled, monkeypatch):
    def full(_file, _data):
        raise ConfigError("can't write part-00000.parquet: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sinks._LocalFile, "write", full)
        with pytest.raises(ConfigError, match="No space left"):
            pipeline.run(filled.owner, filled.stops())
    nothing_is_left(filled)


def test_a_source_that_breaks_in_the_midst_ends_the_run_with_its_own_error(filled, monkeypatch):
    opened = Home.open_source

    def breaking(home, *arguments):
        connector = opened(home, *arguments)
        read = connector.read

        def some(request):
            for number, extracted in enumerate(read(request)):
                if number == 9:
                    raise PermanentSourceError("the table is gone")
                yield extracted

        connector.read = some
        return connector

    with monkeypatch.context() as patch:
        patch.setattr(Home, "open_source", breaking)
        with pytest.raises(PermanentSourceError, match="the table is gone"):
            pipeline.run(filled.owner, filled.stops())
    nothing_is_left(filled)


def test_parts_are_written_while_records_are_still_being_read(filled, monkeypatch):
    seen = []
    write = streaming.Parts._write
    monkeypatch.setattr(
        streaming.Parts,
        "_write",
        lambda self, batch: (seen.append(threading.current_thread().name), write(self, batch)),
    )
    take = intake.Intake.take
    at = []
    monkeypatch.setattr(
        intake.Intake, "take", lambda self, each: (at.append(len(seen)), take(self, each))
    )
    pipeline.run(filled.owner, filled.stops())
    assert set(seen) == {"zhixin-hash"}
    assert at[-1] > 20  # of thirty batches
