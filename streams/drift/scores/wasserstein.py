"""Wasserstein-1: how far, on average, the samples would have to be carried."""

import numpy as np

from streams.drift.scores.pair import Floats, Pair

__all__ = ["wasserstein"]


def wasserstein(pair: Pair) -> Floats:
    """Mean carrying distance in standard deviations of the reference; NaN for categories and empty sides.

    Every sample counts as lying at its bin's position.

    >>> from streams.drift.scores.pair import pair_of_counts
    >>> round(float(wasserstein(pair_of_counts([1, 1, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 1, 0, 1]))), 10)
    5.0
    """
    carried = np.abs(pair.cumulative_shift[:-1]) * pair.reference.spacing
    distance: Floats = carried.sum(axis=0)
    return distance
