"""Dead letters: what the trainer's workers could not read, kept with the reason."""

from schemas.dead_letter import DeadLetter
from schemas.dead_letter import dead_letter as about
from schemas.feeds import Bad

__all__ = ["dead_letter"]


def dead_letter(bad: Bad, *, found_by: str, now_ms: int) -> DeadLetter:
    return about(
        source_topic=bad.topic,
        partition=bad.partition,
        offset=bad.offset,
        key=bad.raw_key,
        value=bad.raw_value,
        reason=bad.reason,
        found_by=found_by,
        at_ms=now_ms,
    )
