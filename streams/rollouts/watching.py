"""Watching rollouts: which reports speak for a canary, which for its control, and when gates are asked."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_scores import DriftScores
from schemas.model_health import ModelHealth
from streams.rollouts.events import GatesJudged
from streams.rollouts.gates import Evidence, Group
from streams.rollouts.member import State
from streams.rollouts.rollout import LIVE, Rollout

__all__ = ["Watch", "Watching"]

# Enough for any effect that matters, and bounded whatever the fleet.
MOST_DEVICES = 2_000

_CANARY = (State.IN_PROGRESS, State.SUCCEEDED)
_UNTOUCHED = (State.WAITING, State.OFFLINE, State.HELD)
_FIRING = (AlertState.FIRING, AlertState.ACKNOWLEDGED)


class Watching:
    """The watches of all rollouts with gates, and the alerts of others that fire."""

    def __init__(self, rollouts: Mapping[str, Rollout], *, judge_every_ms: int) -> None:
        self._rollouts, self._judge_every_ms = rollouts, judge_every_ms
        self._watches: defaultdict[str, Watch] = defaultdict(Watch)
        self._judged_ms: dict[str, int] = {}
        self._alerts: dict[str, DriftAlert] = {}

    def health(self, window: ModelHealth, _now_ms: int) -> None:
        for rollout_id, rollout in self._watched():
            self._watches[rollout_id].health(rollout, window)

    def scores(self, scores: DriftScores, _now_ms: int) -> None:
        for rollout_id, rollout in self._watched():
            self._watches[rollout_id].scores(rollout, scores)

    def alert(self, alert: DriftAlert) -> None:
        if alert.state is AlertState.RESOLVED:
            self._alerts.pop(alert.alert_id, None)
        else:
            self._alerts[alert.alert_id] = alert

    def judge(self, rollout_id: str, now_ms: int) -> GatesJudged | None:
        """Return what a rollout's gates say, if it is time to ask them again."""
        rollout = self._rollouts[rollout_id]
        due_ms = self._judged_ms.get(rollout_id, 0) + self._judge_every_ms
        if rollout.phase not in LIVE or not rollout.plan.gates or now_ms < due_ms:
            return None
        evidence = self._watches[rollout_id].look(rollout, self._alerts.values())
        self._judged_ms[rollout_id] = now_ms
        results = tuple(gate.judge(name, evidence) for name, gate in rollout.plan.gates.items())
        return GatesJudged(results, now_ms)

    def forget(self, rollout_id: str) -> None:
        self._watches.pop(rollout_id, None)
        self._judged_ms.pop(rollout_id, None)

    def _watched(self) -> list[tuple[str, Rollout]]:
        return [
            (name, rollout) for name, rollout in self._rollouts.items() if rollout.phase in LIVE and rollout.plan.gates
        ]


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
