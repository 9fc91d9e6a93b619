"""A forecaster foretells whole vectors ahead, and trainer and gateway mean the same moment by it."""

from random import Random

import numpy as np
import pytest

from edge_gateway.config import SamplingConfig, WindowConfig
from edge_gateway.inference import Model
from edge_gateway.scorer import Loaded, Scorer
from sensing import PIPELINES, pipeline_named
from trainer.data import simulated
from trainer.errors import DataRefusedError
from trainer.models import Settings
from trainer.release import Order, train_release

KINDS = [("vibration/1", "rms", 400_000), ("machine/1", "temperature", 1_500), ("weather/1", "temperature", 1_500)]


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=lambda pipeline: pipeline.id)
def test_vectors_follow_each_other_as_the_pipeline_declares(pipeline):
    made = simulated(pipeline.name, devices=1, samples=max(4 * pipeline.span, 100), seed=1, trouble=0)

    assert len(made) > 3
    assert set(np.diff(made.at_ms).tolist()) == {pipeline.vector_ms}


@pytest.mark.parametrize(("pipeline", "target", "samples"), KINDS)
@pytest.mark.parametrize("ahead", [1, 3])
def test_a_gateway_finds_the_errors_that_the_trainer_found(pipeline, target, samples, ahead, keys):
    dataset = simulated(pipeline.partition("/")[0], devices=1, samples=samples, seed=5, trouble=0)
    order = Order(model="next", version="1", algorithm="forecaster", settings=Settings(target=target, ahead=ahead))
    trained = train_release(dataset, order, [keys.signer])
    bundle, holdout = trained.bundle, trained.split.holdout
    model = Model(bundle.model, features=len(bundle.manifest.features))
    loaded = Loaded("A", bundle.manifest, bundle.grid, pipeline_named(pipeline), model)

    scored = Scorer(loaded, WindowConfig(), SamplingConfig(), Random(1))
    closed = scored.take("s", holdout.at_ms, holdout.matrix).closed + scored.flush().closed

    met = sum(window.health.forecasts for window in closed)
    assert bundle.manifest.horizon_ms == ahead * pipeline_named(pipeline).vector_ms
    assert met == int(holdout.labelled.sum()) == len(holdout) - ahead
    found = sum(window.health.forecast_abs_error for window in closed) / met
    assert found == pytest.approx(trained.quality["mae"], rel=1e-3)


def test_too_few_pairs_are_refused_in_words(keys):
    dataset = simulated("weather", devices=1, samples=1_500, seed=5, trouble=0)
    order = Order(model="next", version="1", algorithm="forecaster", settings=Settings(ahead=1_050))

    with pytest.raises(DataRefusedError, match=r"vectors have one 1050 ahead; wanted 100"):
        train_release(dataset, order, [keys.signer])
