"""Hours that turn: the clock of whatever grows old without being looked at."""

__all__ = ["HOUR_MS", "hours_turned"]

HOUR_MS = 3_600_000
# What alerts wait for is over after so many hours in which nobody looked.
_MOST_HOURS = 7 * 24


def hours_turned(hour: int, now_ms: int) -> list[int]:
    """Return the ends, in milliseconds, of the hours that have turned since an hour, told by its number.

    Whoever lets alerts grow old does so hour by hour: then nothing depends on when anybody looked.

    >>> hours_turned(1, 3 * HOUR_MS + 5)
    [7200000, 10800000]
    """
    now = now_ms // HOUR_MS
    return [turned * HOUR_MS for turned in range(max(hour + 1, now - _MOST_HOURS), now + 1)]
