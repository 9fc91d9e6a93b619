"""Going on from a kept position, exactly; or anew, and told so, where that may have missed something."""

import itertools

import pytest
from feed_reading import next_events, until_marker
from patience import eventually

from schemas import feeds
from schemas.feeds import CaughtUp, Changed, Position, Reason, Restarted
from schemas.feeds.feed import wall_ms

COMMANDS = "rollouts.commands"
DAY_MS = 86_400_000


def revisions(events):
    return [event.value.revision for event in events if isinstance(event, Changed)]


def kept(feed):
    """The position as it comes back from a disk."""
    return Position.from_json(feed.position().to_json())


def test_a_reader_goes_on_exactly_where_it_was(cluster, fleet, command):
    fleet.make(partitions=3)
    numbers = range(1, 61)
    fleet.put(*(command(f"gw-{number % 7}", number) for number in numbers))
    seen, position = [], None

    # Sixty records, read seven at a time by a reader that comes and goes.
    while len(seen) < 60:
        with feeds.read(cluster, COMMANDS, resume=position) as feed:
            for event in feed:
                if isinstance(event, Changed):
                    seen.append(event.value.revision)
                if isinstance(event, CaughtUp) or len(seen) % 7 == 0:
                    position = kept(feed)
                    break

    assert sorted(seen) == list(numbers)


def test_filtered_records_count_as_read(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1), command("gw-2", 2), command("gw-2", 3))

    with feeds.read(cluster, COMMANDS, keys={"gw-1"}) as feed:
        until_marker(feed)
        position = kept(feed)

    assert position.partitions[0].next_offset == 3


def test_what_happened_meanwhile_comes_before_the_marker(cluster, fleet, command):
    fleet.make()
    fleet.put(command("gw-1", 1))
    with feeds.read(cluster, COMMANDS) as feed:
        until_marker(feed)
        position = kept(feed)
    fleet.put(command("gw-2", 2))
    fleet.forget("gw-1")

    with feeds.read(cluster, COMMANDS, resume=position) as feed:
        told = until_marker(feed)

    assert sorted((type(event).__name__, event.key) for event in told[:-1]) == [
        ("Changed", "gw-2"),
        ("Deleted", "gw-1"),
    ]


def test_a_recreated_topic_is_read_anew_and_the_reader_is_told(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1), command("gw-2", 2))
    with feeds.read(cluster, COMMANDS) as feed:
        until_marker(feed)
        position = kept(feed)
    fleet.drop()
    fleet.make(partitions=1)
    # As long as the old one and longer: by offsets alone the position looks right.
    fleet.put(command("gw-3", 3), command("gw-4", 4), command("gw-5", 5))

    with feeds.read(cluster, COMMANDS, resume=position) as feed:
        told = until_marker(feed)

    assert isinstance(told[0], Restarted)
    assert told[0].reason is Reason.NEW_TOPIC
    assert revisions(told) == [3, 4, 5]
    assert feed.counts.restarts == 1


def test_a_topic_recreated_under_a_live_reader_is_read_anew(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1), command("gw-2", 2))

    with feeds.read(cluster, COMMANDS, check_every_s=0.5) as feed:
        until_marker(feed)
        fleet.drop()
        fleet.make(partitions=1)
        fleet.put(command("gw-3", 3), command("gw-4", 4), command("gw-5", 5))
        told = until_marker(feed)

    # It may have told of the new topic before it noticed; what counts is what follows the restart.
    (restart,) = [number for number, event in enumerate(told) if isinstance(event, Restarted)]
    assert told[restart].reason is Reason.NEW_TOPIC
    assert revisions(told[restart:]) == [3, 4, 5]


def test_a_pause_longer_than_tombstones_live_is_read_anew(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1), command("gw-2", 2))
    with feeds.read(cluster, COMMANDS) as feed:
        until_marker(feed)
        position = kept(feed)
    # Somebody forgets gw-1, and after eight days nothing is left that says so.
    fleet.put(command("gw-2", 3))

    with feeds.read(cluster, COMMANDS, resume=position, clock_ms=lambda: wall_ms() + 8 * DAY_MS) as feed:
        told = until_marker(feed)

    assert isinstance(told[0], Restarted)
    assert told[0].reason is Reason.AWAY_TOO_LONG
    assert "the topic remembers for 168.0 h" in told[0].detail
    assert revisions(told) == [1, 2, 3]


