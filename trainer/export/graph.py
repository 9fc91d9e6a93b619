"""The whole graph of a bundle: raw features in; score, decision and confidence out.

What stands around an algorithm's core is written in ONNX's own text form, so that it can be read here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, compose, numpy_helper, parser

from schemas.manifest import ModelKind
from trainer.export.opset import IR_VERSION, OPSET
from trainer.models.base import Model

__all__ = ["export"]

_HEAD = f'<ir_version: {IR_VERSION}, opset_import: ["": {OPSET[""]}, "ai.onnx.ml": {OPSET["ai.onnx.ml"]}]>'

_PREPARE = """
prepare (float[N, {features}] features) => (float[N, {features}] prepared, bool[N, {features}] gone)
{{
    nan = IsNaN (features)
    infinite = IsInf (features)
    gone = Or (nan, infinite)
    prepared = Where (gone, fill, features)
}}
"""

_STRANGENESS = """
    absent = Cast <to = 1> (gone)
    weighed = MatMul (absent, telling)
    lacking = Greater (weighed, zero)
    score = Where (lacking, ceiling, raw)
    decision = Greater (score, threshold)
"""

_ANOMALY = (
    """
finish (float[N] raw, bool[N, {features}] gone) => (float[N] score, bool[N] decision, float[N] confidence)
{{"""
    + _STRANGENESS
    + """
    beyond = Sub (score, threshold)
    distance = Abs (beyond)
    units = Div (distance, scale)
    confidence = Sigmoid (units)
}}
"""
)

_CLASSIFIER = (
    """
finish (float[N] raw, bool[N, {features}] gone) => (float[N] score, bool[N] decision, float[N] confidence)
{{"""
    + _STRANGENESS
    + """
    rest = Sub (one, score)
    confidence = Where (decision, score, rest)
}}
"""
)

_FORECAST = """
finish (float[N] raw, bool[N, {features}] gone) => (float[N] score, bool[N] decision, float[N] confidence)
{{
    score = Identity (raw)
    decision = Greater (score, endless)
    many = Shape (raw)
    confidence = Expand (explained, many)
}}
"""

_FINISH = {ModelKind.ANOMALY: _ANOMALY, ModelKind.CLASSIFIER: _CLASSIFIER, ModelKind.FORECAST: _FORECAST}


def export(model: Model) -> bytes:
    """Return the model as ONNX; equal models give equal bytes."""
    features = len(model.fill)
    constants = {
        "fill": model.fill,
        "telling": model.telling.astype(np.float32),
        "zero": 0.0,
        "one": 1.0,
        "ceiling": model.ceiling,
        "threshold": model.threshold,
        "scale": model.scale,
        "explained": [model.explained],
        "endless": np.inf,
    }
    prepare = _part(_PREPARE, features, constants)
    core = _plain(model.core.graph(features))
    finish = _part(_FINISH[model.kind], features, constants)
    joined = compose.merge_models(
        compose.merge_models(prepare, core, io_map=[("prepared", "prepared")]),
        finish,
        io_map=[("raw", "raw"), ("gone", "gone")],
    )
    whole = _plain(joined)
    onnx.checker.check_model(whole, full_check=True)
    return bytes(whole.SerializeToString(deterministic=True))


def _part(text: str, features: int, constants: Mapping[str, Any]) -> ModelProto:
    part = parser.parse_model(_HEAD + text.format(features=features))
    used = {name for node in part.graph.node for name in node.input}
    for name in sorted(used & set(constants)):
        part.graph.initializer.append(numpy_helper.from_array(np.asarray(constants[name], dtype=np.float32), name))
    return part


def _plain(graph: ModelProto) -> ModelProto:
    """Take off what says when and by which tool a graph was made, and write it in our versions."""
    graph.ir_version = IR_VERSION
    graph.producer_name, graph.producer_version, graph.domain, graph.doc_string = "driftline", "", "", ""
    graph.model_version = 0
    del graph.opset_import[:]
    graph.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in OPSET.items())
    graph.graph.name = "driftline"
    return graph
