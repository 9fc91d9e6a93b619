"""Where normal ends."""

import numpy as np

from trainer.data.dataset import Dataset, Floats
from trainer.models.base import Settings

__all__ = ["MIN_LABELLED", "choose_threshold"]

# Fewer labelled normal vectors than this say too little about the far end of normal.
MIN_LABELLED = 200


def choose_threshold(training: Dataset, raw: Floats, settings: Settings) -> float:
    """Return the score above which a vector is called an anomaly.

    With labels: so that the allowed share of healthy vectors is called so. Without: so that the share of all
    vectors is that is taken to be anomalous.
    """
    healthy = training.labelled & training.healthy & training.representative
    if healthy.sum() >= MIN_LABELLED:
        return _between(np.sort(raw[healthy]), 1 - settings.false_alarms)
    return _between(np.sort(raw[training.representative]), 1 - settings.contamination)


def _between(ordered: Floats, share: float) -> float:
    """Return a threshold in the widest gap near the quantile: no score lies on it and flips by rounding."""
    at = int(share * (len(ordered) - 1))
    reach = max(1, len(ordered) // 2000)
    low, high = max(at - reach, 0), min(at + reach, len(ordered) - 1)
    near = ordered[low : high + 1]
    if len(near) < 2:
        return float(ordered[at])
    widest = int(np.argmax(np.diff(near)))
    return float((near[widest] + near[widest + 1]) / 2)
