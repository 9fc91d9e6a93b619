"""Sums that 32 bits would not hold: what is too much is left out and said, and nothing turns into small numbers."""

import numpy as np

from streams.drift.looks import Looks
from streams.drift.rollups import Rollups
from streams.drift.windows import Summary

MUCH = 3 * 10**9
ROW, HOUR = np.array([0]), np.array([7])


def window(samples):
    """A window of one feature and two bins, all of whose readings fell into the first."""
    return Summary(
        samples=np.array([samples]), counts=np.array([[[samples], [0]]], np.uint32), mean=np.zeros((1, 1), np.float32),
        m2=np.zeros((1, 1), np.float32), missing=np.zeros((1, 1), np.uint32), out_of_range=np.zeros((1, 1), np.uint32),
    )  # fmt: skip


def test_a_roll_up_takes_what_it_can_hold_and_says_what_it_cannot():
    rollups, extremes = Rollups(features=1, bins=2), (np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32))

    full = [
        rollups.add(ROW, HOUR, window(samples), extremes, (["m/1"], ["p/1"])).tolist() for samples in (MUCH, MUCH, 9)
    ]
    closed = rollups.close()

    assert full == [[False], [True], [False]]
    assert (closed.summary.samples.tolist(), closed.summary.counts.ravel().tolist()) == ([MUCH + 9], [MUCH + 9, 0])
    assert closed.windows.tolist() == [2]


def test_a_look_begins_anew_with_the_window_that_would_not_fit():
    looks = Looks(features=1, bins=2)
    for array in looks.arrays.values():
        array.reserve(1)
    never, span_ms = np.zeros(1, np.bool_), np.array([60_000])
    need = 2**33

    for samples in (MUCH, MUCH, 9):
        looks.add(ROW, never, window(samples), span_ms, need)

    assert looks.arrays["samples"].rows.tolist()[0] == MUCH + 9
    assert looks.arrays["counts"].rows[0].ravel().tolist() == [MUCH + 9, 0]
