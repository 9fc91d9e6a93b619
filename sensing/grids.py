"""Grids: how the values of a pipeline's features are counted, fixed once per pipeline version."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.canonical import content_id
from schemas.grid import FeatureGrid, FeatureKind, Grid
from sensing.errors import GridError
from sensing.pipelines.base import Feature, Pipeline
from sensing.tally import Floats, Ints, Tally

__all__ = ["DEFAULT_BINS", "Binner", "bin_counts", "check_grid", "make_grid"]

DEFAULT_BINS = 16

# Rows that are compared with all edges at once; keeps the comparison within a few MB.
_CHUNK_ROWS = 4096


def make_grid(pipeline: Pipeline, matrix: NDArray[Any], *, bins: int = DEFAULT_BINS) -> Grid:
    """Cut each feature of the reference vectors (rows) into `bins` equally filled bins with open ends.

    Equal quantiles are merged, so a feature may have fewer bins; a constant one gets three: below, at, above.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(pipeline.features):
        raise GridError(
            f"{pipeline.id} has {len(pipeline.features)} features, the reference is of shape {matrix.shape}"
        )
    if bins < 4:
        raise GridError(f"bins is {bins}; wanted: 4 or more")
    cut = tuple(_cut(feature, matrix[:, column], bins) for column, feature in enumerate(pipeline.features))
    grid = Grid(grid_id="", pipeline=pipeline.id, bins=bins, features=cut, declaration=pipeline.declaration)
    return replace(grid, grid_id=content_id(grid))


def check_grid(grid: Grid) -> None:
    """Refuse a grid that nothing can be counted on, or whose id is not that of its content."""
    for feature in grid.features:
        numeric = feature.kind is FeatureKind.NUMERIC
        cuts = feature.edges if numeric else feature.categories
        if len(cuts) + 1 > grid.bins:
            raise GridError(f"feature {feature.name!r} has {len(cuts) + 1} bins, the grid has {grid.bins}")
        if not np.all(np.isfinite(cuts)) or (numeric and np.any(np.diff(cuts) <= 0)):
            raise GridError(f"the cuts of feature {feature.name!r} are not finite and ascending: {cuts}")
    if content_id(grid) != grid.grid_id:
        raise GridError(f"grid {grid.grid_id:.12} says otherwise than its id; its content is {content_id(grid):.12}")


def bin_counts(grid: Grid, matrix: NDArray[Any]) -> Tally:
    """Count vectors (rows) on a grid; who counts often keeps a `Binner`."""
    return Binner(grid).count(matrix)


class Binner:
    """A grid, laid out for counting many vectors at once."""

    def __init__(self, grid: Grid) -> None:
        features = grid.features
        self.grid = grid
        self.bins = grid.bins
        # Absent cuts are infinite: no finite value lies above them.
        self._edges = np.full((len(features), grid.bins - 1), np.inf)
        for row, feature in enumerate(features):
            self._edges[row, : len(feature.edges)] = feature.edges
        self._categorical = [
            (row, np.asarray(feature.categories, dtype=np.float64))
            for row, feature in enumerate(features)
            if feature.kind is FeatureKind.CATEGORICAL
        ]
        self._low = _limits([feature.low for feature in features], -np.inf)
        self._high = _limits([feature.high for feature in features], np.inf)
        self._first = np.arange(len(features)) * grid.bins

    def count(self, matrix: NDArray[Any]) -> Tally:
        """Count vectors; a value that is NaN or infinite is missing and in no bin.

        Bin i of a numeric feature holds edges[i-1] < x <= edges[i].
        """
        if matrix.ndim != 2 or matrix.shape[1] != len(self._first):
            raise GridError(f"grid {self.grid.grid_id:.12} has {len(self._first)} features, got {matrix.shape}")
        if 0 < len(matrix) <= _CHUNK_ROWS:
            return self._count(np.asarray(matrix, dtype=np.float64))
        tally = Tally.empty(len(self._first), self.bins)
        for start in range(0, len(matrix), _CHUNK_ROWS):
            tally.add(self._count(np.asarray(matrix[start : start + _CHUNK_ROWS], dtype=np.float64)))
        return tally

    def place(self, values: Floats) -> Ints:
        """Return the bin of each value; meaningless where the value is not finite."""
        places: Ints = (values[:, :, None] > self._edges).sum(axis=2)
        for column, categories in self._categorical:
            same = values[:, column, None] == categories
            places[:, column] = np.where(same.any(axis=1), same.argmax(axis=1), len(categories))
        return places

    def _count(self, values: Floats) -> Tally:
        usable = np.isfinite(values)
        flat = self.place(values) + self._first
        if usable.all():
            return self._count_whole(values, flat)
        counts = self._counts(flat[usable])
        outside = usable & ((values < self._low) | (values > self._high))
        present = usable.sum(axis=0)
        known = np.where(usable, values, 0.0)
        mean = known.sum(axis=0) / np.maximum(present, 1)
        m2 = (np.where(usable, values - mean, 0.0) ** 2).sum(axis=0)
        none = present == 0
        return Tally(
            samples=len(values),
            counts=counts,
            missing=len(values) - present,
            out_of_range=outside.sum(axis=0),
            mean=np.where(none, np.nan, mean),
            m2=m2,
            min=np.where(none, np.nan, np.where(usable, values, np.inf).min(axis=0)),
            max=np.where(none, np.nan, np.where(usable, values, -np.inf).max(axis=0)),
        )

    def _count_whole(self, values: Floats, flat: Ints) -> Tally:
        """The same where nothing is missing, as it mostly is."""
        mean = values.sum(axis=0) / len(values)
        deviations = values - mean
        return Tally(
            samples=len(values),
            counts=self._counts(flat.ravel()),
            missing=np.zeros(values.shape[1], dtype=np.int64),
            out_of_range=((values < self._low) | (values > self._high)).sum(axis=0),
            mean=mean,
            m2=(deviations * deviations).sum(axis=0),
            min=values.min(axis=0),
            max=values.max(axis=0),
        )

    def _counts(self, flat: Ints) -> Ints:
        return np.bincount(flat, minlength=len(self._first) * self.bins).reshape(-1, self.bins)


def _cut(feature: Feature, column: NDArray[Any], bins: int) -> FeatureGrid:
    values = np.asarray(column, dtype=np.float64)
    values = values[np.isfinite(values)]
    if feature.kind is FeatureKind.CATEGORICAL:
        codes, times = np.unique(values, return_counts=True)
        most = np.sort(codes[np.argsort(-times, kind="stable")[: bins - 1]])
        return _feature_grid(feature, categories=tuple(most.tolist()))
    return _feature_grid(feature, edges=_edges(values, bins))


def _edges(values: Floats, bins: int) -> tuple[float, ...]:
    if not len(values):
        return ()
    shares = np.arange(1, bins) / bins
    # Vectors are float32, so that an edge between two float32 would only pretend to be finer.
    edges = np.unique(np.quantile(values, shares, method="inverted_cdf").astype(np.float32))
    if values.min() == values.max():
        edges = np.array([np.nextafter(edges[0], np.float32(-np.inf)), edges[0]])
    return tuple(edges.astype(np.float64).tolist())


def _feature_grid(
    feature: Feature, *, edges: tuple[float, ...] = (), categories: tuple[float, ...] = ()
) -> FeatureGrid:
    return FeatureGrid(
        name=feature.name,
        kind=feature.kind,
        edges=edges,
        categories=categories,
        low=feature.low,
        high=feature.high,
    )


def _limits(limits: Sequence[float | None], open_end: float) -> Floats:
    return np.array([open_end if limit is None else limit for limit in limits])
