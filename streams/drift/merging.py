"""Add summaries up: counts exactly, moments as Chan, Golub and LeVeque do."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["merged_moments"]

Floats = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[Any]


def merged_moments(
    n: Numbers, mean: Floats, m2: Floats, more: Numbers, more_mean: Floats, more_m2: Floats
) -> tuple[Floats, Floats]:
    """Return mean and m2 of two sets of samples together; a side without samples changes nothing, bit by bit.

    >>> merged_moments(np.array([2]), np.array([1.0]), np.array([2.0]), np.array([2]), np.array([3.0]), np.array([2.0]))
    (array([2.]), array([8.]))
    """
    n, more = n.astype(np.float64), more.astype(np.float64)
    total = np.maximum(n + more, 1)
    gap = np.where((n > 0) & (more > 0), more_mean.astype(np.float64) - mean, 0)
    together = np.where(n > 0, mean + gap * (more / total), np.where(more > 0, more_mean, mean))
    spread = np.where(n > 0, m2, 0) + np.where(more > 0, more_m2, 0) + gap * gap * (n * (more / total))
    return together.astype(mean.dtype), spread.astype(m2.dtype)
