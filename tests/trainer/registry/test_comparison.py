"""Chance is told from difference."""

from dataclasses import replace

import numpy as np
import pytest

from schemas.manifest import ModelKind
from trainer.data import Dataset, Part
from trainer.errors import RegistryError
from trainer.models import Predictions
from trainer.registry import compare
from trainer.registry.comparison import compare_predictions


def predictions(decision: np.ndarray) -> Predictions:
    return Predictions(decision.astype(np.float32), decision, np.ones(len(decision), dtype=np.float32))


@pytest.fixture
def holdout() -> Dataset:
    rng = np.random.default_rng(1)
    rows = 5_000
    at_ms = np.arange(rows) * 60_000
    return Dataset.of(
        "machine/1", [Part("a", at_ms, rng.normal(size=(rows, 16)), (rng.random(rows) < 0.1).astype(float))]
    )


def judged(holdout, champion, challenger, **options):
    said = predictions(champion), predictions(challenger)
    return compare_predictions(ModelKind.ANOMALY, *said, holdout, margin=0.01, seed=0, **options)


def seen(holdout: Dataset, share: float, seed: int) -> np.ndarray:
    """Decisions that find this share of the anomalies."""
    return holdout.anomalous & (np.random.default_rng(seed).random(len(holdout)) < share)


def test_a_better_challenger_is_not_worse(holdout):
    comparison = judged(holdout, seen(holdout, 0.5, 1), seen(holdout, 0.9, 2))

    assert comparison.not_worse
    assert comparison.low > 0.2


def test_a_worse_challenger_is_worse(holdout):
    comparison = judged(holdout, seen(holdout, 0.9, 1), seen(holdout, 0.5, 2))

    assert not comparison.not_worse
    assert comparison.high < -0.2


def test_the_same_model_is_not_worse_than_itself(holdout):
    same = seen(holdout, 0.7, 1)

    comparison = judged(holdout, same, same)

    assert comparison.not_worse
    assert (comparison.low, comparison.high) == (0.0, 0.0)


def test_little_data_show_little(holdout):
    few = holdout.rows(np.arange(len(holdout)) < 400)

    wide = judged(few, seen(few, 0.7, 1), seen(few, 0.7, 2))
    narrow = judged(holdout, seen(holdout, 0.7, 1), seen(holdout, 0.7, 2))

    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_forecasts_are_compared_by_their_error(holdout):
    truth = np.random.default_rng(2).normal(size=len(holdout))
    data = replace(holdout, label=truth)
    nothing = np.zeros(len(truth), dtype=bool)

    def forecast(noise: float) -> Predictions:
        said = truth + np.random.default_rng(3).normal(size=len(truth)) * noise
        return Predictions(said.astype(np.float32), nothing, nothing.astype(np.float32))

    assert compare_predictions(ModelKind.FORECAST, forecast(1.0), forecast(0.5), data, margin=0.01, seed=0).not_worse
    assert not compare_predictions(
        ModelKind.FORECAST, forecast(0.5), forecast(1.0), data, margin=0.01, seed=0
    ).not_worse


def test_without_labelled_anomalies_nothing_is_compared(holdout):
    clean = replace(holdout, label=np.zeros(len(holdout)))

    with pytest.raises(RegistryError, match="no labelled anomaly"):
        judged(clean, clean.anomalous, clean.anomalous)


def test_bundles_are_compared_as_gateways_run_them(trained):
    comparison = compare(trained.bundle, trained.bundle, trained.split.holdout)

    assert comparison.difference == 0
    assert comparison.champion == pytest.approx(trained.quality["f1"])
