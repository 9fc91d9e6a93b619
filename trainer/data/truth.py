"""What a forecast should have said."""

from dataclasses import replace

import numpy as np

from sensing import pipeline_named
from trainer.data.dataset import Dataset
from trainer.errors import DatasetError

__all__ = ["with_truth"]


def with_truth(dataset: Dataset, target: str, ahead: int) -> Dataset:
    """Return the data labelled with the target's value `ahead` vectors later; NaN across gaps."""
    pipeline = pipeline_named(dataset.pipeline)
    if target not in pipeline.feature_names:
        raise DatasetError(f"{pipeline.id} has no feature {target!r}; known: {', '.join(pipeline.feature_names)}")
    truth = np.full(len(dataset), np.nan)
    if len(dataset) > ahead:
        column = dataset.matrix[:, pipeline.feature_names.index(target)]
        later, now = slice(ahead, None), slice(None, -ahead)
        fits = (dataset.device[later] == dataset.device[now]) & (
            dataset.at_ms[later] - dataset.at_ms[now] == ahead * pipeline.vector_ms
        )
        truth[now] = np.where(fits & np.isfinite(column[later]), column[later], np.nan)
    return replace(dataset, label=truth)
