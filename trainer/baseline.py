"""Baselines: what a model's training data look like on its pipeline's grid, and how much that wobbles by itself."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from schemas.canonical import with_content_id
from schemas.grid import Baseline, FeatureBaseline, Grid, SpanDispersion
from sensing import Binner, pipeline_named
from trainer.data.dataset import Dataset, Floats, Ints
from trainer.profiles import profiles
from trainer.spans import SpanDispersion as Stretches
from trainer.spans import WindowSums, over_spans

__all__ = ["Dispersion", "dispersion", "make_baseline", "window_of"]

# Windows with fewer vectors than this say too little to learn from.
_MIN_WINDOW = 10
# Stretches whose dispersion is learned as well, in windows: with windows of five minutes 15 min, 1 h, 6 h, a day,
# and half of each: what comes round in just such a stretch does not show in it, and shows most in half of it.
_SPANS = (2, 3, 6, 12, 36, 72, 144, 288)
# Parts of a window, for the same reason.
_PARTS = 5
# Very many parts say no more than many; those of twenty windows in a row are kept or left out together.
_MOST_PARTS, _KEPT_TOGETHER = 20_000, 20 * _PARTS


class Dispersion(NamedTuple):
    """How much more windows differ than independent samples would, per feature; 1 is independent."""

    counts: Floats
    mean: Floats
    variance: Floats
    windows: int
    # By feature.
    spans: tuple[tuple[SpanDispersion, ...], ...]

    def uncertainty(self, bins: int) -> Floats:
        """Return the relative standard error of `counts`; infinite where there were too few windows."""
        if self.windows < 2:
            return np.full(len(self.counts), np.inf)
        return np.full(len(self.counts), np.sqrt(2 / ((self.windows - 1) * max(bins - 1, 1))))


def make_baseline(
    model_id: str, grid: Grid, reference: Dataset, *, known_dispersion: Baseline | None = None
) -> Baseline:
    """Count the reference on the grid, exactly as a gateway would count the same vectors.

    `known_dispersion` lends its dispersions where the reference has too few windows to learn them.
    """
    tally = Binner(grid).count(reference.matrix)
    wobble = dispersion(grid, reference, window_of(reference.pipeline))
    if not wobble.windows and known_dispersion is not None and known_dispersion.grid_id == grid.grid_id:
        wobble = _lent(known_dispersion)
    usable = tally.usable
    by_hour = profiles(grid, reference)
    return with_content_id(
        Baseline(
            baseline_id="",
            model_id=model_id,
            grid_id=grid.grid_id,
            pipeline=reference.pipeline,
            samples=tally.samples,
            features=tuple(
                FeatureBaseline(
                    name=feature.name,
                    counts=tuple(tally.counts[row].tolist()),
                    missing=int(tally.missing[row]),
                    out_of_range=int(tally.out_of_range[row]),
                    mean=float(tally.mean[row]),
                    variance=float(tally.m2[row] / max(usable[row] - 1, 1)),
                    min=float(tally.min[row]),
                    max=float(tally.max[row]),
                    dispersion_counts=float(wobble.counts[row]),
                    dispersion_mean=float(wobble.mean[row]),
                    dispersion_variance=float(wobble.variance[row]),
                    dispersion_windows=wobble.windows,
                    dispersion_spans=wobble.spans[row],
                    **by_hour[row]._asdict(),
                )
                for row, feature in enumerate(grid.features)
            ),
        )
    )


def window_of(pipeline: str) -> int:
    """Return how long the windows are that dispersion is learned from: five minutes, or 24 vectors if longer."""
    return max(300_000, 24 * pipeline_named(pipeline).vector_ms)


def dispersion(grid: Grid, reference: Dataset, window_ms: int) -> Dispersion:
    """Compare windows of the reference with what independent samples from the whole of it would give.

    Readings follow each other closely and devices differ a little for good; both make windows differ more.
    Below 1, which is chance or a feature without memory, 1 is returned: a test must not become stricter by it.
    """
    windows = _windows(reference, window_ms)
    features = len(grid.features)
    if len(windows) < 2:
        return Dispersion(np.ones(features), np.ones(features), np.ones(features), 0, ((),) * features)
    binner = Binner(grid)
    sums = _sums(binner, reference, windows, window_ms)
    usable = sums.counts.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = sums.m2 / (usable - 1)
    values = np.where(np.isfinite(reference.matrix), reference.matrix, np.nan).astype(np.float64)
    parts = _of_parts(binner, reference, window_ms)
    return Dispersion(
        counts=_widest(_of_counts(sums.counts, usable), [part.counts for part in parts]),
        mean=_widest(_of_means(sums.mean, usable, values), [part.mean for part in parts]),
        variance=_widest(_of_variances(variances, usable, values), [part.variance for part in parts]),
        windows=len(windows),
        spans=_spans(sums, window_ms),
    )


def _of_parts(binner: Binner, reference: Dataset, window_ms: int) -> list[Stretches]:
    """Learn how much stretches shorter than a window wobble: a machine whose cycle is a window's length looks calm."""
    shortest_ms = _MIN_WINDOW * pipeline_named(reference.pipeline).vector_ms
    parts = next((n for n in (_PARTS, 2) if window_ms >= n * shortest_ms), 1)
    if parts == 1:
        return []
    part_ms = window_ms // parts
    found = _windows(reference, part_ms)
    every = -(-len(found) // _MOST_PARTS) or 1
    found = [one for place, one in enumerate(found) if place // _KEPT_TOGETHER % every == 0]
    if len(found) < 2:
        return []
    return over_spans(_sums(binner, reference, found, part_ms), tuple(range(1, parts)))


def _sums(binner: Binner, reference: Dataset, windows: list[tuple[int, int]], window_ms: int) -> WindowSums:
    tallies = [binner.count(reference.matrix[start:stop]) for start, stop in windows]
    return WindowSums(
        np.stack([tally.counts for tally in tallies]).astype(np.float64),
        np.stack([tally.mean for tally in tallies]),
        np.stack([tally.m2 for tally in tallies]),
        _stretches(reference, windows, window_ms),
    )


def _spans(sums: WindowSums, window_ms: int) -> tuple[tuple[SpanDispersion, ...], ...]:
    found = over_spans(sums, _SPANS)
    return tuple(
        tuple(
            SpanDispersion(
                span_ms=one.length * window_ms,
                counts=float(one.counts[feature]),
                mean=float(one.mean[feature]),
                variance=float(one.variance[feature]),
                stretches=one.stretches,
            )
            for one in found
        )
        for feature in range(sums.mean.shape[1])
    )


def _stretches(reference: Dataset, windows: list[tuple[int, int]], window_ms: int) -> Ints:
    """Number the stretches of windows that follow each other on one device."""
    starts = np.array([start for start, _ in windows])
    window, device = reference.at_ms[starts] // window_ms, reference.device[starts]
    breaks: Ints = np.cumsum(np.r_[0, (np.diff(window) != 1) | (np.diff(device) != 0)])
    return breaks


def _lent(known: Baseline) -> Dispersion:
    return Dispersion(
        counts=np.array([feature.dispersion_counts for feature in known.features]),
        mean=np.array([feature.dispersion_mean for feature in known.features]),
        variance=np.array([feature.dispersion_variance for feature in known.features]),
        windows=min(feature.dispersion_windows for feature in known.features),
        spans=tuple(feature.dispersion_spans for feature in known.features),
    )


def _windows(reference: Dataset, window_ms: int) -> list[tuple[int, int]]:
    window: Ints = reference.at_ms // window_ms
    edges = np.flatnonzero((np.diff(window) != 0) | (np.diff(reference.device) != 0)) + 1
    borders = [0, *edges.tolist(), len(reference)]
    return [(start, stop) for start, stop in pairwise(borders) if stop - start >= _MIN_WINDOW]


def _of_counts(counts: Floats, usable: Floats) -> Floats:
    """Pearson's statistic of all windows against the whole, over its degrees of freedom."""
    shares = counts.sum(axis=0) / np.maximum(counts.sum(axis=(0, 2)), 1)[:, None]
    expected = usable[:, :, None] * shares
    with np.errstate(divide="ignore", invalid="ignore"):
        pearson = np.where(expected > 0, (counts - expected) ** 2 / expected, 0.0).sum(axis=(0, 2))
    freedom = (len(counts) - 1) * np.maximum((shares > 0).sum(axis=1) - 1, 1)
    found: Floats = pearson / freedom
    return found


def _of_means(means: Floats, usable: Floats, values: Floats) -> Floats:
    whole, spread = _moments(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = (means - whole) ** 2 * usable / spread
    return _average(scaled)


def _of_variances(variances: Floats, usable: Floats, values: Floats) -> Floats:
    """Against what normal samples would give, so that heavy tails are part of it, as the tests that use it expect."""
    _, spread = _moments(values)
    with np.errstate(all="ignore"):
        scaled = (variances - spread) ** 2 * (usable - 1) / (2 * spread**2)
    return _average(scaled)


def _moments(values: Floats) -> tuple[Floats, Floats]:
    none = ~np.isfinite(values).any(axis=0)
    known = np.where(none, 0.0, values)
    return np.nanmean(known, axis=0), np.nanvar(known, axis=0)


def _average(scaled: Floats) -> Floats:
    usable = np.isfinite(scaled)
    total: Floats = np.where(usable, scaled, 0.0).sum(axis=0) / np.maximum(usable.sum(axis=0), 1)
    return total


def _widest(found: Floats, others: list[Floats]) -> Floats:
    widest: Floats = np.max([np.nan_to_num(found, nan=1.0, posinf=1.0), np.ones_like(found), *others], axis=0)
    return widest
