"""How far what a device sees has moved from its reference."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from schemas.fields import Count, Float32, Float64s, Millis, Total, Uint32s
from schemas.record import record

__all__ = ["CohortPane", "DriftScores", "FeatureScores", "Verdict"]


class Verdict(StrEnum):
    """What the scores amount to under the policy in force."""

    UNKNOWN = "unknown"
    NOT_ENOUGH_DATA = "not_enough_data"
    STABLE = "stable"
    WARNING = "warning"
    DRIFT = "drift"


@record(namespace="drift")
class FeatureScores:
    """One feature's scores over one horizon."""

    feature: Annotated[str, "The feature's name in its pipeline."]
    verdict: Annotated[Verdict, "What the scores amount to, persistence included."]
    scores: Annotated[Mapping[str, float], "By name, such as psi or ks; a score that has no value is left out."]


@record(namespace="drift")
class DriftScores:
    """One device's scores for one window: features above the report floor, and at intervals all of them."""

    device_id: Annotated[str, "The device; equals the record's key."]
    model_id: Annotated[str, "Model that ran during the window, as name/version."]
    grid_id: Annotated[str, "The grid that was scored on."]
    baseline_id: Annotated[str, "The reference; empty when the policy compares with something else."]
    policy_id: Annotated[str, "The policy in force."]
    policy_revision: Annotated[Total, "Its revision."]
    boot_id: Annotated[str, "With seq: the window that completed the scores."]
    seq: Annotated[Total, "See boot_id."]
    window_end_ms: Annotated[Millis, "End of that window, device clock."]
    horizon_ms: Annotated[Total, "How far back the scores look, milliseconds."]
    samples: Annotated[Total, "Feature vectors within the horizon."]
    verdict: Annotated[Verdict, "The gravest verdict of any feature."]
    drifted: Annotated[Count, "Features whose verdict is drift."]
    complete: Annotated[bool, "Every feature is listed; otherwise only those above the report floor."]
    features: Annotated[tuple[FeatureScores, ...], "Gravest first."]
    device_scores: Annotated[Mapping[str, float], "Scores over all features together, by name."] = field(
        default_factory=dict
    )
    subject_is_cohort: Annotated[bool, "It is of a cohort, which device_id names as label=value."] = False


@record(namespace="drift")
class CohortPane:
    """One source partition's share of one cohort's pane: a later one of the same pane replaces it."""

    cohort: Annotated[str, "The cohort, as label=value; equals the record's key."]
    grid_id: Annotated[str, "The grid that is counted on."]
    source_partition: Annotated[Count, "Partition of the feature statistics that this share comes from."]
    pane_start_ms: Annotated[Millis, "Start of the pane, device clocks."]
    pane_ms: Annotated[Total, "Length of the pane, milliseconds."]
    devices: Annotated[tuple[str, ...], "Devices that contributed; of many only the first, by name."]
    samples: Annotated[Total, "Feature vectors in the share."]
    counts: Annotated[Uint32s, "Samples per bin, uint32, features x bins, row by row."]
    missing: Annotated[Uint32s, "Samples without a usable value, uint32 per feature."]
    out_of_range: Annotated[Uint32s, "Samples outside the grid's declared range, uint32 per feature."]
    mean: Annotated[Float64s, "Mean of the usable values, little-endian float64 per feature."]
    m2: Annotated[Float64s, "Sum of squared differences from the mean, little-endian float64 per feature."]
    model_id: Annotated[str, "The model, where the cohort is one of devices with the same model."] = ""
    mean_score: Annotated[Float32, "Mean of the devices' multivariate drift scores."] = 0.0
    device_count: Annotated[Count, "How many devices contributed."] = 0
    as_of_ms: Annotated[Millis, "What had arrived by then is in the share; of several shares the latest counts."] = 0
