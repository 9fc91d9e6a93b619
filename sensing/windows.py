"""Windows of event time: which one a sample belongs to, and when one is done."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from sensing.tally import Ints

__all__ = ["EventWindows", "Piece"]

T = TypeVar("T")

# Older than this beside the newest sample, and the clock was set back rather than the sample late.
_SET_BACK_MS = 3_600_000


class Piece(NamedTuple):
    """The samples of one call that fall into one window."""

    start_ms: int
    rows: slice | Ints


class EventWindows(Generic[T]):
    """Tumbling windows, aligned to the epoch, that stay open until samples `lateness_ms` past their end arrive.

    Nothing is lost to lateness: a sample of a window that is closed already opens it once more, and its second part
    follows the first (windows add up). It stays open until the next window is done in time, so that a clock that was
    set back, or a sensor that catches up, does not make a window of each sample. Of `max_open` windows the oldest
    closes first, whatever the clock says.
    """

    def __init__(self, length_ms: int, lateness_ms: int, begin: Callable[[], T], *, max_open: int = 16) -> None:
        if length_ms <= 0 or lateness_ms < 0:
            raise ValueError(f"a window of {length_ms} ms with a lateness of {lateness_ms} ms; wanted: above 0, 0 up")
        self.length_ms = length_ms
        self.lateness_ms = lateness_ms
        self.open: dict[int, T] = {}
        self.newest_ms: int | None = None
        self._begin = begin
        self._max_open = max_open
        # Those that were opened once more.
        self._late: set[int] = set()

    def pieces(self, at_ms: Ints) -> list[Piece]:
        """Sort samples into windows."""
        if len(at_ms) == 1:
            at = int(at_ms[0])
            return [Piece(at - at % self.length_ms, slice(None))]
        starts = at_ms - at_ms % self.length_ms
        if not len(starts):
            return []
        if (starts == starts[0]).all():
            return [Piece(int(starts[0]), slice(None))]
        return [Piece(int(start), np.flatnonzero(starts == start)) for start in np.unique(starts)]

    def content(self, start_ms: int) -> T:
        """Return what the window holds so far; an absent one is opened."""
        if start_ms not in self.open:
            self.put(start_ms, self._begin())
        return self.open[start_ms]

    def put(self, start_ms: int, content: T) -> None:
        """Open a window with something in it, such as what a restart found."""
        self.open[start_ms] = content
        if self.newest_ms is not None and self._is_over(start_ms, self.newest_ms):
            self._late.add(start_ms)

    def advance(self, newest_ms: int) -> list[tuple[int, T]]:
        """Take note of the newest sample, and return the windows that are done, oldest first."""
        set_back = self.newest_ms is not None and newest_ms < self.newest_ms - _SET_BACK_MS
        if self.newest_ms is None or newest_ms > self.newest_ms or set_back:
            self.newest_ms = newest_ms
        if set_back:
            # What was counted under the wrong time goes out; the samples of the new time stay, and are in time.
            self._late.clear()
            return self._take([start for start in self.open if start > newest_ms])
        over = {start for start in self.open if self._is_over(start, self.newest_ms)}
        done = sorted(over if over - self._late else ())
        left = sorted(self.open.keys() - set(done))
        return self._take(done + left[: max(len(left) - self._max_open, 0)])

    def flush(self) -> list[tuple[int, T]]:
        """Close everything, for example before another model takes over."""
        return self._take(list(self.open))

    def _is_over(self, start_ms: int, newest_ms: int) -> bool:
        return start_ms + self.length_ms + self.lateness_ms <= newest_ms

    def _take(self, starts: list[int]) -> list[tuple[int, T]]:
        self._late.difference_update(starts)
        return [(start, self.open.pop(start)) for start in sorted(starts)]
