"""What can be trained: one file and one line in `_MADE_BY` each."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import cast

from trainer.errors import UnknownModelKindError
from trainer.models.base import Algorithm, Model, Predictions, Settings

__all__ = ["ALGORITHMS", "Algorithm", "Model", "Predictions", "Settings", "algorithm_named"]

_MADE_BY = {
    "isolation_forest": "isolation_forest.IsolationForestAlgorithm",
    "autoencoder": "autoencoder.AutoencoderAlgorithm",
    "boosted_trees": "classifier.BoostedTreesAlgorithm",
    "logistic": "classifier.LogisticAlgorithm",
    "forecaster": "forecaster.ForecasterAlgorithm",
}


class _Algorithms(Mapping[str, Algorithm]):
    """Loaded when asked for: scikit-learn takes seconds, and whoever only lists models needs none of it."""

    def __getitem__(self, name: str) -> Algorithm:
        return _made(_MADE_BY[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_MADE_BY)

    def __len__(self) -> int:
        return len(_MADE_BY)


@cache
def _made(by: str) -> Algorithm:
    module, _, maker = by.partition(".")
    return cast("Algorithm", getattr(import_module(f"{__name__}.{module}"), maker)())


ALGORITHMS: Mapping[str, Algorithm] = _Algorithms()


def algorithm_named(name: str) -> Algorithm:
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise UnknownModelKindError(name, tuple(sorted(ALGORITHMS))) from None
