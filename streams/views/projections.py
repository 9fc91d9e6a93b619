"""What each record changes in the views: pure functions from a record to writes.

device:<id>      hash     device, heartbeat, command, features, scores, health: JSON, each with its own time
devices          set      every known device_id
alerts           hash     alert_id -> JSON; resolved ones leave
rollouts         hash     rollout_id -> JSON
rollout:<id>     hash     device_id -> JSON
models           hash     model_id -> JSON
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.drift_alert import AlertState, DriftAlert
from schemas.drift_scores import DriftScores
from schemas.feature_stats import FeatureStats
from schemas.fleet import Device, Heartbeat
from schemas.grid import Grid
from schemas.model_health import ModelHealth
from schemas.record import as_plain
from schemas.release import ModelRelease
from schemas.rollouts import Command, RolloutDevice, RolloutStatus

__all__ = ["Forget", "Projector", "Put", "Remember", "Take", "Write"]


@dataclass(frozen=True, slots=True)
class Put:
    """Set a field of a hash; with a time, only if what stands there is not from a later one."""

    hash: str
    field: str
    value: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Take:
    """Remove a field of a hash."""

    hash: str
    field: str


@dataclass(frozen=True, slots=True)
class Remember:
    """Add a member to a set."""

    set: str
    member: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove a member from a set, and the hash that is about it."""

    set: str
    member: str
    hash: str


Write = Put | Take | Remember | Forget


class Projector:
    """Turns records into writes; the grids give the features their names, or their numbers where nobody knows one."""

    def __init__(self, grid_of: Callable[[str], Grid | None]) -> None:
        self._grid_of = grid_of

    def project(self, topic: str, record: Any) -> Iterable[Write]:
        return self._projections[topic](self, record)

    def forget(self, topic: str, key: str) -> Iterable[Write]:
        """Return what a tombstone changes; other topics' endings are values."""
        return (Forget("devices", key, f"device:{key}"),) if topic == "fleet.devices" else ()

    @classmethod
    def topics(cls) -> tuple[str, ...]:
        return tuple(cls._projections)

    def _device(self, device: Device) -> Iterable[Write]:
        return (Remember("devices", device.device_id), _of_device(device, "device"))

    def _heartbeat(self, heartbeat: Heartbeat) -> Iterable[Write]:
        return (Remember("devices", heartbeat.device_id), _of_device(heartbeat, "heartbeat", heartbeat.at_ms))

    def _command(self, command: Command) -> Iterable[Write]:
        return (_of_device(command, "command", without=("envelope",)),)

    def _scores(self, scores: DriftScores) -> Iterable[Write]:
        return (_of_device(scores, "scores", scores.window_end_ms),)

    def _health(self, health: ModelHealth) -> Iterable[Write]:
        return (_of_device(health, "health", health.window_end_ms),)

    def _features(self, stats: FeatureStats) -> Iterable[Write]:
        grid = self._grid_of(stats.grid_id)
        means = np.frombuffer(stats.mean, "<f4")
        missing = np.frombuffer(stats.missing, "<u4")
        names = [feature.name for feature in grid.features] if grid else [str(i) for i in range(len(means))]
        latest = {
            "window_end_ms": stats.window_end_ms,
            "model_id": stats.model_id,
            "pipeline": stats.pipeline,
            "samples": stats.samples,
            "mean": dict(zip(names, means.tolist(), strict=False)),
            "missing": dict(zip(names, missing.tolist(), strict=False)),
        }
        return (Put(f"device:{stats.device_id}", "features", _json(latest), stats.window_end_ms),)

    def _alert(self, alert: DriftAlert) -> Iterable[Write]:
        if alert.state is AlertState.RESOLVED:
            return (Take("alerts", alert.alert_id),)
        return (Put("alerts", alert.alert_id, _json(as_plain(alert))),)

    def _rollout(self, status: RolloutStatus) -> Iterable[Write]:
        return (Put("rollouts", status.rollout_id, _json(_plain(status, without=("state", "digested")))),)

    def _rollout_device(self, device: RolloutDevice) -> Iterable[Write]:
        return (Put(f"rollout:{device.rollout_id}", device.device_id, _json(as_plain(device))),)

    def _release(self, release: ModelRelease) -> Iterable[Write]:
        return (Put("models", f"{release.model}/{release.version}", _json(_plain(release, without=("manifest",)))),)

    _projections: Mapping[str, Callable[["Projector", Any], Iterable[Write]]] = {
        "models.releases": _release,
        "fleet.devices": _device,
        "fleet.heartbeats": _heartbeat,
        "telemetry.feature-stats": _features,
        "telemetry.model-health": _health,
        "drift.scores": _scores,
        "drift.alerts": _alert,
        "rollouts.status": _rollout,
        "rollouts.devices": _rollout_device,
        "rollouts.commands": _command,
    }


def _of_device(record: Any, field: str, at_ms: int | None = None, without: Iterable[str] = ()) -> Put:
    return Put(f"device:{record.device_id}", field, _json(_plain(record, without)), at_ms)


def _plain(record: Any, without: Iterable[str]) -> dict[str, Any]:
    plain = as_plain(record)
    for name in without:
        del plain[name]
    return plain


def _json(plain: Any) -> str:
    return json.dumps(_finite(plain), separators=(",", ":"), ensure_ascii=False)


def _finite(value: Any) -> Any:
    """Replace what JSON has no word for, NaN and the infinities, by null."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case _:
            return value
