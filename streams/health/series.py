"""The series that are watched: what of a model's health is a number, and which way is worse."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from schemas.model_health import ModelHealth

__all__ = ["SERIES", "Series", "Worse"]


class Worse(Enum):
    """Which way a series moves when things go wrong."""

    UP = 1
    DOWN = -1
    EITHER = 0


@dataclass(frozen=True, slots=True)
class Series:
    """One number a window; `nan` where the window has none.

    Windows of a quiet device can be equal to the last digit; below the noise floors (absolute, and as a share of the
    mean) a difference means nothing, so the floors bound the standard deviation from below.
    """

    of: Callable[[ModelHealth], float]
    worse: Worse
    noise: float
    noise_share: float = 0.0


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _per_second(health: ModelHealth) -> float:
    return _share(1000.0 * health.inferences, health.window_end_ms - health.window_start_ms)


def _rmse(health: ModelHealth) -> float:
    return math.sqrt(_share(health.forecast_sq_error, health.forecasts))


SERIES: Mapping[str, Series] = {
    "anomaly_rate": Series(lambda h: _share(h.anomalies, h.inferences), Worse.UP, noise=0.005),
    "confidence": Series(lambda h: h.confidence_mean, Worse.DOWN, noise=0.01),
    "error_rate": Series(lambda h: _share(h.errors, h.inferences + h.errors), Worse.UP, noise=0.002),
    "latency_ms": Series(lambda h: h.latency_p99_ms, Worse.UP, noise=0.01, noise_share=0.05),
    "throughput": Series(_per_second, Worse.DOWN, noise=0.01, noise_share=0.05),
    "cpu_share": Series(lambda h: h.cpu_share, Worse.UP, noise=0.02),
    "memory_bytes": Series(lambda h: float(h.memory_bytes), Worse.UP, noise=1e6, noise_share=0.02),
    "forecast_mae": Series(lambda h: _share(h.forecast_abs_error, h.forecasts), Worse.UP, noise=1e-6, noise_share=0.05),
    "forecast_rmse": Series(_rmse, Worse.UP, noise=1e-6, noise_share=0.05),
}
