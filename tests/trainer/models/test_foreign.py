"""A model made elsewhere becomes a bundle like any other, or is refused in words."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.ensemble import IsolationForest

from trainer.errors import TrainerError
from trainer.export.parity import OnnxModel
from trainer.models.foreign import ForeignAlgorithm
from trainer.release import Order, train_release


def distance_graph(features: int = 16, opset: int = 13) -> bytes:
    """The mean of the absolute values of each row, written by hand in an older operator set."""
    graph = helper.make_graph(
        [
            helper.make_node("Abs", ["x"], ["size"]),
            helper.make_node("ReduceMean", ["size"], ["far"], axes=[1], keepdims=1),
        ],
        "mine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("far", TensorProto.FLOAT, [None, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def wrapped(machines, keys, graph: bytes, **options):
    order = Order(model="mine", version="1", algorithm="foreign")
    return train_release(machines, order, [keys.signer], algorithm=ForeignAlgorithm(graph, **options))


def test_a_graph_made_elsewhere_is_wrapped(machines, keys):
    trained = wrapped(machines, keys, distance_graph())

    found = OnnxModel(trained.bundle.model).predict(trained.split.holdout.matrix[:100])
    np.testing.assert_allclose(found.score, np.abs(trained.split.holdout.matrix[:100]).mean(axis=1), rtol=1e-5)
    assert trained.bundle.manifest.algorithm == "foreign"


def test_a_given_threshold_counts(machines, keys):
    trained = wrapped(machines, keys, distance_graph(), threshold=1e9)

    assert trained.bundle.manifest.threshold == 1e9


def test_what_skl2onnx_makes_is_taken_by_its_score(machines, keys):
    forest = IsolationForest(n_estimators=10, random_state=0).fit(np.nan_to_num(machines.matrix))
    graph = to_onnx(forest, machines.matrix[:1], target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString()

    assert wrapped(machines, keys, graph, threshold=0.0).parity.changed_decisions == 0


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        pytest.param(b"not a model", "not an ONNX model that runs here", id="no model"),
        pytest.param(distance_graph()[:100], "not an ONNX model that runs here", id="cut off"),
        pytest.param(distance_graph(features=9), r"takes x tensor\(float\) .*9\]; wanted one .* \[N, 16\]", id="width"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(machines, keys, graph, message):
    with pytest.raises(TrainerError, match=message):
        wrapped(machines, keys, graph)
