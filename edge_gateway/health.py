"""How a model fares: decisions of a window summed up, and what the machine gives for them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_gateway.inference import Decisions
from schemas.model_health import ModelHealth
from sensing.pipelines.base import Arrays
from sensing.windows import EventWindows

__all__ = ["HealthTally", "HealthWindows", "Usage", "model_health"]

# Latencies of a window that are kept for its percentiles; beyond, every other one is, then every fourth …
_LATENCIES = 4096


@dataclass(frozen=True, slots=True)
class Usage:
    """What the gateway takes of its machine; NaN and 0 where that is not known."""

    cpu_share: float = math.nan
    memory_bytes: int = 0


class HealthTally:
    """The decisions of one window."""

    def __init__(self) -> None:
        self.inferences = 0
        self.anomalies = 0
        self.errors = 0
        self.score_mean = 0.0
        self.score_m2 = 0.0
        self.confidence_sum = 0.0
        self.forecasts = 0
        self.forecast_abs_error = 0.0
        self.forecast_sq_error = 0.0
        self._latencies_ms: list[float] = []
        self._every = 1
        self._skipped = 0

    def add(self, decisions: Decisions, latency_ms: float) -> None:
        """Count the decisions of one call, which took `latency_ms` for each vector."""
        if len(decisions.score) == 1:
            score, anomaly, confidence = decisions
            self._add_one(float(score[0]), bool(anomaly[0]), float(confidence[0]), latency_ms)
            return
        made = ~decisions.failed
        scores = decisions.score[made].astype(np.float64)
        self.errors += len(made) - len(scores)
        if not len(scores):
            return
        self._merge_scores(scores)
        self.anomalies += int((decisions.anomaly & made).sum())
        self.confidence_sum += float(decisions.confidence[made].sum(dtype=np.float64))
        self._note(latency_ms)

    def _add_one(self, score: float, anomaly: bool, confidence: float, latency_ms: float) -> None:
        """The same for one, without what arrays cost."""
        if not math.isfinite(score):
            self.errors += 1
            return
        self.inferences += 1
        delta = score - self.score_mean
        self.score_mean += delta / self.inferences
        self.score_m2 += delta * (score - self.score_mean)
        self.anomalies += anomaly
        self.confidence_sum += confidence
        self._note(latency_ms)

    def note_errors(self, errors: NDArray[np.float64]) -> None:
        """Count forecasts that met their reading in this window."""
        self.forecasts += len(errors)
        self.forecast_abs_error += float(np.abs(errors).sum())
        self.forecast_sq_error += float((errors**2).sum())

    @property
    def confidence_mean(self) -> float:
        return self.confidence_sum / self.inferences if self.inferences else math.nan

    def latency_ms(self, percentile: float) -> float:
        """Return so many per cent of the latencies' way up; NaN without any. `np.percentile` says the same, slowly."""
        if not self._latencies_ms:
            return math.nan
        ordered = np.sort(self._latencies_ms)
        place = (len(ordered) - 1) * percentile / 100
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))

    def freeze(self) -> Arrays:
        sums = [self.inferences, self.anomalies, self.errors, self.score_mean, self.score_m2, self.confidence_sum]
        forecasts = [self.forecasts, self.forecast_abs_error, self.forecast_sq_error]
        return {
            "sums": np.array(sums, dtype=np.float64),
            "latencies": np.array(self._latencies_ms),
            "forecasts": np.array(forecasts, dtype=np.float64),
        }

    @classmethod
    def thaw(cls, state: Arrays) -> "HealthTally":
        tally = cls()
        counts, sums = state["sums"][:3].astype(int).tolist(), state["sums"][3:].tolist()
        tally.inferences, tally.anomalies, tally.errors = counts
        tally.score_mean, tally.score_m2, tally.confidence_sum = sums
        tally._latencies_ms = state["latencies"].tolist()
        met, tally.forecast_abs_error, tally.forecast_sq_error = state["forecasts"].tolist()
        tally.forecasts = int(met)
        return tally

    def _merge_scores(self, scores: NDArray[np.float64]) -> None:
        count, before = len(scores), self.inferences
        mean = float(scores.mean())
        delta = mean - self.score_mean
        self.inferences += count
        self.score_mean += delta * count / self.inferences
        self.score_m2 += float(((scores - mean) ** 2).sum()) + delta**2 * before * count / self.inferences

    def _note(self, latency_ms: float) -> None:
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self._latencies_ms.append(latency_ms)
        if len(self._latencies_ms) >= _LATENCIES:
            self._latencies_ms = self._latencies_ms[::2]
            self._every *= 2


class HealthWindows(EventWindows[HealthTally]):
    """Windows of health, beside those of features."""

    def __init__(self, length_ms: int, lateness_ms: int) -> None:
        super().__init__(length_ms, lateness_ms, HealthTally)

    def freeze(self) -> Arrays:
        newest = [] if self.newest_ms is None else [self.newest_ms]
        return {"newest": np.array(newest, dtype=np.int64)} | {
            f"w{start}.{name}": array for start, tally in self.open.items() for name, array in tally.freeze().items()
        }

    def thaw(self, state: Arrays) -> None:
        self.newest_ms = int(state["newest"][0]) if len(state["newest"]) else None
        for name in sorted({key.partition(".")[0] for key in state} - {"newest"}):
            arrays = {key.partition(".")[2]: state[key] for key in state if key.startswith(f"{name}.")}
            self.put(int(name[1:]), HealthTally.thaw(arrays))


def model_health(
    tally: HealthTally,
    *,
    start_ms: int,
    end_ms: int,
    device_id: str,
    model_id: str,
    boot_id: str,
    seq: int,
    usage: Usage,
    slot: str,
    trial: bool,
) -> ModelHealth:
    """Write a window down as the record that goes out."""
    seen = tally.inferences > 0
    return ModelHealth(
        device_id=device_id,
        model_id=model_id,
        boot_id=boot_id,
        seq=seq,
        window_start_ms=start_ms,
        window_end_ms=end_ms,
        inferences=tally.inferences,
        anomalies=tally.anomalies,
        errors=tally.errors,
        score_mean=tally.score_mean if seen else math.nan,
        score_m2=tally.score_m2,
        confidence_mean=min(max(tally.confidence_mean, 0.0), 1.0) if seen else math.nan,
        latency_p50_ms=tally.latency_ms(50),
        latency_p99_ms=tally.latency_ms(99),
        cpu_share=usage.cpu_share,
        memory_bytes=usage.memory_bytes,
        slot=slot,
        trial=trial,
        forecasts=tally.forecasts,
        forecast_abs_error=tally.forecast_abs_error,
        forecast_sq_error=tally.forecast_sq_error,
    )
