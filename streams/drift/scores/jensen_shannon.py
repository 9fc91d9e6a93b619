"""Jensen–Shannon distance: how well one could tell a live sample from a reference one, 0 to 1."""

import numpy as np

from streams.drift.scores.pair import Floats, Pair

__all__ = ["js_distance"]


def js_distance(pair: Pair) -> Floats:
    """Root of the divergence in bits; 1 when no bin is shared, NaN when either side is empty.

    >>> from streams.drift.scores.pair import pair_of_counts
    >>> round(float(js_distance(pair_of_counts([1000, 1500, 1200, 1300], [800, 1400, 1600, 1200]))), 10)
    0.0792454225
    """
    both = pair.live.shares + pair.reference.shares
    # In terms of u, live/middle is 1 + u and reference/middle is 1 - u: nothing cancels when they are close.
    with np.errstate(invalid="ignore"):
        u = np.where(both > 0, pair.shift / both, 0)
    above, below = 1 + u, 1 - u
    tiny = np.finfo(u.dtype).tiny
    nats = above * np.log(np.maximum(above, tiny)) + below * np.log(np.maximum(below, tiny))
    divergence = (both * nats).sum(axis=0) / (4 * np.log(2).astype(u.dtype))
    distance: Floats = np.sqrt(np.maximum(divergence, 0))
    return distance
