"""What can be trained: one file and one line in `ALGORITHMS` each."""

from collections.abc import Mapping

from trainer.errors import UnknownModelKindError
from trainer.models.autoencoder import AutoencoderAlgorithm
from trainer.models.base import Algorithm, Model, Predictions, Settings
from trainer.models.classifier import BoostedTreesAlgorithm, LogisticAlgorithm
from trainer.models.forecaster import ForecasterAlgorithm
from trainer.models.isolation_forest import IsolationForestAlgorithm

__all__ = ["ALGORITHMS", "Algorithm", "Model", "Predictions", "Settings", "algorithm_named"]

ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        IsolationForestAlgorithm(),
        AutoencoderAlgorithm(),
        BoostedTreesAlgorithm(),
        LogisticAlgorithm(),
        ForecasterAlgorithm(),
    )
}


def algorithm_named(name: str) -> Algorithm:
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise UnknownModelKindError(name, tuple(sorted(ALGORITHMS))) from None
