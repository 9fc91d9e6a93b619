"""Dispersion of longer stretches: what averages out, and what does not."""

import numpy as np
import pytest

from trainer.spans import WindowSums, over_spans, span_dispersion


def windows_of(readings, stretch=None):
    """Windows × samples of one feature, in four bins."""
    counts = np.stack([np.histogram(one, [-99, -0.67, 0, 0.67, 99])[0] for one in readings])
    mean = readings.mean(axis=1)
    m2 = ((readings - mean[:, None]) ** 2).sum(axis=1)
    numbers = np.zeros(len(readings), np.int64) if stretch is None else np.asarray(stretch)
    return WindowSums(counts[:, None].astype(float), mean[:, None], m2[:, None], numbers)


def test_independent_readings_are_independent_over_any_stretch():
    rng = np.random.default_rng(1)

    found = over_spans(windows_of(rng.normal(size=(4000, 50))), (1, 5, 20))

    for one in found:
        assert one.mean[0] == pytest.approx(1, abs=0.25)
        assert one.counts[0] == pytest.approx(1, abs=0.2)
        assert one.variance[0] == pytest.approx(1, abs=0.3)


def test_what_stays_for_long_does_not_average_out():
    rng = np.random.default_rng(2)
    # Each stretch of ten windows has a level of its own.
    levels = np.repeat(rng.normal(0, 0.5, 300), 10)
    readings = rng.normal(size=(3000, 50)) + levels[:, None]

    single, ten = over_spans(windows_of(readings), (1, 10))

    # The level's variance over that of a mean of 50 and of 500 readings; stretches overlap two levels, too.
    assert single.mean[0] == pytest.approx((0.25 + 1.0 / 50) / (1.25 / 50), rel=0.15)
    assert 0.5 < ten.mean[0] / ((0.25 + 1.0 / 500) / (1.25 / 500)) < 1
    assert ten.mean[0] > 4 * single.mean[0]
    assert ten.counts[0] > 3 * single.counts[0]


def test_stretches_do_not_reach_over_gaps():
    readings = np.random.default_rng(3).normal(size=(40, 20))

    assert span_dispersion(windows_of(readings, np.arange(40) // 4), 5) is None
    found = span_dispersion(windows_of(readings, np.arange(40) // 8), 5)
    assert found is not None
    assert found.stretches == 5


def test_too_few_stretches_say_nothing():
    readings = np.random.default_rng(4).normal(size=(40, 20))

    assert [one.length for one in over_spans(windows_of(readings), (1, 10, 11, 40))] == [1, 10]
