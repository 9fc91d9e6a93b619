"""Golden inputs and outputs: a bundle's own self-test on whatever machine it lands."""

import numpy as np

from schemas.manifest import Golden
from trainer.data.dataset import Dataset, Vectors
from trainer.export.parity import MAX_DIFFERENCE, OnnxModel
from trainer.models.base import Model

__all__ = ["golden_disagreement", "golden_inputs", "make_golden"]

_ROWS = 16


def make_golden(model: Model, graph: OnnxModel, holdout: Dataset, *, seed: int) -> Golden:
    """Choose vectors of both decisions, one of them with holes, and write down what the graph says of them."""
    rng = np.random.default_rng(seed)
    decision = model.predict(holdout.matrix).decision
    normal, strange = np.flatnonzero(~decision), np.flatnonzero(decision)
    few = min(_ROWS // 4, len(strange))
    rows = np.concatenate(
        (
            rng.choice(normal, min(_ROWS - few, len(normal)), replace=False),
            rng.choice(strange, few, replace=False),
        )
    ).astype(np.int64)
    matrix = holdout.matrix[rows].copy()
    matrix[0, :: max(matrix.shape[1] // 3, 1)] = np.nan
    found = graph.predict(matrix)
    return Golden(
        inputs=tuple(tuple(float(value) if np.isfinite(value) else None for value in row) for row in matrix),
        score=tuple(found.score.astype(float).tolist()),
        decision=tuple(found.decision.tolist()),
        confidence=tuple(found.confidence.astype(float).tolist()),
        tolerance=MAX_DIFFERENCE,
    )


def golden_inputs(golden: Golden) -> Vectors:
    return np.array([[np.nan if value is None else value for value in row] for row in golden.inputs], dtype=np.float32)


def golden_disagreement(golden: Golden, graph: OnnxModel) -> str:
    """Say how the graph differs from its golden outputs; empty when it does not."""
    found = graph.predict(golden_inputs(golden))
    for name, wanted, got in (
        ("score", golden.score, found.score),
        ("confidence", golden.confidence, found.confidence),
    ):
        furthest = float(np.max(np.abs(np.array(wanted) - got), initial=0.0))
        if not furthest <= golden.tolerance:
            return f"{name} differs by {furthest:.3g}; at most {golden.tolerance:g} is allowed"
    changed = int((np.array(golden.decision) != found.decision).sum())
    return f"{changed} golden decisions differ" if changed else ""
