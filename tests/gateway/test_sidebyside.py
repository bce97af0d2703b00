"""Work in threads: answers and errors in order, and no thread left behind."""

import os
import threading
import time

import pytest
from zhixin_gateway.sidebyside import Stop, Stopped, cores, in_order, read_ahead


def threads():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("zhixin")}


def test_answers_come_in_the_order_of_the_items():
    def work(number, stop):
        time.sleep(0.02 if number % 2 == 0 else 0)
        return number

    assert list(in_order(work, range(20), threads=4, waiting=8)) == list(range(20))
    assert list(in_order(work, range(3), threads=1, waiting=0)) == [0, 1, 2]
    assert list(in_order(work, [], threads=4, waiting=8)) == []
    assert threads() == set()


def test_works_on_as_many_at_once_as_there_are_threads():
    both = threading.Barrier(2, timeout=20)
    assert list(in_order(lambda number, stop: both.wait() >= 0, range(2), threads=2, waiting=2))


def test_the_first_item_that_fails_is_told_of_whichever_failed_first():
    later = threading.Event()

    def work(number, stop):
        if number == 2:
            later.wait(20)
            raise ValueError(number)
        if number == 3:
            later.set()
            raise ValueError(number)
        return number

    answers = in_order(work, range(9), threads=2, waiting=4)
    assert [next(answers), next(answers)] == [0, 1]
    with pytest.raises(ValueError, match="2"):
        next(answers)
    assert threads() == set()


def test_who_stops_asking_stops_the_work_and_throws_away_what_was_done():
    working, stopped, thrown = threading.Event(), threading.Event(), []

    def work(number, stop):
        if number < 2:
            return number
        working.set()
        try:
            while True:
                stop.check()
                time.sleep(0.001)
        except Stopped:
            stopped.set()
            raise

    answers = in_order(work, range(9), threads=2, waiting=4, discard=thrown.append)
    assert next(answers) == 0
    assert working.wait(20)
    answers.close()
    assert stopped.is_set()
    assert thrown == [1]
    assert threads() == set()


def test_no_more_is_begun_than_is_asked_for():
    begun = []
    answers = in_order(lambda n, stop: begun.append(n), iter(range(99)), threads=1, waiting=1)
    next(answers)
    time.sleep(0.05)
    assert begun == [0, 1]
    answers.close()


def test_reads_one_item_ahead():
    taken = []

    def items():
        for number in range(5):
            taken.append(number)
            yield number

    ahead = read_ahead(items())
    assert next(ahead) == 0
    time.sleep(0.05)
    assert taken == [0, 1]
    assert list(ahead) == [1, 2, 3, 4]

    def broken():
        yield 1
        raise OSError("gone")

    ahead = read_ahead(broken())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="gone"):
        next(ahead)
    assert threads() == set()


def test_counts_cores_where_the_system_does_not_say_which_may_be_used(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() >= 1


def test_work_that_is_wanted_goes_on():
    stop = Stop()
    stop.check()
    stop.set()
    with pytest.raises(Stopped):
        stop.check()
    assert cores() >= 1
