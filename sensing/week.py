"""Hours of the week, by which profiles are kept."""

from schemas.grid import HOURS_OF_WEEK
from sensing.tally import Ints

__all__ = ["hour_of_week", "week"]

_HOUR_MS = 3_600_000
# 1970 began on a Thursday.
_FIRST = 72


def hour_of_week(at_ms: Ints) -> Ints:
    """Return hours counted from Monday 00:00 UTC, 0 to 167.

    >>> import numpy as np
    >>> hour_of_week(np.array([0, 4 * 86_400_000])).tolist()
    [72, 0]
    """
    hours: Ints = (at_ms // _HOUR_MS + _FIRST) % HOURS_OF_WEEK
    return hours


def week(at_ms: Ints) -> Ints:
    """Return weeks that begin on Mondays, counted from the one of 1970's first day."""
    weeks: Ints = (at_ms // _HOUR_MS + _FIRST) // HOURS_OF_WEEK
    return weeks
