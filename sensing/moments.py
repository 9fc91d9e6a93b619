"""When a row was: times as people and instruments write them become milliseconds since 1970."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensing.errors import ReadingError

__all__ = ["TIMES", "moment_ms", "moments_ms", "time_columns"]

# What a table calls the time of a row, the plainest first; a date and a time of day are one together.
TIMES = ("at_ms", "timestamp", "datetime", "ts", "time", "date")

_WANTED = "ISO 8601, or seconds or milliseconds since 1970"
# The spring of 1973 is 1e8 in seconds and 1e11 in milliseconds, and so on: where one unit ends, the next begins.
_LIMITS = (1e8, 1e11, 1e14, 1e17)
_UNITS_MS = (1e3, 1.0, 1e-3, 1e-6)
_FAR_MS = 253_402_300_800_000


def time_columns(names: Iterable[str]) -> list[str]:
    """Return the columns that say together when a row was; none where no name is a usual one.

    >>> time_columns(["heat", "time", "date"]), time_columns(["Date", "Timestamp"]), time_columns(["heat"])
    (['date', 'time'], ['Timestamp'], [])
    """
    named = {name.lower(): name for name in names if name.lower() in TIMES}
    if named.keys() == {"date", "time"}:
        return [named["date"], named["time"]]
    return [named[name] for name in TIMES if name in named][:1]


def moment_ms(found: Any, *, written: str = "", small: float = math.nan) -> int:
    """Return when it was; `ReadingError` for what is no time.

    `written` is how texts are written, as for `strptime`. Numbers count from 1970, in the unit in which they are of our
    age; smaller ones may count from somewhere else, and `small` says how many milliseconds their unit has.

    >>> moment_ms("1970-01-02"), moment_ms(1767571200), moment_ms(5, small=1)
    (86400000, 1767571200000, 5)
    """
    match found:
        case datetime():
            at_ms = _of_datetime(found)
        case date():
            at_ms = _of_datetime(datetime.combine(found, time()))
        case str():
            at_ms = _of_text(found.strip(), written, small)
        case int() | float() if not isinstance(found, bool):
            at_ms = _of_number(found, small)
        case _:
            raise ReadingError(f"the time is {found!r:.60}; wanted: {_WANTED}")
    if not 0 <= at_ms < _FAR_MS:
        raise ReadingError(f"the time is {found!r}; wanted: between 1970 and 9999")
    return at_ms


def moments_ms(*columns: Sequence[Any], written: str = "", small: float = math.nan) -> NDArray[np.int64]:
    """Return when each row was, by one column or by several whose texts belong together; see `moment_ms`."""
    column = columns[0] if len(columns) == 1 else [" ".join(map(str, parts)) for parts in zip(*columns, strict=True)]
    given = np.asarray(column)
    if given.dtype.kind == "M":
        given = given.astype("datetime64[ms]")
        at_ms = np.where(np.isnat(given), np.nan, given.astype(np.float64))
    else:
        at_ms = _of_numbers(given, small)
    texts_are_written = written and given.dtype.kind in "UO"
    if not texts_are_written and np.all((at_ms >= 0) & (at_ms < _FAR_MS)):
        return at_ms.astype(np.int64)
    # One by one, for texts, and to say in words which of them is no time.
    made = []
    for row, each in enumerate(given.tolist(), start=1):
        try:
            made.append(moment_ms(each, written=written, small=small))
        except ReadingError as error:
            raise ReadingError(f"row {row}: {error}", hint=error.hint) from None
    return np.array(made, np.int64)


def _of_numbers(given: NDArray[Any], small: float) -> NDArray[np.float64]:
    """Return NaN for what is no number or no time."""
    try:
        numbers = given.astype(np.float64) if given.dtype.kind in "iufUO" else np.full(given.shape, np.nan)
    except (ValueError, TypeError, OverflowError):
        return np.full(given.shape, np.nan)
    units_ms: NDArray[np.float64] = np.array([small, *_UNITS_MS])[np.searchsorted(_LIMITS, numbers, side="right")]
    return numbers * units_ms


def _of_text(text: str, written: str, small: float) -> int:
    if not written:
        try:
            number = float(text)
        except ValueError:
            pass
        else:
            return _of_number(number, small)
    try:
        moment = datetime.strptime(text, written) if written else datetime.fromisoformat(text)  # noqa: DTZ007
    except ValueError:
        wanted = f"one written {written}" if written else _WANTED
        raise ReadingError(f"the time is {text[:60]!r}; wanted: {wanted}") from None
    return _of_datetime(moment)


def _of_datetime(moment: datetime) -> int:
    # Without a zone, UTC: a guess that is at least the same on every device.
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _of_number(number: float, small: float) -> int:
    at_ms = min(number, 1e30) * (small, *_UNITS_MS)[bisect_right(_LIMITS, number)]
    if not math.isfinite(at_ms):
        # The days of a spreadsheet, or seconds since somebody pressed a button: not a time that can be known.
        raise ReadingError(f"the time is {number!r}; wanted: {_WANTED}")
    return int(at_ms)
