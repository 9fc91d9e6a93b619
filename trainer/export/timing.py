"""How long a model takes: measured where it was made, so for comparing models, not for promising a device anything."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainer.data.dataset import Vectors
from trainer.export.parity import OnnxModel
from trainer.models.base import Model

__all__ = ["Timing", "time_model"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds for one unbatched inference."""

    onnx_p50_ms: float
    onnx_p99_ms: float
    # The same model in scikit-learn.
    reference_p50_ms: float


def time_model(model: Model, graph: OnnxModel, matrix: Vectors, *, runs: int = 500) -> Timing:
    rows = [np.ascontiguousarray(matrix[at % len(matrix)][None]) for at in range(runs)]
    onnx_ms = _times_ms(graph.predict, rows)
    reference_ms = _times_ms(model.predict, rows[: max(runs // 20, 5)])
    return Timing(
        onnx_p50_ms=float(np.median(onnx_ms)),
        onnx_p99_ms=float(np.quantile(onnx_ms, 0.99)),
        reference_p50_ms=float(np.median(reference_ms)),
    )


def _times_ms(predict: Callable[[Vectors], object], rows: list[Vectors]) -> list[float]:
    for row in rows[: max(len(rows) // 25, 1)]:
        predict(row)
    taken = []
    for row in rows:
        start = time.perf_counter()
        predict(row)
        taken.append((time.perf_counter() - start) * 1e3)
    return taken
