"""Rules for safe mode: what a device goes by when no model works."""

import numpy as np

from schemas.grid import FeatureKind
from schemas.manifest import Rule
from sensing import pipeline_named
from trainer.data.dataset import Dataset, Floats

__all__ = ["make_rules"]

# A rule speaks up beyond the range of the reference, widened by this share of it: rules are coarse, and must be quiet.
_MARGIN = 0.25
_TAIL = 0.001


def make_rules(reference: Dataset) -> tuple[Rule, ...]:
    """Return limits and a largest rate for each numeric feature, from what the reference itself does."""
    rates = _rates(reference)
    rules = []
    for column, feature in enumerate(pipeline_named(reference.pipeline).features):
        values = reference.matrix[:, column].astype(np.float64)
        values = values[np.isfinite(values)]
        if feature.kind is not FeatureKind.NUMERIC or not len(values):
            continue
        low, high = np.quantile(values, (_TAIL, 1 - _TAIL))
        room = _MARGIN * (high - low)
        fast = rates[:, column][np.isfinite(rates[:, column])]
        rules.append(
            Rule(
                feature=feature.name,
                low=_within(low - room, feature.low, feature.high),
                high=_within(high + room, feature.low, feature.high),
                max_rate_per_s=float(np.max(fast) * (1 + _MARGIN)) if len(fast) and np.max(fast) > 0 else None,
            )
        )
    return tuple(rules)


def _rates(reference: Dataset) -> Floats:
    """Return how fast each feature changed between vectors of one device that follow each other, per second."""
    if len(reference) < 2:
        return np.empty((0, reference.matrix.shape[1]))
    seconds = np.diff(reference.at_ms) / 1000.0
    usual = np.median(seconds[seconds > 0]) if (seconds > 0).any() else 1.0
    neighbours = (np.diff(reference.device) == 0) & (seconds > 0) & (seconds <= 1.5 * usual)
    steps = np.abs(np.diff(reference.matrix.astype(np.float64), axis=0))[neighbours]
    rates: Floats = steps / seconds[neighbours, None]
    return rates


def _within(value: float, low: float | None, high: float | None) -> float:
    if low is not None:
        value = max(value, low)
    if high is not None:
        value = min(value, high)
    return float(value)
