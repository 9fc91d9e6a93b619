"""How many samples of a categorical feature have a category that the reference never had."""

import numpy as np

from streams.drift.normal import signed_root
from streams.drift.scores.pair import Floats, Pair

__all__ = ["unseen_share", "unseen_z"]


def unseen_share(pair: Pair) -> Floats:
    """Share of the live values in the bin for unseen categories; NaN for numeric features."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = _unseen(pair.live.counts, pair) / pair.live.usable
    return share


def unseen_z(pair: Pair) -> Floats:
    """Normal score of the share against the reference's; NaN for numeric features."""
    reference, live = pair.reference, pair.live
    before = _unseen(reference.counts, pair)
    root = signed_root(_unseen(live.counts, pair), live.usable, before, reference.usable)
    score: Floats = root / np.sqrt(reference.dispersion_counts)
    return score


def _unseen(counts: Floats, pair: Pair) -> Floats:
    which = pair.reference.unseen_bin
    place = np.broadcast_to(np.maximum(which, 0), counts.shape[1:])[np.newaxis]
    found: Floats = np.where(which >= 0, np.take_along_axis(counts, place, axis=0)[0], np.nan)
    return found
