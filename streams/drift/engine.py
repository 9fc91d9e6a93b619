"""The drift engine: one partition's windows on one grid, from arrays to measurements that policies can judge.

It keeps four rules:

* a window counts once, however often it arrives, and lands in its own pane, however late;
* what a device gets depends on its own windows and their order, never on how the stream was cut into batches;
* a device silent for longer than the rings reach starts anew, and no other does;
* what the rings hold follows from the set of windows alone, so that folding the log again gives them back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from schemas.columns import GridShape
from schemas.feature_stats import FeatureStats
from streams.drift.growing import GrowingArray
from streams.drift.looks import Looks
from streams.drift.measured import Group, Looked, Measured
from streams.drift.measuring import look_closely, pair_with
from streams.drift.presence import Presence, Tally
from streams.drift.ring import Ring
from streams.drift.rollups import HOUR_MS, Closed
from streams.drift.slow import SlowHorizons
from streams.drift.windows import Ints, Rows, Summary, Windows

__all__ = ["Admitted", "Engine"]

# What a chunk of rows touches fits the processor's cache.
_CHUNK = 128


@dataclass
class Admitted:
    """What came of a batch."""

    measured: list[Measured] = field(default_factory=list)
    rollups: list[FeatureStats] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class Engine:
    """State and measurements of one partition's devices on one grid; `needs` are the samples that looks take."""

    def __init__(self, *, grid_id: str, shape: GridShape, horizons_ms: Sequence[int], needs: Sequence[int]) -> None:
        features, bins = shape
        self.grid_id, self.shape = grid_id, shape
        self.horizons_ms = tuple(horizons_ms)
        self.fast = Ring(**_fast_plan(horizons_ms), features=features, bins=bins)
        self.presence = Presence(fast_reach_ms=self.fast.pane_ms * self.fast.slots)
        self.slow = SlowHorizons(horizons_ms[2:], features=features, bins=bins)
        self.looks: dict[int, Looks] = {}
        self.arrays = {
            "last_seq": GrowingArray((), np.int64),
            "last_end_ms": GrowingArray((), np.int64),
            # Fast panes before this one belong to the time before a long silence.
            "fast_floor": GrowingArray((), np.int64),
            # Changes whenever evidence must begin anew.
            "life": GrowingArray((), np.int64),
        }
        # By row: the baseline that it is compared with, its last boot, its group.
        self.baseline_of: list[str] = []
        self.boot_of: list[str] = []
        self.group_of: list[Group | None] = []
        self.presence.reach_ms = self.reach_ms
        self.provide(needs)

    @property
    def reach_ms(self) -> int:
        """How far back the longest ring goes."""
        rings = [self.fast, *(ring for _, ring in self.slow.rings)]
        return max(ring.pane_ms * ring.slots for ring in rings)

    def admit(self, windows: Windows, groups: Sequence[Group], which: Ints) -> Admitted:
        """Take in windows in the order of their offsets; window i is of `groups[which[i]]`."""
        admitted = Admitted()
        for first, end in _by_arrival_hour(windows.arrival_ms // HOUR_MS):
            self._turn_hour(int(windows.arrival_ms[first]) // HOUR_MS, first, admitted)
            for places in self._rounds(windows, first, end, admitted.tally):
                for group in np.unique(which[places]):
                    mine = places[which[places] == group]
                    for start in range(0, len(mine), _CHUNK):
                        self._take(windows, mine[start : start + _CHUNK], groups[group], admitted)
        return admitted

    def provide(self, needs: Sequence[int]) -> None:
        """Gather looks of so many samples from now on; looks of other sizes are dropped."""
        features, bins = self.shape
        held = self.looks
        self.looks = {need: held.get(need) or Looks(features=features, bins=bins) for need in needs}
        self.reserve(len(self.baseline_of))

    def evict(self, now_ms: int) -> int:
        """Forget devices that have been silent for longer than the rings reach; returns how many."""
        rows = self.presence.dismiss(now_ms)
        self._forget(rows)
        return len(rows)

    def reserve(self, rows: int) -> None:
        """Have room for so many devices."""
        for arrays in self._all_arrays():
            for array in arrays.values():
                array.reserve(rows)
        for _ in range(len(self.baseline_of), rows):
            self.baseline_of.append("")
            self.boot_of.append("")
            self.group_of.append(None)

    def _rounds(self, windows: Windows, first: int, end: int, tally: Tally) -> Iterator[Ints]:
        """Yield places such that each device comes once a round, in its own order, and repeats never."""
        rounds: list[list[int]] = []
        turn: dict[str, int] = {}
        for place in range(first, end):
            arrival = self.presence.arrive(windows.device_id[place], int(windows.arrival_ms[place]))
            self.reserve(self.presence.roster.reach)
            if arrival.silent:
                # What came before the silence is done with before the device starts anew.
                yield from _as_arrays(rounds)
                rounds, turn = [], {}
                self._wake(arrival.row, forgotten=arrival.forgotten)
            device = windows.device_id[place]
            if not self.presence.seen.admit(device, windows.boot_id[place], int(windows.seq[place])):
                tally.repeated += 1
                continue
            mine = turn.get(device, 0)
            turn[device] = mine + 1
            if mine == len(rounds):
                rounds.append([])
            rounds[mine].append(place)
        yield from _as_arrays(rounds)

    def _wake(self, row: int, *, forgotten: bool) -> None:
        """Let a device that was silent for too long start anew."""
        at = np.array([row], np.intp)
        if forgotten:
            self._forget(at)
            return
        newest = self.fast.newest(at)
        self.arrays["fast_floor"].rows[at] = newest + 1
        self.fast.drop_up_to(at, newest)

    def _forget(self, rows: Rows) -> None:
        for ring in (self.fast, *(ring for _, ring in self.slow.rings)):
            ring.forget(rows)
        for looks in self.looks.values():
            looks.forget(rows)
        for name, array in self.arrays.items():
            array.rows[rows] = array.rows[rows] + 1 if name == "life" else 0
        for row in rows.tolist():
            self.baseline_of[row], self.boot_of[row], self.group_of[row] = "", "", None

    def _all_arrays(self) -> list[dict[str, GrowingArray]]:
        looks = [looks.arrays for looks in self.looks.values()]
        return [self.arrays, *looks, self.fast.arrays, *(ring.arrays for _, ring in self.slow.rings)]

    def _take(self, windows: Windows, places: Ints, group: Group, admitted: Admitted) -> None:
        row_of = self.presence.roster.row_of
        rows = np.array([row_of[windows.device_id[place]] for place in places.tolist()], np.intp)
        summary = windows.summary(places)
        current = self._note(windows, places, rows, group)
        self.slow.rollups.add(
            rows,
            (windows.end_ms[places] - 1) // HOUR_MS,
            summary,
            (windows.min[places], windows.max[places]),
            ([windows.model_id[place] for place in places], [windows.pipeline[place] for place in places]),
        )
        panes = self.fast.pane_of(windows.end_ms[places])
        held = self.fast.holds(rows, panes) & (panes >= self.arrays["fast_floor"].rows[rows])
        admitted.tally.late += int((~held).sum())
        if not held.all():
            places, rows, panes, summary = places[held], rows[held], panes[held], summary[held]
            current = current[held]
        if not len(rows):
            return
        self._measure_closed_pane(windows, places, rows, panes, group, admitted)
        full = self.fast.add(rows, panes, summary, windows.offset[places])
        admitted.tally.overflowed += int(full.sum())
        if not current.all():
            places, rows, summary = places[current], rows[current], summary[current]
        if len(rows):
            self._measure(windows, places, rows, summary, group, admitted)

    def _note(self, windows: Windows, places: Ints, rows: Rows, group: Group) -> npt.NDArray[np.bool_]:
        """Remember who came last, and say which windows are of the model that their device runs now.

        A new baseline makes an end of the evidence against the old one; backlog of the old one is not judged.
        """
        baseline, end_ms = group.against.baseline_id, windows.end_ms[places]
        newer = end_ms > self.arrays["last_end_ms"].rows[rows]
        same = np.array([self.baseline_of[row] == baseline for row in rows.tolist()])
        changed = rows[newer & ~same]
        if len(changed):
            self.arrays["life"].rows[changed] += 1
            for looks in self.looks.values():
                looks.forget(changed)
        for i in np.flatnonzero(newer).tolist():
            row = int(rows[i])
            self.baseline_of[row], self.boot_of[row] = baseline, windows.boot_id[places[i]]
            self.group_of[row] = group
        self.arrays["last_seq"].rows[rows[newer]] = windows.seq[places[newer]]
        self.arrays["last_end_ms"].rows[rows[newer]] = end_ms[newer]
        current: npt.NDArray[np.bool_] = same | newer
        return current

    def _measure(
        self, windows: Windows, places: Ints, rows: Rows, summary: Summary, group: Group, admitted: Admitted
    ) -> None:
        span_ms = windows.end_ms[places] - windows.start_ms[places]
        looks = {
            need: look_closely(*held.add(rows, summary, span_ms, need), need, group)
            for need, held in self.looks.items()
        }
        admitted.tally.judged += len(rows)
        total = self.fast.sum(rows, _back(self.fast, self.horizons_ms[0]))
        admitted.measured.append(self._of_windows(windows, places, rows, group, self.horizons_ms[0], total, looks))

    def _measure_closed_pane(
        self, windows: Windows, places: Ints, rows: Rows, panes: Ints, group: Group, admitted: Admitted
    ) -> None:
        """Measure the longer fast horizon of rows whose pane is over."""
        if len(self.horizons_ms) < 2:
            return
        newest = self.fast.newest(rows)
        over = (newest >= 0) & (panes > newest)
        if over.any():
            rows, places = rows[over], places[over]
            total = self.fast.sum(rows, self.fast.slots)
            admitted.measured.append(self._of_windows(windows, places, rows, group, self.horizons_ms[1], total))

    def _turn_hour(self, hour: int, place: int, admitted: Admitted) -> None:
        before = self.slow.arrival_hour
        closed = self.slow.turn(hour)
        if closed is not None:
            admitted.rollups += closed.records(self.presence.roster.names, self.grid_id, before)
            self._measure_slow(closed, place, admitted)

    def _measure_slow(self, closed: Closed, place: int, admitted: Admitted) -> None:
        alike: dict[int, list[int]] = {}
        for row in np.unique(closed.rows).tolist():
            alike.setdefault(id(self.group_of[row]), []).append(row)
        for together in alike.values():
            group = self.group_of[together[0]]
            if group is None:
                continue
            for start in range(0, len(together), _CHUNK):
                rows = np.array(together[start : start + _CHUNK], np.intp)
                for horizon_ms, total in self.slow.sums(rows):
                    admitted.measured.append(
                        Measured(
                            group=group, horizon_ms=horizon_ms, place=np.full(len(rows), place), rows=rows,
                            device_id=self._names(rows), boot_id=[self.boot_of[row] for row in rows.tolist()],
                            seq=self.arrays["last_seq"].rows[rows], end_ms=self.arrays["last_end_ms"].rows[rows],
                            life=self.arrays["life"].rows[rows], pair=pair_with(group, total),
                        )
                    )  # fmt: skip

    def _of_windows(
        self, windows: Windows, places: Ints, rows: Rows, group: Group, horizon_ms: int, total: Summary,
        looks: dict[int, Looked] | None = None,
    ) -> Measured:  # fmt: skip
        return Measured(
            group=group, horizon_ms=horizon_ms, place=places, rows=rows, device_id=self._names(rows),
            boot_id=[windows.boot_id[place] for place in places.tolist()], seq=windows.seq[places],
            end_ms=windows.end_ms[places], life=self.arrays["life"].rows[rows], pair=pair_with(group, total),
            looks=looks,
        )  # fmt: skip

    def _names(self, rows: Rows) -> list[str]:
        return [self.presence.roster.names[row] for row in rows.tolist()]


def _fast_plan(horizons_ms: Sequence[int]) -> dict[str, int]:
    pane_ms = max(horizons_ms[0] // 3, 1)
    return {"pane_ms": pane_ms, "slots": -(-max(horizons_ms[:2]) // pane_ms)}


def _back(ring: Ring, horizon_ms: int) -> int:
    return max(1, min(ring.slots, horizon_ms // ring.pane_ms))


def _by_arrival_hour(hours: Ints) -> Iterator[tuple[int, int]]:
    """Cut a batch where a later arrival hour begins; a record stamped earlier belongs to the hour going on."""
    running = np.maximum.accumulate(hours) if len(hours) else hours
    cuts = [0, *(np.flatnonzero(np.diff(running)) + 1).tolist(), len(hours)]
    return ((first, end) for first, end in pairwise(cuts) if end > first)


def _as_arrays(rounds: list[list[int]]) -> Iterator[Ints]:
    return (np.array(one, np.int64) for one in rounds)
