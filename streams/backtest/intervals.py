"""Intervals at 95 %: what a count or a share seen once says about the true one."""

import math
from collections.abc import Callable

__all__ = ["rate_interval", "share_interval"]

_Z = 1.959963984540054
_TAIL = 0.025


def share_interval(hits: int, of: int) -> tuple[float, float]:
    """Return Wilson's interval for a share; the whole range where nothing was tried.

    >>> [round(end, 3) for end in share_interval(9, 10)]
    [0.596, 0.982]
    """
    if not of:
        return 0.0, 1.0
    share, factor = hits / of, _Z * _Z / of
    centre = (share + factor / 2) / (1 + factor)
    reach = _Z * math.sqrt(share * (1 - share) / of + factor / (4 * of)) / (1 + factor)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def rate_interval(count: int, exposure: float) -> tuple[float, float]:
    """Return the exact (Garwood's) interval of a Poisson rate: so many in so much.

    >>> [round(end, 2) for end in rate_interval(0, 1.0)], [round(end, 2) for end in rate_interval(3, 1.0)]
    ([0.0, 3.69], [0.62, 8.77])
    """
    if exposure <= 0:
        return 0.0, math.inf
    low = _solve(lambda mean: 1 - _at_most(count - 1, mean) - _TAIL, count) if count else 0.0
    high = _solve(lambda mean: _TAIL - _at_most(count, mean), count + 10)
    return low / exposure, high / exposure


def _at_most(count: int, mean: float) -> float:
    """Return how likely a Poisson count is to be so many or fewer."""
    if mean == 0:
        return 1.0
    # By logarithms: e^-mean is 0 for large means.
    term, total = -mean, math.exp(-mean)
    for k in range(1, count + 1):
        term += math.log(mean / k)
        total += math.exp(term)
    return min(total, 1.0)


def _solve(rising: Callable[[float], float], guess: float) -> float:
    low, high = 0.0, 2.0 * guess + 20 + 8 * math.sqrt(guess)
    for _ in range(100):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
