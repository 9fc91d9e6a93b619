"""All features together: drift that no single one shows."""

import numpy as np

from streams.drift.normal import chi_square_score
from streams.drift.scores.pair import Floats

__all__ = ["combined_score"]


def combined_score(scores: Floats) -> Floats:
    """Normal score of the sum of the squared normal scores of all features (the last axis); NaNs sit out.

    It takes the features as independent; where they are not, it is a ranking and not a probability.

    >>> round(float(combined_score(np.array([2.0, 2.0, 2.0, 2.0]))), 2)
    2.73
    """
    known = ~np.isnan(scores)
    squares = np.where(known, scores, 0) ** 2
    return chi_square_score(squares.sum(axis=-1), known.sum(axis=-1).astype(scores.dtype))
