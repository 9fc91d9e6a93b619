"""The G statistic: the likelihood ratio on which calibrated verdicts about a distribution's shape rest."""

import numpy as np

from streams.drift.normal import chi_square_score
from streams.drift.scores.pair import Floats, Pair

__all__ = ["g_statistic", "shape_z"]


def g_statistic(pair: Pair) -> Floats:
    """Twice the log likelihood ratio of two distributions against one, unscaled; NaN when either side is empty.

    >>> from streams.drift.scores.pair import pair_of_counts
    >>> round(float(g_statistic(pair_of_counts([30, 70], [50, 50]))), 4)
    8.4024
    """
    reference, live = pair.reference, pair.live
    n, m = live.usable, reference.usable
    weight = n / np.maximum(n + m, 1)
    # With shares instead of counts nothing large is subtracted from anything large.
    pooled = reference.shares + weight * pair.shift
    tiny = np.finfo(pooled.dtype).tiny
    floor = np.maximum(pooled, tiny)
    mine = live.shares * np.log(np.maximum(live.shares, tiny) / floor)
    theirs = reference.shares * np.log(np.maximum(reference.shares, tiny) / floor)
    statistic: Floats = np.maximum(2 * (n * mine.sum(axis=0) + m * theirs.sum(axis=0)), 0)
    return statistic


def shape_z(pair: Pair) -> Floats:
    """Normal score of G, scaled by over-dispersion.

    Where readings are autocorrelated, G is a sum of unequally widened squares, and its far tail is that of
    the widest, so the largest of the three dispersions scales it; for independent readings they are equal.
    """
    reference = pair.reference
    widest = np.maximum(np.maximum(reference.dispersion_counts, reference.dispersion_mean), 1)
    freedom = pair.bins_in_use - 1
    # Williams' correction for small samples, as if the bins were equally likely.
    williams = 1 + (pair.bins_in_use + 1) / (6 * np.maximum(pair.live.usable, 1))
    known = 1 + 2 / np.sqrt(np.maximum(reference.trials, 1))
    return chi_square_score(g_statistic(pair) / (widest * williams * known), freedom)
