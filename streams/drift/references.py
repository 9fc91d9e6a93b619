"""What a device's windows are compared with: a grid and a baseline, laid out for scoring."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from schemas.errors import DriftlineError
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, FeatureKind, Grid
from streams.drift.scores import Reference
from streams.drift.seasonal import seasonal

__all__ = ["MisfitError", "ScoredAgainst", "bin_name", "lay_out"]


# Evidence gathers for so long before it is told from what stays.
LOOKED_OVER_MS = 3_600_000
DAY_MS = 86_400_000
# The largest of several uncertain dispersions is too large by chance: of three normal ones by so many standard errors.
# Of overlapping stretches of length k in n windows the relative standard error is the root of 4k/3n.
_DOUBT = 0.85
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class MisfitError(DriftlineError):
    """A baseline that does not fit its grid."""


@dataclass(frozen=True)
class ScoredAgainst:
    """One baseline on its grid, ready for scoring: arrays are bins × 1 × features, or 1 × features."""

    baseline_id: str
    model_id: str
    grid: Grid
    # For looks, whose evidence adds up for up to an hour.
    reference: Reference
    baseline: Baseline
    # Features whose over-dispersion nobody has learned; they count as independent, and that may be too bold.
    unlearned: tuple[str, ...]
    # The hour of the week that it is the reference of; None for all of them.
    hour: int | None = None
    # How much of a device's own past stands in for the baseline; 0 is none.
    past_ms: int = 0

    def over(self, horizon_ms: int) -> Reference:
        """Return the reference for a horizon that is judged by itself, dispersed as stretches of that length are."""
        found = self._over.get(horizon_ms)
        if found is None:
            found = self._over[horizon_ms] = _dispersed(self.reference, self.baseline, horizon_ms)
        return found

    def at_hour(self, hour: int) -> "ScoredAgainst":
        """Return what windows of one hour of the week are compared with: this, for features that do not know it."""
        found = self._at_hour.get(hour)
        if found is None:
            reference = seasonal(self.reference, self.baseline, hour)
            found = self._at_hour[hour] = self if reference is None else replace(self, reference=reference, hour=hour)
        return found

    def own_past(self, past_ms: int) -> "ScoredAgainst":
        """Return this as it is called where devices are compared with so much of their own past."""
        found = self._own_past.get(past_ms)
        if found is None:
            found = self._own_past[past_ms] = replace(self, past_ms=past_ms)
        return found

    @property
    def name(self) -> str:
        """What evidence says that it was compared with."""
        if self.past_ms:
            return f"its own {self.past_ms // DAY_MS} days before"
        if self.hour is None:
            return self.baseline_id
        return f"{self.baseline_id} at {_DAYS[self.hour // 24]} {self.hour % 24:02}:00 UTC"

    @cached_property
    def _over(self) -> dict[int, Reference]:
        return {}

    @cached_property
    def _at_hour(self) -> "dict[int, ScoredAgainst]":
        return {}

    @cached_property
    def _own_past(self) -> "dict[int, ScoredAgainst]":
        return {}

    @cached_property
    def features(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.grid.features)


def lay_out(grid: Grid, baseline: Baseline) -> ScoredAgainst:
    """Make a baseline ready for scoring; `MisfitError` when it does not fit the grid."""
    names = [feature.name for feature in grid.features]
    found = [feature.name for feature in baseline.features]
    if names != found:
        raise MisfitError(f"baseline {baseline.baseline_id:.12} has features {found}, its grid has {names}")
    wrong = [feature.name for feature in baseline.features if len(feature.counts) != grid.bins]
    if wrong:
        raise MisfitError(f"baseline {baseline.baseline_id:.12} has not {grid.bins} bins for {', '.join(wrong)}")
    pairs = list(zip(grid.features, baseline.features, strict=True))
    usable = np.array([sum(feature.counts) for feature in baseline.features], np.float64)
    numeric = np.array([feature.kind is not FeatureKind.CATEGORICAL for feature in grid.features])
    variance = np.array([feature.variance for feature in baseline.features])
    reference = Reference(
        counts=_single(np.array([feature.counts for feature in baseline.features], np.float64).T[:, np.newaxis]),
        missing=_row(feature.missing for feature in baseline.features),
        out_of_range=_row(feature.out_of_range for feature in baseline.features),
        # Codes of categories have no mean; NaN keeps every score that needs one from being told.
        mean=_single(np.where(numeric, [feature.mean for feature in baseline.features], np.nan)[np.newaxis]),
        m2=_single(np.where(numeric, variance * np.maximum(usable - 1, 0), np.nan)[np.newaxis]),
        positions=_single(np.array([_positions(*pair, grid.bins) for pair in pairs]).T[:, np.newaxis]),
        unseen_bin=np.array([[_unseen_bin(feature) for feature in grid.features]]),
        dispersion_counts=_row(max(feature.dispersion_counts, 1) for feature in baseline.features),
        dispersion_mean=_row(max(feature.dispersion_mean, 1) for feature in baseline.features),
        dispersion_variance=_row(max(feature.dispersion_variance, 1) for feature in baseline.features),
        trials=_row(feature.dispersion_windows or 1e6 for feature in baseline.features),
    )
    return ScoredAgainst(
        baseline_id=baseline.baseline_id,
        model_id=baseline.model_id,
        grid=grid,
        reference=_dispersed(reference, baseline, LOOKED_OVER_MS),
        baseline=baseline,
        unlearned=tuple(feature.name for feature in baseline.features if not feature.dispersion_windows),
    )


def bin_name(feature: FeatureGrid, place: int) -> str:
    """Name a bin as people write it.

    >>> bin_name(FeatureGrid(name="t", kind=FeatureKind.NUMERIC, edges=(1.0, 2.5)), 1)
    '(1, 2.5]'
    """
    if feature.kind is FeatureKind.CATEGORICAL:
        return f"{feature.categories[place]:g}" if place < len(feature.categories) else "unseen"
    edges = feature.edges
    if place > len(edges):
        return f"bin {place}"
    low = f"{edges[place - 1]:g}" if place else "-inf"
    return f"({low}, {edges[place]:g}]" if place < len(edges) else f"({low}, inf)"


def _dispersed(reference: Reference, baseline: Baseline, horizon_ms: int) -> Reference:
    """Let the reference wobble as much as any stretch up to the horizon's length was seen to.

    What the reference was too short to show is assumed not to average out: for horizons beyond an hour, dispersion
    grows from the longest stretch that was learned.
    """
    widest: dict[str, list[float]] = {"counts": [], "mean": [], "variance": []}
    for feature in baseline.features:
        within = [one for one in feature.dispersion_spans if one.span_ms <= horizon_ms]
        longest = max((one.span_ms for one in within), default=min(horizon_ms, LOOKED_OVER_MS))
        for name, values in widest.items():
            spans = (getattr(one, name) / (1 + _DOUBT * math.sqrt(4 / 3 / max(one.stretches, 1))) for one in within)
            seen = max([getattr(feature, f"dispersion_{name}"), *spans])
            unseen = max(horizon_ms / longest, 1) if horizon_ms > LOOKED_OVER_MS else 1
            values.append(max(seen, 1) * unseen)
    return replace(reference, **{f"dispersion_{name}": _row(values) for name, values in widest.items()})


def _positions(feature: FeatureGrid, reference: FeatureBaseline, bins: int) -> np.ndarray:
    if feature.kind is FeatureKind.CATEGORICAL:
        return np.full(bins, np.nan)
    edges = np.array(feature.edges, np.float64)
    if not len(edges):
        return np.full(bins, reference.mean)
    # Open ends close where the reference ended, or a bin's breadth further out where it never went.
    low, high = min(reference.min, edges[0]), max(reference.max, edges[-1])
    ends = np.concatenate([[low], edges, [high]])
    middles = (ends[:-1] + ends[1:]) / 2
    return np.concatenate([middles, np.full(bins - len(middles), middles[-1])])


def _unseen_bin(feature: FeatureGrid) -> int:
    return len(feature.categories) if feature.kind is FeatureKind.CATEGORICAL else -1


def _row(values: object) -> np.ndarray:
    return _single(np.array([list(values)]))  # type: ignore[call-overload]


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
