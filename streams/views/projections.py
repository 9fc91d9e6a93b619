"""What each record changes in the views: pure functions from a record to writes.

device:<id>      hash     device, heartbeat, command, features, scores, health: JSON, each with its own time
devices          set      every known device_id
fleet            hash     device_id -> what lists show of a device: JSON
beats            hash     device_id -> its last heartbeat, in short: JSON
drift            hash     device_id -> its latest verdict, and how far each notable feature is: JSON
series:<id>      sorted   the latest scores of a device, by the end of their window: JSON
alerts           hash     alert_id -> JSON, with when it was last told; resolved ones leave, for `resolved`
resolved         sorted   the latest resolved alerts, by when they changed: JSON
silences         hash     name -> JSON; one that was ended leaves
rollouts         hash     rollout_id -> JSON
plans            hash     rollout_id -> JSON
rollout:<id>     hash     device_id -> JSON
models           hash     model_id -> JSON
grids, baselines hash     content id -> JSON
policies         hash     policy_id -> JSON
trainings        hash     request_id -> JSON
training-said    hash     request_id -> a person's last approval or cancellation: JSON
training-news    hash     request_id -> what the trainer said of it last: JSON
tally:<kind>     hash     alerts, rollouts, models: how many by severity:…, state:…, phase:…, stage:…
audit            sorted   the latest entries of the audit log, by their time: JSON
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_scores import DriftScores, Verdict
from schemas.feature_stats import FeatureStats
from schemas.fleet import Device, Heartbeat
from schemas.grid import Baseline, Grid
from schemas.jsonable import as_jsonable, as_text
from schemas.model_health import ModelHealth
from schemas.operators import AuditEntry, OperatorRequest
from schemas.policy import Policy
from schemas.release import ModelRelease
from schemas.rollouts import Command, RolloutDevice, RolloutPlan, RolloutStatus
from schemas.training import TrainingRequest
from streams.views.writes import Append, Forget, Put, Remember, Sort, Take, Write

__all__ = ["Projector"]

_SERIES_KEPT = 240
_RESOLVED_KEPT = 5_000
_AUDIT_KEPT = 20_000
# Who says in the audit log what became of a training request.
_TRAINER = "trainer"


class Projector:
    """Turns records into writes; the grids give the features their names, or their numbers where nobody knows one."""

    def __init__(self, grid_of: Callable[[str], Grid | None]) -> None:
        self._grid_of = grid_of

    def project(self, topic: str, record: Any, place: str = "", *, told_ms: int = 0) -> Iterable[Write]:
        """Return what a record changes.

        `place` tells records of a log apart that say the same, `told_ms` is when the broker had it.
        """
        if topic == "audit.log":
            return self._audit(record, place)
        if topic == "drift.alerts":
            return self._alert(record, told_ms)
        return self._projections[topic](self, record)

    def forget(self, topic: str, key: str) -> Iterable[Write]:
        """Return what a tombstone changes; other topics' endings are values."""
        if topic != "fleet.devices":
            return ()
        about = (f"device:{key}", f"device:{key}:at", f"series:{key}")
        return (Forget("devices", key, about), *(Take(name, key) for name in ("fleet", "beats", "drift")))

    @classmethod
    def topics(cls) -> tuple[str, ...]:
        return (*cls._projections, "drift.alerts", "audit.log")

    def _device(self, device: Device) -> Iterable[Write]:
        plain = as_jsonable(device)
        short = {name: plain[name] for name in ("state", "labels", "groups", "model_id", "last_seen_ms")}
        return (
            Remember("devices", device.device_id),
            _of_device(device, "device"),
            Put("fleet", device.device_id, as_text(short)),
        )

    def _heartbeat(self, heartbeat: Heartbeat) -> Iterable[Write]:
        short = {"at_ms": heartbeat.at_ms, "model_id": heartbeat.model_id, "safe_mode": heartbeat.safe_mode}
        return (
            Remember("devices", heartbeat.device_id),
            _of_device(heartbeat, "heartbeat", heartbeat.at_ms),
            Put("beats", heartbeat.device_id, as_text(short), heartbeat.at_ms),
        )

    def _command(self, command: Command) -> Iterable[Write]:
        return (_of_device(command, "command", without=("envelope",)),)

    def _scores(self, scores: DriftScores) -> Iterable[Write]:
        psi = {one.feature: _rounded(one.scores.get("psi", math.nan)) for one in scores.features}
        short = {
            "at_ms": scores.window_end_ms,
            "verdict": scores.verdict.value,
            "drifted": scores.drifted,
            "psi": psi,
            "drifting": [one.feature for one in scores.features if one.verdict is Verdict.DRIFT],
        }
        point = {
            "at_ms": scores.window_end_ms,
            "horizon_ms": scores.horizon_ms,
            "verdict": scores.verdict.value,
            "samples": scores.samples,
            "psi": psi,
        }
        series = Append(f"series:{scores.device_id}", scores.window_end_ms, as_text(point), _SERIES_KEPT)
        if scores.subject_is_cohort:
            return (series,)
        return (
            _of_device(scores, "scores", scores.window_end_ms),
            Put("drift", scores.device_id, as_text(short), scores.window_end_ms),
            series,
        )

    def _health(self, health: ModelHealth) -> Iterable[Write]:
        return (_of_device(health, "health", health.window_end_ms),)

    def _features(self, stats: FeatureStats) -> Iterable[Write]:
        grid = self._grid_of(stats.grid_id)
        means = np.frombuffer(stats.mean, "<f4")
        missing = np.frombuffer(stats.missing, "<u4")
        names = [feature.name for feature in grid.features] if grid else [str(i) for i in range(len(means))]
        counts = np.frombuffer(stats.counts, "<u4").reshape(len(means), -1)
        latest = {
            "window_end_ms": stats.window_end_ms,
            "model_id": stats.model_id,
            "pipeline": stats.pipeline,
            "grid_id": stats.grid_id,
            "samples": stats.samples,
            "mean": dict(zip(names, means.tolist(), strict=False)),
            "missing": dict(zip(names, missing.tolist(), strict=False)),
            "counts": dict(zip(names, counts.tolist(), strict=False)),
        }
        return (Put(f"device:{stats.device_id}", "features", as_text(latest), stats.window_end_ms),)

    def _alert(self, alert: DriftAlert, told_ms: int) -> Iterable[Write]:
        # Its own times are those of devices, whose clocks may be anywhere.
        text = as_text({**as_jsonable(alert), "told_ms": told_ms})
        if alert.state is AlertState.RESOLVED:
            return (
                Take("alerts", alert.alert_id),
                Append("resolved", alert.changed_ms, text, _RESOLVED_KEPT),
                Sort("alerts", alert.alert_id, ()),
            )
        boxes = (f"severity:{alert.severity.value}", f"state:{alert.state.value}")
        return (Put("alerts", alert.alert_id, text), Sort("alerts", alert.alert_id, boxes))

    def _request(self, request: OperatorRequest) -> Iterable[Write]:
        kind, _, name = request.subject.partition("/")
        match request.action, kind:
            case "silence", "silence":
                return (Put("silences", name, as_text(as_jsonable(request))),)
            case "unsilence", "silence":
                return (Take("silences", name),)
            case "approve" | "cancel", "training":
                return (Put("training-said", name, as_text(as_jsonable(request))),)
        return ()

    def _rollout(self, status: RolloutStatus) -> Iterable[Write]:
        text = as_text(as_jsonable(status, without=("state", "digested")))
        boxes = (f"phase:{status.phase.value}",)
        return (Put("rollouts", status.rollout_id, text), Sort("rollouts", status.rollout_id, boxes))

    def _plan(self, plan: RolloutPlan) -> Iterable[Write]:
        return (Put("plans", plan.rollout_id, as_text(as_jsonable(plan))),)

    def _rollout_device(self, device: RolloutDevice) -> Iterable[Write]:
        return (Put(f"rollout:{device.rollout_id}", device.device_id, as_text(as_jsonable(device))),)

    def _release(self, release: ModelRelease) -> Iterable[Write]:
        model_id = f"{release.model}/{release.version}"
        text = as_text(as_jsonable(release, without=("manifest",)))
        return (Put("models", model_id, text), Sort("models", model_id, (f"stage:{release.stage.value}",)))

    def _grid(self, grid: Grid) -> Iterable[Write]:
        return (Put("grids", grid.grid_id, as_text(as_jsonable(grid))),)

    def _baseline(self, baseline: Baseline) -> Iterable[Write]:
        return (Put("baselines", baseline.baseline_id, as_text(as_jsonable(baseline))),)

    def _policy(self, policy: Policy) -> Iterable[Write]:
        return (Put("policies", policy.policy_id, as_text(as_jsonable(policy, without=("envelope",)))),)

    def _training(self, request: TrainingRequest) -> Iterable[Write]:
        return (Put("trainings", request.request_id, as_text(as_jsonable(request))),)

    def _audit(self, entry: AuditEntry, place: str) -> Iterable[Write]:
        plain = as_jsonable(entry)
        logged = Append("audit", entry.at_ms, as_text({"id": place, **plain}), _AUDIT_KEPT)
        kind, _, name = entry.subject.partition("/")
        if (kind, entry.who) == ("training", _TRAINER):
            return (logged, Put("training-news", name, as_text(plain), entry.at_ms))
        return (logged,)

    _projections: Mapping[str, Callable[["Projector", Any], Iterable[Write]]] = {
        "models.grids": _grid,
        "models.baselines": _baseline,
        "models.releases": _release,
        "drift.policies": _policy,
        "operators.requests": _request,
        "training.requests": _training,
        "rollouts.plans": _plan,
        "fleet.devices": _device,
        "fleet.heartbeats": _heartbeat,
        "telemetry.feature-stats": _features,
        "telemetry.model-health": _health,
        "drift.scores": _scores,
        "rollouts.status": _rollout,
        "rollouts.devices": _rollout_device,
        "rollouts.commands": _command,
    }


def _of_device(record: Any, field: str, at_ms: int | None = None, without: Iterable[str] = ()) -> Put:
    return Put(f"device:{record.device_id}", field, as_text(as_jsonable(record, without=without)), at_ms)


def _rounded(score: float) -> float:
    return round(score, 4)
