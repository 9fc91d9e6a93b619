"""Catching up and beginning, as decisions: no broker is asked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.feeds import Position, Reached, Reason, Restarted, Skipped
from schemas.feeds.progress import Progress, after_end, after_records, is_current, may_have_missed
from schemas.feeds.start import Facts, begin_log, begin_state

LIFE_MS = 1_000_000
FACTS = Facts(
    topic="rollouts.commands",
    topic_id="now",
    low={0: 10, 1: 0},
    high={0: 20, 1: 0},
    tombstone_life_ms=LIFE_MS,
    asked_ms=5_000_000,
)

OFFSETS = st.integers(min_value=0, max_value=100)
TIMES = st.integers(min_value=0, max_value=10_000_000)
PROGRESS = st.builds(Progress, next_offset=OFFSETS, target=OFFSETS, as_of_ms=TIMES)


def test_only_reaching_every_target_is_current():
    reached, short = Progress(5, 5, 0), Progress(4, 5, 0)

    assert is_current([reached, reached])
    assert not is_current([reached, short])
    assert is_current([])


def test_the_end_of_a_fetch_counts_where_the_last_offsets_hold_nothing_to_tell():
    before_the_end_of_a_transaction = Progress(next_offset=4, target=5, as_of_ms=0)

    assert is_current([after_end(before_the_end_of_a_transaction, end_offset=5, seen_ms=7)])


def test_an_end_that_was_seen_earlier_takes_nothing_back():
    assert after_end(Progress(9, 5, 3), end_offset=6, seen_ms=99) == Progress(9, 5, 3)


@given(PROGRESS, OFFSETS, TIMES)
def test_ends_never_take_a_reader_back(progress, end_offset, seen_ms):
    after = after_end(progress, end_offset=end_offset, seen_ms=seen_ms)

    assert after.next_offset >= progress.next_offset
    assert after.as_of_ms >= progress.as_of_ms
    assert after.target == progress.target


@given(PROGRESS, TIMES)
def test_old_records_do_not_make_a_reader_older(progress, newest_ms):
    after = after_records(progress, next_offset=progress.next_offset + 1, newest_ms=newest_ms)

    assert after.as_of_ms == max(progress.as_of_ms, newest_ms)


@given(PROGRESS, OFFSETS, TIMES, TIMES)
def test_a_longer_pause_is_never_safer(progress, end_offset, now_ms, longer_ms):
    def missed(at_ms):
        return may_have_missed(progress, end_offset=end_offset, now_ms=at_ms, tombstone_life_ms=LIFE_MS)

    assert missed(now_ms + longer_ms) >= missed(now_ms)


@given(PROGRESS, TIMES)
def test_where_nothing_was_written_nothing_was_missed(progress, now_ms):
    assert not may_have_missed(progress, end_offset=progress.next_offset, now_ms=now_ms, tombstone_life_ms=0)


@pytest.mark.parametrize(("away_ms", "missed"), [(0, False), (899_999, False), (900_001, True), (LIFE_MS, True)])
def test_nine_tenths_of_a_tombstones_life_are_counted_on(away_ms, missed):
    progress = Progress(next_offset=1, target=1, as_of_ms=100)

    assert may_have_missed(progress, end_offset=2, now_ms=100 + away_ms, tombstone_life_ms=LIFE_MS) is missed


def saved(*, topic_id="now", offset=15, as_of_ms=4_900_000, others=True):
    return Position(topic_id, {0: Reached(offset, as_of_ms)} | ({1: Reached(0, as_of_ms)} if others else {}))


def test_without_a_position_a_state_is_read_from_what_is_left():
    start = begin_state(FACTS, None)

    assert start.told == ()
    assert start.progress == {0: Progress(10, 20, 5_000_000), 1: Progress(0, 0, 5_000_000)}


def test_a_good_position_is_gone_on_from():
    start = begin_state(FACTS, saved())

    assert start.told == ()
    assert start.progress[0] == Progress(15, 20, 4_900_000)
    # Nothing was written to the other partition, so the reader is as good as new there.
    assert start.progress[1] == Progress(0, 0, 5_000_000)


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        pytest.param(saved(topic_id="before"), Reason.NEW_TOPIC, id="another topic of the same name"),
        pytest.param(saved(as_of_ms=4_000_000), Reason.AWAY_TOO_LONG, id="away for a tombstone's life"),
        pytest.param(saved(offset=9), Reason.POSITION_GONE, id="before what is left"),
        pytest.param(saved(offset=21), Reason.POSITION_GONE, id="behind the end"),
        pytest.param(saved(others=False), Reason.POSITION_GONE, id="a partition it says nothing of"),
    ],
)
def test_a_bad_position_is_given_up_as_a_whole_and_told(position, reason):
    start = begin_state(FACTS, position)

    (told,) = start.told
    assert isinstance(told, Restarted)
    assert told.reason is reason
    assert start.progress == begin_state(FACTS, None).progress


@pytest.mark.parametrize("offset", [10, 20])
def test_the_borders_of_what_is_left_are_places(offset):
    assert begin_state(FACTS, saved(offset=offset)).told == ()


def test_a_log_begins_where_it_is_told_to():
    assert begin_log(FACTS, None, {0: 17, 1: 0}).progress[0] == Progress(17, 20, 5_000_000)


def test_a_log_that_was_cut_before_the_reader_skips_and_tells():
    start = begin_log(FACTS, saved(offset=4), FACTS.high)

    assert start.told == (Skipped("rollouts.commands", 0, 4, 10),)
    assert start.progress[0].next_offset == 10


def test_a_pause_does_not_matter_to_a_log():
    start = begin_log(FACTS, saved(as_of_ms=0), FACTS.high)

    assert start.told == ()
    assert start.progress[0].next_offset == 15


def test_a_log_made_anew_is_read_from_its_beginning():
    start = begin_log(replace(FACTS, topic_id="later"), saved(), FACTS.high)

    assert isinstance(start.told[0], Restarted)
    assert start.progress[0].next_offset == 10
