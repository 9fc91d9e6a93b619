"""The loop that weighs evidence for many policies, compiled; see `streams.backtest.panel` for what it is about.

It adds and judges by the very functions of the live loop, so that no policy can tell the difference.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.drift.kernels import Parts
from streams.drift.kernels.compiled import compiled
from streams.drift.kernels.weigh import add_look, correct_effects, judge_levels
from streams.drift.windows import Ints, Rows, Singles

__all__ = ["NOBODY", "Held", "Looks", "News", "Slots", "Trial", "give_back", "take_slot", "weigh_for_all"]

Flags = npt.NDArray[np.bool_]
Grades = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]

# The slot of a row on which all agree, and of which nobody is told; rows begin so.
NOBODY = 0
_NO_DATA, _STABLE, _DRIFT = 0, 1, 3
# Rounding must not hide that a bound was reached.
_SLACK = np.float32(1e-3)


class Trial(NamedTuple):
    """What the policies are: strands gather evidence alike, verdicts are those of a strand under some floors."""

    parts: Parts
    # Verdicts × components.
    floors: Singles
    strand_of: Ints
    # By policy.
    verdict_of: Ints
    # By kind of evidence: alerts of one family are one alert.
    family_of: Ints


class Looks(NamedTuple):
    """Looks at some entries, and what verdicts take of them by strand; look `look_of[i]` is of entry i, -1 is none."""

    look_of: Ints
    score: Singles
    effect: Singles
    few: Flags
    # Strands × looks.
    cap: Singles
    drift: Doubles
    warning: Doubles


class Held(NamedTuple):
    """The evidence of rows on which all agree, and the slots of the others."""

    sums: Singles
    run: Singles
    run_effect: Singles
    slot: Ints


class Slots(NamedTuple):
    """What is kept of the rows that are weighed for each: slots × strands, verdicts or policies."""

    sums: Singles
    run: Singles
    run_effect: Singles
    grade: Grades
    kind: Grades
    severity: Grades
    drifts: Flags
    # An alert of this policy lives, and until when a window that shows what the last one did changes nothing of it.
    open: Flags
    same_until_ms: Ints
    # A stack of slots nobody has, and its height.
    free: Ints
    height: Ints


class News(NamedTuple):
    """Which policies are to be told of which entries."""

    entry: Ints
    policy: Ints


@compiled
def weigh_for_all(
    first: int, rows: Rows, end_ms: Ints, looks: Looks, trial: Trial, held: Held, slots: Slots, news: News
) -> tuple[int, int]:
    """Weigh entries from the first on, and note who is to be told of them.

    Returns the entry to go on with once there are more slots, or the number of entries; and how much news there is.
    """
    components, features = held.sums.shape[1:]
    strands, verdicts = slots.sums.shape[1], slots.drifts.shape[1]
    scratch = np.empty((3, components, features), np.float32)
    level = np.empty((components, features), np.float32)
    size = np.empty((components, features), np.float32)
    fresh = np.empty((3, features), np.uint8)
    changed = np.zeros(verdicts, np.bool_)
    told = 0
    for i in range(first, len(rows)):
        row, look = rows[i], looks.look_of[i]
        changed[:] = False
        if look >= 0:
            if held.slot[row] == NOBODY:
                if _weighed_together(held, row, looks, look, trial.parts, scratch, level):
                    continue
                if slots.height[0] == 0:
                    return i, told
                take_slot(held, row, slots)
            at = held.slot[row]
            for strand in range(strands):
                _weigh_strand(at, strand, looks, look, trial, slots, level, size, fresh, changed)
            if _all_agree(at, slots):
                _join(held, row, at, slots)
                continue
        at = held.slot[row]
        if at != NOBODY:
            for policy in range(len(trial.verdict_of)):
                verdict = trial.verdict_of[policy]
                matters = slots.drifts[at, verdict] or slots.open[at, policy]
                if matters and (changed[verdict] or end_ms[i] >= slots.same_until_ms[at, policy]):
                    news.entry[told], news.policy[told] = i, policy
                    told += 1
    return len(rows), told


@compiled
def take_slot(held: Held, row: Any, slots: Slots) -> None:
    """Give a row one of the free slots, with what all agreed on so far."""
    slots.height[0] -= 1
    at = slots.free[slots.height[0]]
    held.slot[row] = at
    for strand in range(slots.sums.shape[1]):
        slots.sums[at, strand], slots.run[at, strand] = held.sums[row], held.run[row]
        slots.run_effect[at, strand] = held.run_effect[row]
    slots.grade[at], slots.kind[at], slots.severity[at] = _NO_DATA, 0, 0
    slots.drifts[at], slots.open[at], slots.same_until_ms[at] = False, False, 0


@compiled
def give_back(held: Held, row: Any, slots: Slots) -> None:
    """Take a row's slot back, with all that it holds."""
    slots.free[slots.height[0]] = held.slot[row]
    slots.height[0] += 1
    held.slot[row] = NOBODY


