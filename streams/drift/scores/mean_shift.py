"""How far the mean has moved."""

import numpy as np

from streams.drift.normal import student_score
from streams.drift.scores.pair import Floats, Pair

__all__ = ["mean_shift", "mean_z", "shift_z"]


def mean_shift(pair: Pair) -> Floats:
    """Live mean less reference mean, in standard deviations of the reference; NaN where either has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shift: Floats = (pair.live.mean - pair.reference.mean) / pair.reference.deviation
    return shift


def mean_z(pair: Pair) -> Floats:
    """Welch's z of the shift, scaled by the dispersion of the mean and tempered by how well that is known.

    The live variance counts as at least half of the reference's: a few equal readings are no certainty.
    """
    reference, live = pair.reference, pair.live
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.maximum(live.variance, reference.variance / 2)
        error = np.sqrt(reference.dispersion_mean * (own / live.usable + reference.variance / reference.usable))
        welch = (live.mean - reference.mean) / error
    return student_score(welch, reference.trials)


def shift_z(pair: Pair) -> Floats:
    """Normal score of the shift, were the live variance still the reference's.

    That is what evidence is gathered from: an autocorrelated window's own variance is so uncertain that dividing
    by it would fatten the tail.
    """
    reference, live = pair.reference, pair.live
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(reference.dispersion_mean * reference.variance * (1 / live.usable + 1 / reference.usable))
        score: Floats = (live.mean - reference.mean) / error
    return score
