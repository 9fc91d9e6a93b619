"""A forecaster: the value of one feature some vectors ahead, from the vector that is there now."""

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto
from sklearn.linear_model import Ridge

from schemas.manifest import ModelKind
from sensing import pipeline_named
from trainer.data.dataset import Dataset, Floats, Vectors
from trainer.data.truth import with_truth
from trainer.errors import DataRefusedError
from trainer.export.converting import converted
from trainer.export.joining import chain, written
from trainer.models.base import Floats32, Model, Settings
from trainer.models.filling import fill_values

__all__ = ["ForecasterAlgorithm"]

_PAIRS_AT_LEAST = 100


class ForecasterAlgorithm:
    name = "forecaster"
    kind = ModelKind.FORECAST
    about = "ridge regression on scaled features; the score is the target's value one vector ahead"

    def train(self, training: Dataset, settings: Settings) -> Model:
        pipeline = pipeline_named(training.pipeline)
        training = with_truth(training, settings.target, settings.ahead)
        known = training.labelled
        if known.sum() < _PAIRS_AT_LEAST:
            raise DataRefusedError(
                (f"forecast: {int(known.sum())} vectors have one {settings.ahead} ahead; wanted {_PAIRS_AT_LEAST}",)
            )
        fill = fill_values(training)
        prepared = np.where(np.isfinite(training.matrix), training.matrix, fill).astype(np.float32)[known]
        truth = training.label[known]
        centre, spread = prepared.mean(axis=0), prepared.std(axis=0)
        spread[spread == 0] = 1.0
        core = RegressionCore(centre.astype(np.float32), spread.astype(np.float32), Ridge(alpha=1.0))
        core.regression.fit(core.scaled(prepared), truth)
        residuals = core.raw(prepared) - truth
        return Model(
            algorithm=self.name,
            kind=self.kind,
            core=core,
            fill=fill,
            telling=np.zeros(len(fill), dtype=bool),
            explained=float(np.clip(1 - residuals.var() / truth.var(), 0.0, 1.0)) if truth.var() else 0.0,
            target=settings.target,
            horizon_ms=settings.ahead * pipeline.vector_ms,
        )


@dataclass(frozen=True, eq=False)
class RegressionCore:
    centre: Floats32
    spread: Floats32
    regression: Ridge

    def scaled(self, prepared: Vectors) -> Vectors:
        scaled: Vectors = ((prepared - self.centre) / self.spread).astype(np.float32)
        return scaled

    def raw(self, prepared: Vectors) -> Floats:
        forecast: Floats = self.regression.predict(self.scaled(prepared)).astype(np.float64)
        return forecast

    def graph(self, features: int) -> ModelProto:
        constants = {"centre": self.centre, "spread": self.spread, "rows": np.array([-1])}
        regression = converted(self.regression, features, prefix="regression_")
        return chain(
            written(_SCALE.format(features=features), constants),
            (regression, {"scaled": regression.graph.input[0].name}),
            (written(_FLATTEN, constants), {regression.graph.output[0].name: "column"}),
        )


_SCALE = """
scale (float[N, {features}] prepared) => (float[N, {features}] scaled)
{{
    centred = Sub (prepared, centre)
    scaled = Div (centred, spread)
}}
"""

_FLATTEN = """
flatten (float[N, 1] column) => (float[N] raw)
{
    raw = Reshape (column, rows)
}
"""
