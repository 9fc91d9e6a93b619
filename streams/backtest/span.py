"""A stretch of broker time, and how people write its ends."""

import datetime as dt
from dataclasses import dataclass

from streams.backtest.errors import BacktestError

__all__ = ["EVER", "Span", "moment_ms", "span_of", "told_moment"]

_LAST_MS = 2**62


@dataclass(frozen=True, slots=True)
class Span:
    """From one moment, inclusive, to another, exclusive; milliseconds since 1970."""

    from_ms: int = 0
    to_ms: int = _LAST_MS

    def __post_init__(self) -> None:
        if self.to_ms <= self.from_ms:
            raise BacktestError(
                f"range: found {told_moment(self.from_ms)} to {told_moment(self.to_ms)}, wanted an end after the start"
            )

    def __contains__(self, at_ms: int) -> bool:
        return self.from_ms <= at_ms < self.to_ms

    def __str__(self) -> str:
        return f"{told_moment(self.from_ms)} to {told_moment(self.to_ms)}"


EVER = Span()


def moment_ms(text: str, *, name: str = "time") -> int:
    """Read a moment: a day, or a day and a time, UTC unless it names another zone.

    >>> moment_ms("2026-11-01"), moment_ms("2026-11-01T12:30+01:00")
    (1793491200000, 1793532600000)
    """
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BacktestError(f"{name}: found {text!r}, wanted a time such as 2026-11-01 or 2026-11-01T08:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return round(moment.timestamp() * 1000)


def told_moment(at_ms: int) -> str:
    """Write a moment as people read it.

    >>> told_moment(1793491200000)
    '2026-11-01 00:00Z'
    """
    if at_ms <= 0:
        return "the start"
    if at_ms >= _LAST_MS:
        return "the end"
    moment = dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%MZ" if at_ms % 60_000 == 0 else "%Y-%m-%d %H:%M:%SZ")


def span_of(start: str | None, end: str | None) -> Span:
    """Read the ends of a span; None is as far as there is anything."""
    return Span(
        EVER.from_ms if start is None else moment_ms(start, name="from"),
        EVER.to_ms if end is None else moment_ms(end, name="to"),
    )
