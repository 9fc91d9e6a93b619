"""What a drift or health worker keeps so that another can go on where it ended."""

from typing import Annotated

from schemas.fields import Count, Millis, Total
from schemas.record import record

__all__ = ["DriftCheckpoint"]


@record(namespace="drift")
class DriftCheckpoint:
    """One part of the state of one partition; a checkpoint counts when all its parts are there."""

    partition: Annotated[Count, "Partition of the telemetry that the state is of, and of this topic."]
    slot: Annotated[Count, "0 or 1, in turn, so that a checkpoint that was cut off leaves the one before it whole."]
    part: Annotated[Count, "Place of this part, from 0."]
    parts: Annotated[Count, "How many parts there are."]
    checkpoint_id: Annotated[str, "SHA-256, in hex, of the whole payload."]
    next_offset: Annotated[Total, "All records of the worker's first topic before this one are in the state."]
    first_offset: Annotated[Total, "Where the records begin that fill a drift worker's fast rings again."]
    at_ms: Annotated[Millis, "When it was taken."]
    payload: Annotated[bytes, "This part of the state."]
