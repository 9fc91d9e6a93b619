"""What the values of a record must be to each other to make sense; their types and bounds are the fields' own.

>>> _order("window_end_ms", 5, "window_start_ms", 7)
Traceback (most recent call last):
schemas.errors.WrongValueError: window_end_ms: found 5, wanted window_start_ms (7) or more
"""

import math
from collections.abc import Callable
from typing import Any

from schemas.drift_scores import CohortPane
from schemas.errors import WrongValueError
from schemas.feature_stats import FeatureStats
from schemas.grid import Baseline, FeatureBaseline, FeatureGrid, Grid
from schemas.model_health import ModelHealth
from schemas.sample import Sample
from schemas.training import TrainingRequest

__all__ = ["check_sense"]


def check_sense(value: Any) -> None:
    """Raise `WrongValueError` where the record's values contradict each other."""
    check = _CHECKS.get(type(value))
    if check is not None:
        check(value)


def _order(upper: str, high: float, lower: str, low: float) -> None:
    if high < low:
        raise WrongValueError(upper, found=str(high), wanted=f"{lower} ({low}) or more")


def _share(name: str, value: float) -> None:
    # NaN stands for "there were none".
    if not math.isnan(value) and not 0 <= value <= 1:
        raise WrongValueError(name, found=str(value), wanted="0 to 1")


def _same_length(lengths: dict[str, int]) -> None:
    (first, wanted), *others = lengths.items()
    for name, found in others:
        if found != wanted:
            raise WrongValueError(name, found=f"{found} features", wanted=f"as many as `{first}` has ({wanted})")


def _feature_stats(stats: FeatureStats) -> None:
    _order("window_end_ms", stats.window_end_ms, "window_start_ms", stats.window_start_ms)
    _same_length(
        {name: len(getattr(stats, name)) // 4 for name in ("missing", "out_of_range", "mean", "m2", "min", "max")}
    )
    _rectangle(stats.counts, len(stats.missing) // 4)


def _cohort_pane(pane: CohortPane) -> None:
    _same_length(
        {
            "missing": len(pane.missing) // 4,
            "out_of_range": len(pane.out_of_range) // 4,
            "mean": len(pane.mean) // 8,
            "m2": len(pane.m2) // 8,
        }
    )
    _rectangle(pane.counts, len(pane.missing) // 4)


def _rectangle(counts: bytes, features: int) -> None:
    if len(counts) % (4 * features or 1) or (counts and not features):
        raise WrongValueError(
            "counts", found=f"{len(counts) // 4} counts", wanted=f"equally many for {features} features"
        )


def _model_health(health: ModelHealth) -> None:
    _order("window_end_ms", health.window_end_ms, "window_start_ms", health.window_start_ms)
    _order("inferences", health.inferences, "anomalies", health.anomalies)
    _share("confidence_mean", health.confidence_mean)


def _sample(sample: Sample) -> None:
    _share("confidence", sample.confidence)


def _grid(grid: Grid) -> None:
    for feature in grid.features:
        try:
            _feature_grid(feature, grid.bins)
        except WrongValueError as trouble:
            raise trouble.within(f"features[{feature.name}]") from None


def _feature_grid(feature: FeatureGrid, bins: int) -> None:
    # Both kinds have one bin more than they name: the one beyond the last cut, the one of unseen codes.
    named = max(len(feature.edges), len(feature.categories))
    if named + 1 > bins:
        raise WrongValueError("edges", found=f"{named + 1} bins", wanted=f"at most {bins}")
    if any(not before < after for before, after in zip(feature.edges, feature.edges[1:], strict=False)):
        raise WrongValueError("edges", found=str(feature.edges), wanted="ascending cuts")


def _baseline(baseline: Baseline) -> None:
    for feature in baseline.features:
        try:
            _feature_baseline(feature)
        except WrongValueError as trouble:
            raise trouble.within(f"features[{feature.name}]") from None


def _feature_baseline(feature: FeatureBaseline) -> None:
    if any(count < 0 for count in feature.counts):
        raise WrongValueError("counts", found=str(min(feature.counts)), wanted="0 or more")
    if feature.variance < 0:
        raise WrongValueError("variance", found=str(feature.variance), wanted="0 or more")


def _training_request(request: TrainingRequest) -> None:
    _order("data_to_ms", request.data_to_ms, "data_from_ms", request.data_from_ms)


_CHECKS: dict[type[Any], Callable[[Any], None]] = {
    FeatureStats: _feature_stats,
    CohortPane: _cohort_pane,
    ModelHealth: _model_health,
    Sample: _sample,
    Grid: _grid,
    Baseline: _baseline,
    TrainingRequest: _training_request,
}
