"""When a partition tells its shares of cohorts: told by arrivals, so that a replay tells the same.

Time goes by in ticks, one for each pane, a short while after its end: devices send their last windows of it. A pane is
told at the tick that follows it, with what had arrived by then, and again at the next tick after a late window.
"""

from collections.abc import Iterator

import numpy as np

from streams.drift.windows import Windows

__all__ = ["GRACE_MS", "REACH_PANES", "Telling"]

GRACE_MS = 15_000
# Windows that are later than this say nothing of a cohort any more.
REACH_PANES = 48


class Telling:
    """The panes of one partition that changed since they were last told."""

    def __init__(self, pane_ms: int) -> None:
        self.pane_ms = pane_ms
        # The last tick that went by; panes before it are over.
        self.tick = -1
        # By grid.
        self.changed: dict[str, set[int]] = {}

    def tick_of(self, arrived_ms: int) -> int:
        """Return the last tick before an arrival.

        >>> Telling(300_000).tick_of(315_000)
        1
        """
        return (arrived_ms - GRACE_MS) // self.pane_ms

    def note(self, grid_id: str, windows: Windows) -> None:
        """Note which panes some windows belong to."""
        panes = (windows.end_ms - 1) // self.pane_ms
        timely = panes >= (windows.arrival_ms - GRACE_MS) // self.pane_ms - REACH_PANES
        self.changed.setdefault(grid_id, set()).update(np.unique(panes[timely]).tolist())

    def is_due(self, arrived_ms: int) -> bool:
        """Say whether anything is to be told by then."""
        return next(self._due(self.tick_of(arrived_ms)), None) is not None

    def ticks(self, arrived_ms: int) -> list[int]:
        """Return the times by then at which something is to be told."""
        due = self._due(self.tick_of(arrived_ms))
        return sorted({at_tick * self.pane_ms + GRACE_MS for _, _, at_tick in due})

    def take(self, arrived_ms: int) -> dict[str, list[tuple[int, int]]]:
        """Let time go by; returns, by grid, the panes to tell, each with the time by which its windows had arrived.

        What has not arrived by `arrived_ms` must not have been noted.
        """
        tick, due = self.tick_of(arrived_ms), dict[str, list[tuple[int, int]]]()
        for grid_id, pane, at_tick in list(self._due(tick)):
            due.setdefault(grid_id, []).append((pane, at_tick * self.pane_ms + GRACE_MS))
            self.changed[grid_id].discard(pane)
        self.tick = max(tick, self.tick)
        return due

    def _due(self, tick: int) -> Iterator[tuple[str, int, int]]:
        for grid_id, changed in self.changed.items():
            for pane in sorted(changed):
                at_tick = max(pane, self.tick) + 1
                if at_tick <= tick:
                    yield grid_id, pane, at_tick
