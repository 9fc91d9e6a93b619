"""Windows are written beside the loop: in order, whole, and never silently not."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge_gateway.config import SpoolConfig
from edge_gateway.spool import Lane, Spool
from edge_gateway.writer import Writer
from schemas.operators import AuditEntry


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool.db", SpoolConfig(), now_ms=0) as opened:
        yield opened


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as one:
        yield one


def entry(number):
    made = AuditEntry(subject="device/d", action=str(number), who="test", why="", at_ms=number)
    return lambda write: write.put(Lane.CONTROL, "audit.log", made, number)


def waiting(spool):
    return [record.made_ms for record in spool.live(0, 1_000)]


def test_without_an_executor_it_is_there_on_return(spool):
    Writer(spool, None).soon(entry(1), 0)

    assert waiting(spool) == [1]


def test_who_writes_soon_does_not_wait_for_the_disk(spool, executor):
    free = threading.Event()
    executor.submit(free.wait, 10)
    writer = Writer(spool, executor)

    for number in range(5):
        writer.soon(entry(number), 0)
        writer.go_on(0)

    assert waiting(spool) == []
    free.set()
    writer.finish(0)
    assert waiting(spool) == [0, 1, 2, 3, 4]


def test_nothing_begins_between_two_decisions_unless_the_loop_says_so(spool, executor):
    writer = Writer(spool, executor)
    writer.soon(entry(1), 0)
    executor.submit(int).result()

    assert waiting(spool) == []
    writer.go_on(0)
    writer.finish(0)
    assert waiting(spool) == [1]


def test_what_is_written_at_once_comes_after_what_waited(spool, executor):
    free = threading.Event()
    executor.submit(free.wait, 10)
    writer = Writer(spool, executor)
    writer.soon(entry(1), 0)
    writer.go_on(0)

    spool.write(entry(2), now_ms=0)

    assert waiting(spool) == [1, 2]
    free.set()
    writer.finish(0)
    assert waiting(spool) == [1, 2]


def test_what_goes_wrong_beside_the_loop_stops_the_loop(spool, executor):
    def broken(write):
        raise ZeroDivisionError

    writer = Writer(spool, executor)
    writer.soon(broken, 0)
    writer.soon(entry(1), 0)
    writer.go_on(0)
    executor.submit(int).result()

    with pytest.raises(ZeroDivisionError):
        writer.go_on(0)
    writer.finish(0)
    assert waiting(spool) == [1]
