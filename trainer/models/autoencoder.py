"""Autoencoder: strange is what cannot be squeezed through a few numbers and put together again."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from schemas.manifest import ModelKind
from trainer.data.dataset import Dataset, Floats, Vectors
from trainer.export.converting import converted
from trainer.export.joining import chain, written
from trainer.models.base import Floats32, Model, Settings
from trainer.models.filling import fill_values, telling_absences
from trainer.models.thresholds import choose_threshold

__all__ = ["AutoencoderAlgorithm"]

# Beyond so many standard deviations a value says no more; it keeps one wild sensor from drowning the others.
_REACH = 10.0


class AutoencoderAlgorithm:
    name = "autoencoder"
    kind = ModelKind.ANOMALY
    about = "features, hidden, latent, hidden, features; the reconstruction's error is the score"

    def train(self, training: Dataset, settings: Settings) -> Model:
        fill = fill_values(training)
        prepared = np.where(np.isfinite(training.matrix), training.matrix, fill).astype(np.float32)
        # It learns what healthy looks like; what it has not learned, it reconstructs badly.
        healthy = training.healthy & training.representative
        learned = prepared[healthy] if healthy.any() else prepared
        centre, spread = learned.mean(axis=0), learned.std(axis=0)
        spread[spread == 0] = 1.0
        network = MLPRegressor(
            hidden_layer_sizes=(settings.hidden, settings.latent, settings.hidden),
            activation="tanh",
            max_iter=settings.epochs,
            batch_size=min(256, len(learned)),
            early_stopping=False,
            random_state=settings.seed,
            tol=0.0,
            n_iter_no_change=settings.epochs,
        )
        core = ReconstructionCore(centre.astype(np.float32), spread.astype(np.float32), network)
        scaled = core.scaled(learned)
        core.fit(scaled)
        raw = core.raw(prepared)
        threshold = choose_threshold(training, raw, settings)
        return Model(
            algorithm=self.name,
            kind=self.kind,
            core=core,
            fill=fill,
            telling=telling_absences(training, false_alarms=settings.false_alarms),
            threshold=threshold,
            scale=float(raw[healthy].std() if healthy.any() else raw.std()) or 1.0,
            ceiling=2 * threshold + 1,
        )


@dataclass(frozen=True, eq=False)
class ReconstructionCore:
    """The raw number is log(1 + mean squared error), the error in standard deviations of each feature."""

    centre: Floats32
    spread: Floats32
    network: MLPRegressor

    def fit(self, scaled: Vectors) -> None:

        with warnings.catch_warnings():
            # The number of epochs is chosen, not found.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.network.fit(scaled, scaled)

    def scaled(self, prepared: Vectors) -> Vectors:
        scaled: Vectors = np.clip((prepared - self.centre) / self.spread, -_REACH, _REACH).astype(np.float32)
        return scaled

    def raw(self, prepared: Vectors) -> Floats:
        scaled = self.scaled(prepared)
        error: Any = self.network.predict(scaled).reshape(scaled.shape) - scaled
        raw: Floats = np.log1p((error.astype(np.float64) ** 2).mean(axis=1))
        return raw

    def graph(self, features: int) -> ModelProto:
        constants = {
            "centre": self.centre,
            "spread": self.spread,
            "low": -_REACH,
            "high": _REACH,
            "one": 1.0,
            # skl2onnx hands several outputs out as one long column.
            "shape": np.array([-1, features]),
        }
        before = written(_SCALE.format(features=features), constants)
        after = written(_ERROR.format(features=features), constants)
        network = converted(self.network, features, prefix="network_")
        return chain(
            before,
            (network, {"scaled": network.graph.input[0].name}),
            (after, {"target": "wanted", network.graph.output[0].name: "rebuilt"}),
        )


_SCALE = """
scale (float[N, {features}] prepared) => (float[N, {features}] scaled, float[N, {features}] target)
{{
    centred = Sub (prepared, centre)
    units = Div (centred, spread)
    scaled = Clip (units, low, high)
    target = Identity (scaled)
}}
"""

_ERROR = """
error (float[N, {features}] wanted, float[M, K] rebuilt) => (float[N] raw)
{{
    rows = Reshape (rebuilt, shape)
    difference = Sub (rows, wanted)
    squared = Mul (difference, difference)
    mean = ReduceMean <axes = [1], keepdims = 0> (squared)
    larger = Add (mean, one)
    raw = Log (larger)
}}
"""
