"""Rings against a plain list of windows: what is held, what is summed, what has left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.drift.growing import GrowingArray
from streams.drift.ring import Ring
from streams.drift.windows import Summary

PANE_MS = 1000


def summary_of(values):
    """The summary of some readings of two features in three bins; NaN is missing."""
    values = np.asarray(values, float)
    usable = ~np.isnan(values)
    known = np.where(usable, values, 0)
    n = usable.sum(axis=0)
    mean = known.sum(axis=0) / np.maximum(n, 1)
    places = np.digitize(known, [-0.5, 0.5])
    counts = np.stack([((places == one) & usable).sum(axis=0) for one in range(3)])
    return Summary(
        samples=np.array([len(values)]),
        counts=np.ascontiguousarray(counts[None], np.uint32),
        missing=(~usable).sum(axis=0)[None].astype(np.uint32),
        out_of_range=(np.abs(known) > 2).sum(axis=0)[None].astype(np.uint32),
        mean=np.where(n > 0, mean, np.nan)[None].astype(np.float32),
        m2=(((values - mean) ** 2 * usable)[:, :]).astype(float).sum(axis=0, where=usable)[None].astype(np.float32),
    )


def made_ring(slots=4):
    ring = Ring(pane_ms=PANE_MS, slots=slots, features=2, bins=3)
    for array in ring.arrays.values():
        array.reserve(8)
    return ring


def add(ring, row, pane, summary, offset=0):
    rows, panes = np.array([row]), np.array([pane])
    ring.add(rows, panes, summary, np.array([offset]))


READINGS = st.lists(
    st.tuples(st.floats(-3, 3), st.one_of(st.floats(-3, 3), st.just(float("nan")))), min_size=1, max_size=6
)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), READINGS), min_size=1, max_size=25), st.integers(1, 4))
def test_a_ring_sums_the_windows_of_its_newest_panes(windows, back):
    ring = made_ring()
    for pane, values in windows:
        add(ring, 3, pane, summary_of(values))

    summed = ring.sum(np.array([3]), back)

    newest = max(pane for pane, _ in windows)
    within = np.array([one for pane, values in windows if pane > newest - back for one in values])
    expected = summary_of(within)
    assert summed.samples[0] == expected.samples[0]
    np.testing.assert_array_equal(summed.counts, expected.counts)
    np.testing.assert_array_equal(summed.missing, expected.missing)
    np.testing.assert_array_equal(summed.out_of_range, expected.out_of_range)
    has_any = expected.samples[:, None] > expected.missing
    np.testing.assert_allclose(summed.mean[has_any], expected.mean[has_any], atol=1e-5)
    np.testing.assert_allclose(summed.m2[has_any], expected.m2[has_any], atol=1e-3)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), READINGS), min_size=1, max_size=20), st.randoms())
def test_what_a_ring_holds_does_not_depend_on_the_order_of_arrival(windows, shuffler):
    one, other = made_ring(), made_ring()
    mixed = windows.copy()
    shuffler.shuffle(mixed)

    for pane, values in windows:
        add(one, 0, pane, summary_of(values))
    for pane, values in mixed:
        add(other, 0, pane, summary_of(values))

    rows = np.array([0])
    np.testing.assert_array_equal(one.newest(rows), other.newest(rows))
    np.testing.assert_array_equal(one.sum(rows, 4).counts, other.sum(rows, 4).counts)
    np.testing.assert_array_equal(one.sum(rows, 4).missing, other.sum(rows, 4).missing)


def test_rows_do_not_touch_each_other():
    ring = made_ring()

    add(ring, 0, 5, summary_of([(0.0, 0.0)]))
    add(ring, 1, 9, summary_of([(1.0, 1.0), (1.0, 1.0)]))

    assert ring.sum(np.array([0, 1, 2]), 4).samples.tolist() == [1, 2, 0]


def test_a_pane_that_would_overflow_is_left_as_it_is():
    ring = made_ring()
    much = summary_of([(0.0, 0.0)])
    much = much._replace(samples=np.array([3 * 10**9]), counts=much.counts * np.uint32(3 * 10**9))
    rows, panes = np.array([0]), np.array([5])

    first = ring.add(rows, panes, much, rows)
    second = ring.add(rows, panes, much, rows)

    assert (first.tolist(), second.tolist()) == ([False], [True])
    assert ring.sum(rows, 1).samples[0] == 3 * 10**9


@pytest.mark.parametrize(("end_ms", "pane"), [(1, 0), (1000, 0), (1001, 1)])
def test_a_window_belongs_to_the_pane_in_which_it_ends(end_ms, pane):
    assert made_ring().pane_of(np.array([end_ms])) == pane


def test_arrays_grow_without_losing_rows():
    array = GrowingArray((1000,), np.int64)
    array.reserve(10)
    array.rows[9] = 7

    array.reserve(5000)

    assert len(array.rows) >= 5000
    assert array.rows[9].sum() == 7000
    assert not array.rows[10:].any()


def test_arrays_grow_although_somebody_holds_a_view():
    array = GrowingArray((1000,), np.int64)
    array.reserve(10)
    held = array.rows
    held[9] = 7

    array.reserve(5000)

    assert array.rows[9].sum() == held[9].sum() == 7000
    array.rows[4999] = 1
