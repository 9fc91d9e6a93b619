"""The slow horizons of one engine: hourly roll-ups, and the rings that stand on them."""

from collections.abc import Iterator, Sequence

from streams.drift.kernels import Totals
from streams.drift.ring import Ring
from streams.drift.rollups import HOUR_MS, Closed, Rollups
from streams.drift.windows import Rows

__all__ = ["SlowHorizons"]


class SlowHorizons:
    """Roll-ups of the arrival hour that is going on, and a ring for each horizon beyond the fast ones."""

    def __init__(self, horizons_ms: Sequence[int], *, features: int, bins: int) -> None:
        self.rings = [(horizon, Ring(**_plan(horizon), features=features, bins=bins)) for horizon in horizons_ms]
        self.rollups = Rollups(features=features, bins=bins)
        self.arrival_hour = -1

    def turn(self, hour: int) -> Closed | None:
        """Let a later arrival hour begin; returns the roll-ups that this closed, which the rings now have."""
        if hour <= self.arrival_hour:
            return None
        closed = self.rollups.close() if self.rollups.slot_of else None
        if closed is not None and self.rings:
            self._take_up(closed)
        self.arrival_hour = hour
        return closed

    def sums(self, rows: Rows) -> Iterator[tuple[int, Totals]]:
        """Yield each horizon with what its ring holds of some rows."""
        for horizon_ms, ring in self.rings:
            yield horizon_ms, ring.sum(rows, ring.slots)

    def _take_up(self, closed: Closed) -> None:
        for _, ring in self.rings:
            ring.add(closed.rows, ring.pane_of((closed.hours + 1) * HOUR_MS), closed.summary, closed.hours)


def _plan(horizon_ms: int) -> dict[str, int]:
    """As few panes as give a smooth horizon, each of whole hours: 8 of 3 h for a day, 7 of a day for a week."""
    hours = max(horizon_ms // HOUR_MS, 1)
    slots = next((slots for slots in (7, 8, 6, 5, 4, 3, 2) if hours % slots == 0), 1)
    return {"pane_ms": hours // slots * HOUR_MS, "slots": slots}
