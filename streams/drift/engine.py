"""The drift engine: one partition's windows on one grid, from arrays to measurements that policies can judge.

It keeps four rules:

* a window counts once, however often it arrives, and lands in its own pane, however late;
* what a device gets depends on its own windows and their order, never on how the stream was cut into batches;
* a device silent for longer than the rings reach starts anew, and no other does;
* what the rings hold follows from the set of windows alone, so that folding the log again gives them back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.columns import GridShape
from schemas.feature_stats import FeatureStats
from streams.drift.cutting import by_arrival_hour, rounds
from streams.drift.growing import GrowingArray
from streams.drift.kernels import Arrived, Became, Devices, Totals, fold
from streams.drift.looks import Looks
from streams.drift.measured import Group, Measured
from streams.drift.measuring import Batch, Heard, Measuring, summary_of
from streams.drift.panes import fast_plan
from streams.drift.policy import Against
from streams.drift.presence import Presence, Tally
from streams.drift.ring import Ring
from streams.drift.rollups import HOUR_MS
from streams.drift.slow import SlowHorizons
from streams.drift.windows import Flags, Ints, Rows, Summary, Windows

__all__ = ["Admitted", "Engine"]

# What a chunk of rows touches fits the processor's cache.
_CHUNK = 512


@dataclass
class Admitted:
    """What came of a batch."""

    measured: list[Measured] = field(default_factory=list)
    rollups: list[FeatureStats] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class Engine:
    """State and measurements of one partition's devices on one grid; `needs` are the samples that looks take."""

    def __init__(
        self,
        *,
        grid_id: str,
        shape: GridShape,
        horizons_ms: Sequence[int],
        needs: Sequence[int],
        reference: str = Against.BASELINE,
    ) -> None:
        features, bins = shape
        self.grid_id, self.shape = grid_id, shape
        self.horizons_ms = tuple(horizons_ms)
        self.fast = Ring(**fast_plan(horizons_ms), features=features, bins=bins)
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
            # Number of the baseline that the row is compared with; 0 is none.
            "baseline": GrowingArray((), np.int64),
        }
        # Baselines by their numbers.
        self.baselines = [""]
        # By row: its last boot, its group.
        self.boot_of: list[str] = []
        self.group_of: list[Group | None] = []
        self._measuring = Measuring()
        self.provide(needs)
        self.compare_with(reference)

    @property
    def reach_ms(self) -> int:
        """How far back the longest ring goes."""
        past = self.slow.past if self.reference == Against.EARLIER else []
        rings = [self.fast, *(ring for _, ring in self.slow.rings), *past]
        return max(ring.pane_ms * ring.slots for ring in rings)

    def admit(self, windows: Windows, groups: Sequence[Group], which: Ints) -> Admitted:
        """Take in windows in the order of their offsets; window i is of `groups[which[i]]`."""
        admitted = Admitted()
        numbers = np.array([self._number_of(group.against.baseline_id) for group in groups], np.int64)
        for first, end in by_arrival_hour(windows.arrival_ms // HOUR_MS):
            self._turn_hour(int(windows.arrival_ms[first]) // HOUR_MS, first, admitted)
            for places, rows in self._new_ones(windows, first, end, admitted.tally):
                for some in rounds(rows):
                    for start in range(0, len(some), _CHUNK):
                        part = some[start : start + _CHUNK]
                        mine = which[places[part]]
                        batch = Batch(windows, places[part], rows[part], groups, mine, self.presence.roster.names)
                        self._take(batch, numbers[mine], admitted)
        return admitted

    def provide(self, needs: Sequence[int]) -> None:
        """Gather looks of so many samples from now on; looks of other sizes are dropped."""
        features, bins = self.shape
        held = self.looks
        self.looks = {need: held.get(need) or Looks(features=features, bins=bins) for need in needs}
        self.reserve(len(self.boot_of))

    def compare_with(self, reference: str, *, hold_past: bool = False) -> bool:
        """Compare windows with something else from now on; says whether the past is held now, and was not before.

        With `hold_past` it is held in any case.
        """
        self.reference, held = reference, bool(self.slow.past)
        if reference == Against.EARLIER or hold_past:
            self.slow.hold_past()
        else:
            self.slow.drop_past()
        self.presence.reach_ms = self.reach_ms
        self.reserve(len(self.boot_of))
        return bool(self.slow.past) and not held

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
        missing = rows - len(self.boot_of)
        if missing > 0:
            self.boot_of += [""] * missing
            self.group_of += [None] * missing

    def _new_ones(self, windows: Windows, first: int, end: int, tally: Tally) -> Iterator[tuple[Ints, Rows]]:
        """Yield the windows that are no repeats, and their rows; a device that was silent begins a new part."""
        arrive, admit = self.presence.arrive, self.presence.seen.admit
        arrivals, seqs = windows.arrival_ms.tolist(), windows.seq.tolist()
        places: list[int] = []
        rows: list[int] = []
        for place in range(first, end):
            device = windows.device_id[place]
            row = arrive(device, arrivals[place])
            if row < 0:
                # What came before the silence is done with before the device starts anew.
                yield np.array(places, np.int64), np.array(rows, np.intp)
                places, rows = [], []
                row = self._wake(device, arrivals[place])
            if admit(device, windows.boot_id[place], seqs[place]):
                places.append(place)
                rows.append(row)
            else:
                tally.repeated += 1
        self.reserve(self.presence.roster.reach)
        yield np.array(places, np.int64), np.array(rows, np.intp)

    def _wake(self, device: str, arrival_ms: int) -> int:
        """Let a device that was silent for too long start anew; returns its row."""
        row, forgotten = self.presence.wake(device, arrival_ms)
        at = np.array([row], np.intp)
        if forgotten:
            self._forget(at)
        else:
            newest = self.fast.newest(at)
            self.arrays["fast_floor"].rows[at] = newest + 1
            self.fast.drop_up_to(at, newest)
        return row

    def _forget(self, rows: Rows) -> None:
        for ring in (self.fast, *self.slow.all_rings):
            ring.forget(rows)
        for looks in self.looks.values():
            looks.forget(rows)
        for name, array in self.arrays.items():
            array.rows[rows] = array.rows[rows] + 1 if name == "life" else 0
        for row in rows.tolist():
            self.boot_of[row], self.group_of[row] = "", None

    def _all_arrays(self) -> list[dict[str, GrowingArray]]:
        looks = [looks.arrays for looks in self.looks.values()]
        return [self.arrays, *looks, self.fast.arrays, *(ring.arrays for ring in self.slow.all_rings)]

    def _take(self, batch: Batch, baselines: Ints, admitted: Admitted) -> None:
        """Take in windows of as many devices."""
        windows, places, rows = batch.windows, batch.places, batch.rows
        summary, ends_ms = summary_of(windows, places), windows.end_ms[places]
        full = self._roll_up(batch, summary, ends_ms)
        arrived = Arrived(
            rows=rows, baseline=baselines, pane=self.fast.pane_of(ends_ms), end_ms=ends_ms, seq=windows.seq[places],
            offset=windows.offset[places],
        )  # fmt: skip
        became = Became.of(len(rows))
        features, bins = self.shape
        fast, whole = Totals.empty(len(rows), bins, features), Totals.empty(len(rows), bins, features)
        devices = Devices(*(self.arrays[name].rows for name in Devices._fields))
        back = max(1, min(self.fast.slots, self.horizons_ms[0] // self.fast.pane_ms))
        fold(self.fast.panes, devices, arrived, summary, back, len(self.horizons_ms) > 1, became, fast, whole)
        self._note(batch, became)
        admitted.tally.late += int(became.late.sum())
        admitted.tally.overflowed += int((became.full | full).sum())
        over, judged = np.flatnonzero(became.closing), np.flatnonzero(became.judged)
        if len(over):
            some, life = self._compared(batch.only(over)), became.life[over]
            admitted.measured += self._measuring.alone(
                some, life, self.horizons_ms[1], self.fast.pane_ms, whole.take(over)
            )
        if len(judged):
            admitted.tally.judged += len(judged)
            self._measure(batch, judged, summary, became, fast, admitted)

    def _measure(
        self, batch: Batch, judged: Rows, summary: Summary, became: Became, fast: Totals, admitted: Admitted
    ) -> None:
        changed, life = became.changed, became.life
        span_ms = (batch.windows.end_ms - batch.windows.start_ms)[batch.places]
        if len(judged) < len(batch.rows):
            batch, summary, fast = batch.only(judged), summary.take(judged), fast.take(judged)
            changed, life, span_ms = changed[judged], life[judged], span_ms[judged]
        looks = {need: held.add(batch.rows, changed, summary, span_ms, need) for need, held in self.looks.items()}
        compared = self._compared(batch)
        admitted.measured += self._measuring.with_looks(compared, life, self.horizons_ms[0], fast, looks)

    def _compared(self, batch: Batch) -> Batch:
        return batch.by_season() if self.reference == Against.SEASON else batch

    def _roll_up(self, batch: Batch, summary: Summary, ends_ms: Ints) -> Flags:
        windows, places = batch.windows, batch.places
        listed = places.tolist()
        return self.slow.rollups.add(
            batch.rows,
            (ends_ms - 1) // HOUR_MS,
            summary,
            (windows.min[places], windows.max[places]),
            ([windows.model_id[place] for place in listed], [windows.pipeline[place] for place in listed]),
        )

    def _note(self, batch: Batch, became: Became) -> None:
        """Remember boots and groups of the newest windows, and drop open looks at an earlier baseline."""
        newer = np.flatnonzero(became.newer)
        boots = batch.windows.boot_id
        for row, place, group in zip(
            batch.rows[newer].tolist(), batch.places[newer].tolist(), batch.which[newer].tolist(), strict=True
        ):
            self.boot_of[row], self.group_of[row] = boots[place], batch.groups[group]
        unjudged = np.flatnonzero(became.changed & ~became.judged)
        if len(unjudged):
            for looks in self.looks.values():
                looks.forget(batch.rows[unjudged])

    def _turn_hour(self, hour: int, place: int, admitted: Admitted) -> None:
        before = self.slow.arrival_hour
        closed = self.slow.turn(hour)
        if closed is not None:
            admitted.rollups += closed.records(self.presence.roster.names, self.grid_id, before)
        if 0 <= before < hour:
            self._measure_slow(before, place, admitted)

    def _measure_slow(self, before: int, place: int, admitted: Admitted) -> None:
        known = np.array([row for row, group in enumerate(self.group_of) if group is not None], np.intp)
        against_past = self.reference == Against.EARLIER
        for ended in self.slow.ended(before, known, against_past=against_past, most=_CHUNK):
            admitted.measured += self._measuring.slow(place, ended, self._heard(ended.rows))

    def _heard(self, rows: Rows) -> Heard:
        groups = [self.group_of[row] for row in rows.tolist()]
        return Heard(
            groups=[group for group in groups if group is not None],
            names=[self.presence.roster.names[row] for row in rows.tolist()],
            boots=[self.boot_of[row] for row in rows.tolist()],
            seq=self.arrays["last_seq"].rows[rows],
            end_ms=self.arrays["last_end_ms"].rows[rows],
            life=self.arrays["life"].rows[rows],
        )

    def _number_of(self, baseline_id: str) -> int:
        if baseline_id not in self.baselines:
            self.baselines.append(baseline_id)
        return self.baselines.index(baseline_id)
