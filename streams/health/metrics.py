"""What the health worker tells Prometheus."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.drift_alert import AlertState, DriftAlert
from schemas.model_health import ModelHealth
from streams.drift.objectives import CONFIDENCE, is_unsure
from streams.drift.policy import Rules
from streams.health.panel import Counts

__all__ = ["Metrics"]

_LIVE = (AlertState.FIRING, AlertState.ACKNOWLEDGED)


class Metrics:
    """One worker's figures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter("driftline_health_records", "Records read.", ["topic"], registry=registry)
        self.bad = Counter("driftline_health_bad_records", "Records set aside.", ["topic"], registry=registry)
        self.windows = Counter(
            "driftline_health_windows", "Windows, by what became of them.", ["outcome"], registry=registry
        )
        self.labels = Counter("driftline_health_labels_expired", "Who waited in vain.", registry=registry)
        self.judging = Histogram("driftline_health_judging_seconds", "Time to judge a run.", registry=registry)
        self.alerts = Counter("driftline_health_alerts", "Alerts that began to fire.", ["severity"], registry=registry)
        self.live = Gauge("driftline_health_alerts_live", "Alerts that fire or are acknowledged.", registry=registry)
        self.devices = Gauge("driftline_health_devices", "Devices that are watched.", registry=registry)
        self.restore = Gauge("driftline_health_restore_seconds", "Time that the last restore took.", registry=registry)
        # Of both the increase over any time counts: what is used of the budget is the one by the other.
        self.spent = Counter(
            "driftline_health_objective_spent", "Spent of an objective's budget.", ["model", "objective"],
            registry=registry,
        )  # fmt: skip
        self.allowed = Counter(
            "driftline_health_objective_allowed", "Added to an objective's budget.", ["model", "objective"],
            registry=registry,
        )  # fmt: skip
        self._live: set[str] = set()

    def read(self, topic: str, records: int, bad: int) -> None:
        self.records.labels(topic).inc(records)
        self.bad.labels(topic).inc(bad)

    def judged(self, before: Counts, after: Counts, expired: int, *, seconds: float) -> None:
        """Note what became of a run's windows: how much each count has grown."""
        self.judging.observe(seconds)
        for name in ("judged", "repeated", "late"):
            self.windows.labels(name).inc(getattr(after, name) - getattr(before, name))
        self.labels.inc(expired)

    def held_to(self, rules: Rules, windows: Iterable[ModelHealth]) -> None:
        """Count what windows spend of their models' objectives."""
        for window in windows:
            objectives = rules.for_device(window.model_id, {}).objectives
            if objectives.confidence is not None and window.inferences:
                self.allowed.labels(window.model_id, CONFIDENCE).inc(objectives.unsure_windows)
                self.spent.labels(window.model_id, CONFIDENCE).inc(is_unsure(objectives, window))

    def follow(self, alerts: Iterable[DriftAlert]) -> None:
        for alert in alerts:
            if alert.state not in _LIVE:
                self._live.discard(alert.alert_id)
            elif alert.alert_id not in self._live:
                self._live.add(alert.alert_id)
                self.alerts.labels(alert.severity.value).inc()
        self.live.set(len(self._live))
