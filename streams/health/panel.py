"""All that is watched of the devices of one partition, window by window."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.model_health import ModelHealth
from streams.health.labels import Outcome, Quality
from streams.health.limit import LimitWatch
from streams.health.policy import HealthPolicy
from streams.health.series import SERIES
from streams.health.watch import Shift, Watch

__all__ = ["Counts", "Finding", "HealthPanel"]

_QUALITY_WARM_UP = 50
_QUALITY_WINDOW = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """How one series of one model on one device stands; without a shift it is as usual."""

    device_id: str
    model_id: str
    series: str
    # What found it: the detector's name, or "limit".
    by: str
    shift: Shift | None
    at_ms: int


@dataclass(slots=True)
class Counts:
    """What was not looked at, and why."""

    repeated: int = 0
    late: int = 0


@dataclass(slots=True)
class _Model:
    watches: dict[str, Watch]
    limits: dict[str, LimitWatch]
    quality: Quality
    newest_ms: int = -1
    # The highest `seq` of each life of the gateway that was looked at.
    seen: dict[str, int] = field(default_factory=dict)


class HealthPanel:
    """State by device and model; a new model begins anew, and the one before it is forgotten when it is done."""

    def __init__(self, policy: HealthPolicy) -> None:
        self._policy = policy
        self._models: dict[str, dict[str, _Model]] = {}
        self.counts = Counts()

    def judge(self, health: ModelHealth) -> list[Finding]:
        """Take one window. Detectors need order, so a window older than the newest one is counted, not fed."""
        model = self._model(health.device_id, health.model_id)
        if health.seq <= model.seen.get(health.boot_id, -1):
            self.counts.repeated += 1
            return []
        model.seen[health.boot_id] = health.seq
        if health.window_end_ms <= model.newest_ms:
            self.counts.late += 1
            return []
        model.newest_ms = health.window_end_ms
        return list(self._findings(health, model))

    def outcome(self, outcome: Outcome) -> list[Finding]:
        """Take one labelled prediction."""
        model = self._model(outcome.device_id, outcome.model_id)
        model.quality.add(outcome)
        return [
            Finding(outcome.device_id, outcome.model_id, name, "limit", model.limits[name].step(value), outcome.at_ms)
            for name, value in model.quality.values().items()
            if name in model.limits
        ]

    def _findings(self, health: ModelHealth, model: _Model) -> Iterator[Finding]:
        for name, series in SERIES.items():
            value = series.of(health)
            if name in model.watches:
                by = self._policy.watches[name].detector.name
                shift = model.watches[name].step(value)
                yield Finding(health.device_id, health.model_id, name, by, shift, health.window_end_ms)
            if name in model.limits:
                shift = model.limits[name].step(value)
                yield Finding(health.device_id, health.model_id, name, "limit", shift, health.window_end_ms)

    def _model(self, device_id: str, model_id: str) -> _Model:
        models = self._models.setdefault(device_id, {})
        if model_id not in models:
            # The active model and one on trial beside it.
            if len(models) >= 2:
                del models[min(models, key=lambda name: models[name].newest_ms)]
            models[model_id] = self._fresh()
        return models[model_id]

    def _fresh(self) -> _Model:
        policy = self._policy
        return _Model(
            watches={name: Watch(SERIES[name], watch) for name, watch in policy.watches.items()},
            limits={
                name: LimitWatch(
                    limit,
                    warm_up=30 if name in SERIES else _QUALITY_WARM_UP,
                    window=10 if name in SERIES else _QUALITY_WINDOW,
                )
                for name, limit in policy.limits.items()
            },
            quality=Quality(window=policy.outcomes),
        )
