"""What a model does about values that are not there."""

import numpy as np

from trainer.data.dataset import Bools, Dataset
from trainer.models.base import Floats32

__all__ = ["fill_values", "telling_absences"]


def fill_values(training: Dataset) -> Floats32:
    """Return the median of each feature's usable values; 0 for a feature without any."""
    values = np.where(np.isfinite(training.matrix), training.matrix, np.nan)
    known = np.isfinite(values).any(axis=0)
    filled = np.zeros(values.shape[1], dtype=np.float32)
    if known.any():
        filled[known] = np.nanmedian(values[:, known], axis=0)
    return filled


def telling_absences(training: Dataset, *, false_alarms: float) -> Bools:
    """Tell the features whose absence alone is an anomaly: healthy data lack them far more rarely than alarms lie."""
    healthy = training.reference.matrix
    if not len(healthy):
        return np.zeros(training.matrix.shape[1], dtype=bool)
    missing: Bools = (~np.isfinite(healthy)).mean(axis=0) < false_alarms / 10
    return missing
