"""Hellinger distance, 0 to 1, which empty bins cannot upset."""

import numpy as np

from streams.drift.scores.pair import Floats, Pair

__all__ = ["hellinger"]


def hellinger(pair: Pair) -> Floats:
    """Distance of the roots of the shares over √2; NaN when either side is empty.

    >>> from streams.drift.scores.pair import pair_of_counts
    >>> round(float(hellinger(pair_of_counts([1000, 1500, 1200, 1300], [800, 1400, 1600, 1200]))), 10)
    0.0660225547
    """
    gap = np.sqrt(pair.live.shares) - np.sqrt(pair.reference.shares)
    distance: Floats = np.sqrt((gap * gap).sum(axis=0) / 2)
    return distance
