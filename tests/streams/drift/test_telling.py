"""A partition tells a pane when it is over, and again when a late window changed it; a replay tells the same."""

import numpy as np
from drift_fleet import MINUTE_MS, START_MS, Fleet, columns_of
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.drift.checkpoint import freeze, thaw
from streams.drift.measured import Group
from streams.drift.partition import Partition, Stretch
from streams.drift.policy import read_policy
from streams.drift.references import lay_out
from streams.drift.refill import FastRefill

FLEET = Fleet(samples=60, features=2)
RULES = read_policy('cohorts = ["region"]')
GROUP = Group(lay_out(FLEET.grid, FLEET.baseline))
PANE_MS = 5 * MINUTE_MS
LABELS = {"a": {"region": "eu"}, "b": {"region": "eu"}}


def at(minute):
    return START_MS + int(minute * MINUTE_MS)


class Told:
    """A partition with what it tells, by minute of the test."""

    def __init__(self):
        self.partition = Partition(RULES)
        self.shares(0)

    def sees(self, device, *minutes, arriving=None):
        stats = [FLEET.window(device, minute) for minute in minutes]
        arrivals_ms = None if arriving is None else [at(arriving)] * len(stats)
        windows = columns_of(stats, FLEET.shape, arrivals_ms=arrivals_ms)
        self.partition.work([Stretch(windows, [GROUP], np.zeros(len(stats), np.int64))])

    def shares(self, minute):
        """Pane, samples and as of when, of what is told by then."""
        told = self.partition.tell(at(minute), LABELS, number=4)
        return [
            ((one.pane_start_ms - START_MS) // PANE_MS, one.samples, (one.as_of_ms - START_MS) / MINUTE_MS)
            for one in told
        ]


def test_a_pane_is_told_once_when_it_is_over():
    told = Told()
    told.sees("a", *range(7))

    assert told.shares(5.2) == []
    assert told.shares(5.25) == [(0, 5 * 60, 5.25)]
    assert told.shares(9) == []
    assert told.shares(10.25) == [(1, 2 * 60, 10.25)]
    assert told.shares(60) == []


def test_a_late_window_has_its_pane_told_again_at_the_next_tick():
    told = Told()
    told.sees("a", *range(5))
    told.shares(5.25)

    told.sees("b", 4, arriving=6)

    assert told.shares(9) == []
    assert told.shares(10.25) == [(0, 6 * 60, 10.25)]


def test_after_a_gap_each_pane_is_told_as_of_when_it_would_have_been_told():
    told = Told()
    told.sees("a", *range(12))

    assert told.shares(40) == [(0, 300, 5.25), (1, 300, 10.25), (2, 120, 15.25)]


def test_windows_from_long_ago_say_nothing_of_cohorts():
    told = Told()
    told.sees("a", 0, arriving=5 * 60)

    assert told.shares(6 * 60) == []


def test_a_policy_without_cohorts_tells_nothing():
    told = Told()
    told.partition.rules = read_policy("cohorts = []")
    told.sees("a", *range(5))

    assert told.shares(6) == []


LOG = [(minute, device) for minute in range(40) for device in ("a", "b") if (minute + (device == "b")) % 7]
STATS = [FLEET.window(device, minute) for minute, device in LOG]


def work(partition, first, end):
    """Take in a stretch of the log as the worker does, tick by tick; what is told."""
    told = []
    for place in range(first, end):
        one = columns_of([STATS[place]], FLEET.shape, first_offset=place)
        told += partition.tell(int(one.arrival_ms[0]), LABELS, number=0)
        partition.work([Stretch(one, [GROUP], np.zeros(1, np.int64))])
    return told


@settings(max_examples=15)
@given(st.integers(1, len(LOG) - 1))
def test_a_successor_tells_what_the_one_before_would_have_told(cut):
    unharmed = Partition(RULES)
    work(unharmed, 0, cut)
    crashed = thaw(freeze(unharmed), RULES, lambda *_: GROUP)
    for engine in crashed.engines.values():
        refill = FastRefill(engine)
        refill.add(columns_of(STATS[:cut], FLEET.shape))
        refill.finish()

    assert work(crashed, cut, len(LOG)) == work(unharmed, cut, len(LOG))
