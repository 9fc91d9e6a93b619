"""Dead letters: what the trainer's workers could not read, kept with the reason."""

from schemas.dead_letter import DeadLetter
from schemas.feeds import Bad

__all__ = ["dead_letter"]

_KEPT_KEY_BYTES, _KEPT_VALUE_BYTES = 1024, 64 * 1024


def dead_letter(bad: Bad, *, found_by: str, now_ms: int) -> DeadLetter:
    return DeadLetter(
        source_topic=bad.topic,
        source_partition=bad.partition,
        source_offset=bad.offset,
        reason=bad.reason,
        found_by=found_by,
        at_ms=now_ms,
        record_key=None if bad.raw_key is None else bad.raw_key[:_KEPT_KEY_BYTES],
        record_value=None if bad.raw_value is None else bad.raw_value[:_KEPT_VALUE_BYTES],
        record_bytes=len(bad.raw_value or b""),
    )
