"""Estimators of scikit-learn as graphs; apart, for what converts takes seconds to load."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, compose
from skl2onnx import to_onnx

from trainer.export.joining import plain
from trainer.export.opset import OPSET

__all__ = ["converted"]


def converted(estimator: Any, features: int, *, prefix: str, options: Mapping[str, Any] | None = None) -> ModelProto:
    """Return a scikit-learn estimator as skl2onnx converts it, all its names behind `prefix`."""
    example = np.zeros((1, features), dtype=np.float32)
    # Keyed by the object's address, as skl2onnx wants it; no address is in the graph.
    chosen = {id(estimator): dict(options)} if options else None
    return plain(compose.add_prefix(to_onnx(estimator, example, target_opset=OPSET, options=chosen), prefix))
