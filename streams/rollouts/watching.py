"""Watching one rollout: which reports speak for its canary, which for its control."""

from collections.abc import Iterable

from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_scores import DriftScores
from schemas.model_health import ModelHealth
from streams.rollouts.gates import Evidence, Group
from streams.rollouts.members import State
from streams.rollouts.rollout import Rollout

__all__ = ["Watch"]

# Enough for any effect that matters, and bounded whatever the fleet.
MOST_DEVICES = 2_000

_CANARY = (State.IN_PROGRESS, State.SUCCEEDED)
_UNTOUCHED = (State.WAITING, State.OFFLINE, State.HELD)
_FIRING = (AlertState.FIRING, AlertState.ACKNOWLEDGED)


class Watch:
    """The evidence of a rollout's present stage."""

    def __init__(self) -> None:
        self.evidence = Evidence()
        self._stage = 0
        self._canary_kin: set[str] = set()

    def health(self, rollout: Rollout, window: ModelHealth) -> None:
        group = self._group(rollout, window.device_id, window.model_id)
        if group is not None and (len(group) < MOST_DEVICES or window.device_id in group):
            group.add(window)

    def scores(self, rollout: Rollout, scores: DriftScores) -> None:
        group = self._group(rollout, scores.device_id, scores.model_id)
        if group is not None and len(group.scored) < MOST_DEVICES:
            group.scored.add(scores.device_id)

    def look(self, rollout: Rollout, alerts: Iterable[DriftAlert]) -> Evidence:
        """Return the evidence with the alerts that fire now."""
        self._follow(rollout)
        evidence = self.evidence
        for group in (evidence.canary, evidence.alike, evidence.others):
            group.alerting.clear()
        for alert in alerts:
            for device_id in alert.members if alert.subject_is_cohort else (alert.subject,):
                whose = self._group(rollout, device_id, alert.model_id) if alert.state in _FIRING else None
                if whose is not None:
                    whose.alerting[device_id] = alert.feature or alert.kind
        return evidence

    def _follow(self, rollout: Rollout) -> None:
        if rollout.stage != self._stage:
            self._stage = rollout.stage
            self.evidence = self.evidence.next_stage()

    def _group(self, rollout: Rollout, device_id: str, model_id: str) -> Group | None:
        """Return whom a report speaks for. The control counts only while there is a canary to compare with."""
        self._follow(rollout)
        members = rollout.members
        row = members.row(device_id)
        if row is None:
            return None
        state = members.state(row)
        if model_id == rollout.plan.model:
            if state not in _CANARY:
                return None
            self._canary_kin.add(members.kin(row))
            return self.evidence.canary
        if members.touched(row) or state not in _UNTOUCHED or not self._canary_kin:
            return None
        return self.evidence.alike if members.kin(row) in self._canary_kin else self.evidence.others
