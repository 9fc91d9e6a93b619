"""Readings from the outside: whatever somebody sends becomes numbers with a time, or is refused in words."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sensing.delimited import NOTHING
from sensing.errors import ReadingError
from sensing.moments import TIMES, moment_ms, time_columns
from sensing.sources.base import Readings

__all__ = ["Refusals", "gather", "parse_reading"]

_log = logging.getLogger(__name__)

_STREAMS = ("stream", "sensor", "sensor_id", "place", "device_id")
_MAX_NAME = 200

Parsed = tuple[str, int, tuple[float, ...]]


def parse_reading(
    fields: Mapping[str, Any],
    channels: Sequence[str],
    *,
    stream: str = "",
    now_ms: int | None = None,
    time_format: str = "",
) -> Parsed:
    """Return (stream, time, values); an absent, empty or null value is missing, a time that is absent is now.

    `time_format` says how times are written, as for `strptime`.

    >>> parse_reading({"at_ms": 5, "temperature": "21.5", "wind": None}, ("temperature", "wind"))
    ('', 5, (21.5, nan))
    """
    at_ms = _time(fields, now_ms, time_format)
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


def _time(fields: Mapping[str, Any], now_ms: int | None, time_format: str) -> int:
    keys = time_columns(name for name, cell in fields.items() if cell not in (None, ""))
    if not keys:
        if now_ms is None:
            raise ReadingError(f"no time: wanted one of {', '.join(TIMES)}")
        return now_ms
    found = fields[keys[0]] if len(keys) == 1 else " ".join(str(fields[key]) for key in keys)
    return moment_ms(found, written=time_format, small=1 if keys == ["at_ms"] else math.nan)


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
