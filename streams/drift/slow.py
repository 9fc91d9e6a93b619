"""The slow horizons of one engine: hourly roll-ups, and the rings that stand on them.

A slow horizon is measured whenever one of its panes ends, and holds whole panes only: a day is a whole day, whatever
the hour.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.drift.kernels import Totals
from streams.drift.ring import Ring
from streams.drift.rollups import HOUR_MS, Closed, Rollups
from streams.drift.windows import Rows

__all__ = ["Ended", "Past", "SlowHorizons", "past_ms_of"]

_DAY_MS = 24 * HOUR_MS
# Of the panes of a horizon, and of its past, so many must hold something: whoever rests at weekends has five of seven.
_LEAST_HELD = 0.7


class Past(NamedTuple):
    """What came before a horizon, and whose past is long enough to be compared with."""

    totals: Totals
    is_there: npt.NDArray[np.bool_]
    span_ms: int


@dataclass(frozen=True)
class Ended:
    """A horizon that is to be measured, for some rows; `past` where that is held."""

    horizon_ms: int
    every_ms: int
    rows: Rows
    totals: Totals
    # Enough of the horizon is known: a day of which only the night is known is no day.
    is_filled: npt.NDArray[np.bool_]
    past: Past | None


class SlowHorizons:
    """Roll-ups of the arrival hour that is going on, and a ring for each horizon beyond the fast ones."""

    def __init__(self, horizons_ms: Sequence[int], *, features: int, bins: int) -> None:
        self._shape = {"features": features, "bins": bins}
        self.rings = [(horizon, Ring(**_plan(horizon), **self._shape)) for horizon in horizons_ms]
        # For each of them what came before, while that is asked for.
        self.past: list[Ring] = []
        self.rollups = Rollups(features=features, bins=bins)
        self.arrival_hour = -1

    @property
    def all_rings(self) -> list[Ring]:
        return [*(ring for _, ring in self.rings), *self.past]

    def hold_past(self) -> None:
        """Hold from now on what came before each horizon."""
        if not self.past:
            self.past = [Ring(**_past_plan(horizon), **self._shape) for horizon, _ in self.rings]

    def drop_past(self) -> None:
        self.past = []

    def turn(self, hour: int) -> Closed | None:
        """Let a later arrival hour begin; returns the roll-ups that this closed, which the rings now have."""
        if hour <= self.arrival_hour:
            return None
        closed = self.rollups.close() if self.rollups.slot_of else None
        if closed is not None:
            for ring in self.all_rings:
                ring.add(closed.rows, ring.pane_of((closed.hours + 1) * HOUR_MS), closed.summary, closed.hours)
        self.arrival_hour = hour
        return closed

    def ended(self, before: int, rows: Rows, *, against_past: bool, most: int) -> Iterator[Ended]:
        """Yield the horizons of which a pane ended since an arrival hour; `most` rows at a time.

        They are those rows that were heard of within that pane.
        """
        for place, (horizon_ms, ring) in enumerate(self.rings):
            pane_hours = ring.pane_ms // HOUR_MS
            if self.arrival_hour // pane_hours == before // pane_hours:
                continue
            over = self.arrival_hour // pane_hours - 1
            heard = rows[ring.newest(rows) >= before // pane_hours]
            for start in range(0, len(heard), most):
                some = heard[start : start + most]
                last = np.minimum(ring.newest(some), over)
                yield Ended(
                    horizon_ms=horizon_ms,
                    every_ms=ring.pane_ms,
                    rows=some,
                    totals=ring.sum(some, ring.slots, last),
                    is_filled=ring.held(some, ring.slots, last) >= _LEAST_HELD * ring.slots,
                    past=self._past(place, some, (last + 1 - ring.slots) * ring.pane_ms) if against_past else None,
                )

    def _past(self, place: int, rows: Rows, before_ms: npt.NDArray[np.int64]) -> Past:
        """Add up the whole panes that had ended by a time, of each row its own."""
        ring, span_ms = self.past[place], past_ms_of(self.rings[place][0])
        last, back = before_ms // ring.pane_ms - 1, span_ms // ring.pane_ms
        is_there = ring.held(rows, back, last) >= _LEAST_HELD * back
        return Past(ring.sum(rows, back, last), is_there, span_ms)


def past_ms_of(horizon_ms: int) -> int:
    """How far back goes what a horizon is compared with: seven days before one of up to a day, thirty before others.

    >>> past_ms_of(24 * HOUR_MS) // _DAY_MS, past_ms_of(7 * 24 * HOUR_MS) // _DAY_MS
    (7, 30)
    """
    return (7 if horizon_ms <= _DAY_MS else 30) * _DAY_MS


def _plan(horizon_ms: int) -> dict[str, int]:
    """As few panes as give a smooth horizon, each of whole hours: 8 of 3 h for a day, 7 of a day for a week."""
    hours = max(horizon_ms // HOUR_MS, 1)
    slots = next((slots for slots in (7, 8, 6, 5, 4, 3, 2) if hours % slots == 0), 1)
    return {"pane_ms": hours // slots * HOUR_MS, "slots": slots}


def _past_plan(horizon_ms: int) -> dict[str, int]:
    """Seven panes of a day, or ten of three, behind those that the horizon itself may reach into."""
    pane_ms = (1 if horizon_ms <= _DAY_MS else 3) * _DAY_MS
    return {"pane_ms": pane_ms, "slots": past_ms_of(horizon_ms) // pane_ms + -(-horizon_ms // pane_ms) + 1}
