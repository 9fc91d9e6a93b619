"""Verdicts: what gathered evidence, or scores against fixed limits, amount to."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from schemas.drift_alert import Severity
from schemas.drift_scores import Verdict
from streams.drift.policy import Limit
from streams.drift.scores import Floats

__all__ = ["SEVERITIES", "Found", "Grade", "by_limits"]

# By the numbers that arrays hold.
SEVERITIES = (Severity.UNKNOWN, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


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
