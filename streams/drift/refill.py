"""Fill rings again, from what the log and the roll-ups still have."""

from collections.abc import Sequence

import numpy as np

from schemas.columns import GridShape, columns
from schemas.feature_stats import FeatureStats
from streams.drift.engine import Engine
from streams.drift.measuring import summary_of
from streams.drift.rollups import HOUR_MS
from streams.drift.seen import Seen
from streams.drift.windows import Summary, Windows

__all__ = ["FastRefill", "SlowRefill", "first_offset"]


def first_offset(engine: Engine) -> int | None:
    """Return the first offset whose window is in a fast ring that may still be asked for; None if there is none."""
    ring = engine.fast
    presence = engine.presence
    rows = np.array([row for row in presence.roster.row_of.values() if presence.is_awake(row)], np.intp)
    if not len(rows):
        return None
    panes = ring.arrays["pane"].rows[rows]
    oldest = np.maximum(ring.newest(rows) - ring.slots + 1, engine.arrays["fast_floor"].rows[rows])
    held = panes - 1 >= oldest[:, np.newaxis]
    held &= panes > 0
    return int(ring.arrays["first_offset"].rows[rows][held].min()) if held.any() else None


class FastRefill:
    """Fills an engine's fast ring with windows from before its checkpoint, in the order of their offsets.

    Repeats are told by what this refill has seen: a window from before the first offset is in no pane that is
    still held, or the first offset would be an earlier one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._seen = engine, Seen()
        self._newest = engine.fast.arrays["newest"].rows.copy()
        engine.fast.arrays["newest"].rows[:] = 0

    def add(self, windows: Windows) -> None:
        ring, row_of = self._engine.fast, self._engine.presence.roster.row_of
        new = [
            place
            for place, (device, boot, seq) in enumerate(
                zip(windows.device_id, windows.boot_id, windows.seq.tolist(), strict=True)
            )
            if device in row_of and self._seen.admit(device, boot, seq)
        ]
        places = np.array(new, np.int64)
        rows = np.array([row_of[windows.device_id[place]] for place in new], np.intp)
        panes = ring.pane_of(windows.end_ms[places])
        ring.add(rows, panes, summary_of(windows, places), windows.offset[places])

    def finish(self) -> None:
        """Drop what the engine had dropped by then."""
        engine = self._engine
        rows = np.arange(engine.presence.roster.reach)
        engine.fast.arrays["newest"].rows[:] = self._newest
        engine.fast.drop_up_to(rows, engine.arrays["fast_floor"].rows[rows] - 1)


class SlowRefill:
    """Fills rings of an engine with roll-ups in the order in which they were closed; repeats are left out.

    These are all slow rings, or those of the past alone, which an engine may have been given later than the others.
    """

    def __init__(self, engine: Engine, *, only_past: bool = False) -> None:
        self._engine, self._seen = engine, set[tuple[int, int, int]]()
        self._rings = engine.slow.past if only_past else engine.slow.all_rings

    def add(self, rollups: Sequence[FeatureStats]) -> None:
        engine, wanted = self._engine, []
        for one in rollups:
            closed_by_then = one.arrival_hour_ms // HOUR_MS < engine.slow.arrival_hour
            row = engine.presence.roster.row_of.get(one.device_id)
            if one.grid_id != engine.grid_id or not closed_by_then or row is None:
                continue
            key = (row, one.window_start_ms, one.arrival_hour_ms)
            if key in self._seen or one.arrival_hour_ms + HOUR_MS < engine.presence.awake_since_ms[row]:
                continue
            self._seen.add(key)
            wanted.append((row, one))
        if not wanted:
            return
        rows = np.array([row for row, _ in wanted], np.intp)
        summary = _summary([one for _, one in wanted], engine.shape)
        ends_ms = np.array([one.window_end_ms for _, one in wanted], np.int64)
        for ring in self._rings:
            panes = ring.pane_of(ends_ms)
            ring.add(rows, panes, summary, panes)


def _summary(rollups: list[FeatureStats], shape: GridShape) -> Summary:
    opened = [columns(one, shape) for one in rollups]
    return Summary(
        samples=np.array([one.samples for one in rollups], np.int64),
        counts=np.ascontiguousarray(np.stack([one.counts.T for one in opened])),
        missing=np.stack([one.missing for one in opened]),
        out_of_range=np.stack([one.out_of_range for one in opened]),
        mean=np.stack([one.mean for one in opened]),
        m2=np.stack([one.m2 for one in opened]),
    )
