"""Evidence gathered look by look, and what it amounts to; see `streams.drift.evidence` for what it means."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.drift.kernels.compiled import compiled, ln
from streams.drift.windows import Flags, Ints, Rows, Singles

__all__ = [
    "Bars", "Parts", "Remembered", "Verdicts", "add_look", "correct_effects", "judge_levels", "weigh", "weigh_alone",
]  # fmt: skip

Grades = npt.NDArray[np.uint8]

_NO_DATA, _STABLE, _WARNING, _DRIFT = range(4)
# Rates, by kind: those that are up by less than half their floor speak for health.
_FIRST_RATE = 5
# An effect of the mean or the spread exceeds its floor by so many standard errors.
_SURE_ERRORS = np.float32(2.0)
_LN_ROOT_TWO_PI = np.float32(math.log(2 * math.pi) / 2)


class Parts(NamedTuple):
    """The components of evidence."""

    kind: Ints
    step: Singles
    # What a sum must be raised by to be compared with the others, by rate.
    handicap: Singles
    log_share: Singles
    # The smallest effect that matters.
    floor: Singles
    # The first so many have a direction.
    directed: int
    # How far above the level needed sums rise.
    headroom: float


class Bars(NamedTuple):
    """What verdicts take, for each look."""

    # A look counts for at most so much.
    cap: Singles
    # Level that one feature needs for drift, and for a warning,
    drift: npt.NDArray[np.float64]
    warning: npt.NDArray[np.float64]


class Remembered(NamedTuple):
    """What is remembered of each row."""

    sums: Singles
    # Looks since each sum last stood at 0, and their summed effects.
    run: Singles
    run_effect: Singles
    grade: Grades
    kind: Grades
    severity: Grades
    life: Ints
    untold: Ints


class Verdicts(NamedTuple):
    """What is found of each entry."""

    grade: Grades
    kind: Grades
    severity: Grades
    complete: Flags


@compiled
def weigh(
    state: Remembered, rows: Rows, life: Ints, look_of: Ints, score: Singles, effect: Singles, few: Flags,
    bars: Bars, parts: Parts, complete_every: int, found: Verdicts,
) -> None:  # fmt: skip
    """Add the looks of entries (`look_of[i]`, or -1) to the evidence of their rows, and say what it amounts to."""
    components, features = state.sums.shape[1:]
    level = np.empty((components, features), np.float32)
    mean_effect = np.empty((components, features), np.float32)
    for i in range(len(rows)):
        row = rows[i]
        if state.life[row] != life[i]:
            _begin_anew(state, row, life[i])
        untold = state.untold[row]
        found.complete[i] = untold == 0 or untold >= complete_every
        state.untold[row] = 1 if found.complete[i] else untold + 1
        look = look_of[i]
        if look >= 0:
            z, size = score[look], effect[look]
            highest = add_look(
                state.sums[row], state.run[row], state.run_effect[row], z, size, bars.cap[look],
                np.float32(bars.drift[look]), parts, level,
            )  # fmt: skip
            grade, kind, severity = state.grade[row], state.kind[row], state.severity[row]
            if highest < bars.warning[look]:
                grade[:] = _STABLE
                kind[:] = 0
                severity[:] = 0
            else:
                correct_effects(state.run[row], state.run_effect[row], z, size, parts, mean_effect)
                judge_levels(
                    level, mean_effect, parts.kind, parts.floor, bars.drift[look], bars.warning[look], grade, kind,
                    severity,
                )  # fmt: skip
            for f in range(features):
                if few[look, f] and grade[f] == _STABLE:
                    grade[f] = _NO_DATA
        found.grade[i], found.kind[i], found.severity[i] = state.grade[row], state.kind[row], state.severity[row]


@compiled
def weigh_alone(score: Singles, effect: Singles, bars: Bars, parts: Parts, found: Verdicts) -> None:
    """Take single looks for all the evidence there is: what horizons show by themselves."""
    components, features = len(parts.kind), score.shape[2]
    level = np.empty((components, features), np.float32)
    sizes = np.empty((components, features), np.float32)
    once = np.ones((components, features), np.float32)
    for i in range(score.shape[0]):
        highest = np.float32(-np.inf)
        for c in range(components):
            kind = parts.kind[c]
            least = parts.floor[c] * np.float32(0.5) if kind >= _FIRST_RATE else np.float32(-np.inf)
            _tail(score[i, kind], effect[i, kind], least, parts.log_share[c], level[c], sizes[c])
            for f in range(features):
                highest = max(highest, level[c, f])
        grade, kind, severity = found.grade[i], found.kind[i], found.severity[i]
        grade[:] = _STABLE
        kind[:] = 0
        severity[:] = 0
        if highest >= bars.warning[i]:
            correct_effects(once, sizes, score[i], effect[i], parts, sizes)
            judge_levels(level, sizes, parts.kind, parts.floor, bars.drift[i], bars.warning[i], grade, kind, severity)


@compiled
def _begin_anew(state: Remembered, row: int, life: int) -> None:
    state.sums[row] = 0
    state.run[row] = 0
    state.run_effect[row] = 0
    state.grade[row] = 0
    state.kind[row] = 0
    state.severity[row] = 0
    state.untold[row] = 0
    state.life[row] = life


@compiled
def add_look(
    all_sums: Singles, all_runs: Singles, all_effects: Singles, score: Singles, effect: Singles, cap: Any, bar: Any,
    parts: Parts, level: Singles,
) -> Any:  # fmt: skip
    """Feed each sum with its score, and return the highest level."""
    components, features = level.shape
    highest = np.float32(-np.inf)
    for c in range(components):
        step, kind = parts.step[c], parts.kind[c]
        # What a small rate shows speaks for health.
        least = parts.floor[c] * np.float32(0.5) if kind >= _FIRST_RATE else np.float32(-np.inf)
        ceiling = bar + np.float32(parts.headroom) - parts.handicap[c]
        _feed(all_sums[c], score[kind], effect[kind], step, least, cap, ceiling)
        _run_on(all_runs[c], all_effects[c], all_sums[c], score[kind], effect[kind])
        for f in range(features):
            level[c, f] = all_sums[c, f] + parts.handicap[c]
            highest = max(highest, level[c, f])
    return highest


# Short loops over few arrays, as in `score`.


@compiled
def _feed(sums: Singles, score: Singles, effect: Singles, step: Any, least: Any, cap: Any, ceiling: Any) -> None:
    half = step * step * np.float32(0.5)
    for f in range(sums.shape[0]):
        z = np.float32(0.0) if score[f] > 0 and effect[f] < least else score[f]
        gain = min(step * z - half, cap) if z == z else np.float32(0.0)
        sums[f] = min(max(sums[f] + gain, np.float32(0.0)), ceiling)


@compiled
def _run_on(run: Singles, run_effect: Singles, sums: Singles, score: Singles, effect: Singles) -> None:
    for f in range(sums.shape[0]):
        known = score[f] == score[f]
        length = run[f] + (np.float32(1.0) if known else np.float32(0.0))
        total = run_effect[f] + (effect[f] if known else np.float32(0.0))
        run[f] = length if sums[f] > 0 else np.float32(0.0)
        run_effect[f] = total if sums[f] > 0 else np.float32(0.0)


@compiled
def _tail(score: Singles, effect: Singles, least: Any, log_share: Any, level: Singles, size: Singles) -> None:
    """A normal tail's logarithm, shared out like the sums' budgets; below 1 there is nothing to tell."""
    for f in range(score.shape[0]):
        z = np.float32(0.0) if effect[f] < least else score[f]
        above = max(z, np.float32(1.0))
        tail = above * above * np.float32(0.5) + ln(above) + _LN_ROOT_TWO_PI + log_share
        level[f] = tail if z > np.float32(1.0) else np.float32(0.0)
        size[f] = effect[f] if effect[f] == effect[f] else np.float32(0.0)


@compiled
def correct_effects(
    run: Singles, run_effect: Singles, score: Singles, effect: Singles, parts: Parts, mean_effect: Singles
) -> None:
    """Mean effect of the run, as far as it is sure; shape and rates have no bias that noise alone adds."""
    components, features = run.shape
    for c in range(components):
        kind = parts.kind[c]
        for f in range(features):
            length = max(run[c, f], np.float32(1.0))
            mean = run_effect[c, f] / length
            if c < parts.directed:
                error = effect[kind, f] / score[kind, f]
                bias = error * error / length
                bias = bias if abs(bias) < np.inf else np.float32(0.0)
                # A run is judged when it looks its best: what lies within its error is not there yet.
                least = math.sqrt(max(mean * mean - bias, np.float32(0.0))) - _SURE_ERRORS * math.sqrt(bias)
                mean = math.copysign(max(least, np.float32(0.0)), mean)
            mean_effect[c, f] = mean


@compiled
def judge_levels(
    level: Singles, effect: Singles, kinds: Ints, floor: Singles, drift: float, warning: float, grade: Grades,
    kind: Grades, severity: Grades,
) -> None:  # fmt: skip
    """Judge by evidence: high enough for the budget, and an effect above its floor; Benjamini and Hochberg's rule."""
    components, features = level.shape
    best = np.empty(features, np.float32)
    for f in range(features):
        best[f], place = -np.inf, 0
        for c in range(components):
            if effect[c, f] >= floor[c] and level[c, f] > best[f]:
                best[f], place = level[c, f], c
        multiple = effect[place, f] / floor[place]
        kind[f] = kinds[place]
        severity[f] = 1 + (multiple >= 2) + (multiple >= 4) + (multiple >= 8)
        grade[f] = _WARNING if best[f] >= warning else _STABLE
    ordered = np.sort(best)[::-1]
    least = np.inf
    for rank in range(features, 0, -1):
        if ordered[rank - 1] >= drift - math.log(rank):
            least = drift - math.log(rank)
            break
    for f in range(features):
        if best[f] >= least:
            grade[f] = _DRIFT
        if grade[f] <= _STABLE:
            severity[f] = 0
