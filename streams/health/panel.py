"""All that is watched of the devices of one partition, window by window."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.model_health import ModelHealth
from schemas.sample import Sample, SampledBecause
from streams.health.labels import Outcome
from streams.health.policy import HealthPolicy
from streams.health.series import SERIES
from streams.health.watch import Shift
from streams.health.watched import WatchedModel

__all__ = ["Counts", "Finding", "HealthPanel"]

# A device that was silent for as long as its topic remembers starts anew.
FORGET_AFTER_MS = 7 * 24 * 3_600_000


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
    """What became of what came."""

    judged: int = 0
    repeated: int = 0
    late: int = 0


class HealthPanel:
    """State by device and model; a new model begins anew, and the one before it is forgotten when it is done."""

    def __init__(self, policy: HealthPolicy) -> None:
        self.policy = policy
        self.models: dict[str, dict[str, WatchedModel]] = {}
        # Arrival of each device's last record, broker time.
        self.heard_ms: dict[str, int] = {}
        self.counts = Counts()

    def judge(self, health: ModelHealth, *, arrived_ms: int = 0) -> list[Finding]:
        """Take one window. Detectors need order, so a window older than the newest one is counted, not fed."""
        model = self._model(health.device_id, health.model_id, arrived_ms)
        if not model.is_new(health.boot_id, health.seq):
            self.counts.repeated += 1
            return []
        if health.window_end_ms <= model.newest_ms:
            self.counts.late += 1
            return []
        self.counts.judged += 1
        model.newest_ms = health.window_end_ms
        return list(self._findings(health, model))

    def outcome(self, outcome: Outcome, *, arrived_ms: int = 0) -> list[Finding]:
        """Take one labelled prediction."""
        model = self._model(outcome.device_id, outcome.model_id, arrived_ms)
        model.quality.add(outcome)
        return self._limited(outcome.device_id, outcome.model_id, model, model.quality.values(), outcome.at_ms)

    def sampled(self, sample: Sample, *, arrived_ms: int = 0) -> list[Finding]:
        """Take one prediction without its label: where the model's confidence is true, it says how good it is."""
        if sample.because is not SampledBecause.UNIFORM or self.policy.trust == "never":
            return []
        model = self._model(sample.device_id, sample.model_id, arrived_ms)
        model.estimate.add(sample.anomaly, sample.confidence)
        if self.policy.trust == "measured" and not model.quality.confidence_is_true():
            return []
        return self._limited(sample.device_id, sample.model_id, model, model.estimate.values(), sample.at_ms)

    def evict(self, now_ms: int) -> int:
        """Forget devices that are long silent; each would start anew anyway. Returns how many."""
        silent = [device for device, heard_ms in self.heard_ms.items() if now_ms - heard_ms > FORGET_AFTER_MS]
        for device in silent:
            del self.heard_ms[device], self.models[device]
        return len(silent)

    def take_up(self, policy: HealthPolicy) -> None:
        """Go by another policy from now on; what it watches in the same way goes on."""
        self.policy = policy
        for models in self.models.values():
            for model in models.values():
                model.take_up(policy)

    def _findings(self, health: ModelHealth, model: WatchedModel) -> Iterator[Finding]:
        device, name, at_ms = health.device_id, health.model_id, health.window_end_ms
        for series_name, series in SERIES.items():
            value = series.of(health)
            if series_name in model.watches:
                by = self.policy.watches[series_name].detector.name
                yield Finding(device, name, series_name, by, model.watches[series_name].step(value), at_ms)
            if series_name in model.limits:
                yield Finding(device, name, series_name, "limit", model.limits[series_name].step(value), at_ms)

    def _limited(
        self, device_id: str, model_id: str, model: WatchedModel, values: Mapping[str, float], at_ms: int
    ) -> list[Finding]:
        return [
            Finding(device_id, model_id, name, "limit", model.limits[name].step(value), at_ms)
            for name, value in values.items()
            if name in model.limits
        ]

    def _model(self, device_id: str, model_id: str, arrived_ms: int) -> WatchedModel:
        if arrived_ms - self.heard_ms.get(device_id, arrived_ms) > FORGET_AFTER_MS:
            del self.models[device_id]
        self.heard_ms[device_id] = max(arrived_ms, self.heard_ms.get(device_id, 0))
        models = self.models.setdefault(device_id, {})
        if model_id not in models:
            # The active model and one on trial beside it.
            if len(models) >= 2:
                del models[min(models, key=lambda name: models[name].newest_ms)]
            models[model_id] = WatchedModel(self.policy)
        return models[model_id]
