"""Worker processes that stop, fail, are killed, and take partitions from each other."""

import random
import signal
import time

import pytest
from patience import PATIENCE_S

VALUES = [b"%d" % number for number in range(20_000)]


def assert_committed_is_done(workers, partitions: int) -> list[int]:
    """Whatever is committed has been done; returns what is committed."""
    committed = workers.broker.committed(workers.group, workers.topic, partitions)
    workers.log.refresh()
    fronts = [workers.log.front(partition) for partition in range(partitions)]
    assert all(offset <= front for offset, front in zip(committed, fronts, strict=True)), (committed, fronts)
    return committed


def test_sigterm_finishes_the_run_at_hand_and_commits_what_is_done_and_nothing_else(broker, workers):
    topic = broker.topic(partitions=2)
    broker.produce(topic, VALUES)
    group = workers(topic, records_per_s="5000")
    worker = group.start()
    group.wait_for(2_000)

    worker.send_signal(signal.SIGTERM)
    code = worker.wait(PATIENCE_S)

    committed = assert_committed_is_done(group, 2)
    assert code == 0
    assert committed == [group.log.front(0), group.log.front(1)]
    assert sum(committed) < len(VALUES)


# How an agent is handed its runs.
HANDED = [pytest.param({}, id="one by one"), pytest.param({"together": "yes"}, id="all that wait")]


@pytest.mark.parametrize("handed", HANDED)
def test_an_exception_ends_the_worker_and_its_run_is_read_again(broker, workers, handed):
    topic = broker.topic(partitions=1)
    broker.produce(topic, VALUES[:3_000])
    group = workers(topic, **handed)
    failing = group.start(fail_at="1234")

    code = failing.wait(PATIENCE_S)

    [committed] = assert_committed_is_done(group, 1)
    assert code == 1, group.words()
    assert committed == group.log.front(0) <= 1234, group.words()
    assert "told to fail at offset 1234" in group.words()
    group.start()
    group.wait_for(3_000)
    assert group.log.done[0] == list(range(3_000))


@pytest.mark.parametrize("handed", HANDED)
def test_leaving_the_loop_ends_the_worker_and_its_run_is_read_again(broker, workers, handed):
    topic = broker.topic(partitions=1)
    broker.produce(topic, VALUES[:3_000])
    group = workers(topic, **handed)

    code = group.start(leave_at="1234").wait(PATIENCE_S)

    [committed] = assert_committed_is_done(group, 1)
    assert code == 1, group.words()
    assert committed == group.log.front(0) <= 1234, group.words()
    assert "the agent left its loop while working on" in group.words()


def test_a_body_slower_than_the_commits_is_not_committed_before_it_ends(broker, workers):
    topic = broker.topic(partitions=1)
    broker.produce(topic, VALUES[:400])
    group = workers(topic, records_per_s="100")
    group.start()

    while group.log.count() < 400:
        assert_committed_is_done(group, 1)
        time.sleep(0.05)


@pytest.mark.parametrize("seed", range(3))
def test_after_kill_9_every_record_is_done_at_least_once(broker, workers, seed):
    chance = random.Random(seed)
    topic = broker.topic(partitions=4)
    broker.produce(topic, VALUES)
    group = workers(topic, records_per_s="5000")
    first = group.start(instance="a")
    group.wait_for(1)

    time.sleep(chance.uniform(0.05, 1.2))
    first.kill()
    first.wait()
    committed = assert_committed_is_done(group, 4)
    group.start(instance="a")
    group.wait_for(len(VALUES))

    assert sum(offset for offset in committed if offset > 0) < len(VALUES)
    for partition, end in enumerate(broker.ends(topic, 4)):
        assert group.log.front(partition) == end


def test_a_partition_taken_away_while_it_is_worked_on_is_finished_and_not_done_twice(broker, workers):
    topic = broker.topic(partitions=4)
    broker.produce(topic, VALUES * 3)
    group = workers(topic, records_per_s="2500")
    group.start()
    group.wait_for(1_000)

    second = group.start()
    group.wait_until_working(1)
    second.send_signal(signal.SIGTERM)
    group.wait_for(3 * len(VALUES))

    assert second.wait(PATIENCE_S) == 0
    assert group.log.repeated() == 0
    for partition, end in enumerate(broker.ends(topic, 4)):
        assert group.log.done[partition] == list(range(end))
