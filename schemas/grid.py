"""Grids, which say how values are counted, and baselines, which say what was counted in training."""

from enum import StrEnum
from typing import Annotated

from schemas.fields import Count, Total
from schemas.record import record

__all__ = ["HOURS_OF_WEEK", "Baseline", "FeatureBaseline", "FeatureGrid", "FeatureKind", "Grid"]

HOURS_OF_WEEK = 168


class FeatureKind(StrEnum):
    """How a feature's values are told apart."""

    UNKNOWN = "unknown"
    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


@record(namespace="models")
class FeatureGrid:
    """How one feature is counted."""

    name: Annotated[str, "The feature's name in its pipeline."]
    kind: Annotated[FeatureKind, "Numeric features are cut at edges, categorical ones matched by value."]
    edges: Annotated[
        tuple[float, ...], "Numeric: ascending cuts; bin i holds edges[i-1] < x <= edges[i], ends are open."
    ] = ()
    categories: Annotated[
        tuple[float, ...],
        "Categorical: the codes of bins 0, 1, …; the bin after them counts every unseen code.",
    ] = ()
    low: Annotated[float | None, "Smallest value that is physically possible; below is out of range."] = None
    high: Annotated[float | None, "Largest value that is physically possible; above is out of range."] = None


@record(namespace="models")
class Grid:
    """The bins of all features of a pipeline version, fixed once so that everything counted on it adds up."""

    grid_id: Annotated[str, "SHA-256, in hex, of the canonical JSON of all other fields."]
    pipeline: Annotated[str, "The pipeline, as name/version."]
    bins: Annotated[Count, "Columns of a row of counts; features with fewer bins leave the rest at 0."]
    features: Annotated[tuple[FeatureGrid, ...], "In the pipeline's order."]
    declaration: Annotated[
        str, "How the features are computed, a document in JSON, where not every gateway knows; otherwise empty."
    ] = ""


@record(namespace="models")
class SpanDispersion:
    """How much more stretches of one length differ than independent samples would; see FeatureBaseline."""

    span_ms: Annotated[Total, "Length of the stretches, milliseconds."]
    counts: Annotated[float, "As dispersion_counts, of stretches."]
    mean: Annotated[float, "As dispersion_mean, of stretches."]
    variance: Annotated[float, "As dispersion_variance, of stretches."]
    stretches: Annotated[Count, "Disjoint stretches of that length in the reference."]


@record(namespace="models")
class FeatureBaseline:
    """What one feature looked like in the reference period."""

    name: Annotated[str, "The feature's name in its pipeline."]
    counts: Annotated[tuple[Total, ...], "Reference samples per bin, as many as the grid has bins."]
    missing: Annotated[Total, "Reference samples without a usable value."]
    out_of_range: Annotated[Total, "Reference samples outside the grid's declared range."]
    mean: Annotated[float, "Mean of the usable reference values."]
    variance: Annotated[float, "Variance of the usable reference values, with n-1; 0 for a constant."]
    min: Annotated[float, "Smallest usable reference value."]
    max: Annotated[float, "Largest usable reference value."]
    dispersion_counts: Annotated[
        float, "Mean chi-square per degree of freedom of window counts against the reference; 1 is independent."
    ] = 1.0
    dispersion_mean: Annotated[float, "Variance of a window's mean over variance/n; 1 is independent."] = 1.0
    dispersion_variance: Annotated[
        float, "Variance of a window's variance over 2*variance^2/(n-1), that of independent normal samples."
    ] = 1.0
    dispersion_windows: Annotated[Count, "Reference windows that the dispersions were learned from; 0: assumed."] = 0
    dispersion_spans: Annotated[
        tuple[SpanDispersion, ...], "The same over longer stretches, shortest first, as far as the reference reaches."
    ] = ()
    hour_counts: Annotated[
        tuple[Total, ...],
        "Reference samples per bin in each hour of the week, row by row, Monday 00:00 UTC first: 168 x bins, all 0 in "
        "hours that too few weeks cover. Empty: no profile.",
    ] = ()
    hour_missing: Annotated[tuple[Total, ...], "Reference samples without a usable value in each of these hours."] = ()
    hour_mean: Annotated[tuple[float, ...], "Mean of the usable values in each of these hours; 0 without any."] = ()
    hour_variance: Annotated[tuple[float, ...], "Their variance, with n-1; 0 with fewer than two."] = ()


@record(namespace="models")
class Baseline:
    """A model's reference: what its features looked like in the data it was trained on."""

    baseline_id: Annotated[str, "SHA-256, in hex, of the canonical JSON of all other fields."]
    model_id: Annotated[str, "The model that this is the reference of, as name/version."]
    grid_id: Annotated[str, "The grid that the counts are on."]
    pipeline: Annotated[str, "The pipeline, as name/version."]
    samples: Annotated[Total, "Feature vectors in the reference, missing values included."]
    features: Annotated[tuple[FeatureBaseline, ...], "In the grid's order."]
