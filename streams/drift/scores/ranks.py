"""Where bins stand among all values, as ranks: what no far value can pull.

Of a long tail the mean, and still more the variance, follow a few far values: most windows have less of both than
the reference, and some have far more. Ranks know neither; Wilcoxon's tell a move, and Mood's another spread.
"""

import numpy as np

from streams.drift.scores.pair import Floats

__all__ = ["rank_scores"]


def rank_scores(shares: Floats) -> tuple[Floats, Floats]:
    """Return each bin's place and its outness, both of mean 0 and variance 1 under these shares (bins first).

    >>> place, outness = rank_scores(np.array([0.25, 0.5, 0.25]))
    >>> place.round(2).tolist(), outness.round(2).tolist()
    ([-1.41, 0.0, 1.41], [1.0, -1.0, 1.0])
    """
    below = np.cumsum(shares, axis=0) - shares
    rank = below + shares / 2 - 0.5
    return _standardised(rank, shares), _standardised(rank * rank, shares)


def _standardised(values: Floats, shares: Floats) -> Floats:
    centred = values - (shares * values).sum(axis=0)
    spread = np.sqrt((shares * centred * centred).sum(axis=0))
    # One bin has no other to differ from.
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-9))
