"""How the loops see their data: plain arrays, by name."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.drift.scores import Reference
from streams.drift.scores.pair import SHARE_FLOOR
from streams.drift.scores.ranks import rank_scores
from streams.drift.windows import Ints, Singles

__all__ = ["MOST_SUMMED", "References", "Totals", "stacked"]

# What is held of bins has 32 bits.
MOST_SUMMED = 2**32 - 1

# Readings that follow each other closely let variances and counts wobble alike; far values only the variances.
_LONG_TAILED = 5.0
_DERIVED = frozenset(
    {"shares", "floored", "log_floored", "shape_scale", "place", "outness", "long_tailed", "unseen_bin"}
)


class Totals(NamedTuple):
    """What horizons add up to; 32 bits of a natural number might not hold it."""

    samples: Ints
    counts: Singles
    missing: Singles
    out_of_range: Singles
    mean: Singles
    m2: Singles

    @staticmethod
    def empty(entries: int, bins: int, features: int) -> "Totals":
        shape = (entries, features)
        return Totals(
            np.empty(entries, np.int64), np.empty((entries, bins, features), np.float32),
            *(np.empty(shape, np.float32) for _ in range(4)),
        )  # fmt: skip

    def take(self, which: Any) -> "Totals":
        """Return copies of some entries."""
        return Totals(*(array[which] for array in self))


class References(NamedTuple):
    """References one after the other, with what is derived from them once: references × (bins ×) features."""

    shares: Singles
    # No share is smaller than the floor here.
    floored: Singles
    log_floored: Singles
    usable: Singles
    seen: Singles
    missing: Singles
    out_of_range: Singles
    mean: Singles
    variance: Singles
    deviation: Singles
    dispersion_counts: Singles
    dispersion_mean: Singles
    dispersion_variance: Singles
    trials: Singles
    # What G is divided by, for dispersion and for how well that is known; see `shape_z`.
    shape_scale: Singles
    # Ranks of the bins, and whether they must bear out what mean and variance say; see `rank_scores`.
    place: Singles
    outness: Singles
    long_tailed: npt.NDArray[np.bool_]
    unseen_bin: Ints


def stacked(references: Sequence[Reference]) -> References:
    """Lay references out for the loops, one behind the other; one that has a row for each device is as many."""

    def joined(values: Sequence[Any]) -> Any:
        return np.ascontiguousarray(np.concatenate(values), np.float32)

    shares = np.nan_to_num(np.concatenate([one.shares.transpose(1, 0, 2) for one in references]))
    floored = np.maximum(shares, np.float32(SHARE_FLOOR))
    named = {
        name: joined([getattr(one, name) for one in references]) for name in References._fields if name not in _DERIVED
    }
    widest = np.maximum(np.maximum(named["dispersion_counts"], named["dispersion_mean"]), 1)
    known = 1 + 2 / np.sqrt(np.maximum(named["trials"], 1))
    place, outness = rank_scores(shares.transpose(1, 0, 2))
    return References(
        place=np.ascontiguousarray(place.transpose(1, 0, 2), np.float32),
        outness=np.ascontiguousarray(outness.transpose(1, 0, 2), np.float32),
        long_tailed=named["dispersion_variance"] > _LONG_TAILED * np.maximum(named["dispersion_counts"], 1),
        shape_scale=np.ascontiguousarray(widest * known, np.float32),
        shares=np.ascontiguousarray(shares, np.float32),
        floored=np.ascontiguousarray(floored, np.float32),
        log_floored=np.ascontiguousarray(np.log(floored), np.float32),
        unseen_bin=np.ascontiguousarray(np.concatenate([one.unseen_bin for one in references]), np.int64),
        **named,
    )
