"""Kullback–Leibler divergence, in both directions, in nats."""

from streams.drift.scores.pair import Floats, Pair

__all__ = ["kl_live_reference", "kl_reference_live"]


def kl_live_reference(pair: Pair) -> Floats:
    """What it costs to code the live samples as if they were the reference's; NaN when either side is empty.

    >>> from streams.drift.scores.pair import pair_of_counts
    >>> round(float(kl_live_reference(pair_of_counts([1000, 1500, 1200, 1300], [800, 1400, 1600, 1200]))), 10)
    0.0178270411
    """
    summed: Floats = (pair.live.shares * pair.log_ratio).sum(axis=0)
    return summed


def kl_reference_live(pair: Pair) -> Floats:
    """The same the other way round."""
    summed: Floats = -(pair.reference.shares * pair.log_ratio).sum(axis=0)
    return summed
