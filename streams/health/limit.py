"""Plain limits beside the detectors: a loss, or a rise, of so much against what was usual at first."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streams.health.series import Worse
from streams.health.watch import Shift

__all__ = ["LIMITED", "Limit", "LimitWatch"]


@dataclass(frozen=True, slots=True)
class Limit:
    """How much worse is too much."""

    worse: Worse
    # In the series' own unit, or as a share of what is usual; 0 is no limit.
    by: float
    as_share: bool = False

    def of(self, by: float) -> "Limit":
        return replace(self, by=by)

    def broken(self, usual: float, now: float) -> bool:
        change = (now - usual) * self.worse.value
        return change > (self.by * abs(usual) if self.as_share else self.by)


# What a limit can be set on; where `by` is 0 there is none unless a policy sets one.
LIMITED: Mapping[str, Limit] = {
    "accuracy": Limit(Worse.DOWN, 0.05),
    "precision": Limit(Worse.DOWN, 0.05),
    "recall": Limit(Worse.DOWN, 0.05),
    "estimated_accuracy": Limit(Worse.DOWN, 0.05),
    "estimated_precision": Limit(Worse.DOWN, 0.05),
    "estimated_recall": Limit(Worse.DOWN, 0.05),
    "latency_ms": Limit(Worse.UP, 0.2, as_share=True),
    "anomaly_rate": Limit(Worse.UP, 0.0),
    "confidence": Limit(Worse.DOWN, 0.0),
    "error_rate": Limit(Worse.UP, 0.0),
    "cpu_share": Limit(Worse.UP, 0.0),
    "memory_bytes": Limit(Worse.UP, 0.0, as_share=True),
    "throughput": Limit(Worse.DOWN, 0.0, as_share=True),
    "forecast_mae": Limit(Worse.UP, 0.0, as_share=True),
    "forecast_rmse": Limit(Worse.UP, 0.0, as_share=True),
}


class LimitWatch:
    """Compare the mean of the recent values with that of the first ones."""

    __slots__ = ("_first", "_limit", "_recent", "_warm_up", "_window")

    def __init__(self, limit: Limit, *, warm_up: int, window: int) -> None:
        self._limit = limit
        self._warm_up = warm_up
        self._window = window
        self._first = array("d")
        self._recent = array("d")

    def step(self, value: float) -> Shift | None:
        """Take one value; what is not finite is no value and changes nothing."""
        if math.isfinite(value):
            if len(self._first) < self._warm_up:
                self._first.append(value)
                return None
            self._recent = self._recent[-self._window + 1 :] if self._window > 1 else array("d")
            self._recent.append(value)
        if len(self._recent) < self._window:
            return None
        usual = sum(self._first) / len(self._first)
        now = sum(self._recent) / len(self._recent)
        return Shift(usual, now, now - usual) if self._limit.broken(usual, now) else None

    def under(self, limit: Limit) -> None:
        """Hold another limit from now on; what is usual stays."""
        self._limit = limit

    def state(self) -> dict[str, Any]:
        return {"first": self._first.tobytes(), "recent": self._recent.tobytes()}

    @classmethod
    def restored(cls, limit: Limit, state: Mapping[str, Any], *, warm_up: int, window: int) -> "LimitWatch":
        watch = cls(limit, warm_up=warm_up, window=window)
        watch._first.frombytes(state["first"])
        watch._recent.frombytes(state["recent"])
        return watch
