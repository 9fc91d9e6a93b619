"""From test statistics to normal scores, and from normal scores to probabilities.

Far tails are what counts here: a fleet that is judged every minute asks for one false alarm in 10^8 looks.
Each conversion keeps its relative accuracy out there (see its test), and works on whole arrays.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["chi_square_score", "f_score", "signed_root", "student_score", "upper_tail"]

Floats = npt.NDArray[np.floating[Any]]


def student_score(t: Floats, freedom: Floats) -> Floats:
    """Normal score of Student's t (Wallace 1959): the same tail, to a few per cent.

    >>> round(float(student_score(np.array(3.0), np.array(10.0))), 2)
    2.47
    """
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.minimum(freedom, 1e6)
        score = np.sqrt(finite * np.log1p(t * t / finite)) * (8 * finite + 1) / (8 * finite + 3)
    return _floats(np.copysign(score, t))


def chi_square_score(statistic: Floats, freedom: Floats) -> Floats:
    """Normal score of a chi-square (Wilson and Hilferty 1931); 0 where there is no freedom.

    >>> round(float(chi_square_score(np.array(25.0), np.array(15.0))), 2)
    1.65
    """
    spread = 2 / (9 * np.maximum(freedom, 1))
    score = (np.cbrt(statistic / np.maximum(freedom, 1)) - (1 - spread)) / np.sqrt(spread)
    return _floats(np.where(freedom > 0, score, 0))


def f_score(ratio: Floats, above: Floats, below: Floats) -> Floats:
    """Normal score of a ratio of variances with so much freedom above and below (Paulson 1942)."""
    root = np.cbrt(ratio)
    one, two = 2 / (9 * np.maximum(above, 1)), 2 / (9 * np.maximum(below, 1))
    # A ratio beyond what its type holds has no score.
    with np.errstate(invalid="ignore"):
        return _floats(((1 - two) * root - (1 - one)) / np.sqrt(two * root * root + one))


def signed_root(live_hits: Floats, live_seen: Floats, hits: Floats, seen: Floats) -> Floats:
    """Signed root of the likelihood ratio of two proportions: positive where the live one is higher."""
    # Large terms cancel here, beyond what single precision can carry.
    live_hits, live_seen, hits, seen = (np.asarray(side, np.float64) for side in (live_hits, live_seen, hits, seen))
    pooled = (live_hits + hits) / np.maximum(live_seen + seen, 1)
    gain = (
        _surprise(live_hits, live_seen * pooled)
        + _surprise(live_seen - live_hits, live_seen * (1 - pooled))
        + _surprise(hits, seen * pooled)
        + _surprise(seen - hits, seen * (1 - pooled))
    )
    higher = live_hits * seen - hits * live_seen
    return _floats(np.copysign(np.sqrt(np.maximum(2 * gain, 0)), higher))


def upper_tail(score: Floats) -> Floats:
    """Probability that a normal exceeds `score`, to seven digits however small (Numerical Recipes' erfcc)."""
    x = np.abs(np.asarray(score, np.float64)) / np.sqrt(2.0)
    t = 1 / (1 + 0.5 * x)
    series = np.polynomial.polynomial.polyval(t, _ERFC)
    tail = 0.5 * t * np.exp(-x * x + series)
    return _floats(np.where(np.asarray(score) >= 0, tail, 1 - tail))


_ERFC = np.array(
    [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587,
     -0.82215223, 0.17087277]
)  # fmt: skip


def _surprise(found: Floats, expected: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return _floats(np.where(found > 0, found * np.log(np.maximum(found, 1e-30) / np.maximum(expected, 1e-30)), 0))


def _floats(values: Any) -> Floats:
    floats: Floats = values
    return floats
