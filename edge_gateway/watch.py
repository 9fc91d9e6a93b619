"""Whether a model still does well: windows of its health, judged one by one; nothing here looks at a clock.

A bake passes when the model has served long enough, and decided often enough, without a bad window at the end. Windows
are bad by themselves (errors, latency, memory), or by comparison: with what the model promised, on data that were held
out of its training, and with the model before, which decides about the same readings. It takes both to be found bad.
Worse than promised, but no worse than the model before: these readings are like that. Worse than the model before, but
as promised: the world has changed since that one was trained, and its opinion is no yardstick.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from edge_gateway.config import WatchConfig
from schemas.manifest import Manifest

__all__ = ["Look", "Promise", "Rates", "Verdict", "Watched", "promise_of", "step", "verdict"]

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
class Promise:
    """What a model did on recent data that it was not trained on; None where its manifest does not say."""

    anomaly_rate: float | None = None
    confidence: float | None = None


def promise_of(manifest: Manifest) -> Promise:
    """Return what a manifest's metrics promise; a figure that is none promises nothing."""
    return Promise(_share(manifest, "anomaly_share"), _share(manifest, "confidence"))


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


_NO_PROMISE = Promise()


class Verdict(StrEnum):
    """What to do with the model."""

    GO_ON = "go_on"
    PASSED = "passed"
    BAD = "bad"
    WELL_AGAIN = "well_again"


def step(
    watched: Watched, look: Look, limits: WatchConfig, beside: Look | None = None, promise: Promise = _NO_PROMISE
) -> Watched:
    """Take one more window into account; `beside` is the model before. One without decisions counts for nothing."""
    if not look.inferences and not look.errors:
        return watched
    seen = replace(watched, windows=watched.windows + 1, decisions=watched.decisions + look.inferences)
    if beside is not None:
        seen = replace(seen, own=watched.own.plus(look), before=watched.before.plus(beside))
    found = _troubles(look, limits) + _comparison(seen, limits, promise)
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


def _comparison(seen: Watched, limits: WatchConfig, promise: Promise) -> list[str]:
    own, before = seen.own, seen.before
    if min(own.inferences, before.inferences) < _ENOUGH:
        return []
    found = []
    expected = max(before.anomaly_rate, -math.inf if promise.anomaly_rate is None else promise.anomaly_rate)
    if own.anomaly_rate - expected > limits.degradation:
        promised = "" if promise.anomaly_rate is None else f" and {promise.anomaly_rate:.3g} was promised"
        found.append(
            f"anomaly rate {own.anomaly_rate:.3g} where the model before has {before.anomaly_rate:.3g}{promised}"
        )
    expected = min(before.confidence, math.inf if promise.confidence is None else promise.confidence)
    if expected - own.confidence > limits.degradation:
        promised = "" if promise.confidence is None else f" and {promise.confidence:.3g} was promised"
        found.append(f"confidence {own.confidence:.3g} where the model before has {before.confidence:.3g}{promised}")
    return found


def _share(manifest: Manifest, name: str) -> float | None:
    value = manifest.metrics.get(name)
    return value if value is not None and 0 <= value <= 1 else None
