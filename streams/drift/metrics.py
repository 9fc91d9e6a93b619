"""What the drift worker tells Prometheus."""

from functools import partial

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.drift_alert import AlertState
from streams.drift.objectives import FALSE_ALARMS, is_false_alarm
from streams.drift.partition import Outcome

__all__ = ["Metrics"]

_LIVE = (AlertState.FIRING, AlertState.ACKNOWLEDGED)


class Metrics:
    """One worker's figures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.score = Gauge(
            "data_drift_score", "Highest PSI of a feature in the last runs.", ["feature"], registry=registry
        )
        self.features = Gauge("features_with_drift", "Features with a live alert, over all devices.", registry=registry)
        self.detected = Gauge("drift_detected", "1 while any alert is live.", registry=registry)
        self.duration = Histogram("drift_detection_duration_seconds", "Time to judge a run.", registry=registry)
        self.windows = Counter(
            "driftline_drift_windows", "Windows, by what became of them.", ["outcome"], registry=registry
        )
        self.scores = Counter("driftline_drift_scores", "Score records published.", registry=registry)
        self.alerts = Counter("driftline_drift_alerts", "Alerts that began to fire.", ["severity"], registry=registry)
        self.shares = Counter("driftline_drift_cohort_shares", "Shares of cohorts published.", registry=registry)
        self.restore = Gauge("driftline_drift_restore_seconds", "Time that the last restore took.", registry=registry)
        # Prometheus sees no increase in what begins at 1.
        self.bad(0)
        # Of both the increase over any time counts: what is used of the budget is the one by the other.
        self.spent = Counter(
            "driftline_drift_objective_spent", "Spent of an objective's budget.", ["model", "objective"],
            registry=registry,
        )  # fmt: skip
        self.allowed = Counter(
            "driftline_drift_objective_allowed", "Added to an objective's budget.", ["model", "objective"],
            registry=registry,
        )  # fmt: skip
        # By alert: its feature.
        self._live: dict[str, str] = {}
        # By partition, of its last run.
        self._highest: dict[int, dict[str, float]] = {}
        # Counted when somebody asks, and not for every run.
        self.features.set_function(lambda: len(set(self._live.copy().values())))
        self.detected.set_function(lambda: float(bool(self._live)))
        self._shown: set[str] = set()

    def bad(self, windows: int) -> None:
        self.windows.labels("bad").inc(windows)

    def judged(self, partition: int, outcome: Outcome, *, seconds: float) -> None:
        self.duration.observe(seconds)
        for name, count in vars(outcome.tally).items():
            self.windows.labels(name).inc(count)
        for model_id, allowed in outcome.allowed.items():
            self.allowed.labels(model_id, FALSE_ALARMS).inc(allowed)
            self.spent.labels(model_id, FALSE_ALARMS).inc(0)
        self._score(partition, outcome)
        self._follow(outcome)

    def restored(self, seconds: float) -> None:
        self.restore.set(seconds)

    def evicted(self, devices: int) -> None:
        self.windows.labels("evicted").inc(devices)

    def _score(self, partition: int, outcome: Outcome) -> None:
        mine: dict[str, float] = {}
        for one in outcome.judged:
            highest = np.fmax.reduce(one.measured.score("psi"), axis=0, initial=0.0).tolist()
            for feature, value in zip(one.measured.group.against.features, highest, strict=True):
                mine[feature] = max(value, mine.get(feature, 0.0))
        if mine:
            self._highest[partition] = mine
        for feature in mine.keys() - self._shown:
            self._shown.add(feature)
            self.score.labels(feature).set_function(partial(self._highest_of, feature))

    def _highest_of(self, feature: str) -> float:
        return max(held.get(feature, 0.0) for held in self._highest.copy().values())

    def _follow(self, outcome: Outcome) -> None:
        for alert in outcome.alerts:
            if alert.state in _LIVE:
                if alert.alert_id not in self._live:
                    self.alerts.labels(alert.severity.value).inc()
                self._live[alert.alert_id] = alert.feature
            elif self._live.pop(alert.alert_id, None) is not None and alert.model_id in outcome.allowed:
                self.spent.labels(alert.model_id, FALSE_ALARMS).inc(is_false_alarm(alert))