@pytest.mark.nightly
def test_a_real_tombstone_that_died_during_a_pause_leaves_no_ghost(cluster, fleet, command):
    fleet.make(
        partitions=1,
        delete_retention_ms=4000,
        min_cleanable_dirty_ratio="0.001",
        segment_ms=1,
        max_compaction_lag_ms=1,
    )
    fleet.put(command("gw-1", 1), command("gw-2", 2))
    with feeds.read(cluster, COMMANDS) as feed:
        state = {event.key for event in until_marker(feed) if isinstance(event, Changed)}
        position = kept(feed)
    fleet.forget("gw-1")
    wait_until_no_tombstone_is_left(cluster, fleet, command)

    with feeds.read(cluster, COMMANDS, resume=position) as feed:
        for event in until_marker(feed):
            match event:
                case Restarted():
                    state.clear()
                case Changed(key=key):
                    state.add(key)

    assert "gw-1" not in state
    assert "gw-2" in state


def wait_until_no_tombstone_is_left(cluster, fleet, command):
    def is_gone():
        # The last segment is never compacted, so something has to follow.
        fleet.put(command("gw-2", 9))
        with feeds.read(cluster, COMMANDS) as feed:
            until_marker(feed)
            return not feed.counts.deletes

    eventually(is_gone, or_say="the tombstone is still there")


def test_a_pause_during_which_nothing_was_written_is_no_reason_to_read_anew(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1))
    with feeds.read(cluster, COMMANDS) as feed:
        until_marker(feed)
        position = kept(feed)

    with feeds.read(cluster, COMMANDS, resume=position, clock_ms=lambda: wall_ms() + 30 * DAY_MS) as feed:
        told = until_marker(feed)

    assert told == [CaughtUp(COMMANDS)]


def test_a_reader_that_stands_still_for_too_long_reads_anew(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1))
    later_ms = 0

    with feeds.read(cluster, COMMANDS, clock_ms=lambda: wall_ms() + later_ms) as feed:
        until_marker(feed)
        fleet.put(command("gw-1", 2))
        later_ms = 8 * DAY_MS
        told = until_marker(feed)

    assert [type(event) for event in told] == [Restarted, Changed, Changed, CaughtUp]
    assert told[0].reason is Reason.AWAY_TOO_LONG


def test_a_reader_that_keeps_watching_a_quiet_topic_has_missed_nothing(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1))
    later_ms = 0

    with feeds.read(cluster, COMMANDS, check_every_s=0.1, clock_ms=lambda: wall_ms() + later_ms) as feed:
        until_marker(feed)
        for _ in range(5):
            # Two days at a time, ten in all, and never unwatched for seven.
            later_ms += 2 * DAY_MS
            now_ms = wall_ms() + later_ms
            eventually(lambda now_ms=now_ms: feed.poll(0.1) or feed.position().partitions[0].as_of_ms >= now_ms)
        fleet.put(command("gw-1", 2))
        told = next_events(feed, 1)

    assert revisions(told) == [2]
    assert feed.counts.restarts == 0


def test_the_place_before_an_untold_restart_is_the_old_one(cluster, fleet, command):
    fleet.make(partitions=1)
    fleet.put(command("gw-1", 1))
    with feeds.read(cluster, COMMANDS) as feed:
        until_marker(feed)
        position = kept(feed)
    fleet.drop()
    fleet.make(partitions=1)

    with feeds.read(cluster, COMMANDS, resume=position) as feed:
        # Kept now and resumed from, it must lead to the same restart.
        assert kept(feed) == position
        assert isinstance(until_marker(feed)[0], Restarted)
        assert kept(feed) != position


def test_tombstones_that_live_shorter_than_reading_takes_are_refused(cluster, fleet, command):
    fleet.make(partitions=1, delete_retention_ms=0)
    fleet.put(command("gw-1", 1))

    with (
        pytest.raises(feeds.FeedRefusedError, match=r"delete.retention.ms is 0, wanted more than a reader takes"),
        feeds.read(cluster, COMMANDS, clock_ms=clock_of_a_slow_reader()) as feed,
    ):
        until_marker(feed)


def clock_of_a_slow_reader():
    """An hour passes whenever it looks."""
    hours = itertools.count(1)
    return lambda: next(hours) * 3_600_000


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"topic_id": "x", "partitions": {"0": [-1, 0]}}', "null", b"\xff"])
def test_a_position_that_is_none_is_named(text):
    with pytest.raises(feeds.PositionError, match="saved position: found") as refused:
        Position.from_json(text)

    assert "read anew" in refused.value.hint


def test_a_position_without_a_partition_that_is_read_now_is_read_anew(cluster, fleet, command):
    fleet.make(partitions=3)
    with feeds.read(cluster, COMMANDS, partitions=[1]) as feed:
        until_marker(feed)
        position = kept(feed)

    with feeds.read(cluster, COMMANDS, resume=position) as feed:
        told = until_marker(feed)

    assert isinstance(told[0], Restarted)
    assert told[0].reason is Reason.POSITION_GONE
