"""The drift engine: one partition's windows on one grid, from arrays to verdicts.

It keeps four rules:

* a window counts once, however often it arrives, and lands in its own pane, however late;
* what a device gets depends on its own windows and their order, never on how the stream was cut into batches;
* a device silent for longer than the rings reach starts anew, and no other does;
* what the rings hold follows from the set of windows alone, so that folding the log again gives them back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from schemas.columns import GridShape
from schemas.feature_stats import FeatureStats
from streams.drift.calibration import look_budget, needed
from streams.drift.evidence import COMPONENTS, Kind, SumsAndRuns, gather, gathered_at_once, look_at
from streams.drift.growing import GrowingArray
from streams.drift.looks import Looks
from streams.drift.policy import Mode, Rules
from streams.drift.references import ScoredAgainst
from streams.drift.ring import Ring
from streams.drift.rollups import HOUR_MS, Closed, Rollups
from streams.drift.roster import Roster
from streams.drift.scores import SCORES, Floats, Pair, Sample, combined_score
from streams.drift.seen import Seen
from streams.drift.verdicts import Found, Grade, by_evidence, by_limits
from streams.drift.windows import Summary, Windows

__all__ = ["Admitted", "Engine", "Judged", "Judging", "Tally"]

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]

# What a chunk of rows touches fits the processor's cache.
_CHUNK = 128
_ALWAYS_SCORED = ("psi", "ks", "js", "wasserstein", "mean_shift", "variance_ratio")
_LEAST_LOOK_MS, _LONGEST_LOOK_MS = 1000, 7 * 24 * HOUR_MS


@dataclass(frozen=True)
class Judging:
    """How some windows are judged: against what, by which rules; and the labels of their devices."""

    against: ScoredAgainst
    rules: Rules
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """Windows that were judged alike: an entry (or row) each."""

    judging: Judging
    horizon_ms: int
    # Place, in what was admitted, of the window that completed the scores, or whose arrival turned the hour.
    place: Ints
    rows: Rows
    device_id: list[str]
    boot_id: list[str]
    seq: Ints
    end_ms: Ints
    # All features are to be told.
    complete: npt.NDArray[np.bool_]
    samples: Ints
    pair: Pair
    scores: dict[str, Floats]
    found: Found
    combined: Floats


@dataclass
class Tally:
    """What became of windows."""

    judged: int = 0
    repeated: int = 0
    # Older than the fast ring; in the roll-ups nevertheless.
    late: int = 0
    overflowed: int = 0
    evicted: int = 0

    def plus(self, other: "Tally") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Admitted:
    """What came of a batch."""

    judged: list[Judged] = field(default_factory=list)
    rollups: list[FeatureStats] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class Engine:
    """State and judgement of one partition's devices on one grid."""

    def __init__(self, *, grid_id: str, shape: GridShape, horizons_ms: Sequence[int]) -> None:
        features, bins = shape
        self.grid_id, self.shape = grid_id, shape
        self.horizons_ms = tuple(horizons_ms)
        self.roster, self.seen = Roster(), Seen()
        self.fast = Ring(**_fast_plan(horizons_ms), features=features, bins=bins)
        self.slow = [
            (horizon, Ring(**_slow_plan(horizon), features=features, bins=bins)) for horizon in horizons_ms[2:]
        ]
        self.rollups = Rollups(features=features, bins=bins)
        self.looks = Looks(features=features, bins=bins)
        self.arrival_hour = -1
        # The latest arrival so far.
        self.arrival_ms = 0
        self.arrays = {
            "sums": GrowingArray((len(COMPONENTS), features), np.float32),
            "run": GrowingArray((len(COMPONENTS), features), np.float32),
            "run_effect": GrowingArray((len(COMPONENTS), features), np.float32),
            "grade": GrowingArray((features,), np.uint8),
            "kind": GrowingArray((features,), np.uint8),
            "severity": GrowingArray((features,), np.uint8),
            "last_seq": GrowingArray((), np.int64),
            "last_end_ms": GrowingArray((), np.int64),
            # Windows since all features were last told, that one included; 0 before the first.
            "untold": GrowingArray((), np.int64),
            # Fast panes before this one belong to the time before a long silence.
            "fast_floor": GrowingArray((), np.int64),
        }
        # By row: the baseline that its evidence is against, its last boot.
        self.baseline_of: list[str] = []
        self.boot_of: list[str] = []
        self.last_arrival_ms: list[int] = []
        # Arrival of the first window of its present life: before that, rings hold nothing of it.
        self.awake_since_ms: list[int] = []
        self.judging_of: list[Judging | None] = []

    @property
    def reach_ms(self) -> int:
        """How far back the longest ring goes."""
        rings = [self.fast, *(ring for _, ring in self.slow)]
        return max(ring.pane_ms * ring.slots for ring in rings)

    @property
    def fast_reach_ms(self) -> int:
        return self.fast.pane_ms * self.fast.slots

    def admit(self, windows: Windows, judgings: Sequence[Judging], which: Ints) -> Admitted:
        """Take in windows in the order of their offsets; window i is judged as `judgings[which[i]]` says."""
        admitted = Admitted()
        for first, end in _by_arrival_hour(windows.arrival_ms // HOUR_MS):
            self._turn_hour(int(windows.arrival_ms[first]) // HOUR_MS, first, admitted)
            for places in self._rounds(windows, first, end, admitted.tally):
                for group in np.unique(which[places]):
                    mine = places[which[places] == group]
                    for start in range(0, len(mine), _CHUNK):
                        self._take(windows, mine[start : start + _CHUNK], judgings[group], admitted)
        return admitted

    def evict(self, now_ms: int) -> int:
        """Forget devices that have been silent for longer than the rings reach; returns how many."""
        last = self.last_arrival_ms
        silent = [device for device, row in self.roster.row_of.items() if now_ms - last[row] > self.reach_ms]
        for device in silent:
            row = self.roster.leave(device)
            self.seen.forget(device)
            self._forget(np.array([row]))
        return len(silent)

    def reserve(self, rows: int) -> None:
        """Have room for so many devices."""
        for arrays in self._all_arrays():
            for array in arrays.values():
                array.reserve(rows)

    def is_awake(self, row: int) -> bool:
        """Say whether the row's fast ring would survive if its device came now."""
        return self.arrival_ms - self.last_arrival_ms[row] <= self.fast_reach_ms

    def _rounds(self, windows: Windows, first: int, end: int, tally: Tally) -> Iterator[Ints]:
        """Yield places such that each device comes once a round, in its own order, and repeats never."""
        rounds: list[list[int]] = []
        turn: dict[str, int] = {}
        arrivals = windows.arrival_ms.tolist()
        seqs = windows.seq.tolist()
        for place in range(first, end):
            device = windows.device_id[place]
            row = self.roster.row_of.get(device)
            self.arrival_ms = max(self.arrival_ms, arrivals[place])
            if row is None:
                row = self._enter(device)
                self.awake_since_ms[row] = arrivals[place]
            elif arrivals[place] - self.last_arrival_ms[row] > self.fast_reach_ms:
                # What came before the silence is done with before the device starts anew.
                yield from _as_arrays(rounds)
                rounds, turn = [], {}
                self._wake(device, row, arrivals[place])
            self.last_arrival_ms[row] = max(arrivals[place], self.last_arrival_ms[row])
            if not self.seen.admit(device, windows.boot_id[place], seqs[place]):
                tally.repeated += 1
                continue
            mine = turn.get(device, 0)
            turn[device] = mine + 1
            if mine == len(rounds):
                rounds.append([])
            rounds[mine].append(place)
        yield from _as_arrays(rounds)

    def _wake(self, device: str, row: int, arrival_ms: int) -> None:
        """Let a device that was silent for too long start anew."""
        at = np.array([row], np.intp)
        if arrival_ms - self.last_arrival_ms[row] > self.reach_ms:
            self.seen.forget(device)
            self._forget(at)
            self.awake_since_ms[row] = arrival_ms
            return
        newest = self.fast.newest(at)
        self.arrays["fast_floor"].rows[at] = newest + 1
        self.fast.drop_up_to(at, newest)

    def _enter(self, device: str) -> int:
        row = self.roster.enter(device)
        if row == len(self.baseline_of):
            self.last_arrival_ms.append(0)
            self.awake_since_ms.append(0)
            self.baseline_of.append("")
            self.boot_of.append("")
            self.judging_of.append(None)
            self.reserve(row + 1)
        self.last_arrival_ms[row] = self.awake_since_ms[row] = 0
        return row

    def _forget(self, rows: Rows) -> None:
        for ring in (self.fast, *(ring for _, ring in self.slow)):
            ring.forget(rows)
        self.looks.forget(rows)
        for array in self.arrays.values():
            array.rows[rows] = 0
        for row in rows.tolist():
            self.baseline_of[row], self.boot_of[row], self.judging_of[row] = "", "", None

    def _all_arrays(self) -> list[dict[str, GrowingArray]]:
        return [self.arrays, self.looks.arrays, self.fast.arrays, *(ring.arrays for _, ring in self.slow)]

    def _take(self, windows: Windows, places: Ints, judging: Judging, admitted: Admitted) -> None:
        rows = np.array([self.roster.row_of[windows.device_id[place]] for place in places.tolist()], np.intp)
        summary = windows.summary(places)
        current = self._note(windows, places, rows, judging)
        self.rollups.add(
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
        self._judge_closed_pane(windows, places, rows, panes, judging, admitted)
        full = self.fast.add(rows, panes, summary, windows.offset[places])
        admitted.tally.overflowed += int(full.sum())
        if not current.all():
            places, rows, summary = places[current], rows[current], summary[current]
        if len(rows):
            self._judge(windows, places, rows, summary, judging, admitted)

    def _note(self, windows: Windows, places: Ints, rows: Rows, judging: Judging) -> npt.NDArray[np.bool_]:
        """Remember who came last, and say which windows are of the model that their device runs now.

        A new baseline makes an end of the evidence against the old one; backlog of the old one is not judged.
        """
        baseline, end_ms = judging.against.baseline_id, windows.end_ms[places]
        newer = end_ms > self.arrays["last_end_ms"].rows[rows]
        same = np.array([self.baseline_of[row] == baseline for row in rows.tolist()])
        changed = np.flatnonzero(newer & ~same)
        if len(changed):
            for name in ("sums", "run", "run_effect", "grade", "kind", "severity"):
                self.arrays[name].rows[rows[changed]] = 0
            self.looks.forget(rows[changed])
        for i in np.flatnonzero(newer).tolist():
            row = int(rows[i])
            self.baseline_of[row], self.boot_of[row] = baseline, windows.boot_id[places[i]]
            self.judging_of[row] = judging
        self.arrays["last_seq"].rows[rows[newer]] = windows.seq[places[newer]]
        self.arrays["last_end_ms"].rows[rows[newer]] = end_ms[newer]
        current: npt.NDArray[np.bool_] = same | newer
        return current

    def _judge(
        self, windows: Windows, places: Ints, rows: Rows, summary: Summary, judging: Judging, admitted: Admitted
    ) -> None:
        rules = judging.rules
        if rules.mode == Mode.CALIBRATED:
            self._look(rows, summary, windows.end_ms[places] - windows.start_ms[places], judging)
        pair = _pair(judging, self.fast.sum(rows, _back(self.fast, self.horizons_ms[0])))
        samples = self._samples_of(pair)
        scores = {name: SCORES[name](pair) for name in _ALWAYS_SCORED}
        if rules.mode == Mode.CALIBRATED:
            found = Found(*(self.arrays[name].rows[rows] for name in ("grade", "kind", "severity")))
        else:
            found = _limited(pair, scores, rules, self.shape.bins)
        admitted.tally.judged += len(rows)
        untold = self.arrays["untold"].rows[rows]
        complete = (untold == 0) | (untold >= rules.reporting.complete_every)
        self.arrays["untold"].rows[rows] = np.where(complete, 1, untold + 1)
        admitted.judged.append(
            self._judged(
                windows, places, rows, judging, self.horizons_ms[0], pair, scores, found, complete, samples,
            )
        )  # fmt: skip

    def _look(self, rows: Rows, summary: Summary, span_ms: Ints, judging: Judging) -> None:
        rules = judging.rules
        need = max(rules.minimum.samples, rules.minimum.per_bin * self.shape.bins)
        look, spans, complete = self.looks.add(rows, summary, span_ms, need)
        if not complete.all():
            rows, look, spans = rows[complete], look[complete], spans[complete]
        if not len(rows):
            return
        pair = _pair(judging, look)
        shown = look_at(pair, rules.floors)
        few = pair.live.usable < need / 2
        if few.any():
            of_values = shown.score[:, : Kind.SHAPE + 1]
            of_values[np.broadcast_to(few[:, np.newaxis], of_values.shape)] = np.nan
        budget = look_budget(
            rules.budget.false_alarms_per_device_day, np.clip(spans, _LEAST_LOOK_MS, _LONGEST_LOOK_MS).astype(float)
        )
        bar = needed(budget, self.shape.features).astype(np.float32)
        before = SumsAndRuns(*(self.arrays[name].rows[rows] for name in ("sums", "run", "run_effect")))
        gathered = gather(before, shown, cap=rules.budget.window_share * bar, ceiling=bar)
        found = by_evidence(gathered, rules.floors, budget)
        found.grade[few & (found.grade == Grade.STABLE)] = Grade.NOT_ENOUGH_DATA
        for name in ("sums", "run", "run_effect"):
            self.arrays[name].rows[rows] = getattr(gathered.state, name)
        for name in ("grade", "kind", "severity"):
            self.arrays[name].rows[rows] = getattr(found, name)

    def _judge_closed_pane(
        self, windows: Windows, places: Ints, rows: Rows, panes: Ints, judging: Judging, admitted: Admitted
    ) -> None:
        """Score the longer fast horizon of rows whose pane is over."""
        if len(self.horizons_ms) < 2:
            return
        newest = self.fast.newest(rows)
        over = (newest >= 0) & (panes > newest)
        if not over.any():
            return
        rows, places = rows[over], places[over]
        pair = _pair(judging, self.fast.sum(rows, self.fast.slots))
        admitted.judged.append(self._judge_alone(windows, places, rows, judging, self.horizons_ms[1], pair))

    def _turn_hour(self, hour: int, place: int, admitted: Admitted) -> None:
        if hour <= self.arrival_hour:
            return
        if self.rollups.slot_of:
            closed = self.rollups.close()
            admitted.rollups += closed.records(self.roster.names, self.grid_id, self.arrival_hour)
            self._into_slow_rings(closed, place, admitted)
        self.arrival_hour = hour

    def _into_slow_rings(self, closed: Closed, place: int, admitted: Admitted) -> None:
        """Add closed roll-ups, one of each row at a time, and score the rows on the slow horizons."""
        if not self.slow:
            return
        turn = _turns(closed.rows)
        for one in range(int(turn.max()) + 1 if len(turn) else 0):
            mine = np.flatnonzero(turn == one)
            for start in range(0, len(mine), _CHUNK):
                self._roll_up(closed, mine[start : start + _CHUNK], admitted)
        self._judge_slow(np.unique(closed.rows), place, admitted)

    def _roll_up(self, closed: Closed, which: Ints, admitted: Admitted) -> None:
        for _, ring in self.slow:
            panes = ring.pane_of((closed.hours[which] + 1) * HOUR_MS)
            held = ring.holds(closed.rows[which], panes)
            mine = which[held]
            if len(mine):
                full = ring.add(closed.rows[mine], panes[held], closed.summary[mine], mine)
                admitted.tally.overflowed += int(full.sum())

    def _judge_slow(self, rows: Rows, place: int, admitted: Admitted) -> None:
        by_judging: dict[int, list[int]] = {}
        for row in rows.tolist():
            judging = self.judging_of[row]
            if judging is not None:
                by_judging.setdefault(id(judging), []).append(row)
        for alike in by_judging.values():
            judging = self.judging_of[alike[0]]
            assert judging is not None  # noqa: S101  (it was looked up above)
            for start in range(0, len(alike), _CHUNK):
                mine = np.array(alike[start : start + _CHUNK], np.intp)
                for horizon_ms, ring in self.slow:
                    pair = _pair(judging, ring.sum(mine, ring.slots))
                    places = np.full(len(mine), place)
                    admitted.judged.append(self._judge_alone(None, places, mine, judging, horizon_ms, pair))

    def _judge_alone(
        self, windows: Windows | None, places: Ints, rows: Rows, judging: Judging, horizon_ms: int, pair: Pair
    ) -> Judged:
        """Judge a horizon by itself, once, as a single look."""
        rules = judging.rules
        scores = {name: SCORES[name](pair) for name in _ALWAYS_SCORED}
        if rules.mode == Mode.CALIBRATED:
            found = _single_look(pair, rules, horizon_ms, self.shape.bins)
        else:
            found = _limited(pair, scores, rules, self.shape.bins)
        complete = np.zeros(len(rows), np.bool_)
        return self._judged(
            windows, places, rows, judging, horizon_ms, pair, scores, found, complete, self._samples_of(pair)
        )

    def _judged(
        self, windows: Windows | None, places: Ints, rows: Rows, judging: Judging, horizon_ms: int, pair: Pair,
        scores: dict[str, Floats], found: Found, complete: npt.NDArray[np.bool_], samples: Ints,
    ) -> Judged:  # fmt: skip
        if windows is None:
            boots, seq = [self.boot_of[row] for row in rows.tolist()], self.arrays["last_seq"].rows[rows]
            end_ms = self.arrays["last_end_ms"].rows[rows]
        else:
            boots, seq = [windows.boot_id[place] for place in places.tolist()], windows.seq[places]
            end_ms = windows.end_ms[places]
        return Judged(
            judging=judging, horizon_ms=horizon_ms, place=places, rows=rows,
            device_id=[self.roster.names[row] for row in rows.tolist()], boot_id=boots, seq=seq, end_ms=end_ms,
            complete=complete, samples=samples, pair=pair, scores=scores, found=found,
            combined=combined_score(np.nan_to_num(scores["mean_shift"], nan=0.0)),
        )  # fmt: skip

    @staticmethod
    def _samples_of(pair: Pair) -> Ints:
        samples: Ints = pair.live.seen.max(axis=1).astype(np.int64)
        return samples


def _pair(judging: Judging, live: Summary) -> Pair:
    return Pair(
        reference=judging.against.reference,
        live=Sample(
            counts=live.counts.transpose(1, 0, 2).astype(np.float32, order="C"),
            missing=live.missing.astype(np.float32),
            out_of_range=live.out_of_range.astype(np.float32),
            mean=live.mean.astype(np.float32),
            m2=live.m2.astype(np.float32),
        ),
    )


def _limited(pair: Pair, scores: dict[str, Floats], rules: Rules, bins: int) -> Found:
    named = {name: scores[name] if name in scores else SCORES[name](pair) for name in rules.limits}
    found = by_limits(dict(rules.limits), named, rules.alert_from)
    _mind_few(found, pair, max(rules.minimum.samples, rules.minimum.per_bin * bins))
    return found


def _single_look(pair: Pair, rules: Rules, horizon_ms: int, bins: int) -> Found:
    budget = look_budget(
        rules.budget.false_alarms_per_device_day, np.full(pair.live.usable.shape[0], float(horizon_ms))
    )
    found = by_evidence(gathered_at_once(look_at(pair, rules.floors)), rules.floors, budget)
    _mind_few(found, pair, max(rules.minimum.samples, rules.minimum.per_bin * bins))
    return found


def _mind_few(found: Found, pair: Pair, need: int) -> None:
    few = pair.live.usable < need
    found.grade[few & (found.grade == Grade.STABLE)] = Grade.NOT_ENOUGH_DATA
    nothing = np.broadcast_to((pair.live.seen < need), few.shape)
    found.grade[nothing] = Grade.NOT_ENOUGH_DATA


def _fast_plan(horizons_ms: Sequence[int]) -> dict[str, int]:
    pane_ms = max(horizons_ms[0] // 3, 1)
    return {"pane_ms": pane_ms, "slots": -(-max(horizons_ms[:2]) // pane_ms)}


def _slow_plan(horizon_ms: int) -> dict[str, int]:
    """As few panes as give a smooth horizon, each of whole hours: 8 of 3 h for a day, 7 of a day for a week."""
    hours = max(horizon_ms // HOUR_MS, 1)
    slots = next((slots for slots in (7, 8, 6, 5, 4, 3, 2) if hours % slots == 0), 1)
    return {"pane_ms": hours // slots * HOUR_MS, "slots": slots}


def _back(ring: Ring, horizon_ms: int) -> int:
    return max(1, min(ring.slots, horizon_ms // ring.pane_ms))


def _by_arrival_hour(hours: Ints) -> Iterator[tuple[int, int]]:
    """Cut a batch where a later arrival hour begins; a record stamped earlier belongs to the hour going on."""
    running = np.maximum.accumulate(hours) if len(hours) else hours
    cuts = [0, *(np.flatnonzero(np.diff(running)) + 1).tolist(), len(hours)]
    return ((first, end) for first, end in pairwise(cuts) if end > first)


def _turns(rows: Rows) -> Ints:
    """Number the entries of each row: 0 for its first, 1 for its second; rows are ordered."""
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]]) if len(rows) else np.array([], np.intp)
    lengths = np.diff(np.r_[starts, len(rows)])
    turns: Ints = np.arange(len(rows)) - np.repeat(starts, lengths)
    return turns


def _as_arrays(rounds: list[list[int]]) -> Iterator[Ints]:
    return (np.array(one, np.int64) for one in rounds)
