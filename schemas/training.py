"""Requests to retrain a model."""

from enum import StrEnum
from typing import Annotated

from schemas.fields import Millis
from schemas.record import record

__all__ = ["TrainingCause", "TrainingRequest"]


class TrainingCause(StrEnum):
    """Why a model should be trained."""

    UNKNOWN = "unknown"
    DRIFT = "drift"
    LABELS = "labels"
    ACCURACY = "accuracy"
    PERSON = "person"


@record(namespace="training")
class TrainingRequest:
    """Somebody, or the desk, wants a model retrained."""

    request_id: Annotated[str, "Names the request; equals the record's key. A repeat is done once."]
    model: Annotated[str, "The model's name."]
    pipeline: Annotated[str, "The pipeline, as name/version."]
    cause: Annotated[TrainingCause, "Why."]
    reason: Annotated[str, "Why, for a person."]
    requested_ms: Annotated[Millis, "When it was asked for."]
    requested_by: Annotated[str, "Who asks."]
    data_from_ms: Annotated[Millis, "Start of the data to learn from, event time."]
    data_to_ms: Annotated[Millis, "End of the data to learn from, event time."]
    alerts: Annotated[tuple[str, ...], "The alerts behind it, by alert_id."] = ()
    excluded_devices: Annotated[tuple[str, ...], "Devices whose sensors are at fault, left out."] = ()
    needs_approval: Annotated[bool, "Wait until a person approves."] = False
    changed_ms: Annotated[Millis, "Event time since when the world is another; 0: it is not known to be."] = 0
