"""Classifiers for where labels exist: the score is a calibrated probability that the vector is an anomaly."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from schemas.manifest import ModelKind
from trainer.data.dataset import Dataset, Floats, Vectors
from trainer.errors import DataRefusedError
from trainer.export.converting import converted
from trainer.export.joining import chain, written
from trainer.models.base import Floats32, Model, Settings
from trainer.models.filling import fill_values, telling_absences
from trainer.models.thresholds import choose_threshold

__all__ = ["BoostedTreesAlgorithm", "LogisticAlgorithm"]

_FOLDS = 3
_LABELS_AT_LEAST = 30


class _Classifier:
    name: str
    kind = ModelKind.CLASSIFIER
    about: str

    def train(self, training: Dataset, settings: Settings) -> Model:
        usable = training.labelled & (training.anomalous | training.healthy)
        anomalies = int(training.anomalous.sum())
        normal = int(usable.sum()) - anomalies
        if min(anomalies, normal) < _LABELS_AT_LEAST:
            found = f"{anomalies} vectors are labelled anomalous and {normal} normal"
            raise DataRefusedError((f"labels: {found}; {self.name} wants {_LABELS_AT_LEAST} of both",))
        fill = fill_values(training)
        prepared = np.where(np.isfinite(training.matrix), training.matrix, fill).astype(np.float32)
        centre, spread = prepared.mean(axis=0), prepared.std(axis=0)
        spread[spread == 0] = 1.0
        core = ProbabilityCore(centre.astype(np.float32), spread.astype(np.float32), self._estimator(settings))
        core.classifier.fit(core.scaled(prepared[usable]), training.anomalous[usable].astype(np.int64))
        return Model(
            algorithm=self.name,
            kind=self.kind,
            core=core,
            fill=fill,
            telling=telling_absences(training, false_alarms=settings.false_alarms),
            threshold=min(choose_threshold(training, core.raw(prepared), settings), 0.5),
        )

    def _estimator(self, settings: Settings) -> Any:
        raise NotImplementedError


class BoostedTreesAlgorithm(_Classifier):
    name = "boosted_trees"
    about = "gradient-boosted trees, their probabilities calibrated on held-out folds; needs labels of both kinds"

    def _estimator(self, settings: Settings) -> Any:
        trees = GradientBoostingClassifier(
            n_estimators=settings.trees, max_depth=3, subsample=0.5, random_state=settings.seed
        )
        return CalibratedClassifierCV(trees, method="sigmoid", cv=_FOLDS)


class LogisticAlgorithm(_Classifier):
    name = "logistic"
    about = "logistic regression, calibrated by what it maximises; needs labels of both kinds, and is tiny"

    def _estimator(self, settings: Settings) -> Any:
        return LogisticRegression(max_iter=1000)


@dataclass(frozen=True, eq=False)
class ProbabilityCore:
    """The raw number is the probability of an anomaly."""

    centre: Floats32
    spread: Floats32
    classifier: Any

    def scaled(self, prepared: Vectors) -> Vectors:
        scaled: Vectors = ((prepared - self.centre) / self.spread).astype(np.float32)
        return scaled

    def raw(self, prepared: Vectors) -> Floats:
        probability: Floats = self.classifier.predict_proba(self.scaled(prepared))[:, 1]
        return probability

    def graph(self, features: int) -> ModelProto:
        # ZipMap would wrap the probabilities in dictionaries.
        graph = converted(self.classifier, features, prefix="classifier_", options={"zipmap": False})
        del graph.graph.output[0]
        constants = {"centre": self.centre, "spread": self.spread, "which": np.array(1)}
        return chain(
            written(_SCALE.format(features=features), constants),
            (graph, {"scaled": graph.graph.input[0].name}),
            (written(_SECOND, constants), {graph.graph.output[0].name: "probabilities"}),
        )


_SCALE = """
scale (float[N, {features}] prepared) => (float[N, {features}] scaled)
{{
    centred = Sub (prepared, centre)
    scaled = Div (centred, spread)
}}
"""

_SECOND = """
second (float[N, 2] probabilities) => (float[N] raw)
{
    raw = Gather <axis = 1> (probabilities, which)
}
"""
