"""Int8 weights are taken where they make a graph much smaller, and the graph says what it said."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from schemas.manifest import ModelKind
from trainer.export.graph import export
from trainer.export.parity import OnnxModel
from trainer.export.quantising import quantise
from trainer.golden import golden_disagreement
from trainer.models import Settings
from trainer.release import Order, train_release

WIDE = Settings(hidden=256, latent=64, epochs=8)


@pytest.fixture(scope="module")
def wide(machines, keys):
    return train_release(machines, Order(model="m", version="1", algorithm="autoencoder", settings=WIDE), [keys.signer])


def test_a_wide_network_shrinks_and_decides_alike(wide):
    matrix = wide.split.holdout.matrix

    said, wanted = OnnxModel(wide.bundle.model).predict(matrix), wide.model.predict(matrix)

    assert "int8: taken" in wide.quantised
    assert len(wide.bundle.model) < 0.4 * 4 * sum(part.size for part in wide.model.core.network.coefs_)
    assert np.mean(said.decision != wanted.decision) <= 0.001
    assert golden_disagreement(wide.bundle.manifest.golden, OnnxModel(wide.bundle.model)) == ""


def test_the_small_graph_has_the_versions_that_every_runtime_knows(wide):
    graph = onnx.load_model_from_string(wide.bundle.model)

    assert {entry.domain: entry.version for entry in graph.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert {node.op_type for node in graph.graph.node} >= {"DynamicQuantizeLinear", "MatMulInteger"}


def test_same_data_same_small_bytes(wide, machines, keys):
    order = Order(model="m", version="1", algorithm="autoencoder", settings=WIDE)

    assert train_release(machines, order, [keys.signer]).content == wide.content


def test_a_small_network_stays_as_it_is(machines, keys):
    trained = train_release(machines, Order(model="m", version="1", algorithm="autoencoder"), [keys.signer])

    assert "int8: not taken" in trained.quantised
    assert "% of the size" in trained.quantised


def test_a_forest_multiplies_by_nothing_that_shrinks(trained):
    assert trained.quantised == "int8: not tried; the graph multiplies by no weights"


def test_a_graph_that_decides_otherwise_is_not_taken(wide):
    # A threshold amid the healthy scores turns every rounding into another decision.
    score = wide.model.predict(wide.split.holdout.matrix).score
    torn = replace(wide.model, threshold=float(np.median(score)))

    tried = quantise(export(torn), ModelKind.ANOMALY, wide.split.holdout)

    assert tried.graph is None
    assert "of the decisions changed, wanted at most 0.10%" in tried.why
