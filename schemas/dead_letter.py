"""Records that could not be used, kept with the reason."""

from typing import Annotated

from schemas.fields import Count, Millis, Total
from schemas.record import record

__all__ = ["DeadLetter"]


@record(namespace="dead")
class DeadLetter:
    """A record that somebody could not use, and why."""

    source_topic: Annotated[str, "Where it was read; equals the record's key."]
    source_partition: Annotated[Count, "See source_topic."]
    source_offset: Annotated[Total, "See source_topic; together they name the record."]
    reason: Annotated[str, "What was found and what was wanted."]
    found_by: Annotated[str, "The service that found it."]
    at_ms: Annotated[Millis, "When it was found."]
    record_key: Annotated[bytes | None, "The record's key, as it was; its first 1 KiB."] = None
    record_value: Annotated[bytes | None, "The record's value, as it was; its first 64 KiB."] = None
    record_bytes: Annotated[Total, "The value's whole size."] = 0
