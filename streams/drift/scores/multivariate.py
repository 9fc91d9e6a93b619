"""All features together: drift that no single one shows."""

import numpy as np

from streams.drift.normal import chi_square_score
from streams.drift.scores.mean_shift import mean_z
from streams.drift.scores.pair import Floats, Pair

__all__ = ["combined_score", "multivariate"]


def multivariate(pair: Pair) -> Floats:
    """Normal score, a device each, of how far the means of all its features have moved together.

    It adds up `mean_z`, so it allows for dispersion as that does: on a healthy device 3 is as rare as for a normal.
    """
    return combined_score(mean_z(pair))


def combined_score(scores: Floats) -> Floats:
    """Normal score of the sum of the squared normal scores of all features (the last axis); NaNs sit out.

    It takes the features as independent; where they are not, it is a ranking and not a probability.

    >>> round(float(combined_score(np.array([2.0, 2.0, 2.0, 2.0]))), 2)
    2.73
    """
    known = ~np.isnan(scores)
    squares = np.where(known, scores, 0) ** 2
    return chi_square_score(squares.sum(axis=-1), known.sum(axis=-1).astype(scores.dtype))