@compiled
def _weighed_together(
    held: Held, row: int, looks: Looks, look: int, parts: Parts, after: Singles, level: Singles
) -> bool:
    """Weigh a row once for all, without bounds; False, and nothing done, where it comes near what any policy bounds."""
    after[0], after[1], after[2] = held.sums[row], held.run[row], held.run_effect[row]
    score, effect = looks.score[look], looks.effect[look]
    unbounded = np.float32(np.inf)
    highest = add_look(after[0], after[1], after[2], score, effect, unbounded, unbounded, parts, level)
    least_cap, least_drift = np.float32(np.inf), np.inf
    for strand in range(looks.cap.shape[0]):
        least_cap = min(least_cap, looks.cap[strand, look])
        least_drift = min(least_drift, looks.drift[strand, look])
    components, features = level.shape
    # By Benjamini and Hochberg's rule nothing below this can be found, in however many features.
    if highest >= least_drift - np.log(features) - _SLACK:
        return False
    rise = np.float32(-np.inf)
    for c in range(components):
        for f in range(features):
            rise = max(rise, after[0, c, f] - held.sums[row, c, f])
    if rise > least_cap - _SLACK:
        return False
    held.sums[row], held.run[row], held.run_effect[row] = after[0], after[1], after[2]
    return True


@compiled
def _weigh_strand(
    at: int, strand: int, looks: Looks, look: int, trial: Trial, slots: Slots, level: Singles, size: Singles,
    fresh: Grades, changed: Flags,
) -> None:  # fmt: skip
    """Add a look to one strand's evidence, and reach the verdicts that rest on it."""
    score, effect = looks.score[look], looks.effect[look]
    run, run_effect = slots.run[at, strand], slots.run_effect[at, strand]
    drift, warning = looks.drift[strand, look], looks.warning[strand, look]
    highest = add_look(
        slots.sums[at, strand], run, run_effect, score, effect, looks.cap[strand, look], np.float32(drift),
        trial.parts, level,
    )  # fmt: skip
    quiet = highest < warning
    if not quiet:
        correct_effects(run, run_effect, score, effect, trial.parts, size)
    for verdict in range(len(trial.strand_of)):
        if trial.strand_of[verdict] != strand:
            continue
        if quiet:
            fresh[0], fresh[1], fresh[2] = _STABLE, 0, 0
        else:
            kinds, floor = trial.parts.kind, trial.floors[verdict]
            judge_levels(level, size, kinds, floor, drift, warning, fresh[0], fresh[1], fresh[2])
        _conclude(at, verdict, looks.few[look], trial.family_of, fresh, slots, changed)


@compiled
def _conclude(at: int, verdict: int, few: Flags, family_of: Ints, fresh: Grades, slots: Slots, changed: Flags) -> None:
    """Keep a verdict, and say whether it shows anything that the last one did not."""
    grade, kind, severity = slots.grade[at, verdict], slots.kind[at, verdict], slots.severity[at, verdict]
    drifts = False
    for f in range(len(grade)):
        drifted, drifted_before = fresh[0, f] == _DRIFT, grade[f] == _DRIFT
        drifts |= drifted
        differs = family_of[fresh[1, f]] != family_of[kind[f]] or fresh[2, f] > severity[f]
        changed[verdict] |= drifted != drifted_before or (drifted and differs)
        grade[f] = _NO_DATA if few[f] and fresh[0, f] == _STABLE else fresh[0, f]
    kind[:], severity[:] = fresh[1], fresh[2]
    slots.drifts[at, verdict] = drifts


@compiled
def _all_agree(at: int, slots: Slots) -> bool:
    """Say whether nobody is to be told of a slot's row, and all strands hold the same of it."""
    if slots.open[at].any() or slots.drifts[at].any():
        return False
    return _alike(slots.sums[at]) and _alike(slots.run[at]) and _alike(slots.run_effect[at])


@compiled
def _alike(by_strand: Singles) -> bool:
    strands, components, features = by_strand.shape
    for strand in range(1, strands):
        for c in range(components):
            for f in range(features):
                if by_strand[strand, c, f] != by_strand[0, c, f]:
                    return False
    return True


@compiled
def _join(held: Held, row: Any, at: Any, slots: Slots) -> None:
    """Take a slot back from a row on which all agree again."""
    held.sums[row], held.run[row], held.run_effect[row] = slots.sums[at, 0], slots.run[at, 0], slots.run_effect[at, 0]
    give_back(held, row, slots)
