"""Change-only reporting: windows that look like those before them are summed up, and sent as one record now and then.

Nothing is left out: summed windows are what one longer window would have counted. A window that differs goes out at
once, after what was held back before it; and the longest silence is bounded, which makes it a heartbeat.
"""

from dataclasses import dataclass

import numpy as np

from edge_gateway.config import WindowConfig
from sensing.pipelines.base import Arrays
from sensing.sketch import SketchedWindow, tally_arrays, tally_from
from sensing.tally import Floats, Tally

__all__ = ["QuietWindows", "Summed", "differs"]

# A change of the missing, or of the out-of-range, share of a feature that is worth a record.
_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Summed:
    """What goes out as one record: a window, or several that look alike."""

    window: SketchedWindow
    windows: int = 1


def differs(reference: Tally, live: Tally, deadband: float) -> bool:
    """Say whether some feature has moved: its values by more than `deadband` bins on average (the earth mover's
    distance over the grid), or the share of its missing or out-of-range values by more than 0.05.

    Bins hold equal shares of the reference data, so that a step means as much for one feature as for another; the
    spread within a window would not do, for readings that follow each other are alike.
    """
    moved = np.abs(_cumulated(live) - _cumulated(reference)).sum(axis=1) > deadband
    seen = (live.usable > 0) != (reference.usable > 0)
    shares = [
        np.abs(mine / max(live.samples, 1) - theirs / max(reference.samples, 1)) > _SHARE
        for mine, theirs in ((live.missing, reference.missing), (live.out_of_range, reference.out_of_range))
    ]
    return bool((moved | seen | shares[0] | shares[1]).any())


class QuietWindows:
    """Decides, window by window, what goes out; with `quiet_s` 0 every window does, by itself."""

    def __init__(self, config: WindowConfig) -> None:
        self._every_ms = int(config.quiet_s * 1000)
        self._deadband = config.deadband
        self._held: Summed | None = None
        # What the fleet was told last.
        self._told: Tally | None = None

    def take(self, window: SketchedWindow) -> list[Summed]:
        """Return what is to go out now, in order."""
        if not self._every_ms:
            return [Summed(window)]
        due = []
        if self._held is not None and not self._belongs(self._held, window):
            due.append(self._let_go(self._held))
        if self._held is None and (self._told is None or differs(self._told, window.tally, self._deadband)):
            self._told = window.tally
            return [*due, Summed(window)]
        self._held = Summed(window) if self._held is None else _added(self._held, window)
        if self._held.window.end_ms % self._every_ms == 0:
            due.append(self._let_go(self._held))
        return due

    def flush(self) -> list[Summed]:
        """Return what is held back, for example before another model takes over."""
        return [] if self._held is None else [self._let_go(self._held)]

    def freeze(self) -> Arrays:
        """Return what is held back, for a restart to go on with; what was told is found out anew."""
        if self._held is None:
            return {}
        window = self._held.window
        span = np.array([window.start_ms, window.end_ms, self._held.windows], dtype=np.int64)
        return {"span": span, **tally_arrays(window.tally)}

    def thaw(self, state: Arrays) -> None:
        if not state:
            return
        start_ms, end_ms, windows = state["span"].tolist()
        tally = tally_from({name: array for name, array in state.items() if name != "span"})
        self._held = Summed(SketchedWindow(start_ms, end_ms, tally), windows)
        self._told = tally

    def _belongs(self, held: Summed, window: SketchedWindow) -> bool:
        follows = window.start_ms >= held.window.end_ms
        same = window.start_ms // self._every_ms == held.window.start_ms // self._every_ms
        return follows and same and not differs(held.window.tally, window.tally, self._deadband)

    def _let_go(self, held: Summed) -> Summed:
        self._held, self._told = None, held.window.tally
        return held


def _added(held: Summed, window: SketchedWindow) -> Summed:
    total = Tally.empty(*held.window.tally.counts.shape)
    total.add(held.window.tally)
    total.add(window.tally)
    return Summed(SketchedWindow(held.window.start_ms, window.end_ms, total), held.windows + 1)


def _cumulated(tally: Tally) -> Floats:
    """Return the share of values up to each bin, features x bins; zeros where there are none."""
    shares: Floats = tally.counts.cumsum(axis=1) / np.maximum(tally.counts.sum(axis=1, keepdims=True), 1)
    return shares
