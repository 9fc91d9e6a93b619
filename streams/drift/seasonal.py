"""The reference of one hour of the week, from the profile that a baseline may carry."""

from dataclasses import replace

import numpy as np

from schemas.grid import Baseline, FeatureBaseline
from streams.drift.scores import Reference

__all__ = ["seasonal"]


def seasonal(reference: Reference, baseline: Baseline, hour: int) -> Reference | None:
    """Return the reference as it is at one hour of the week; None where no feature knows that hour.

    A feature that does not know it keeps what it has; so do all their dispersions, and the rate out of range.
    """
    bins = reference.counts.shape[0]
    known = np.array([_counted(feature, hour, bins).sum() > 1 for feature in baseline.features])
    if not known.any():
        return None
    counts, missing, mean, variance = (
        reference.counts.copy(),
        *(one.copy() for one in (reference.missing, reference.mean, reference.variance)),
    )
    for place in np.flatnonzero(known).tolist():
        feature = baseline.features[place]
        counts[:, 0, place] = _counted(feature, hour, bins)
        missing[0, place] = feature.hour_missing[hour] if feature.hour_missing else 0
        # Codes of categories have no mean.
        if not np.isnan(mean[0, place]):
            mean[0, place], variance[0, place] = feature.hour_mean[hour], feature.hour_variance[hour]
    usable = counts.sum(axis=0)
    seen = usable + missing
    return replace(
        reference,
        counts=counts,
        missing=missing,
        mean=mean,
        m2=(variance * np.maximum(usable - 1, 0)).astype(np.float32),
        out_of_range=(reference.out_of_range * seen / np.maximum(reference.seen, 1)).astype(np.float32),
    )


def _counted(feature: FeatureBaseline, hour: int, bins: int) -> np.ndarray:
    return np.array(feature.hour_counts[hour * bins : (hour + 1) * bins], np.float32)
