"""The whole graph of a bundle: raw features in; score, decision and confidence out.

What stands around an algorithm's core is written in ONNX's own text form, so that it can be read here.
"""

import numpy as np
import onnx
from onnx import compose

from schemas.manifest import ModelKind
from trainer.export.joining import chain, plain, written
from trainer.models.base import Model

__all__ = ["export"]

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
        "fill": model.fill.astype(np.float32),
        "telling": model.telling.astype(np.float32),
        "zero": 0.0,
        "one": 1.0,
        "ceiling": model.ceiling,
        "threshold": model.threshold,
        "scale": model.scale,
        "explained": [model.explained],
        "endless": np.inf,
    }
    whole = chain(
        written(_PREPARE.format(features=features), constants),
        (compose.add_prefix(plain(model.core.graph(features)), "core_"), {"prepared": "core_prepared"}),
        (written(_FINISH[model.kind].format(features=features), constants), {"core_raw": "raw", "gone": "gone"}),
    )
    onnx.checker.check_model(whole, full_check=True)
    return bytes(whole.SerializeToString(deterministic=True))
