"""References: how much they wobble over the horizons that are compared with them."""

from dataclasses import replace

import numpy as np
import pytest
from drift_fleet import Fleet

from schemas.grid import SpanDispersion
from streams.drift.references import lay_out

HOUR_MS = 3_600_000
FLEET = Fleet(features=2)


def against_with(*spans):
    first, *others = FLEET.baseline.features
    features = (replace(first, dispersion_mean=3.0, dispersion_spans=spans), *others)
    return lay_out(FLEET.grid, replace(FLEET.baseline, features=features))


def span(length_ms, mean, *, stretches=2_000_000_000):
    return SpanDispersion(span_ms=length_ms, counts=2.0, mean=mean, variance=1.5, stretches=stretches)


@pytest.mark.parametrize(
    ("horizon_ms", "dispersion"),
    [
        pytest.param(HOUR_MS // 4, 5.0, id="what was learned of stretches as long"),
        pytest.param(HOUR_MS, 12.0, id="the longest within the horizon"),
        pytest.param(24 * HOUR_MS, 24 * 12.0, id="what nobody has seen does not average out"),
    ],
)
def test_a_horizon_is_as_dispersed_as_stretches_of_its_length(horizon_ms, dispersion):
    against = against_with(span(HOUR_MS // 4, 5.0), span(HOUR_MS, 12.0))

    assert against.over(horizon_ms).dispersion_mean[0, 0] == pytest.approx(dispersion, rel=1e-3)


def test_a_stretch_that_wobbles_less_makes_nothing_more_certain():
    assert against_with(span(HOUR_MS, 1.0)).over(HOUR_MS).dispersion_mean[0, 0] == 3.0


def test_looks_are_as_dispersed_as_the_hour_over_which_their_evidence_gathers():
    against = against_with(span(HOUR_MS, 12.0), span(24 * HOUR_MS, 90.0))

    assert against.reference.dispersion_mean[0].tolist() == pytest.approx([12.0, 1.0], rel=1e-3)


def test_a_baseline_that_learned_no_stretches_knows_no_more_than_an_hour():
    against = lay_out(FLEET.grid, FLEET.baseline)

    np.testing.assert_array_equal(against.over(HOUR_MS).dispersion_mean, [[1.0, 1.0]])
    np.testing.assert_array_equal(against.over(24 * HOUR_MS).dispersion_mean, [[24.0, 24.0]])


def test_what_few_stretches_say_counts_for_less():
    few, many = (against_with(span(HOUR_MS, 12.0, stretches=some)).over(HOUR_MS) for some in (5, 500))

    assert few.dispersion_mean[0, 0] == pytest.approx(12 / (1 + 0.85 * (4 / 15) ** 0.5))
    assert 3.0 < few.dispersion_mean[0, 0] < many.dispersion_mean[0, 0] < 12.0
