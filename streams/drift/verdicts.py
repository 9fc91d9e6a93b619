"""Verdicts: what gathered evidence, or scores against fixed limits, amount to."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from schemas.drift_alert import Severity
from schemas.drift_scores import Verdict
from streams.drift.evidence import COMPONENTS, Gathered, bars_of, floors_of
from streams.drift.kernels import judge_rows
from streams.drift.policy import Floors, Limit
from streams.drift.scores import Floats

__all__ = ["SEVERITIES", "Found", "Grade", "by_evidence", "by_floors", "by_limits"]

# By the numbers that arrays hold.
SEVERITIES = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)

_KINDS = np.array([one.kind for one in COMPONENTS], np.int64)


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
    return by_floors(gathered, floors_of(floors)[:, np.newaxis], budget)


def by_floors(gathered: Gathered, floor: Floats, budget: npt.NDArray[np.float64]) -> Found:
    """Judge by evidence, with floors as an array: components × 1, or a set of them for each device."""
    devices, components, features = gathered.level.shape
    floors = np.ascontiguousarray(np.broadcast_to(floor, (devices, components, 1))[:, :, 0], np.float32)
    grade, kind, severity = (np.zeros((devices, features), np.uint8) for _ in range(3))
    level, effect = (np.ascontiguousarray(one, np.float32) for one in (gathered.level, gathered.effect))
    judge_rows(level, effect, floors, bars_of(budget, features), _KINDS, grade, kind, severity)
    return Found(grade=grade, kind=kind, severity=severity)


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
