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
_WANTED = "ISO 8601, or seconds or milliseconds since 1970"
# The spring of 1973 is 1e8 in seconds and 1e11 in milliseconds, and so on: where one unit ends, the next begins.
_SECONDS_FROM, _SECONDS_BELOW = 1e8, 1e11
_UNITS = ((_SECONDS_BELOW, 1000), (1e14, 1), (1e17, 1e-3), (math.inf, 1e-6))
_FAR_MS = 253_402_300_800_000

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
    key = next((key for key in TIMES if fields.get(key) not in (None, "")), None)
    if key is None:
        if now_ms is None:
            raise ReadingError(f"no time: wanted one of {', '.join(TIMES)}")
        return now_ms
    found = fields[key]
    match found:
        case datetime():
            at_ms = _from_moment(found)
        case str():
            at_ms = _written(found, time_format) if time_format else _from_text(found, key)
        case _:
            at_ms = _from_number(found, key)
    if not 0 <= at_ms < _FAR_MS:
        raise ReadingError(f"the time is {found!r}; wanted: between 1970 and 9999")
    return at_ms


def _from_text(text: str, key: str) -> int:
    try:
        number = float(text)
    except ValueError:
        return _written(text, "")
    return _from_number(number, key)


def _written(text: str, time_format: str) -> int:
    try:
        moment = (
            datetime.strptime(text.strip(), time_format)  # noqa: DTZ007
            if time_format
            else datetime.fromisoformat(text.strip())
        )
    except ValueError:
        wanted = f"one written {time_format}" if time_format else _WANTED
        raise ReadingError(f"the time is {text[:60]!r}; wanted: {wanted}") from None
    return _from_moment(moment)


def _from_moment(moment: datetime) -> int:
    # Without a zone, UTC: a guess that is at least the same on every device.
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _from_number(number: Any, key: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ReadingError(f"the time is {number!r}; wanted: {_WANTED}")
    if key == "at_ms" or number <= 0:
        return int(number * 1000) if _SECONDS_FROM < number < _SECONDS_BELOW else int(number)
    if number <= _SECONDS_FROM:
        # The days of a spreadsheet, or seconds since somebody pressed a button: not a time that can be known.
        raise ReadingError(f"the time is {number!r}; wanted: {_WANTED}, for {key}")
    return int(number * next(factor for below, factor in _UNITS if number < below))


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
