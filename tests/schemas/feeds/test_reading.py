"""Reading a compacted topic over a real broker: the state, the marker, the changes."""

import time

import pytest
from confluent_kafka import TopicPartition
from feed_reading import next_events, until_marker
from patience import PATIENCE_S, eventually

from schemas import feeds
from schemas.catalogue import topic_named
from schemas.errors import DriftlineError
from schemas.feeds import Bad, CaughtUp, Changed, Deleted
from schemas.topics import WrongCleanupError

COMMANDS = "rollouts.commands"


def keys_of(events):
    return [event.key for event in events if isinstance(event, Changed)]


def test_the_state_comes_first_then_the_marker_then_changes(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1"), command("gw-2"))

    with feeds.read(cluster, COMMANDS) as feed:
        state = until_marker(feed)
        fleet.put(command("gw-1", 2))
        (change,) = next_events(feed, 1)

    assert sorted(keys_of(state)) == ["gw-1", "gw-2"]
    assert [type(event) for event in state].count(CaughtUp) == 1
    assert (change.key, change.value.revision, change.topic) == ("gw-1", 2, COMMANDS)
    assert change.at_ms > 1_700_000_000_000


def test_an_empty_topic_reaches_the_marker_at_once(cluster, fleet):
    fleet.make(partitions=12)

    with feeds.read(cluster, COMMANDS) as feed:
        told = feed.poll(0)

    assert told == [CaughtUp(COMMANDS)]


def test_partitions_without_records_do_not_hold_up_the_marker(cluster, fleet, command):
    fleet.make(partitions=5)
    fleet.put(command("gw-1"), partition=3)

    with feeds.read(cluster, COMMANDS) as feed:
        told = until_marker(feed)

    assert keys_of(told) == ["gw-1"]


def test_tombstones_are_told_as_deletes(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1"), command("gw-2"))
    fleet.forget("gw-1")

    with feeds.read(cluster, COMMANDS) as feed:
        told = until_marker(feed)
        fleet.forget("gw-2")
        (gone,) = next_events(feed, 1)

    assert [event.key for event in told if isinstance(event, Deleted)] == ["gw-1"]
    assert isinstance(gone, Deleted)
    assert gone.key == "gw-2"
    assert feed.counts.deletes == 2


def test_only_committed_transactions_are_told_and_their_ends_do_not_hold_up_the_marker(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.transaction(command("gw-1", 1), commit=True)
    fleet.transaction(command("gw-1", 2), command("gw-2"), commit=False)
    fleet.transaction(command("gw-3"), commit=True)
    fleet.transaction(command("gw-4"), commit=False)

    with feeds.read(cluster, COMMANDS) as feed:
        told = until_marker(feed)
        place = feed.position()

    assert [(event.key, event.value.revision) for event in told[:-1]] == [("gw-1", 1), ("gw-3", 1)]
    # Five records and four ends of transactions: the place is behind them all.
    assert place.partitions[0].next_offset == 9


def test_an_open_transaction_is_told_when_it_is_committed(cluster, fleet, command):
    fleet.make(partitions=1)
    producer = fleet.open_transaction(command("gw-1"))

    with feeds.read(cluster, COMMANDS) as feed:
        before = until_marker(feed)
        producer.commit_transaction(PATIENCE_S)
        (after,) = next_events(feed, 1)

    assert before == [CaughtUp(COMMANDS)]
    assert after.key == "gw-1"


def test_gaps_that_compaction_left_are_read_over(cluster, fleet, command):
    fleet.make(partitions=1, min_cleanable_dirty_ratio="0.001", segment_ms=1, max_compaction_lag_ms=1)
    for revision in range(1, 41):
        fleet.put(command("gw-1", revision))
    fleet.put(command("gw-2"))
    wait_until_compacted(cluster, records=20)

    with feeds.read(cluster, COMMANDS) as feed:
        told = until_marker(feed)

    revisions = [event.value.revision for event in told if isinstance(event, Changed) and event.key == "gw-1"]
    assert len(revisions) < 40
    assert revisions[-1] == 40
    assert keys_of(told)[-1] == "gw-2"


def wait_until_compacted(cluster, *, records):
    """Wait until the log has at most so many records left."""

    def left():
        with feeds.read(cluster, COMMANDS) as feed:
            return len(until_marker(feed)) - 1

    eventually(lambda: left() <= records, or_say=lambda: f"{left()} records are left")


def test_keys_and_values_can_be_chosen(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1", 1), command("gw-2", 1), command("gw-1", 7), command("gw-3", 9))

    with feeds.read(cluster, COMMANDS, keys={"gw-1", "gw-2"}, where=lambda value: value.revision > 5) as feed:
        told = until_marker(feed)

    assert [(event.key, event.value.revision) for event in told[:-1]] == [("gw-1", 7)]
    assert (feed.counts.records, feed.counts.filtered) == (1, 3)


def test_one_partition_can_be_read_alone(cluster, fleet, command):
    fleet.make(partitions=12)
    fleet.put(*(command(f"gw-{number}") for number in range(40)))
    home = feeds.partition_of("gw-7", 12)

    with feeds.read(cluster, COMMANDS, partitions=[home]) as feed:
        told = until_marker(feed)

    neighbours = [f"gw-{number}" for number in range(40) if feeds.partition_of(f"gw-{number}", 12) == home]
    assert sorted(keys_of(told)) == sorted(neighbours)
    assert len(neighbours) < 40


@pytest.mark.parametrize("partition", [12, -1])
def test_a_partition_that_is_not_there_is_refused(cluster, fleet, partition):
    fleet.make(partitions=12)

    with (
        pytest.raises(feeds.PositionError, match=rf"partition {partition} of .*, wanted one of 0 to 11"),
        feeds.read(cluster, COMMANDS, partitions=[partition]),
    ):
        pass


def test_bad_records_are_told_and_counted_and_take_nothing_with_them(cluster, fleet, command):
    fleet.make(partitions=1)
    key, value = fleet.contract.encode(COMMANDS, command("gw-2"))
    fleet.put(command("gw-1"))
    fleet.put_raw(key, b"\x01" + value[1:])
    fleet.put_raw(key, value[:-3])
    fleet.put_raw(b"gw-9", value)
    fleet.put_raw(b"\xff\xfe", value)
    fleet.put_raw(key, b"")
    fleet.put_raw(key, value[:1] + (987_654).to_bytes(4, "big") + value[5:])
    fleet.put(command("gw-3"))

    with feeds.read(cluster, COMMANDS) as feed:
        told = until_marker(feed)

    bad = [event for event in told if isinstance(event, Bad)]
    assert keys_of(told) == ["gw-1", "gw-3"]
    assert [event.offset for event in bad] == [1, 2, 3, 4, 5, 6]
    assert feed.counts.bad == 6
    assert "magic byte" in bad[0].reason
    assert "gw-9" in bad[2].reason
    assert "UTF-8" in bad[3].reason
    assert "987654" in bad[5].reason
    assert bad[0].raw_value == b"\x01" + value[1:]


def test_a_wrong_cleanup_policy_is_refused(cluster, fleet, command):
    fleet.make(cleanup_policy="delete")

    with pytest.raises(WrongCleanupError, match=r"cleanup.policy is delete, wanted compact: state that nobody renews"):
        feeds.read(cluster, COMMANDS).open()


def test_a_plain_log_has_no_state_to_read(cluster):
    with pytest.raises(DriftlineError, match="is a plain log") as refused:
        feeds.read(cluster, "rollouts.acks")

    assert "follow()" in refused.value.hint


def test_a_topic_that_is_not_there_is_named(cluster):
    with pytest.raises(feeds.TopicMissingError, match=f"there is no topic {cluster.prefix}{COMMANDS}") as missing:
        feeds.read(cluster, COMMANDS).open()

    assert "topics create" in missing.value.hint


def test_a_hundred_thousand_records_are_caught_up_with_in_seconds(cluster, fleet, command):
    fleet.make(partitions=4)
    key, value = fleet.contract.encode(COMMANDS, command("gw-1"))
    for _ in range(100_000):
        fleet.put_raw(key, value)
    fleet.flush()

    with feeds.read(cluster, COMMANDS) as feed:
        began = time.monotonic()
        told = until_marker(feed, poll_s=1)
        took_s = time.monotonic() - began

    print(f"{100_000 / took_s:,.0f} records/s")
    assert len(told) == 100_001
    # Seen: well above 20,000 records/s. A fetch brings a thousand at most: with a second's wait each it took 100 s.
    assert took_s < 60


def test_a_topic_of_the_catalogue_may_be_given_as_such(cluster, fleet):
    fleet.make()

    with feeds.read(cluster, topic_named(COMMANDS)) as feed:
        assert until_marker(feed) == [CaughtUp(COMMANDS)]


def test_no_group_is_left_behind(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1"))

    with feeds.read(cluster, COMMANDS) as feed:
        until_marker(feed)

    groups = fleet.admin.list_consumer_groups(request_timeout=PATIENCE_S).result().valid
    assert "driftline-feeds" not in {group.group_id for group in groups}


def test_aborts_without_end_do_not_hold_up_the_marker(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1"))
    for _ in range(20):
        fleet.transaction(command("gw-2"), commit=False)

    with feeds.read(cluster, COMMANDS) as feed:
        assert keys_of(until_marker(feed)) == ["gw-1"]


def test_positions_are_not_committed_anywhere(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1"))

    for _ in range(2):
        with feeds.read(cluster, COMMANDS) as feed:
            assert keys_of(until_marker(feed)) == ["gw-1"]

    assert TopicPartition(cluster.named(COMMANDS), 0).offset == -1001
