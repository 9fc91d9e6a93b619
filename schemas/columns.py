"""The flat arrays inside records, opened as NumPy views: nothing is copied, and every length fits the grid.

>>> from schemas.sample import SampledBecause
>>> sample = Sample(
...     device_id="press-7", prediction_id="00000000-0000-4000-8000-000000000000", model_id="m/1", pipeline="p/1",
...     at_ms=0, features=np.array([0.5, np.nan], "<f4").tobytes(), score=0.0, anomaly=False, confidence=1.0,
...     because=SampledBecause.UNIFORM,
... )
>>> vector(sample, features=2)
array([0.5, nan], dtype=float32)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.drift_scores import CohortPane
from schemas.errors import BadRecordError
from schemas.feature_stats import FeatureStats
from schemas.sample import Sample
from schemas.shapes import notes

__all__ = ["GridShape", "PaneColumns", "StatsColumns", "columns", "layout", "pane_columns", "vector"]


class GridShape(NamedTuple):
    """How many features a grid has, and how many bins each of them."""

    features: int
    bins: int


@dataclass(frozen=True, slots=True)
class StatsColumns:
    """The arrays of one window, or of a run of windows, which are then the first axis of each."""

    # Features x bins.
    counts: NDArray[np.uint32]
    # All others: one value a feature.
    missing: NDArray[np.uint32]
    out_of_range: NDArray[np.uint32]
    mean: NDArray[np.float32]
    m2: NDArray[np.float32]
    min: NDArray[np.float32]
    max: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PaneColumns:
    """The arrays of one share of a cohort's pane."""

    counts: NDArray[np.uint32]
    missing: NDArray[np.uint32]
    out_of_range: NDArray[np.uint32]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]


class Packed(NamedTuple):
    """One array field: its name, its items' type, and the shape that the grid demands."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    # How many bytes such an array takes.
    size: int

    def __str__(self) -> str:
        return f"{self.size} bytes ({' x '.join(map(str, self.shape))} of {self.dtype.name})"


def columns(stats: FeatureStats, shape: GridShape) -> StatsColumns:
    """Open one window's arrays; `BadRecordError` names the one whose length does not fit the grid."""
    return StatsColumns(**dict(_views(stats, shape)))


def pane_columns(pane: CohortPane, shape: GridShape) -> PaneColumns:
    """Open a share's arrays; `BadRecordError` names the one whose length does not fit the grid."""
    return PaneColumns(**dict(_views(pane, shape)))


def vector(sample: Sample, *, features: int) -> NDArray[np.float32]:
    """Open a sample's feature vector; `BadRecordError` if it has another length."""
    ((_, view),) = _views(sample, GridShape(features, 1))
    return view


def layout(record: type[Any], shape: GridShape) -> tuple[Packed, ...]:
    """Return the array fields of a record class as a grid of that shape has them."""
    known = _LAYOUTS.get((record, shape))
    if known is None:
        # Shapes come from strangers as well: remember some, not all.
        if len(_LAYOUTS) >= 256:
            _LAYOUTS.clear()
        known = _LAYOUTS[record, shape] = tuple(_layout(record, shape))
    return known


_LAYOUTS: dict[tuple[type[Any], GridShape], tuple[Packed, ...]] = {}


def _layout(record: type[Any], shape: GridShape) -> Iterator[Packed]:
    for name, note in notes(record).items():
        if note.packed:
            dtype = np.dtype(note.packed)
            extent = tuple(shape) if name == "counts" else (shape.features,)
            yield Packed(name, dtype, extent, math.prod(extent) * dtype.itemsize)


def _views(record: Any, shape: GridShape) -> Iterator[tuple[str, NDArray[Any]]]:
    for packed in layout(type(record), shape):
        flat = getattr(record, packed.name)
        if len(flat) != packed.size:
            raise BadRecordError(packed.name, found=f"{len(flat)} bytes", wanted=str(packed))
        yield packed.name, np.frombuffer(flat, packed.dtype).reshape(packed.shape)
