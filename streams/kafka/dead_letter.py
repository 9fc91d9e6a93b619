"""Dead letters: what a worker could not use, kept with the reason."""

from schemas.dead_letter import DeadLetter
from streams.kafka.run import Run

__all__ = ["dead_letter"]

_KEPT_KEY_BYTES, _KEPT_VALUE_BYTES = 1024, 64 * 1024


def dead_letter(run: Run, position: int, reason: str, *, source_topic: str, found_by: str, now_ms: int) -> DeadLetter:
    """Return the letter for the record at `position` of a run; `source_topic` is the topic's name without prefix."""
    key, value = run.keys[position], run.values[position]
    return DeadLetter(
        source_topic=source_topic,
        source_partition=run.partition,
        source_offset=run.offsets[position],
        reason=reason,
        found_by=found_by,
        at_ms=now_ms,
        record_key=None if key is None else key[:_KEPT_KEY_BYTES],
        record_value=None if value is None else value[:_KEPT_VALUE_BYTES],
        record_bytes=len(value or b""),
    )
