"""Flat arrays, opened as views."""

import numpy as np
import pytest
from hypothesis import given
from record_strategies import records

from schemas.columns import GridShape, columns, pane_columns, vector
from schemas.drift_scores import CohortPane
from schemas.errors import BadRecordError
from schemas.feature_stats import FeatureStats
from schemas.sample import Sample


def shape_within(record: FeatureStats | CohortPane) -> GridShape:
    features = len(record.missing) // 4
    return GridShape(features, len(record.counts) // 4 // features)


@given(records(FeatureStats))
def test_a_window_is_opened_without_copying(stats):
    shape = shape_within(stats)

    opened = columns(stats, shape)

    assert opened.counts.shape == shape
    assert opened.counts.dtype == np.uint32
    for name in ("counts", "missing", "out_of_range", "mean", "m2", "min", "max"):
        array, raw = getattr(opened, name), getattr(stats, name)
        assert array.tobytes() == raw
        # The very memory of the record: that is what makes it quick, and why it cannot be written to.
        assert array.__array_interface__["data"] == (np.frombuffer(raw, np.uint8).__array_interface__["data"][0], True)


@given(records(CohortPane))
def test_a_pane_is_opened_in_double_precision(pane):
    opened = pane_columns(pane, shape_within(pane))

    assert opened.mean.dtype == opened.m2.dtype == np.float64
    assert opened.m2.tobytes() == pane.m2


@given(records(FeatureStats))
def test_another_grid_is_told_by_the_array_that_does_not_fit(stats):
    features, bins = shape_within(stats)

    with pytest.raises(BadRecordError, match=r"^counts: found \d+ bytes, wanted \d+ bytes \(\d+ x \d+ of uint32\)$"):
        columns(stats, GridShape(features, bins + 1))


@given(records(Sample))
def test_a_vector_has_as_many_values_as_the_pipeline_features(sample):
    features = len(sample.features) // 4

    assert vector(sample, features=features).tobytes() == sample.features
    with pytest.raises(BadRecordError, match=r"^features: found \d+ bytes, wanted \d+ bytes"):
        vector(sample, features=features + 1)
