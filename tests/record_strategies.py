"""Hypothesis strategies that make any record, derived from its declaration: for tests, ours and yours.

@given(records(DriftAlert))
def test_an_alert_is_shown(alert): ...
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from hypothesis import strategies as st

from schemas.drift_scores import CohortPane
from schemas.feature_stats import FeatureStats
from schemas.fields import Avro
from schemas.grid import HOURS_OF_WEEK, Baseline, Grid
from schemas.model_health import ModelHealth
from schemas.record import is_record
from schemas.sample import Sample
from schemas.shapes import whole_bounds
from schemas.training import TrainingRequest

__all__ = ["records"]

T = TypeVar("T")

_FEW = 3


def records(record: type[T]) -> st.SearchStrategy[T]:
    """Return records with any values that their fields can hold and that make sense together."""
    anything = st.builds(
        record,
        **{name: _values(hint) for name, hint in get_type_hints(record, include_extras=True).items()},
    )
    sensible = _SENSIBLE.get(record)
    return anything if sensible is None else st.composite(sensible)(anything)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is Annotated:
        bare, *notes = get_args(hint)
        avro = next((note for note in notes if isinstance(note, Avro)), None)
        return _values(bare) if avro is None else _noted(avro)
    if is_record(hint):
        return records(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    if get_origin(hint) is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=_FEW).map(tuple)
    if get_origin(hint) is Mapping:
        return st.dictionaries(st.text(max_size=9), _values(get_args(hint)[1]), max_size=_FEW)
    if get_origin(hint) is not None:
        (inner,) = (argument for argument in get_args(hint) if argument is not type(None))
        return st.none() | _values(inner)
    return _PLAIN[hint]


_PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=40),
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(),
}


def _noted(avro: Avro) -> st.SearchStrategy[Any]:
    if avro.logical == "uuid":
        return st.uuids().map(str)
    if avro.packed:
        size = np.dtype(avro.packed).itemsize
        return st.binary(max_size=_FEW * size).map(lambda raw: raw[: len(raw) // size * size])
    if avro.type == "float":
        return st.floats(width=32)
    return st.integers(*whole_bounds(avro))


def _feature_stats(draw: st.DrawFn, anything: st.SearchStrategy[FeatureStats]) -> FeatureStats:
    stats = draw(anything)
    start, end = sorted((stats.window_start_ms, stats.window_end_ms))
    return replace(
        stats, window_start_ms=start, window_end_ms=end, **_figures(draw, "<f4", ("mean", "m2", "min", "max"))
    )


def _cohort_pane(draw: st.DrawFn, anything: st.SearchStrategy[CohortPane]) -> CohortPane:
    return replace(draw(anything), **_figures(draw, "<f8", ("mean", "m2")))


def _figures(draw: st.DrawFn, dtype: str, moments: tuple[str, ...]) -> dict[str, Any]:
    """Draw counts on a small grid and all that goes with them."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(0, draw(st.sampled_from([1, 9, 2**32])), shape, np.uint32)
    missing = rng.integers(0, 9, shape[0], np.uint32)
    counted = counts.sum(axis=1, dtype=np.int64)
    ordered = np.sort(rng.normal(0, 1e3, (3, shape[0])), axis=0)
    values = {"min": ordered[0], "mean": ordered[1], "max": ordered[2], "m2": rng.random(shape[0])}
    arrays = {name: np.where(counted > 0, values[name], np.nan).astype(dtype) for name in moments}
    return {
        "samples": int((counted + missing).max()) + draw(st.integers(0, 5)),
        "counts": counts.astype("<u4").tobytes(),
        "missing": missing.astype("<u4").tobytes(),
        "out_of_range": (counted // 3 % 2**32).astype("<u4").tobytes(),
        **{name: array.tobytes() for name, array in arrays.items()},
    }


def _model_health(draw: st.DrawFn, anything: st.SearchStrategy[ModelHealth]) -> ModelHealth:
    health = draw(anything)
    start, end = sorted((health.window_start_ms, health.window_end_ms))
    anomalies, inferences = sorted((health.anomalies, health.inferences))
    return replace(
        health,
        window_start_ms=start,
        window_end_ms=end,
        anomalies=anomalies,
        inferences=inferences,
        confidence_mean=draw(st.just(math.nan) | st.floats(0, 1, width=32)),
    )


def _sample(draw: st.DrawFn, anything: st.SearchStrategy[Sample]) -> Sample:
    return replace(draw(anything), confidence=draw(st.just(math.nan) | st.floats(0, 1, width=32)))


def _grid(draw: st.DrawFn, anything: st.SearchStrategy[Grid]) -> Grid:
    grid = draw(anything)
    sensible = [
        replace(feature, edges=tuple(sorted({edge for edge in feature.edges if not math.isnan(edge)})))
        for feature in grid.features
    ]
    return replace(grid, features=tuple(sensible), bins=draw(st.integers(_FEW + 1, 2**31 - 1)))


def _baseline(draw: st.DrawFn, anything: st.SearchStrategy[Baseline]) -> Baseline:
    baseline = draw(anything)
    sensible = [
        replace(feature, variance=abs(feature.variance), **_profile(draw, len(feature.counts)))
        for feature in baseline.features
    ]
    return replace(baseline, features=tuple(sensible))


def _profile(draw: st.DrawFn, bins: int) -> dict[str, Any]:
    hours = draw(st.sampled_from([0, HOURS_OF_WEEK])) if bins else 0
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "hour_counts": tuple(rng.integers(0, 9, hours * bins).tolist()),
        "hour_missing": tuple(rng.integers(0, 9, hours).tolist()),
        "hour_mean": tuple(rng.normal(size=hours).tolist()),
        "hour_variance": tuple(rng.random(hours).tolist()),
    }


def _training_request(draw: st.DrawFn, anything: st.SearchStrategy[TrainingRequest]) -> TrainingRequest:
    request = draw(anything)
    first, last = sorted((request.data_from_ms, request.data_to_ms))
    return replace(request, data_from_ms=first, data_to_ms=last)


_SENSIBLE: Mapping[type[Any], Callable[..., Any]] = {
    FeatureStats: _feature_stats,
    CohortPane: _cohort_pane,
    ModelHealth: _model_health,
    Sample: _sample,
    Grid: _grid,
    Baseline: _baseline,
    TrainingRequest: _training_request,
}
