"""Verdicts: what gathered evidence, or scores against fixed limits, amount to."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from schemas.drift_alert import Severity
from schemas.drift_scores import Verdict
from streams.drift.calibration import needed
from streams.drift.evidence import KIND_OF, Gathered, floors_of
from streams.drift.policy import Floors, Limit
from streams.drift.scores import Floats

__all__ = ["SEVERITIES", "Found", "Grade", "by_evidence", "by_limits"]

# Evidence that a hundred times the budget would take is worth a warning.
_WARNING_ODDS = 100.0
# By the numbers that arrays hold.
SEVERITIES = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
_SEVERITY_STEPS = np.array([2.0, 4.0, 8.0], np.float32)


class Grade(IntEnum):
    """Verdicts as arrays hold them, gravest last."""

    NOT_ENOUGH_DATA = 0
    STABLE = 1
    WARNING = 2
    DRIFT = 3

    @property
    def verdict(self) -> Verdict:
        return _VERDICTS[self]


_VERDICTS = (Verdict.NOT_ENOUGH_DATA, Verdict.STABLE, Verdict.WARNING, Verdict.DRIFT)

Grades = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Found:
    """Verdicts of some devices: devices × features."""

    grade: Grades
    # `Kind` of the gravest evidence; by limits, the place of the score among the policy's limits.
    kind: Grades
    # 1 low … 4 critical; 0 where nothing was found.
    severity: Grades


def by_evidence(gathered: Gathered, floors: Floors, budget: npt.NDArray[np.float64]) -> Found:
    """Judge by evidence: high enough for the budget (one value a device), and an effect above its floor.

    Over the features of one device runs Benjamini and Hochberg's rule: the k-th highest level must reach what
    k features together take.
    """
    floor = floors_of(floors)[:, np.newaxis]
    matters = gathered.effect >= floor
    level = np.where(matters, gathered.level, -np.inf)
    component = level.argmax(axis=1)
    best = level.max(axis=1)
    grade = np.full(best.shape, Grade.STABLE, np.uint8)
    warned = best >= needed(budget * _WARNING_ODDS, best.shape[1])[:, np.newaxis]
    grade[warned] = Grade.WARNING
    grade[_discoveries(best, budget)] = Grade.DRIFT
    multiples = np.take_along_axis(gathered.effect / floor, component[:, np.newaxis], axis=1)[:, 0]
    severity = (1 + np.searchsorted(_SEVERITY_STEPS, multiples, side="right")).astype(np.uint8)
    severity[grade <= Grade.STABLE] = 0
    return Found(grade=grade, kind=KIND_OF[component].astype(np.uint8), severity=severity)


def by_limits(limits: dict[str, Limit], scores: dict[str, Floats], alert_from: Severity) -> Found:
    """Judge by fixed limits: the gravest severity that any score has reached."""
    shape = next(iter(scores.values())).shape
    gravest, kind = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for place, (name, limit) in enumerate(limits.items()):
        severity = _severity(limit, scores[name])
        graver = severity > gravest
        gravest[graver], kind[graver] = severity[graver], place
    grade = np.full(shape, Grade.STABLE, np.uint8)
    grade[gravest > 0] = Grade.WARNING
    grade[gravest >= SEVERITIES.index(alert_from)] = Grade.DRIFT
    return Found(grade=grade, kind=kind, severity=gravest)


def _severity(limit: Limit, score: Floats) -> Grades:
    severity = np.zeros(score.shape, np.uint8)
    with np.errstate(invalid="ignore", divide="ignore"):
        for rank, value in enumerate((limit.low, limit.medium, limit.high, limit.critical), start=1):
            if value is None:
                continue
            if limit.below:
                reached = score <= value
            elif limit.either_way == "ratio":
                reached = np.maximum(score, 1 / score) >= value
            else:
                reached = (np.abs(score) if limit.either_way == "sign" else score) >= value
            severity[reached] = rank
    return severity


def _discoveries(level: Floats, budget: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    features = level.shape[1]
    found = np.zeros(level.shape, np.bool_)
    # Fewer features than all can do only with more than 1/budget; most devices end here.
    rows = np.flatnonzero(level.max(axis=1) >= -np.log(budget))
    if not len(rows):
        return found
    ordered = -np.sort(-level[rows], axis=1)
    bars = needed(budget[rows], features)[:, np.newaxis] - np.log(np.arange(1, features + 1))
    enough = ordered >= bars
    # The largest rank whose bar is reached; 0 for none.
    rank = np.where(enough.any(axis=1), features - enough[:, ::-1].argmax(axis=1), 0)
    lowest = np.where(rank > 0, bars[np.arange(len(rows)), np.maximum(rank, 1) - 1], np.inf)
    found[rows] = level[rows] >= lowest[:, np.newaxis]
    return found
