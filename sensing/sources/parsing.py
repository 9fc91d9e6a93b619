"""Readings from the outside: whatever somebody sends becomes numbers with a time, or is refused in words."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sensing.delimited import NOTHING, TIMES
from sensing.errors import ReadingError
from sensing.sources.base import Readings

__all__ = ["Refusals", "gather", "parse_reading"]

_log = logging.getLogger(__name__)

_STREAMS = ("stream", "sensor", "sensor_id", "place", "device_id")
_MAX_NAME = 200
# A year in milliseconds begins around here; smaller numbers are seconds.
_SECONDS_BELOW = 1e11
_FAR_MS = 253_402_300_800_000

Parsed = tuple[str, int, tuple[float, ...]]


def parse_reading(
    fields: Mapping[str, Any], channels: Sequence[str], *, stream: str = "", now_ms: int | None = None
) -> Parsed:
    """Return (stream, time, values); an absent, empty or null value is missing, a time that is absent is now.

    >>> parse_reading({"at_ms": 5, "temperature": "21.5", "wind": None}, ("temperature", "wind"))
    ('', 5, (21.5, nan))
    """
    at_ms = _time(fields, now_ms)
    name = next((str(fields[key]) for key in _STREAMS if fields.get(key) not in (None, "")), stream)
    if len(name) > _MAX_NAME:
        raise ReadingError(f"the stream's name has {len(name)} characters; at most {_MAX_NAME}")
    if not any(channel in fields for channel in channels):
        raise ReadingError(f"none of {', '.join(channels)} is among {', '.join(map(str, fields)) or 'nothing'}")
    return name, at_ms, tuple(_number(channel, fields.get(channel)) for channel in channels)


def gather(parsed: Sequence[Parsed]) -> list[Readings]:
    """Put readings together by stream, each in the order in which they came."""
    by_stream: dict[str, list[Parsed]] = {}
    for each in parsed:
        by_stream.setdefault(each[0], []).append(each)
    return [
        Readings(name, np.array([each[1] for each in rows], dtype=np.int64), np.array([each[2] for each in rows]))
        for name, rows in by_stream.items()
    ]


class Refusals:
    """Counts what was refused, and logs it at a bounded rate: a broken sender must not fill the disk."""

    def __init__(self, source: str, *, every_s: float = 10.0) -> None:
        self.count = 0
        self._source = source
        self._every_s = every_s
        self._logged_s = -math.inf
        self._silent = 0

    def add(self, reason: object, count: int = 1) -> None:
        self.count += count
        if time.monotonic() - self._logged_s < self._every_s:
            self._silent += count
            return
        _log.warning("reading refused: source=%s reason=%s (and %d others)", self._source, reason, self._silent)
        self._logged_s, self._silent = time.monotonic(), 0


def _time(fields: Mapping[str, Any], now_ms: int | None) -> int:
    found = next((fields[key] for key in TIMES if fields.get(key) not in (None, "")), None)
    if found is None:
        if now_ms is None:
            raise ReadingError(f"no time: wanted one of {', '.join(TIMES)}")
        return now_ms
    at_ms = _from_text(found) if isinstance(found, str) else _from_number(found)
    if not 0 <= at_ms < _FAR_MS:
        raise ReadingError(f"the time is {found!r}; wanted: between 1970 and 9999")
    return at_ms


def _from_text(text: str) -> int:
    try:
        return _from_number(float(text))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ReadingError(f"the time is {text!r}; wanted: ISO 8601, or milliseconds since 1970") from None
    # Without a zone, UTC: a guess that is at least the same on every device.
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _from_number(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ReadingError(f"the time is {number!r}; wanted: ISO 8601, or milliseconds since 1970")
    return int(number * 1000) if 0 < number < _SECONDS_BELOW and number > 1e8 else int(number)


def _number(channel: str, value: Any) -> float:
    if value is None or value == "":
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ReadingError(f"{channel} is {value!r}; wanted: a number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        if str(value).strip().lower() in NOTHING:
            return math.nan
        raise ReadingError(f"{channel} is {str(value)[:40]!r}; wanted: a number") from None
