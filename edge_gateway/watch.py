"""Whether a model still does well: windows of its health, judged one by one; nothing here looks at a clock.

A bake passes when the model has served long enough, and decided often enough, without a bad window at the end. Windows
are bad by themselves (errors, latency, memory), or beside the model before, which decides about the same readings:
where both call more an anomaly, the world changed, not the model.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from edge_gateway.config import WatchConfig

__all__ = ["Look", "Rates", "Verdict", "Watched", "step", "verdict"]

# Below that many decisions, rates say nothing.
_ENOUGH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One window of a model's health."""

    end_ms: int
    inferences: int
    errors: int
    anomalies: int
    confidence: float = math.nan
    latency_p99_ms: float = math.nan
    memory_share: float = 0.0

    @property
    def error_rate(self) -> float:
        return self.errors / max(self.errors + self.inferences, 1)


@dataclass(frozen=True, slots=True)
class Rates:
    """Decisions added up."""

    inferences: int = 0
    anomalies: int = 0
    confidence_sum: float = 0.0

    def plus(self, look: Look) -> "Rates":
        confidence = look.confidence * look.inferences if look.inferences else 0.0
        return Rates(
            self.inferences + look.inferences, self.anomalies + look.anomalies, self.confidence_sum + confidence
        )

    @property
    def anomaly_rate(self) -> float:
        return self.anomalies / max(self.inferences, 1)

    @property
    def confidence(self) -> float:
        return self.confidence_sum / max(self.inferences, 1)


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of one model since it began to serve, or to be tried again."""

    windows: int = 0
    decisions: int = 0
    bad_in_a_row: int = 0
    good_in_a_row: int = 0
    reason: str = ""
    # On the same readings: what it decided, and what the model before did.
    own: Rates = Rates()
    before: Rates = Rates()


class Verdict(StrEnum):
    """What to do with the model."""

    GO_ON = "go_on"
    PASSED = "passed"
    BAD = "bad"
    WELL_AGAIN = "well_again"


def step(watched: Watched, look: Look, limits: WatchConfig, beside: Look | None = None) -> Watched:
    """Take one more window into account; `beside` is the model before. One without decisions counts for nothing."""
    if not look.inferences and not look.errors:
        return watched
    seen = replace(watched, windows=watched.windows + 1, decisions=watched.decisions + look.inferences)
    if beside is not None:
        seen = replace(seen, own=watched.own.plus(look), before=watched.before.plus(beside))
    found = _troubles(look, limits) + _comparison(seen, limits)
    if found:
        return replace(seen, bad_in_a_row=watched.bad_in_a_row + 1, good_in_a_row=0, reason="; ".join(found))
    return replace(seen, bad_in_a_row=0, good_in_a_row=watched.good_in_a_row + 1, reason="")


def verdict(watched: Watched, limits: WatchConfig, *, on_trial: bool, suspended: bool, served_s: float) -> Verdict:
    """Judge what was seen."""
    if suspended:
        # Slower back than out, so that a model on the edge does not come and go.
        return Verdict.WELL_AGAIN if watched.good_in_a_row >= limits.good_windows else Verdict.GO_ON
    if watched.bad_in_a_row >= limits.bad_windows:
        return Verdict.BAD
    enough = watched.windows >= limits.bake_windows and watched.decisions >= limits.bake_decisions
    if on_trial and enough and served_s >= limits.bake_s and not watched.bad_in_a_row:
        return Verdict.PASSED
    return Verdict.GO_ON


def _troubles(look: Look, limits: WatchConfig) -> list[str]:
    found = []
    if look.error_rate > limits.error_rate:
        found.append(f"error rate {look.error_rate:.3g} above {limits.error_rate:g}")
    if look.latency_p99_ms > limits.latency_ms:
        found.append(f"latency {look.latency_p99_ms:.4g} ms above {limits.latency_ms:g} ms")
    if look.memory_share > limits.memory:
        found.append(f"memory {look.memory_share:.3g} of the machine above {limits.memory:g}")
    return found


def _comparison(seen: Watched, limits: WatchConfig) -> list[str]:
    own, before = seen.own, seen.before
    if min(own.inferences, before.inferences) < _ENOUGH:
        return []
    found = []
    if own.anomaly_rate - before.anomaly_rate > limits.degradation:
        found.append(f"anomaly rate {own.anomaly_rate:.3g} where the model before has {before.anomaly_rate:.3g}")
    if before.confidence - own.confidence > limits.degradation:
        found.append(f"confidence {own.confidence:.3g} where the model before has {before.confidence:.3g}")
    return found
