"""What a model may cost by its objectives, and how much of that is used.

* A false alarm is an alert that ended by itself and that nobody acknowledged; its budget grows with the time that
  devices are watched.
* A window is unsure when its mean confidence is below the objective; its budget is a share of the windows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.drift_alert import AlertState, DriftAlert
from schemas.model_health import ModelHealth
from streams.drift.policy import Objectives, Rules

__all__ = ["CONFIDENCE", "FALSE_ALARMS", "Spending", "allowed_alarms", "is_false_alarm", "is_unsure", "spendings"]

FALSE_ALARMS, CONFIDENCE = "false_alarms", "confidence"
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Spending:
    """How much of one objective's budget is used: of false alarms, or of unsure windows."""

    model_id: str
    objective: str
    spent: float
    allowed: float

    @property
    def used(self) -> float:
        """Share of the budget; above 1 the objective is missed. Without any budget yet, nothing is used of it."""
        return self.spent / self.allowed if self.allowed else 0.0


def is_false_alarm(alert: DriftAlert) -> bool:
    """Say whether an alert that fired went by without anybody having cared."""
    return alert.state is AlertState.RESOLVED and not alert.by and not alert.subject_is_cohort


def allowed_alarms(objectives: Objectives, watched_ms: float) -> float:
    """Return how many false alarms may be raised in the time that devices were watched, all of them together.

    >>> allowed_alarms(Objectives(false_alarms_per_device_day=0.01), 200 * 86_400_000)
    2.0
    """
    return (objectives.false_alarms_per_device_day or 0.0) * watched_ms / _DAY_MS


def is_unsure(objectives: Objectives, window: ModelHealth) -> bool:
    """Say whether a window's mean confidence is below the objective; one without inferences says nothing."""
    return objectives.confidence is not None and window.confidence_mean < objectives.confidence


def spendings(
    rules: Rules, alerts: Iterable[DriftAlert], windows: Iterable[ModelHealth], *, from_ms: int
) -> list[Spending]:
    """Return what is used of each model's objectives since a time, from the windows of model health since then."""
    watched_ms, seen, unsure = Counter[str](), Counter[str](), Counter[str]()
    declared: dict[str, Objectives] = {}
    for window in windows:
        model_id = window.model_id
        objectives = declared.setdefault(model_id, rules.for_device(model_id, {}).objectives)
        watched_ms[model_id] += window.window_end_ms - window.window_start_ms
        seen[model_id] += window.inferences > 0
        unsure[model_id] += is_unsure(objectives, window)
    false = Counter(one.model_id for one in alerts if one.changed_ms >= from_ms and is_false_alarm(one))
    return [
        one for name in sorted(declared) for one in _of_model(name, declared[name], false, watched_ms, seen, unsure)
    ]


def _of_model(
    model_id: str,
    objectives: Objectives,
    false: Counter[str],
    watched_ms: Counter[str],
    seen: Counter[str],
    unsure: Counter[str],
) -> Iterator[Spending]:
    if objectives.false_alarms_per_device_day is not None:
        yield Spending(model_id, FALSE_ALARMS, false[model_id], allowed_alarms(objectives, watched_ms[model_id]))
    if objectives.confidence is not None:
        yield Spending(model_id, CONFIDENCE, unsure[model_id], objectives.unsure_windows * seen[model_id])
