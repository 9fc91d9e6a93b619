"""Graphs that ask for more than their bytes are not run, and say why."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_gateway.errors import InferenceError
from edge_gateway.inference import Model


def graph(*, weights_in=None, operator="Identity", domain=""):
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 1], np.ones((4, 1), "f4").tobytes(), raw=True)
    if weights_in is not None:
        weights = onnx.TensorProto(
            name="w", data_type=TensorProto.FLOAT, dims=[4, 1], data_location=TensorProto.EXTERNAL
        )
        for key, value in (("location", weights_in), ("offset", "0"), ("length", "16")):
            weights.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["score"]),
        helper.make_node("Greater", ["score", "score"], ["decision"]),
        helper.make_node(operator, ["score"], ["confidence"], domain=domain),
    ]
    outputs = [("score", TensorProto.FLOAT), ("decision", TensorProto.BOOL), ("confidence", TensorProto.FLOAT)]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [weights],
    )
    domains = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(made, opset_imports=domains, ir_version=8).SerializeToString()


def test_a_graph_of_its_own_bytes_is_run():
    decided = Model(graph(), features=4).decide(np.ones((2, 4), np.float32))

    assert decided.score.tolist() == [4.0, 4.0]


@pytest.mark.parametrize("place", ["weights.bin", "./weights.bin", "../weights.bin", "/etc/passwd"])
def test_weights_that_no_signature_covers_are_not_read(tmp_path, monkeypatch, place):
    (tmp_path / "here").mkdir()
    for folder in (tmp_path, tmp_path / "here"):
        (folder / "weights.bin").write_bytes(np.ones(4, "f4").tobytes())
    monkeypatch.chdir(tmp_path / "here")

    with pytest.raises(InferenceError, match=r"the model cannot be loaded: .*[Ee]xternal data"):
        Model(graph(weights_in=place), features=4)


def test_operators_that_are_none_of_onnx_are_refused_by_name():
    with pytest.raises(InferenceError, match=r"com\.elsewhere:Surprise"):
        Model(graph(operator="Surprise", domain="com.elsewhere"), features=4)
