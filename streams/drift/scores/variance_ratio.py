"""How the spread has changed."""

import numpy as np

from streams.drift.normal import f_score
from streams.drift.scores.pair import Floats, Pair

__all__ = ["variance_ratio", "variance_z"]


def variance_ratio(pair: Pair) -> Floats:
    """Live variance over reference variance; 1 is unchanged, 0 a constant, NaN where either has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = pair.live.variance / pair.reference.variance
    return ratio


def variance_z(pair: Pair) -> Floats:
    """Normal score of the ratio: an F test whose degrees of freedom are divided by the variance's dispersion.

    The mean of a stretch of autocorrelated readings follows them, so their variance about it may be smaller than
    the reference's, by up to the dispersion of the mean over n; how much depends on the stretch's length. Only what
    is below that, or above the reference's own variance, counts.

    The skew's correction reaches below 0, where no ratio is: a narrower spread is never surer than none at all would
    be without it, which for less than a quarter of a degree of freedom is nothing.
    """
    reference, live = pair.reference, pair.live
    least = 1 - (reference.dispersion_mean - 1) / np.maximum(live.usable - 1, reference.dispersion_mean)
    dispersion = reference.dispersion_variance
    above = (live.usable - 1) / dispersion
    # How well the dispersion is known limits what a window can prove, as in a ratio of mean squares.
    below = 1 / (dispersion / np.maximum(reference.usable - 1, 1) + 1 / np.maximum(4 * reference.trials, 1))
    # The squares of autocorrelated readings are more skewed than their count suggests: half as much again, at most.
    skew = (1 + 0.5 * (1 - 1 / (dispersion * dispersion))) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        found = variance_ratio(pair)
        beyond = np.where(found > 1, found, np.minimum(found / least, 1))
        ratio = 1 + (beyond - 1) * np.sqrt(skew)
    return np.asarray(np.maximum(f_score(ratio, above / skew, below), _least_score(above)))


def _least_score(freedom: Floats) -> Floats:
    """What `f_score` says of the ratio 0; 0 from where on so little freedom would make it positive."""
    enough = np.maximum(freedom, 2 / 9)
    least: Floats = (2 - 9 * enough) / np.sqrt(18 * enough)
    return least
