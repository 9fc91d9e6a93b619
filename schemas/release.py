"""A trained, tested and signed model, and where it stands on its way to the fleet."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from schemas.fields import Millis, Total
from schemas.record import record

__all__ = ["ModelRelease", "ReleaseStage"]


class ReleaseStage(StrEnum):
    """How far a release may go."""

    UNKNOWN = "unknown"
    CANDIDATE = "candidate"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


@record(namespace="models")
class ModelRelease:
    """One version of a model, with the bundle that gateways install."""

    model: Annotated[str, "The model's name."]
    version: Annotated[str, "The version; model/version is the model_id elsewhere."]
    stage: Annotated[ReleaseStage, "How far this version may go."]
    pipeline: Annotated[str, "The pipeline it wants, as name/version."]
    grid_id: Annotated[str, "The pipeline's grid."]
    baseline_id: Annotated[str, "Its reference for drift."]
    bundle_sha256: Annotated[str, "SHA-256 of the bundle, in hex; also its name in the store."]
    bundle_bytes: Annotated[Total, "Size of the bundle."]
    bundle_url: Annotated[str, "Where gateways fetch the bundle; the digest decides whether it is the right one."]
    manifest: Annotated[str, "The signed manifest of the bundle: a DSSE envelope, JSON."]
    created_ms: Annotated[Millis, "When the release was made."]
    created_by: Annotated[str, "Who or what made it."]
    request_id: Annotated[str, "The training request that it answers; empty when a person trained it."] = ""
    trained_on: Annotated[str, "Fingerprint of the training data, SHA-256 in hex; empty if unknown."] = ""
    metrics: Annotated[Mapping[str, float], "Quality on the held-out data, by name."] = field(default_factory=dict)
