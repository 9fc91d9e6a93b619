"""A baseline knows how much its own windows wobble."""

import numpy as np
import pytest

from sensing import make_grid, pipeline_named
from trainer.baseline import dispersion, make_baseline, window_of
from trainer.data import Dataset, Part


def autoregressive(rows: int, rho: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(rows, 16)) * np.sqrt(1 - rho**2)
    values = np.zeros((rows, 16))
    values[0] = rng.normal(size=16)
    for at in range(1, rows):
        values[at] = rho * values[at - 1] + noise[at]
    return values.astype(np.float32)


def dataset(rho: float, rows: int = 60_000) -> Dataset:
    return Dataset.of("machine/1", [Part("a", np.arange(rows) * 1000, autoregressive(rows, rho, 3), None)])


def test_independent_samples_are_not_dispersed():
    reference = dataset(0.0)
    grid = make_grid(pipeline_named("machine/1"), reference.matrix)

    found = dispersion(grid, reference, 300_000)

    assert found.windows == 200
    for part in (found.counts, found.mean, found.variance):
        assert np.median(part) == pytest.approx(1.0, abs=0.15)


def test_autocorrelation_shows_as_theory_says():
    rho = 0.9
    reference = dataset(rho)
    grid = make_grid(pipeline_named("machine/1"), reference.matrix)

    found = dispersion(grid, reference, 300_000)

    # For AR(1): (1 + rho) / (1 - rho) for means, the same of rho squared for variances.
    assert np.median(found.mean) == pytest.approx(19.0, rel=0.15)
    assert np.median(found.variance) == pytest.approx((1 + rho**2) / (1 - rho**2), rel=0.2)
    assert np.all(found.counts > 2)


@pytest.mark.parametrize("period_s", [300, 314, 600, 3600])
def test_what_comes_round_in_just_a_window_shows_in_its_parts(period_s):
    rng, at = np.random.default_rng(3), np.arange(60_000)
    values = (np.sin(2 * np.pi * at / period_s)[:, np.newaxis] + rng.normal(size=(60_000, 16)) / 2).astype(np.float32)
    reference = Dataset.of("machine/1", [Part("a", at * 1000, values, None)])
    grid = make_grid(pipeline_named("machine/1"), reference.matrix)

    found = dispersion(grid, reference, 300_000)

    # A stretch of a third of the cycle has a mean of its own; of at most a window, which is shorter for long ones.
    stretch_s = min(period_s / 3, 300)
    moved = np.sinc(stretch_s / period_s) ** 2 * 0.5 / 0.75 * stretch_s
    assert np.median(found.mean) > 0.8 * moved
    longer = {one.span_ms // 60_000: one.mean for one in found.spans[0]}
    assert max(found.mean[0], longer[15], longer[30]) > 0.8 * np.sinc(0.37) ** 2 * 0.5 / 0.75 * min(
        0.37 * period_s, 900
    )


def test_uncertainty_shrinks_with_the_windows():
    grid = make_grid(pipeline_named("machine/1"), dataset(0.0).matrix)

    few, many = dispersion(grid, dataset(0.0, 3_000), 300_000), dispersion(grid, dataset(0.0), 300_000)

    assert few.windows == 10
    assert np.all(many.uncertainty(16) < few.uncertainty(16))


def test_too_few_windows_say_nothing():
    reference = dataset(0.9, 200)
    grid = make_grid(pipeline_named("machine/1"), reference.matrix)

    found = dispersion(grid, reference, window_of("machine/1"))

    assert found.windows == 0
    assert np.all(found.counts == 1)
    assert np.all(np.isinf(found.uncertainty(16)))
    assert make_baseline("m/1", grid, reference).features[0].dispersion_windows == 0


@pytest.mark.parametrize(
    ("pipeline", "window_ms"), [("machine/1", 300_000), ("weather/1", 24 * 3_600_000), ("vibration/1", 300_000)]
)
def test_windows_hold_enough_vectors(pipeline, window_ms):
    assert window_of(pipeline) == window_ms
