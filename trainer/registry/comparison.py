"""Champion against challenger: both judge the same held-out data, and chance is told from difference.

Vectors that follow each other are alike, so whole blocks of a device's time are drawn again and again, not single
vectors; the difference of both models over the same draws is what has an interval.
"""

from dataclasses import dataclass

import numpy as np

from schemas.manifest import ModelKind
from trainer.data.dataset import Dataset, Floats, Ints
from trainer.errors import RegistryError
from trainer.export.parity import OnnxModel
from trainer.models.base import Predictions
from trust import Bundle

__all__ = ["Comparison", "compare", "compare_predictions"]

_BLOCKS_AT_LEAST = 10


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much better the challenger is; `low` and `high` hold the difference in 90 of 100 draws."""

    metric: str
    champion: float
    challenger: float
    low: float
    high: float
    blocks: int
    margin: float

    @property
    def difference(self) -> float:
        return self.challenger - self.champion

    @property
    def not_worse(self) -> bool:
        """The challenger is, as far as the draws tell, at most the margin worse."""
        return self.low >= -self.margin

    def __str__(self) -> str:
        return (
            f"{self.metric} {self.challenger:.4f} against {self.champion:.4f}, "
            f"difference {self.low:+.4f} to {self.high:+.4f}, allowed {-self.margin:+.4f}"
        )


def compare(
    champion: Bundle, challenger: Bundle, holdout: Dataset, *, margin: float = 0.01, seed: int = 0
) -> Comparison:
    """Let both bundles judge the held-out data; neither may have learned from it."""
    if champion.manifest.pipeline != challenger.manifest.pipeline:
        raise RegistryError(
            f"{challenger.manifest.model_id} wants {challenger.manifest.pipeline}, "
            f"{champion.manifest.model_id} {champion.manifest.pipeline}: they cannot judge the same vectors"
        )
    said = [OnnxModel(bundle.model).predict(holdout.matrix) for bundle in (champion, challenger)]
    return compare_predictions(challenger.manifest.kind, said[0], said[1], holdout, margin=margin, seed=seed)


def compare_predictions(
    kind: ModelKind, champion: Predictions, challenger: Predictions, holdout: Dataset, *, margin: float, seed: int
) -> Comparison:
    """Compare by F1 where anomalies are to be found, by the root of the squared error, negated, where values are."""
    judged = holdout.labelled & (holdout.healthy if kind is ModelKind.FORECAST else ~holdout.settling)
    if kind is not ModelKind.FORECAST and not (holdout.anomalous & judged).any():
        raise RegistryError("the held-out data hold no labelled anomaly; nothing can be compared on them")
    sums = _forecast_sums if kind is ModelKind.FORECAST else _detection_sums
    metric, score = ("-rmse", _negated_rmse) if kind is ModelKind.FORECAST else ("f1", _f1)
    block = _blocks(holdout)[judged]
    old, new = (sums(said, holdout)[judged] for said in (champion, challenger))
    many = int(block.max(initial=-1)) + 1
    if many < _BLOCKS_AT_LEAST:
        raise RegistryError(f"the held-out data hold {many} blocks of time; wanted at least {_BLOCKS_AT_LEAST}")
    old_blocks, new_blocks = (_per_block(rows, block, many) for rows in (old, new))
    draws = np.random.default_rng(seed).multinomial(many, np.full(many, 1 / many), size=2000).astype(np.float64)
    differences = score(draws @ new_blocks) - score(draws @ old_blocks)
    low, high = np.quantile(differences, (0.05, 0.95))
    whole_old, whole_new = (float(score(blocks.sum(axis=0)[None])[0]) for blocks in (old_blocks, new_blocks))
    if kind is ModelKind.FORECAST:
        # An error has a unit: what may be lost is a share of it.
        margin *= abs(whole_old)
    return Comparison(metric, whole_old, whole_new, float(low), float(high), many, margin)


def _blocks(holdout: Dataset, per_device: int = 24) -> Ints:
    """Number stretches of equal length of each device's time, from 0."""
    first, last = holdout.at_ms.min(), holdout.at_ms.max()
    stretch = (holdout.at_ms - first) * per_device // (last - first + 1)
    _, numbered = np.unique(holdout.device * per_device + stretch, return_inverse=True)
    return numbered.astype(np.int64)


def _per_block(rows: Floats, block: Ints, many: int) -> Floats:
    return np.stack([np.bincount(block, weights=column, minlength=many) for column in rows.T], axis=1)


def _detection_sums(said: Predictions, holdout: Dataset) -> Floats:
    true = holdout.anomalous
    return np.stack((said.decision & true, said.decision & ~true, ~said.decision & true), axis=1).astype(np.float64)


def _f1(sums: Floats) -> Floats:
    hits, false, missed = sums.T
    f1: Floats = 2 * hits / np.maximum(2 * hits + false + missed, 1)
    return f1


def _forecast_sums(said: Predictions, holdout: Dataset) -> Floats:
    error = np.where(holdout.labelled, said.score - holdout.label, 0.0)
    return np.stack((error**2, np.ones(len(error))), axis=1)


def _negated_rmse(sums: Floats) -> Floats:
    squares, many = sums.T
    root: Floats = np.sqrt(squares / np.maximum(many, 1))
    return -root
