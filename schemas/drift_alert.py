"""Alerts: something drifted, or a model fares badly, told once and followed to its end."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from schemas.fields import Millis, Total
from schemas.record import record

__all__ = ["AlertState", "Binned", "DriftAlert", "Evidence", "Severity"]


class AlertState(StrEnum):
    """Where an alert is in its life."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How urgent an alert is."""

    UNKNOWN = "unknown"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@record(namespace="drift")
class Binned:
    """One bin whose share moved."""

    bin: Annotated[str, "The bin, as an interval or a category."]
    reference: Annotated[float, "Share in the reference, 0 to 1."]
    live: Annotated[float, "Share in the window, 0 to 1."]


@record(namespace="drift")
class Evidence:
    """What an alert stands on."""

    scores: Annotated[Mapping[str, float], "Scores by name, at the last change."]
    samples: Annotated[Total, "Samples within the horizon."]
    reference: Annotated[str, "What was compared with: a baseline's id, or the name of another reference."]
    horizon_ms: Annotated[Total, "How far back the scores look, milliseconds."]
    top_bins: Annotated[tuple[Binned, ...], "The bins that moved most, most first."] = ()
    ranked: Annotated[tuple[str, ...], "All affected features, gravest first."] = ()


@record(namespace="drift")
class DriftAlert:
    """One alert as it now stands; the newest record of its alert_id counts."""

    alert_id: Annotated[str, "Stable over the alert's life; equals the record's key."]
    kind: Annotated[str, "What went wrong: a drift type such as mean_shift, or a health metric."]
    subject: Annotated[str, "The device_id, or the cohort as label=value."]
    subject_is_cohort: Annotated[bool, "The subject is a cohort."]
    feature: Annotated[str, "The feature or metric; empty for all together."]
    model_id: Annotated[str, "The model concerned, as name/version."]
    state: Annotated[AlertState, "Where the alert is in its life."]
    severity: Annotated[Severity, "How urgent; it may rise."]
    opened_ms: Annotated[Millis, "Event time of the first breach."]
    changed_ms: Annotated[Millis, "Event time of the last change."]
    summary: Annotated[str, "One line for a person."]
    evidence: Annotated[Evidence, "What it stands on."]
    policy_id: Annotated[str, "The policy in force."]
    policy_revision: Annotated[Total, "Its revision."]
    members: Annotated[tuple[str, ...], "Devices that a cohort's alert groups."] = ()
    escalated: Annotated[bool, "It fired for long without anybody acknowledging it, and was made graver."] = False
    silenced: Annotated[bool, "A silence covers it: nobody is notified."] = False
    by: Annotated[str, "Who acknowledged or resolved it; empty when it happened by itself."] = ""
    labels: Annotated[Mapping[str, str], "Labels of the device, for routing."] = field(default_factory=dict)
