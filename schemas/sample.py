"""Single predictions, kept at a bounded rate, and what they should have been."""

from enum import StrEnum
from typing import Annotated

from schemas.fields import Float32, Float32s, Millis, Uuid
from schemas.record import record

__all__ = ["Label", "Sample", "SampledBecause"]


class SampledBecause(StrEnum):
    """Why a prediction was kept."""

    UNKNOWN = "unknown"
    UNIFORM = "uniform"
    ANOMALY = "anomaly"
    CONTEXT = "context"


@record(namespace="telemetry")
class Sample:
    """One feature vector with the decision made on it."""

    device_id: Annotated[str, "The device; equals the record's key."]
    prediction_id: Annotated[Uuid, "Names the prediction; labels refer to it."]
    model_id: Annotated[str, "Model that decided, as name/version."]
    pipeline: Annotated[str, "Pipeline that made the vector, as name/version; gives the features' order."]
    at_ms: Annotated[Millis, "When the vector was complete, device clock."]
    features: Annotated[Float32s, "The vector, float32 per feature in the pipeline's order; NaN is missing."]
    score: Annotated[Float32, "Anomaly score; higher is stranger. A forecaster's forecast."]
    anomaly: Annotated[bool, "The decision."]
    confidence: Annotated[Float32, "Confidence of the decision, 0 to 1."]
    because: Annotated[SampledBecause, "Why this prediction was kept: at random, for its anomaly, or beside one."]


@record(namespace="telemetry")
class Label:
    """What a prediction should have been, learned later."""

    device_id: Annotated[str, "The device that predicted; equals the record's key."]
    prediction_id: Annotated[Uuid, "The prediction that is labelled."]
    value: Annotated[float, "The truth: 1 for an anomaly, 0 for none; the reading that a forecast foretold."]
    at_ms: Annotated[Millis, "When the truth was known."]
    by: Annotated[str, "Who or what says so."]
