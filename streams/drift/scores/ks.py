"""Two-sample Kolmogorov–Smirnov, from bins."""

import numpy as np

from streams.drift.scores.pair import Floats, Pair

__all__ = ["ks", "ks_p", "ks_upper"]


def ks(pair: Pair) -> Floats:
    """Largest gap of the cumulative shares at the bins' ends: a lower bound of the gap on raw samples.

    >>> from streams.drift.scores.pair import pair_of_counts
    >>> round(float(ks(pair_of_counts([1000, 1500, 1200, 1300], [800, 1400, 1600, 1200]))), 10)
    0.06
    """
    gap: Floats = np.abs(pair.cumulative_shift).max(axis=0)
    return gap


def ks_upper(pair: Pair) -> Floats:
    """Upper bound of the gap on raw samples: what hides inside a bin is at most the bin's mass."""
    mass = np.maximum(pair.live.shares, pair.reference.shares).max(axis=0)
    bound: Floats = np.minimum(ks(pair) + mass, 1)
    return bound


def ks_p(pair: Pair) -> Floats:
    """Chance of such a binned gap between two samples of the same thing (asymptotic, Stephens' correction).

    Sample sizes are divided by the dispersion of the mean first. On bins the test errs on the quiet side.
    """
    n, m = pair.live.usable, pair.reference.usable
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(n * m / (n + m) / pair.reference.dispersion_mean)
        x = np.asarray((root + 0.12 + 0.11 / root) * ks(pair), np.float64)
    terms = [(-1) ** (k - 1) * np.exp(-2.0 * (k * x) ** 2) for k in range(1, 9)]
    # Below 0.2 the alternating series has not converged, and the chance is 1 to nine digits.
    chance: Floats = np.where(x < 0.2, 1.0, np.clip(2 * np.sum(terms, axis=0), 0, 1))
    return np.where(np.isnan(x), np.nan, chance)
