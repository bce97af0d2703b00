"""Threads that work side by side: in order, bounded, and never left behind."""

import threading
import time

import pytest
from zhixin_gateway.lanes import Lane, ahead


def left():
    """Names of the threads that are ours and still live."""
    return [each.name for each in threading.enumerate() if each.name.startswith("zhixin-")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert left() == []


def test_a_lane_does_its_jobs_in_order_and_apart():
    done, lane = [], Lane("zhixin-test")
    for number in range(20):
        lane.put(lambda number=number: done.append((number, threading.current_thread().name)))
    lane.join()
    assert done == [(number, "zhixin-test") for number in range(20)]


def test_a_lane_without_jobs_starts_no_thread():
    lane = Lane("zhixin-test")
    assert left() == []
    lane.join()


def test_what_a_job_raises_reaches_who_puts_and_later_jobs_are_not_done():
    done, lane = [], Lane("zhixin-test")
    failed = threading.Event()

    def fail():
        failed.set()
        raise OSError("the disk is full")

    lane.put(fail)
    failed.wait(5)

    def put_many():
        for _ in range(50):
            lane.put(lambda: done.append(1))
            time.sleep(0.01)

    with pytest.raises(OSError, match="full"):
        put_many()
    with pytest.raises(OSError, match="full"):
        lane.join()
    assert done == []


def test_only_so_many_jobs_wait():
    lane, go = Lane("zhixin-test", depth=2), threading.Event()
    putting = threading.Thread(target=lambda: [lane.put(lambda: go.wait(5)) for _ in range(6)])
    putting.start()
    time.sleep(0.2)
    assert putting.is_alive()
    go.set()
    putting.join(5)
    assert not putting.is_alive()
    lane.join()


def test_an_abandoned_lane_drops_what_waits():
    done, lane, go = [], Lane("zhixin-test", depth=4), threading.Event()
    lane.put(lambda: go.wait(5))
    for _ in range(3):
        lane.put(lambda: done.append(1))
    threading.Timer(0.1, go.set).start()
    lane.abandon()
    assert done == []
    lane.abandon()


class Source:
    """Gives numbers, and tells in which thread it was used and how far it went."""

    def __init__(self, count, error=None, block=None):
        self.count, self.error, self.block = count, error, block
        self.given, self.threads = 0, set()

    def __call__(self):
        self.threads.add(threading.current_thread().name)
        try:
            for number in range(self.count):
                self.given += 1
                yield number
                self.threads.add(threading.current_thread().name)
            if self.block is not None:
                self.block.wait(10)
            if self.error is not None:
                raise self.error
        finally:
            self.threads.add(f"closed in {threading.current_thread().name}")


def test_a_source_is_opened_read_and_closed_in_its_own_thread():
    source = Source(10)
    with ahead(source) as items:
        assert list(items) == list(range(10))
    assert source.threads == {"zhixin-read", "closed in zhixin-read"}


def test_a_source_is_read_a_few_items_ahead_and_no_more():
    source = Source(100)
    with ahead(source, depth=3) as items:
        assert next(items) == 0
        time.sleep(0.2)
        assert source.given <= 6
    assert "closed in zhixin-read" in source.threads


def test_what_a_source_raises_comes_after_what_it_gave():
    got = []
    with pytest.raises(OSError, match="lost"), ahead(Source(5, OSError("lost"))) as items:
        got += items
    assert got == [0, 1, 2, 3, 4]


def test_what_opening_a_source_raises_is_raised_where_it_is_taken():
    def refuse():
        raise OSError("no such table")

    with pytest.raises(OSError, match="no such table"), ahead(refuse) as items:
        next(items)


def leave(source, error, **options):
    with ahead(source, **options) as items:
        next(items)
        raise error


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_leaving_by_an_error_ends_the_reading(error):
    source = Source(1_000_000)
    with pytest.raises(error):
        leave(source, error)
    assert "closed in zhixin-read" in source.threads


def test_a_source_that_blocks_does_not_hang_the_end():
    block = threading.Event()
    began = time.monotonic()
    with pytest.raises(KeyError):
        leave(Source(1, block=block), KeyError, patience_s=0.2)
    assert time.monotonic() - began < 2
    block.set()
    for thread in threading.enumerate():
        if thread.name == "zhixin-read":
            thread.join(5)
