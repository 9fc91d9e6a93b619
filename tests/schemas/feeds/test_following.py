"""Plain logs, record by record."""

import time

import pytest
from feed_reading import next_events, until_marker
from patience import PATIENCE_S

from schemas import feeds
from schemas.feeds import Bad, CaughtUp, Changed, Position, Reached, Reason, Restarted, Skipped
from schemas.rollouts import Ack, AckPhase

ACKS = "rollouts.acks"


def ack(revision):
    return Ack(
        device_id="gw-1",
        revision=revision,
        rollout_id="r1",
        phase=AckPhase.SUCCEEDED,
        model_id="vibration/7",
        reason="",
        at_ms=1_700_000_000_000,
        boot_id="0c8e7d0e-4f4e-4c39-9a4f-0d2a4e3f5b6c",
        seq=revision,
    )


@pytest.fixture
def acks(fleet):
    fleet.make(ACKS, partitions=1)

    def put(*revisions):
        for revision in revisions:
            key, value = fleet.contract.encode(ACKS, ack(revision))
            fleet.put_raw(key, value, name=ACKS)
        fleet.flush()

    return put


def revisions(told):
    return [event.value.revision for event in told if isinstance(event, Changed)]


def test_from_now_on_tells_nothing_of_the_past(cluster, acks):
    acks(1, 2)

    with feeds.follow(cluster, ACKS) as feed:
        past = until_marker(feed)
        acks(3)
        told = next_events(feed, 1)

    assert past == [CaughtUp(ACKS)]
    assert revisions(told) == [3]


def test_from_the_beginning_tells_every_record_of_a_key(cluster, acks):
    acks(1, 2, 3)

    with feeds.follow(cluster, ACKS, from_ms=0) as feed:
        assert revisions(until_marker(feed)) == [1, 2, 3]


def test_from_a_moment_on_goes_by_the_brokers_time(cluster, acks):
    acks(1, 2)
    time.sleep(0.05)
    moment_ms = time.time_ns() // 1_000_000
    time.sleep(0.05)
    acks(3, 4)

    with feeds.follow(cluster, ACKS, from_ms=moment_ms) as feed:
        assert revisions(until_marker(feed)) == [3, 4]


def test_from_a_moment_to_come_begins_at_the_end(cluster, acks):
    acks(1)

    with feeds.follow(cluster, ACKS, from_ms=time.time_ns() // 1_000_000 + 3_600_000) as feed:
        assert until_marker(feed) == [CaughtUp(ACKS)]


def test_a_log_goes_on_from_a_position(cluster, acks):
    acks(1, 2)
    with feeds.follow(cluster, ACKS, from_ms=0) as feed:
        until_marker(feed)
        position = feed.position()
    acks(3)

    with feeds.follow(cluster, ACKS, resume=position) as feed:
        assert revisions(until_marker(feed)) == [3]


def test_records_that_are_gone_are_counted_and_told(cluster, fleet, acks):
    from confluent_kafka import TopicPartition

    acks(1, 2, 3, 4)
    with feeds.follow(cluster, ACKS, from_ms=0) as feed:
        next(iter(feed))
        position = feed.position()
    cut = TopicPartition(cluster.named(ACKS), 0, 3)
    fleet.admin.delete_records([cut])[cut].result(PATIENCE_S)

    with feeds.follow(cluster, ACKS, resume=position) as feed:
        told = until_marker(feed)

    assert told[0] == Skipped(ACKS, 0, 1, 3)
    assert revisions(told) == [4]
    assert feed.counts.skipped == 2


def test_records_that_vanish_under_a_live_reader_are_told_as_well(cluster, fleet, acks):
    from confluent_kafka import TopicPartition

    acks(*range(1, 4))
    with feeds.follow(cluster, ACKS, resume=None, from_ms=0) as feed:
        position = Position(feed.position().topic_id, {0: Reached(0, 0)})
    acks(*range(4, 8))
    cut = TopicPartition(cluster.named(ACKS), 0, 5)

    with feeds.follow(cluster, ACKS, resume=position) as feed:
        # Cut after the beginning was settled, before the first fetch.
        fleet.admin.delete_records([cut])[cut].result(PATIENCE_S)
        told = until_marker(feed)

    assert revisions(told)[-2:] == [6, 7]
    # Either it was fetched in time, or the loss is told.
    assert revisions(told) == [1, 2, 3, 4, 5, 6, 7] or Skipped(ACKS, 0, 0, 5) in told


def test_a_place_behind_the_end_is_told(cluster, acks):
    acks(1)
    with feeds.follow(cluster, ACKS, from_ms=0) as feed:
        beyond = Position(feed.position().topic_id, {0: Reached(99, 0)})

    with feeds.follow(cluster, ACKS, resume=beyond) as feed:
        told = until_marker(feed)

    assert isinstance(told[0], Restarted)
    assert told[0].reason is Reason.POSITION_GONE
    assert revisions(told) == [1]


def test_a_record_without_a_value_is_bad_on_a_log(cluster, fleet, acks):
    acks(1)
    fleet.put_raw("gw-1", None, name=ACKS)
    fleet.put_raw(None, b"x", name=ACKS)
    fleet.flush()

    with feeds.follow(cluster, ACKS, from_ms=0) as feed:
        told = until_marker(feed)

    assert [event.reason for event in told if isinstance(event, Bad)] == [
        "value: found none, wanted a record; this topic has no tombstones",
        "key: found None, wanted a text in UTF-8",
    ]
