"""Population stability index, the score that most people look at first."""

from streams.drift.scores.pair import Floats, Pair

__all__ = ["psi", "psi_bias"]


def psi(pair: Pair) -> Floats:
    """Sum over bins of (live - reference) · ln(live / reference), on shares; NaN when either side is empty.

    Two samples of the same thing do not score 0 but about `psi_bias`.

    >>> from streams.drift.scores.pair import pair_of_counts
    >>> round(float(psi(pair_of_counts([1000, 1500, 1200, 1300], [800, 1400, 1600, 1200]))), 10)
    0.0349210194
    """
    summed: Floats = (pair.floored_shift * pair.log_ratio).sum(axis=0)
    return summed


def psi_bias(pair: Pair) -> Floats:
    """PSI to expect of two samples of the same thing: dispersion · (1/n + 1/m) · (bins - 1)."""
    reference, live = pair.reference, pair.live
    rate = 1 / reference.usable.clip(1) + 1 / live.usable.clip(1)
    bias: Floats = reference.dispersion_counts * rate * (pair.bins_in_use - 1).clip(0)
    return bias
