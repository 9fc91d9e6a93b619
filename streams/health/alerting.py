"""From findings to alerts, which live as drift alerts do."""

from collections.abc import Sequence

from schemas.drift_alert import DriftAlert, Evidence, Severity
from streams.drift.alerts import AlertBook
from streams.drift.observed import Breach, Observation, Shown
from streams.drift.policy import InForce
from streams.health.limit import LIMITED
from streams.health.panel import Finding
from streams.health.series import SERIES
from streams.health.watch import Shift

__all__ = ["Alerting"]

_REFERENCE = "the model's first windows on the device"
_EVERY_SERIES = frozenset({*SERIES, *LIMITED})
# A shift of so many standard deviations is grave.
_GRAVE = 3.0


class Alerting:
    """The alerts of one partition's devices."""

    def __init__(self, policy: InForce) -> None:
        self._life = policy.rules.life
        self.book = AlertBook(policy_id=policy.policy_id, policy_revision=policy.revision)

    def take_up(self, policy: InForce) -> None:
        self._life = policy.rules.life
        self.book.policy_id, self.book.policy_revision = policy.policy_id, policy.revision

    def pass_time(self, now_ms: int) -> list[DriftAlert]:
        """Escalate, and end silences, where no window comes to remind of it."""
        return self.book.pass_time(now_ms, self._life)

    def changes(self, findings: Sequence[Finding]) -> list[DriftAlert]:
        """Take the findings of one window of one model, and return the alerts that they change."""
        if not findings:
            return []
        first = findings[0]
        breaches = tuple(_breach(finding, finding.shift) for finding in findings if finding.shift is not None)
        if not breaches and first.device_id not in self.book:
            return []
        seen = Observation(
            subject=first.device_id,
            model_id=first.model_id,
            at_ms=first.at_ms,
            breaches=breaches,
            unknown=_EVERY_SERIES - {finding.series for finding in findings},
        )
        return self.book.observe(seen, self._life)


def _breach(finding: Finding, shift: Shift) -> Breach:
    limit = finding.by == "limit"
    kind = "limit" if limit else "shift"
    evidence = Evidence(
        scores={"usual": shift.usual, "now": shift.now, "shift": shift.by},
        samples=0,
        reference=_REFERENCE,
        horizon_ms=0,
    )
    return Breach(
        feature=finding.series,
        family=kind,
        severity=Severity.HIGH if limit or abs(shift.by) >= _GRAVE else Severity.MEDIUM,
        closer=lambda: Shown(kind=kind, evidence=evidence),
    )
