"""Safe mode: with no model that works, the limits and rates that came with a bundle decide."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_gateway.inference import Decisions
from schemas.manifest import Rule
from sensing.tally import Ints

__all__ = ["Rules"]


class Rules:
    """Plain limits on features; a value beyond one, or a change faster than one, is an anomaly.

    The score is the share of the rules that are broken. Rules do not doubt, so the confidence is 1.
    """

    def __init__(self, rules: Sequence[Rule], features: Sequence[str]) -> None:
        known = [rule for rule in rules if rule.feature in features]
        self._columns = [features.index(rule.feature) for rule in known]
        self._low = np.array([-np.inf if rule.low is None else rule.low for rule in known])
        self._high = np.array([np.inf if rule.high is None else rule.high for rule in known])
        rates = [rule.max_rate_per_s for rule in known]
        self._rate = np.array([np.inf if rate is None else rate for rate in rates])
        self._last: dict[str, tuple[int, NDArray[np.float64]]] = {}

    def decide(self, stream: str, at_ms: Ints, matrix: NDArray[np.float32]) -> Decisions:
        """Decide about the vectors of one stream, which come in order; a missing value breaks no rule."""
        rows = len(matrix)
        if not self._columns or not rows:
            return Decisions(np.zeros(rows, np.float32), np.zeros(rows, bool), np.ones(rows, np.float32))
        values = matrix[:, self._columns].astype(np.float64)
        broken = (values < self._low) | (values > self._high) | self._too_fast(stream, at_ms, values)
        self._last[stream] = (int(at_ms[-1]), values[-1])
        share = broken.mean(axis=1).astype(np.float32)
        return Decisions(share, np.asarray(broken.any(axis=1)), np.ones(rows, np.float32))

    def _too_fast(self, stream: str, at_ms: Ints, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        before_ms, before = self._last.get(stream, (int(at_ms[0]), np.full(len(self._columns), np.nan)))
        seconds = np.diff(at_ms, prepend=before_ms)[:, None] / 1000
        change = np.abs(np.diff(values, axis=0, prepend=before[None, :]))
        with np.errstate(invalid="ignore", divide="ignore"):
            faster: NDArray[np.bool_] = (seconds > 0) & (change / seconds > self._rate)
        return faster
