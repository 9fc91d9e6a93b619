"""Moments and spans as people write them."""

import re
import time
from datetime import UTC, datetime

__all__ = ["ago", "millis_of", "utc"]

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


def ago(at_ms: int) -> str:
    """Return how long ago a moment was, in the largest unit that fits; 0 is never."""
    if not at_ms:
        return "never"
    past_ms = max(0, time.time_ns() // 1_000_000 - at_ms)
    for unit in ("d", "h", "m"):
        if past_ms >= _UNITS[unit]:
            return f"{past_ms // _UNITS[unit]} {unit} ago"
    return f"{past_ms // 1_000} s ago"


def utc(at_ms: int) -> str:
    """Return a moment to the second.

    >>> utc(1_767_225_600_000)
    '2026-01-01 00:00:00Z'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def millis_of(span: str) -> int:
    """Read a span such as 90s, 30m, 4h, 7d or 2w.

    >>> millis_of("4h")
    14400000
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", span)
    if found is None:
        raise ValueError(f"found {span!r}, wanted a span such as 90s, 30m, 4h, 7d or 2w")
    return int(found[1]) * _UNITS[found[2]]
