"""Evidence: what canary and control devices reported while a stage was watched."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.model_health import ModelHealth

__all__ = ["METRICS", "Evidence", "Group", "Sample"]

_Column = npt.NDArray[np.float64]

# Every metric is a sum over a sum, so that windows and devices add. Each name: numerator, denominator.
METRICS: Mapping[str, str] = {
    "anomaly_rate": "share of decisions that said anomaly",
    "error_rate": "share of inferences that failed",
    "confidence": "mean confidence of the decisions",
    "latency_p99_ms": "mean over windows of the 99th percentile of inference time, milliseconds",
    "latency_p50_ms": "mean over windows of the median inference time, milliseconds",
    "cpu_share": "mean use of one core",
    "memory_bytes": "mean resident memory",
    "score": "mean anomaly score",
    "forecast_abs_error": "mean absolute error of forecasts",
}
_PLACES = {name: place for place, name in enumerate(METRICS)}


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric over a group: per device its numerator and denominator, and the windows they came from."""

    numerators: _Column
    denominators: _Column

    @property
    def devices(self) -> int:
        return len(self.denominators)

    @property
    def total(self) -> float:
        return float(self.denominators.sum())

    @property
    def value(self) -> float:
        """The group's value; NaN where nothing was seen."""
        return float(self.numerators.sum() / self.denominators.sum()) if self.total else float("nan")


class Group:
    """Devices that are watched together; what each reported is summed up in one row."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._sums = np.zeros((16, 2, len(METRICS)))
        # Devices whose drift was scored at all, and those with a firing drift alert, with its features.
        self.scored: set[str] = set()
        self.alerting: dict[str, str] = {}
        self.windows = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._rows

    def add(self, window: ModelHealth) -> None:
        row = self._rows.setdefault(window.device_id, len(self._rows))
        if row == len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
        self._sums[row] += _sums(window)
        self.windows += 1

    def sample(self, metric: str) -> Sample:
        """Return a metric's sums over the devices that reported it; an unknown metric was reported by nobody."""
        place = _PLACES.get(metric)
        if place is None:
            return Sample(np.zeros(0), np.zeros(0))
        sums = self._sums[: len(self._rows), :, place]
        seen = sums[:, 1] > 0
        return Sample(sums[seen, 0], sums[seen, 1])


@dataclass(slots=True)
class Evidence:
    """Canary beside its contemporaneous control."""

    canary: Group = field(default_factory=Group)
    # Devices that do not run the release yet: those like the canary in hardware, firmware and region, and others.
    alike: Group = field(default_factory=Group)
    others: Group = field(default_factory=Group)
    # The control of the stage before, for when nobody is left.
    earlier: Group = field(default_factory=Group)

    @property
    def control(self) -> Group:
        """The devices like the canary where any of them reported, otherwise the others."""
        return self.alike if self.alike.windows or self.alike.scored else self.others

    def next_stage(self) -> "Evidence":
        """Begin afresh; keep the last control that said anything."""
        return Evidence(earlier=self.control if self.control.windows else self.earlier)


def _sums(window: ModelHealth) -> _Column:
    """Return numerators and denominators of one window; what is not a number was not reported."""
    decisions = float(window.inferences)
    tried = decisions + window.errors
    pairs = (
        (float(window.anomalies), decisions),
        (float(window.errors), tried),
        (window.confidence_mean * decisions, decisions),
        (window.latency_p99_ms, 1.0),
        (window.latency_p50_ms, 1.0),
        (window.cpu_share, 1.0),
        (float(window.memory_bytes), 1.0),
        (window.score_mean * decisions, decisions),
        (window.forecast_abs_error, float(window.forecasts)),
    )
    table = np.array(pairs).T
    table[:, ~np.isfinite(table).all(axis=0)] = 0.0
    return table
