"""What an algorithm brings, and what all models share around it.

A model is three steps. Missing values are filled in; the algorithm's core turns a vector into one raw number; the
number becomes score, decision and confidence. `Model.predict` does them in NumPy and scikit-learn, `export` writes
the same three into the ONNX graph, and the two are compared on every export.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from schemas.manifest import ModelKind
from trainer.data.dataset import Bools, Dataset, Floats, Vectors

__all__ = ["Algorithm", "Core", "Floats32", "Model", "Predictions", "Settings"]

Floats32 = NDArray[np.float32]


class Predictions(NamedTuple):
    """What a model says of each vector."""

    score: Floats32
    decision: Bools
    confidence: Floats32


class Core(Protocol):
    """A trained algorithm: from filled-in vectors to one raw number each."""

    def raw(self, prepared: Vectors) -> Floats: ...

    def graph(self, features: int) -> ModelProto:
        """Return the same as a graph: `prepared` float [N, features] in, `raw` float [N] out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train; the defaults suit a fleet of small sensors."""

    seed: int = 0
    # Share of unlabelled training data that is taken to be anomalous.
    contamination: float = 0.1
    # Where labels tell normal from anomalous: the share of normal vectors that may be called anomalies.
    false_alarms: float = 0.01
    trees: int = 100
    hidden: int = 6
    latent: int = 3
    epochs: int = 60
    # Forecasts: how many vectors ahead, and which feature.
    ahead: int = 1
    target: str = "temperature"


class Algorithm(Protocol):
    """One way to train."""

    name: str
    kind: ModelKind
    about: str

    def train(self, training: Dataset, settings: Settings) -> "Model": ...


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model, whatever its algorithm."""

    algorithm: str
    kind: ModelKind
    core: Core
    # What stands in for a missing value, per feature.
    fill: Floats32
    # Features whose absence alone is an anomaly, because the reference hardly ever lacks them.
    telling: Bools
    threshold: float = 0.0
    # One unit of distance from the threshold, in raw numbers; makes the confidence.
    scale: float = 1.0
    # The raw number that stands for "as strange as can be".
    ceiling: float = 1.0
    # Forecasts: the share of the target's variance that the forecast explains.
    explained: float = 0.0
    target: str = ""
    horizon_ms: int = 0
    notes: dict[str, float] = field(default_factory=dict)

    def predict(self, matrix: Vectors) -> Predictions:
        """Return what the exported graph must return; a confidence is that of the decision, 0 to 1."""
        gone = ~np.isfinite(matrix)
        raw = self.core.raw(np.where(gone, self.fill, matrix).astype(np.float32)).astype(np.float32)
        if self.kind is ModelKind.FORECAST:
            nothing = np.zeros(len(raw), dtype=bool)
            return Predictions(raw, nothing, np.full(len(raw), self.explained, dtype=np.float32))
        score = np.where(gone[:, self.telling].any(axis=1), np.float32(self.ceiling), raw)
        decision = score > np.float32(self.threshold)
        if self.kind is ModelKind.CLASSIFIER:
            return Predictions(score, decision, np.where(decision, score, 1 - score).astype(np.float32))
        distance = np.abs(score - np.float32(self.threshold)) / np.float32(self.scale)
        return Predictions(score, decision, (1 / (1 + np.exp(-distance))).astype(np.float32))
