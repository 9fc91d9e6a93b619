"""Records that could not be used, kept with the reason."""

from typing import Annotated

from schemas.fields import Count, Millis, Total
from schemas.record import record

__all__ = ["DeadLetter", "dead_letter"]

_KEPT_KEY_BYTES, _KEPT_VALUE_BYTES = 1024, 64 * 1024


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


def dead_letter(
    *,
    source_topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    reason: str,
    found_by: str,
    at_ms: int,
) -> DeadLetter:
    """Return the letter about one record; `source_topic` is the topic's name without prefix.

    >>> letter = dead_letter(
    ...     source_topic="t", partition=0, offset=7, key=None, value=bytes(100_000), reason="", found_by="me", at_ms=0
    ... )
    >>> len(letter.record_value), letter.record_bytes
    (65536, 100000)
    """
    return DeadLetter(
        source_topic=source_topic,
        source_partition=partition,
        source_offset=offset,
        reason=reason,
        found_by=found_by,
        at_ms=at_ms,
        record_key=None if key is None else key[:_KEPT_KEY_BYTES],
        record_value=None if value is None else value[:_KEPT_VALUE_BYTES],
        record_bytes=len(value or b""),
    )
