"""Every algorithm's graph decides as the trained model does, holes and infinities included."""

from dataclasses import replace

import numpy as np
import pytest

from trainer.data import split_by_time
from trainer.errors import ParityError
from trainer.export.graph import export
from trainer.export.parity import OnnxModel, check_parity
from trainer.models import ALGORITHMS, Settings


@pytest.fixture(scope="module", params=sorted(ALGORITHMS))
def fitted(request, dataset_for):
    algorithm = ALGORITHMS[request.param]
    split = split_by_time(dataset_for(algorithm.kind))
    model = algorithm.train(split.training, Settings(epochs=10))
    return model, split


def test_the_graph_says_what_the_model_says(fitted):
    model, split = fitted

    parity = check_parity(model, OnnxModel(export(model)), split.holdout.matrix)

    assert parity.vectors == 3 * len(split.holdout)
    assert parity.changed_decisions == 0
    assert max(parity.score, parity.confidence) <= 1e-4


def test_equal_models_give_equal_bytes(fitted):
    model, _ = fitted

    assert export(model) == export(model)


def test_outputs_are_finite_and_in_their_range(fitted):
    model, split = fitted
    matrix = split.holdout.matrix[:50].copy()
    matrix[:10] = np.nan
    matrix[10:20] = np.inf
    matrix[20:30] = -np.inf
    matrix[30:40] = 1e30

    predictions = OnnxModel(export(model)).predict(matrix)

    assert np.isfinite(predictions.score).all()
    assert ((predictions.confidence >= 0) & (predictions.confidence <= 1)).all()


def test_one_vector_is_judged_as_in_a_batch(fitted):
    model, split = fitted
    graph = OnnxModel(export(model))

    batch = graph.predict(split.holdout.matrix[:64])
    singles = [graph.predict(split.holdout.matrix[row : row + 1]) for row in range(64)]

    np.testing.assert_allclose([single.score[0] for single in singles], batch.score, rtol=1e-6, atol=1e-6)
    assert [bool(single.decision[0]) for single in singles] == batch.decision.tolist()


def test_a_graph_of_another_model_is_refused(fitted):
    model, split = fitted
    other = replace(model, threshold=model.threshold * 1.2, explained=0.123, fill=model.fill + 1)

    with pytest.raises(ParityError, match="differs from the model by"):
        check_parity(model, OnnxModel(export(other)), split.holdout.matrix)
