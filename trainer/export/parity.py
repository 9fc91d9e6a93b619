"""Whether an exported graph says what the trained model says."""

from dataclasses import dataclass

import numpy as np
import onnxruntime

from trainer.data.dataset import Vectors
from trainer.errors import ParityError
from trainer.models.base import Model, Predictions

__all__ = ["MAX_DIFFERENCE", "OnnxModel", "Parity", "check_parity"]

MAX_DIFFERENCE = 1e-4


class OnnxModel:
    """A graph as a gateway runs it: one thread, by the names of its outputs."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self.session.get_inputs()[0].name

    def predict(self, matrix: Vectors) -> Predictions:
        score, decision, confidence = self.session.run(["score", "decision", "confidence"], {self._input: matrix})
        return Predictions(score, decision, confidence)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the graph is from the model, on so many vectors."""

    vectors: int
    score: float
    confidence: float
    changed_decisions: int


def check_parity(model: Model, graph: OnnxModel, matrix: Vectors, *, at_most: float = MAX_DIFFERENCE) -> Parity:
    """Compare both on the vectors, as they are and with holes in them; refuse what differs."""
    rng = np.random.default_rng(0)
    holes = np.where(rng.random(matrix.shape) < 0.05, np.nan, matrix).astype(np.float32)
    endless = np.where(rng.random(matrix.shape) < 0.01, np.inf, matrix).astype(np.float32)
    vectors = np.vstack((matrix, holes, endless))
    wanted, found = model.predict(vectors), graph.predict(vectors)
    parity = Parity(
        vectors=len(vectors),
        score=_difference(wanted.score, found.score),
        confidence=_difference(wanted.confidence, found.confidence),
        changed_decisions=int((wanted.decision != found.decision).sum()),
    )
    if not (parity.score <= at_most and parity.confidence <= at_most) or parity.changed_decisions:
        raise ParityError(
            f"over {parity.vectors} vectors the graph differs from the model by {parity.score:.2g} in score and "
            f"{parity.confidence:.2g} in confidence, and changes {parity.changed_decisions} decisions; "
            f"wanted at most {at_most:g} and none"
        )
    return parity


def _difference(wanted: Vectors, found: Vectors) -> float:
    return float(np.max(np.abs(wanted - found), initial=0.0))
