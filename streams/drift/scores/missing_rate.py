"""How many samples come without a value."""

import numpy as np

from streams.drift.normal import signed_root
from streams.drift.scores.pair import Floats, Pair

__all__ = ["missing_rate_change", "missing_z"]


def missing_rate_change(pair: Pair) -> Floats:
    """Live share of samples without a value less the reference's, -1 to 1; NaN without samples."""
    reference, live = pair.reference, pair.live
    with np.errstate(invalid="ignore", divide="ignore"):
        change: Floats = live.missing / live.seen - reference.missing / reference.seen
    return change


def missing_z(pair: Pair) -> Floats:
    """Normal score of the change; positive where more is missing."""
    reference, live = pair.reference, pair.live
    root = signed_root(live.missing, live.seen, reference.missing, reference.seen)
    score: Floats = root / np.sqrt(reference.dispersion_counts)
    return score
