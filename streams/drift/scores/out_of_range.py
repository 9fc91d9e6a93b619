"""How many samples are physically impossible."""

import numpy as np

from streams.drift.normal import signed_root
from streams.drift.scores.pair import Floats, Pair

__all__ = ["out_of_range_rate", "out_of_range_z"]


def out_of_range_rate(pair: Pair) -> Floats:
    """Share of the live values outside the grid's declared range, 0 to 1; NaN without values."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rate: Floats = pair.live.out_of_range / pair.live.usable
    return rate


def out_of_range_z(pair: Pair) -> Floats:
    """Normal score of the rate against the reference's; positive where more is impossible."""
    reference, live = pair.reference, pair.live
    root = signed_root(live.out_of_range, live.usable, reference.out_of_range, reference.usable)
    score: Floats = root / np.sqrt(reference.dispersion_counts)
    return score
