"""One partition of model health, samples and labels: records in, alerts out."""

from typing import Any

from schemas.drift_alert import DriftAlert
from streams.drift.hours import HOUR_MS, hours_turned
from streams.drift.policy import InForce
from streams.health.alerting import Alerting
from streams.health.labels import LabelJoin
from streams.health.panel import Finding, HealthPanel
from streams.health.policy import HealthPolicy, read_health_policy

__all__ = ["HEALTH", "LABELS", "SAMPLES", "HealthPartition"]

HEALTH, SAMPLES, LABELS = "telemetry.model-health", "telemetry.samples", "telemetry.labels"


class HealthPartition:
    """The state of one partition number, over the three topics that share their keys."""

    def __init__(self, policy: InForce) -> None:
        read = read_health_policy(policy.document)
        self.policy = policy
        self.panel = HealthPanel(read)
        self.join = _join(read)
        self.alerting = Alerting(policy)
        # The hour of arrival that is going on.
        self.hour = 0

    def take(self, topic: str, record: Any, *, arrived_ms: int) -> list[DriftAlert]:
        """Take in one record, and return the alerts that it, or its hour, changed."""
        # One topic is the clock: how those of several topics come between each other is chance.
        changed = self.pass_time(arrived_ms) if topic == HEALTH else []
        for findings in self._findings(topic, record, arrived_ms):
            changed += self.alerting.changes(findings)
        return changed

    def pass_time(self, arrived_ms: int) -> list[DriftAlert]:
        """Escalate alerts and end silences as hours turn; returns the alerts that this changed."""
        turned = hours_turned(self.hour, arrived_ms)
        self.hour = max(arrived_ms // HOUR_MS, self.hour)
        return [alert for at_ms in turned for alert in self.alerting.pass_time(at_ms)]

    def is_due(self, now_ms: int) -> bool:
        """Say whether time alone may have changed an alert by now."""
        return now_ms // HOUR_MS > self.hour and bool(self.alerting.book.live)

    def take_up(self, policy: InForce) -> None:
        """Judge by another policy from now on; what is watched in the same way goes on."""
        read = read_health_policy(policy.document)
        waiting = self.join.state()
        self.policy = policy
        self.panel.take_up(read)
        self.join = _join(read)
        self.join.restore(waiting)
        self.alerting.take_up(policy)

    def _findings(self, topic: str, record: Any, arrived_ms: int) -> list[list[Finding]]:
        if topic == HEALTH:
            return [self.panel.judge(record, arrived_ms=arrived_ms)]
        found = [self.panel.sampled(record, arrived_ms=arrived_ms)] if topic == SAMPLES else []
        outcome = self.join.predicted(record) if topic == SAMPLES else self.join.labelled(record)
        if outcome is not None:
            found.append(self.panel.outcome(outcome, arrived_ms=arrived_ms))
        return found


def _join(policy: HealthPolicy) -> LabelJoin:
    return LabelJoin(wait_ms=policy.label_wait_ms, most=policy.most_waiting)
