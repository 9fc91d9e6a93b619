"""What the values of a record must be to each other to make sense; their types and bounds are the fields' own.

>>> _order("window_end_ms", 5, "window_start_ms", 7)
Traceback (most recent call last):
schemas.errors.WrongValueError: window_end_ms: found 5, wanted window_start_ms (7) or more
"""

import math
from collections.abc import Callable
from typing import Any

from schemas.columns import GridShape, columns, pane_columns
from schemas.drift_scores import CohortPane
from schemas.errors import WrongValueError
from schemas.feature_stats import FeatureStats
from schemas.figures import check_figures
from schemas.grid import HOURS_OF_WEEK, Baseline, FeatureBaseline, FeatureGrid, Grid
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


def _feature_stats(stats: FeatureStats) -> None:
    arrays = columns(stats, _shape(stats))
    check_figures(stats.samples, stats.window_start_ms, stats.window_end_ms, arrays)


def _cohort_pane(pane: CohortPane) -> None:
    arrays = pane_columns(pane, _shape(pane))
    check_figures(pane.samples, 0, pane.pane_ms, arrays)


def _shape(stats: FeatureStats | CohortPane) -> GridShape:
    """Return the shape that `missing` and `counts` amount to; who knows the grid compares."""
    features = len(stats.missing) // 4
    if not features or len(stats.counts) % (4 * features):
        wanted = f"equally many for each of {features} features, one feature or more"
        raise WrongValueError("counts", found=f"{len(stats.counts) // 4} counts", wanted=wanted)
    return GridShape(features, len(stats.counts) // 4 // features)


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
    if feature.variance < 0:
        raise WrongValueError("variance", found=str(feature.variance), wanted="0 or more")
    hours = HOURS_OF_WEEK if feature.hour_counts else 0
    wanted = {"hour_counts": hours * len(feature.counts)} | dict.fromkeys(_BY_HOUR, hours)
    for name, length in wanted.items():
        if len(getattr(feature, name)) != length:
            raise WrongValueError(name, found=f"{len(getattr(feature, name))} values", wanted=str(length))


def _training_request(request: TrainingRequest) -> None:
    _order("data_to_ms", request.data_to_ms, "data_from_ms", request.data_from_ms)


_BY_HOUR = ("hour_missing", "hour_mean", "hour_variance")
_CHECKS: dict[type[Any], Callable[[Any], None]] = {
    FeatureStats: _feature_stats,
    CohortPane: _cohort_pane,
    ModelHealth: _model_health,
    Sample: _sample,
    Grid: _grid,
    Baseline: _baseline,
    TrainingRequest: _training_request,
}
