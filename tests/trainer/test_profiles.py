"""Hour-of-week profiles add up to the baseline, and stay away where the data do not know the weeks."""

from dataclasses import replace

import numpy as np
import pytest

from schemas.codec import codec_of
from schemas.errors import WrongValueError
from schemas.grid import Baseline
from sensing import make_grid, pipeline_named
from trainer.baseline import make_baseline
from trainer.data import Dataset, simulated

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def weather() -> Dataset:
    """Two places over five whole weeks, from a Monday at midnight on."""
    return from_monday(simulated("weather", devices=2, samples=6 * 168, trouble=0), weeks=5)


def from_monday(data: Dataset, *, weeks: float) -> Dataset:
    # 1970-01-05 was a Monday.
    first = -(-int(data.at_ms.min() - 4 * 24 * HOUR_MS) // (168 * HOUR_MS)) * 168 * HOUR_MS + 4 * 24 * HOUR_MS
    return data.rows((data.at_ms >= first) & (data.at_ms < first + int(weeks * 168) * HOUR_MS))


def baseline_of(data: Dataset) -> Baseline:
    return make_baseline("m/1", make_grid(pipeline_named(data.pipeline), data.matrix), data)


def test_profiles_add_up_to_the_baseline(weather):
    for feature in baseline_of(weather).features:
        by_hour = np.array(feature.hour_counts).reshape(168, -1)

        np.testing.assert_array_equal(by_hour.sum(axis=0), feature.counts)
        assert sum(feature.hour_missing) == feature.missing


def test_an_hour_of_the_week_is_what_it_was_in_all_its_weeks(weather):
    # Tuesday at nine.
    hour = 24 + 9
    rows = (weather.at_ms // HOUR_MS - 4 * 24) % 168 == hour
    temperature = weather.matrix[rows, 0].astype(np.float64)

    feature = baseline_of(weather).features[0]

    assert len(temperature) == 10
    assert sum(np.array(feature.hour_counts).reshape(168, -1)[hour]) == 10
    assert feature.hour_mean[hour] == pytest.approx(temperature.mean())
    assert feature.hour_variance[hour] == pytest.approx(temperature.var(ddof=1))


def test_hours_that_too_few_weeks_cover_are_left_out(weather):
    feature = baseline_of(from_monday(weather, weeks=2.5)).features[0]

    by_hour = np.array(feature.hour_counts).reshape(168, -1).sum(axis=1)
    assert (by_hour[:84] == 6).all()
    assert (by_hour[84:] == 0).all()


def test_without_enough_weeks_there_is_no_profile(weather):
    feature = baseline_of(from_monday(weather, weeks=2)).features[0]

    assert (feature.hour_counts, feature.hour_mean) == ((), ())


def test_a_profile_fits_a_record_and_comes_back(weather):
    baseline, codec = baseline_of(weather), codec_of(Baseline)

    body = codec.encode(baseline)

    assert codec.decode(body) == baseline
    assert len(body) < 400_000


def test_a_profile_of_another_length_is_refused(weather):
    baseline = baseline_of(weather)
    short = replace(baseline.features[0], hour_mean=baseline.features[0].hour_mean[1:])

    with pytest.raises(WrongValueError, match=r"hour_mean: found 167 values, wanted 168"):
        codec_of(Baseline).encode(replace(baseline, features=(short, *baseline.features[1:])))
