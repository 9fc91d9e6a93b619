"""Dynamic int8 quantisation: taken where it makes a graph much smaller, and only if the graph still says the same.

Both are judged without a clock, so that the same data give the same bytes.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, TensorProto

from schemas.manifest import ModelKind
from trainer.data.dataset import Dataset
from trainer.export.joining import plain
from trainer.export.parity import OnnxModel
from trainer.models.base import Predictions
from trainer.quality import detection_quality, forecast_quality

__all__ = ["Quantised", "quantise"]

# A graph is worth it below this part of its size.
_SMALLER = 0.75
# So many of the held-out decisions may change, so much F1 may be lost, and so much may errors of forecasts grow.
_CHANGED, _LOST_F1, _GROWN_RMSE = 0.001, 0.005, 1.01


@dataclass(frozen=True, slots=True)
class Quantised:
    """What came of trying; `graph` is None where the one in full precision stays."""

    graph: bytes | None
    why: str


def quantise(graph: bytes, kind: ModelKind, holdout: Dataset) -> Quantised:
    """Try int8 weights in the algorithm's own part of a graph; filling, threshold and confidence stay as they are."""
    loaded = onnx.load_model_from_string(graph)
    layers = _layers(loaded.graph)
    if not layers:
        return Quantised(None, "int8: not tried; the graph multiplies by no weights")
    small = _int8(loaded, layers)
    size = len(small) / len(graph)
    if size > _SMALLER:
        return Quantised(None, f"int8: not taken; {size:.0%} of the size, wanted at most {_SMALLER:.0%}")
    before, after = OnnxModel(graph).predict(holdout.matrix), OnnxModel(small).predict(holdout.matrix)
    trouble = _trouble(kind, before, after, holdout)
    if trouble:
        return Quantised(None, f"int8: not taken; {trouble}")
    changed = float((before.decision != after.decision).mean()) if len(holdout) else 0.0
    return Quantised(small, f"int8: taken; {size:.0%} of the size, {changed:.2%} of the decisions changed")


def _layers(graph: GraphProto) -> list[str]:
    """Name the multiplications by constant float32 matrices within the core."""
    matrices = {one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT and len(one.dims) == 2}
    return [
        node.name
        for node in graph.node
        if node.op_type == "MatMul" and node.name.startswith("core_") and node.input[1] in matrices
    ]


def _int8(graph: onnx.ModelProto, layers: list[str]) -> bytes:
    # Half a second to load, and most graphs have no such layers.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True)
    # How the library knows that shapes were inferred; it warns otherwise.
    onnx.helper.set_model_props(inferred, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            inferred,
            path,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=layers,
            weight_type=QuantType.QInt8,
            # Processors without VNNI saturate on the eighth bit.
            reduce_range=True,
            per_channel=True,
        )
        made = plain(onnx.load(path))
    del made.metadata_props[:]
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString(deterministic=True))


def _trouble(kind: ModelKind, before: Predictions, after: Predictions, holdout: Dataset) -> str:
    """Say in what the small graph is worse; nothing where it is not."""
    if kind is ModelKind.FORECAST:
        errors = [forecast_quality(said, holdout).get("rmse", 0.0) for said in (before, after)]
        grown = errors[1] > errors[0] * _GROWN_RMSE
        return f"the error of forecasts grew from {errors[0]:.4g} to {errors[1]:.4g}" if grown else ""
    changed = float(np.mean(before.decision != after.decision))
    if changed > _CHANGED:
        return f"{changed:.2%} of the decisions changed, wanted at most {_CHANGED:.2%}"
    found = [detection_quality(said, holdout).get("f1", 0.0) for said in (before, after)]
    return f"F1 fell from {found[0]:.3f} to {found[1]:.3f}" if found[1] < found[0] - _LOST_F1 else ""
