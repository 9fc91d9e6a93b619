"""Isolation forest on whitened features: strange is what few random cuts suffice to set apart."""

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto
from sklearn.ensemble import IsolationForest

from schemas.manifest import ModelKind
from trainer.data.dataset import Dataset, Floats, Vectors
from trainer.export.forest import WhitenedForest, forest_graph
from trainer.models.base import Model, Settings
from trainer.models.filling import fill_values, telling_absences
from trainer.models.thresholds import choose_threshold
from trainer.whitening import Whitening

__all__ = ["IsolationForestAlgorithm"]


class IsolationForestAlgorithm:
    name = "isolation_forest"
    kind = ModelKind.ANOMALY
    about = "100 random trees; needs no labels, and uses them to set the threshold where there are some"

    def train(self, training: Dataset, settings: Settings) -> Model:
        fill = fill_values(training)
        prepared = np.where(np.isfinite(training.matrix), training.matrix, fill).astype(np.float32)
        whitening = Whitening.learn(prepared)
        forest = IsolationForest(
            n_estimators=settings.trees, contamination=settings.contamination, random_state=settings.seed
        )
        # Vectors that were kept for their oddness would make oddness look common.
        fair = training.representative if training.representative.any() else np.ones(len(training), dtype=bool)
        core = ForestCore(WhitenedForest(whitening, forest.fit(whitening.columns(prepared[fair]))))
        raw = core.raw(prepared)
        return Model(
            algorithm=self.name,
            kind=self.kind,
            core=core,
            fill=fill,
            telling=telling_absences(training, false_alarms=settings.false_alarms),
            threshold=choose_threshold(training, raw, settings),
            scale=float(raw.std()) or 1.0,
            notes={"nodes": float(sum(tree.tree_.node_count for tree in forest.estimators_))},
        )


@dataclass(frozen=True, eq=False)
class ForestCore:
    """The raw number is the anomaly score of the original paper: 0 to 1, higher is stranger."""

    forest: WhitenedForest

    def raw(self, prepared: Vectors) -> Floats:
        return self.forest.score(prepared)

    def graph(self, features: int) -> ModelProto:
        return forest_graph(self.forest, features)
