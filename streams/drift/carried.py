"""Wasserstein-1 of values themselves, where they are at hand; windows have but their bins."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["carried"]

Floats = npt.NDArray[np.floating[Any]]


def carried(reference: Floats, live: Floats) -> float:
    """Mean distance that values would have to be carried, in standard deviations of the reference.

    What is not finite is no value. NaN where a side has none, or the reference no deviation to count in.

    >>> round(carried(np.array([0.0, 1.0, 3.0]), np.array([5.0, 6.0, 8.0])), 3)
    3.273
    """
    reference, live = (np.sort(side[np.isfinite(side)]) for side in (reference, live))
    deviation = reference.std(ddof=1) if len(reference) > 1 else 0.0
    if not len(live) or not deviation:
        return math.nan
    places = np.sort(np.concatenate([reference, live]))
    below, below_live = (np.searchsorted(side, places[:-1], side="right") / len(side) for side in (reference, live))
    return float(np.abs(below_live - below) @ np.diff(places) / deviation)
