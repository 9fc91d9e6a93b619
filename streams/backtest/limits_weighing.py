"""The loop that holds scores against fixed limits of many policies, compiled; see `streams.backtest.limits_panel`."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.backtest.weighing import News
from streams.drift.kernels.compiled import compiled
from streams.drift.windows import Ints, Rows

__all__ = ["Doubles", "Flags", "Limits", "Scored", "Seen", "hold_against_all"]

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Grades = npt.NDArray[np.uint8]

_RANKS = 4


class Limits(NamedTuple):
    """What the policies bound: verdicts are those of one set of limits, places are the limits of a set in its order."""

    # Verdicts × places: which of the scores a limit is on; -1 for none.
    axis: Ints
    # Verdicts × places × severities: what a score has to reach; NaN, which none does, without a limit.
    bars: Doubles
    # Verdicts × places: what it has to reach for an alert.
    alert_bar: Doubles
    # Alerts of one family are one alert.
    family: Ints
    # By verdict: the rank from which there is an alert, and the samples without which there is no verdict.
    alert_from: Ints
    need: Ints
    # By policy.
    verdict_of: Ints


class Scored(NamedTuple):
    """Scores × entries × features, turned so that the higher one is the graver; the highest of each entry; samples."""

    score: Doubles
    highest: Doubles
    samples: Ints


class Seen(NamedTuple):
    """What the last window of each row showed, by verdict: severities where it drifts and 0 elsewhere, places."""

    severity: Grades
    place: Grades
    drifts: Flags
    # By policy: an alert lives, and until when a window that shows the same changes nothing of it.
    open: Flags
    same_until_ms: Ints


@compiled
def hold_against_all(rows: Rows, end_ms: Ints, scored: Scored, limits: Limits, seen: Seen, news: News) -> int:
    """Judge entries for all verdicts, and note which policies are to be told; returns how much news there is."""
    verdicts, features = len(limits.need), scored.score.shape[2]
    fresh = np.empty((2, features), np.uint8)
    changed = np.zeros(verdicts, np.bool_)
    told = 0
    for i in range(len(rows)):
        row = rows[i]
        for verdict in range(verdicts):
            changed[verdict] = False
            may_drift = _may_drift(i, verdict, scored, limits)
            if may_drift or seen.drifts[row, verdict]:
                fresh[:] = 0
                if may_drift:
                    _judge(i, verdict, scored, limits, fresh)
                changed[verdict] = _note(row, verdict, fresh, limits.family[verdict], seen)
        for policy in range(len(limits.verdict_of)):
            verdict = limits.verdict_of[policy]
            matters = seen.drifts[row, verdict] or seen.open[row, policy]
            if matters and (changed[verdict] or end_ms[i] >= seen.same_until_ms[row, policy]):
                news.entry[told], news.policy[told] = i, policy
                told += 1
    return told


@compiled
def _may_drift(i: int, verdict: int, scored: Scored, limits: Limits) -> bool:
    if scored.samples[i] < limits.need[verdict]:
        return False
    for place in range(limits.axis.shape[1]):
        axis = limits.axis[verdict, place]
        if axis >= 0 and scored.highest[axis, i] >= limits.alert_bar[verdict, place]:
            return True
    return False


@compiled
def _judge(i: int, verdict: int, scored: Scored, limits: Limits, fresh: Grades) -> None:
    """Find the gravest severity of each feature, and the first limit that it is by; what is no alert is none."""
    for place in range(limits.axis.shape[1]):
        axis = limits.axis[verdict, place]
        if axis < 0:
            continue
        for f in range(fresh.shape[1]):
            severity = 0
            for rank in range(_RANKS):
                if scored.score[axis, i, f] >= limits.bars[verdict, place, rank]:
                    severity = rank + 1
            if severity > fresh[0, f]:
                fresh[0, f], fresh[1, f] = severity, place
    for f in range(fresh.shape[1]):
        if fresh[0, f] < limits.alert_from[verdict]:
            fresh[0, f], fresh[1, f] = 0, 0


@compiled
def _note(row: int, verdict: int, fresh: Grades, family: Ints, seen: Seen) -> bool:
    """Keep what a window showed, and say whether it is anything that the last one did not."""
    severity, place = seen.severity[row, verdict], seen.place[row, verdict]
    changed, drifts = False, False
    for f in range(fresh.shape[1]):
        differs = family[fresh[1, f]] != family[place[f]] or fresh[0, f] > severity[f]
        changed |= (fresh[0, f] > 0) != (severity[f] > 0) or (fresh[0, f] > 0 and differs)
        drifts |= fresh[0, f] > 0
    severity[:], place[:] = fresh[0], fresh[1]
    seen.drifts[row, verdict] = drifts
    return changed
