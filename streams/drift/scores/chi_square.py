"""Pearson's chi-square of two samples, the customary test for categories."""

import numpy as np

from streams.drift.scores.pair import Floats, Pair

__all__ = ["chi_square"]


def chi_square(pair: Pair) -> Floats:
    """Two-sample statistic over the bins in use, unscaled; NaN when either side is empty.

    >>> from streams.drift.scores.pair import pair_of_counts
    >>> round(float(chi_square(pair_of_counts([30, 70], [50, 50]))), 6)
    8.333333
    """
    reference, live = pair.reference, pair.live
    n, m = live.usable, reference.usable
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = live.counts / (n + m) + reference.counts / (n + m)
        terms = np.where(pooled > 0, pair.shift * pair.shift / pooled, 0)
        statistic: Floats = terms.sum(axis=0) * (n * (m / (n + m)))
    return statistic
